// The console: connects the parts of the page to the gateway.

import type { CallView } from '@sipcast/core';
import { api, ApiError } from './api.ts';
import {
  applyCallEvent,
  applyOne,
  applyPushEvent,
  applySnapshot,
  EMPTY_LIST,
  filterCalls,
  MAX_ENDED,
} from './call-list.ts';
import type { CallList, CallStatusEvent, PushStatusEvent } from './call-list.ts';
import { CallPanel } from './call-panel.ts';
import { CallsTable } from './calls-table.ts';
import { byId, setAttribute, setText, typedById } from './dom.ts';
import { showEnded } from './ended-list.ts';
import { LiveEvents } from './live-events.ts';
import type { LinkState } from './live-events.ts';
import { notify } from './notices.ts';
import { StartForm } from './start-form.ts';
import { nextTheme, openTheme } from './theme.ts';

/** Everything is reloaded at this interval, in addition to events. */
const REFRESH_MS = 5000;
const SECOND_MS = 1000;
/** Several events in this time cause a single reload. */
const SETTLE_MS = 150;

let list: CallList = EMPTY_LIST;
let sequence = 0;
let selected: string | undefined;
/** A selected call that has ended, and so no longer changes. */
let chosenEnded: CallView | undefined;
/** A requested call, to be played once it exists. */
let awaited = new URL(location.href).searchParams.get('call') ?? undefined;
let refreshTimer = 0;
let isReading = false;
let mustReadAgain = false;
let lastReadMs = 0;

const filter = typedById('filter', HTMLInputElement);
const help = typedById('help', HTMLDialogElement);
const panel = new CallPanel(() => refreshSoon());
const table = new CallsTable((callId, byKey) => {
  select(callId);
  if (byKey) byId('tab-overview').focus();
});
const form = new StartForm((callId) => {
  awaited = callId;
  refreshSoon();
});

function show(): void {
  const shown = filterCalls(list.live, filter.value);
  table.show(shown, selected, filter.value.trim() !== '');
  showEnded(filterCalls(list.ended, filter.value), (call) => {
    chosenEnded = call;
    select(call.callId);
  });
  setText(byId('live-count'), String(list.live.length));
  document.title = list.live.length > 0 ? `(${list.live.length}) sipcast` : 'sipcast';
  const call = selectedCall();
  if (call) panel.show(call);
  if (awaited !== undefined && list.live.some(({ callId }) => callId === awaited)) {
    const callId = awaited;
    awaited = undefined;
    select(callId);
    panel.play();
  }
}

function selectedCall(): CallView | undefined {
  if (selected === undefined) return undefined;
  return (
    chosenEnded ??
    list.live.find(({ callId }) => callId === selected) ??
    list.ended.find(({ callId }) => callId === selected)
  );
}

function select(callId: string | undefined): void {
  if (callId !== chosenEnded?.callId) chosenEnded = undefined;
  if (callId === undefined) panel.player.stop();
  selected = callId;
  const isForm = callId === undefined;
  document.body.setAttribute('data-side', isForm ? 'form' : 'call');
  byId('start').hidden = !isForm;
  byId('call').hidden = isForm;
  show();
  if (!isForm) void readSelected();
}

function showForm(): void {
  select(undefined);
  document.body.setAttribute('data-side', 'form');
  form.focus();
}

/** Shows the list, which a narrow screen displays instead of the panel. */
function showList(): void {
  document.body.setAttribute('data-side', 'list');
  table.focus();
}

function refreshSoon(): void {
  window.clearTimeout(refreshTimer);
  refreshTimer = window.setTimeout(() => void refresh(), SETTLE_MS);
}

async function refresh(): Promise<void> {
  if (isReading) {
    mustReadAgain = true;
    return;
  }
  isReading = true;
  const seen = sequence;
  try {
    const [live, ended] = await Promise.all([api.calls(), api.history(MAX_ENDED)]);
    list = applySnapshot(list, live, ended, seen);
    lastReadMs = Date.now();
    show();
  } catch (error) {
    // The connection state is already shown at the top.
    if (error instanceof ApiError && error.status !== 0) notify('Reading calls', error);
  } finally {
    isReading = false;
    if (mustReadAgain) {
      mustReadAgain = false;
      refreshSoon();
    }
  }
}

async function readSelected(): Promise<void> {
  const callId = selected;
  const seen = sequence;
  if (callId === undefined || !list.live.some((call) => call.callId === callId)) return;
  try {
    const call = await api.call(callId);
    // An event that arrived meanwhile is newer.
    if (!call || seen !== sequence || callId !== selected) return;
    list = applyOne(list, call);
    show();
    panel.takeStats(call);
  } catch {
    // Ignored: the next second tries again, and the connection state is shown.
  }
}

function onEvent(name: string, body: unknown): void {
  sequence = Math.max(sequence, (body as { sequence?: number }).sequence ?? 0);
  if (name === 'CallStatusEvent') list = applyCallEvent(list, body as CallStatusEvent);
  else if (name === 'PushStatusEvent') list = applyPushEvent(list, body as PushStatusEvent);
  else if (name === 'CallDtmfEvent') {
    const { callId, dtmf } = body as { callId: string; dtmf: string };
    panel.keypad.onHeard(callId, dtmf);
    return;
  }
  show();
  refreshSoon();
}

let link: LinkState = { state: 'connecting' };

function showLink(): void {
  const element = byId('link');
  setAttribute(element, 'data-state', link.state);
  const seconds = link.state === 'lost' ? Math.ceil((link.retryAtMs - Date.now()) / 1000) : 0;
  const words: Readonly<Record<LinkState['state'], string>> = {
    connecting: 'Connecting …',
    open: 'Connected',
    lost: 'Connection lost',
  };
  setText(byId('link-words'), words[link.state]);
  // Outside the live region, because it changes every second.
  setText(byId('link-retry'), link.state === 'lost' ? `again in ${Math.max(0, seconds)} s` : '');
  byId('link-now').hidden = link.state !== 'lost';
  document.body.toggleAttribute('data-stale', link.state === 'lost');
}

const events = new LiveEvents({
  onState: (state) => {
    link = state;
    showLink();
  },
  onEvent,
  onOpened: () => void refresh(),
});

function isTyping(target: EventTarget | null): boolean {
  return (
    target instanceof HTMLInputElement ||
    target instanceof HTMLSelectElement ||
    target instanceof HTMLTextAreaElement
  );
}

const SHORTCUTS: Readonly<Record<string, () => void>> = {
  '?': () => (help.open ? help.close() : help.showModal()),
  '/': () => {
    filter.focus();
    filter.select();
  },
  n: showForm,
  l: () => table.focus(),
  t: nextTheme,
  p: () => panel.player.togglePlaying(),
  m: () => panel.player.toggleSound(),
  f: () => panel.player.toggleFullScreen(),
  o: () => panel.openTab('overview'),
  u: () => panel.openTab('pushes'),
  k: () => {
    panel.openTab('keypad');
    panel.keypad.focus();
  },
  q: () => panel.openTab('quality'),
  s: () => panel.openTab('sip'),
  h: () => panel.actions.focusHold(),
  r: () => panel.actions.openTransfer(),
  x: () => byId('hang-up').focus(),
};
const OF_CALL: ReadonlySet<string> = new Set('pmfoukqshrx');

document.addEventListener('keydown', (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === 'Escape' && !help.open) {
    if (isTyping(event.target)) (event.target as HTMLElement).blur();
    else showList();
    return;
  }
  if (isTyping(event.target) || (help.open && event.key !== '?')) return;
  const run = SHORTCUTS[event.key];
  if (!run || (OF_CALL.has(event.key) && selected === undefined)) return;
  event.preventDefault();
  run();
});

openTheme();
byId('new-call').addEventListener('click', showForm);
for (const button of document.querySelectorAll('.back')) button.addEventListener('click', showList);
byId('help-button').addEventListener('click', () => help.showModal());
byId('help-close').addEventListener('click', () => help.close());
byId('link-now').addEventListener('click', () => events.connect());
filter.addEventListener('input', show);
filter.addEventListener('keydown', (event) => {
  if (event.key !== 'ArrowDown' && event.key !== 'Enter') return;
  event.preventDefault();
  table.focus();
});
window.setInterval(() => {
  const nowMs = Date.now();
  table.tick(nowMs);
  if (link.state === 'lost') showLink();
  if (document.hidden) return;
  void readSelected();
  if (nowMs - lastReadMs >= REFRESH_MS) void refresh();
}, SECOND_MS);
document.addEventListener('visibilitychange', () => {
  if (!document.hidden) void refresh();
});
document.body.setAttribute('data-side', 'list');
show();
events.connect();
// Load at once, without waiting for events.
void refresh();
