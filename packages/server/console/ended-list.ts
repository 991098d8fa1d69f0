// Ended calls and their reasons.

import type { CallView } from '@sipcast/core';
import { byId, directionMark, el, statusBadge } from './dom.ts';
import { callStatusText, durationText, peerText, timeText, toneOf } from './words.ts';

const WHOSE: Readonly<Record<string, string>> = {
  local: 'by us',
  remote: 'by the peer',
  network: 'by the network',
  gateway: 'by the gateway',
};
let shown: readonly CallView[] | undefined;

/** Shows them, newest first. @param onSelect - One was selected. */
export function showEnded(calls: readonly CallView[], onSelect: (call: CallView) => void): void {
  if (calls === shown) return;
  shown = calls;
  const body = byId('ended');
  const focused = document.activeElement?.getAttribute('data-ended-id');
  body.replaceChildren(...calls.map((call) => row(call, onSelect)));
  byId('ended-empty').hidden = calls.length > 0;
  if (focused == null) return;
  for (const button of body.querySelectorAll('button'))
    if (button.getAttribute('data-ended-id') === focused) button.focus();
}

function row(call: CallView, onSelect: (call: CallView) => void): HTMLElement {
  const { callId, status, sipStatus, info, endedAt, establishedAt, endedBy } = call;
  const talked =
    establishedAt !== null && endedAt !== null
      ? durationText(Date.parse(endedAt) - Date.parse(establishedAt))
      : '–';
  const open = el(
    'button',
    { type: 'button', class: 'link', 'data-ended-id': `${callId} ${call.createdAt}` },
    peerText(call) || callId,
  );
  open.addEventListener('click', () => onSelect(call));
  const code = sipStatus === null ? '' : String(sipStatus);
  return el(
    'tr',
    {},
    el('td', { class: 'cell-when number' }, timeText(endedAt)),
    el('td', { class: 'cell-status' }, statusBadge(callStatusText(status), toneOf(status))),
    el(
      'td',
      { class: 'cell-callee' },
      el('div', { class: 'peer' }, directionMark(call.incoming), open),
    ),
    el(
      'td',
      { class: 'cell-reason' },
      el('span', {}, info ?? '–'),
      endedBy === null ? undefined : el('span', { class: 'faint' }, WHOSE[endedBy] ?? endedBy),
    ),
    el('td', { class: 'cell-code number' }, code),
    el('td', { class: 'cell-time number' }, talked),
  );
}
