// The table of live calls. Rows are kept and updated in place, so that focus and selection survive.

import type { CallView } from '@sipcast/core';
import { api } from './api.ts';
import { byId, directionMark, el, setAttribute, setText } from './dom.ts';
import {
  bitrateText,
  calleeText,
  callStatusText,
  codecText,
  durationText,
  peerText,
  percentText,
  pushesSummary,
  toneOf,
} from './words.ts';

interface Row {
  readonly element: HTMLTableRowElement;
  readonly status: HTMLElement;
  readonly direction: HTMLElement;
  readonly callee: HTMLElement;
  readonly target: HTMLElement;
  readonly picture: HTMLImageElement;
  readonly rtmp: HTMLElement;
  readonly rtmpError: HTMLElement;
  readonly media: HTMLElement;
  readonly rate: HTMLElement;
  readonly loss: HTMLElement;
  readonly time: HTMLElement;
  call: CallView;
}

/** Further rows are not drawn; the filter finds them. */
const MAX_ROWS = 200;
/** Rows with a picture of the call. */
const MAX_PICTURES = 12;
const PICTURE_EVERY_MS = 10_000;

/** The table. */
export class CallsTable {
  readonly #body = byId('calls');
  readonly #empty = byId('calls-empty');
  readonly #more = byId('calls-more');
  readonly #rows = new Map<string, Row>();
  readonly #onSelect: (callId: string, byKey: boolean) => void;
  #selected: string | undefined;

  /** @param onSelect - A row was selected; `byKey`: with Enter, to open its panel. */
  constructor(onSelect: (callId: string, byKey: boolean) => void) {
    this.#onSelect = onSelect;
    this.#body.addEventListener('keydown', (event) => this.#onKey(event));
  }

  /** Shows calls. @param isFiltered - A filter hides other calls. */
  show(calls: readonly CallView[], selected: string | undefined, isFiltered: boolean): void {
    this.#selected = selected;
    const shown = calls.slice(0, MAX_ROWS);
    const wanted = new Set(shown.map((call) => call.callId));
    for (const [callId, row] of this.#rows) {
      if (wanted.has(callId)) continue;
      const hadFocus = row.element.contains(document.activeElement);
      const next = (row.element.nextElementSibling ??
        row.element.previousElementSibling) as HTMLElement | null;
      row.element.remove();
      this.#rows.delete(callId);
      if (hadFocus) next?.focus();
    }
    shown.forEach((call, index) => {
      const row = this.#rows.get(call.callId) ?? this.#newRow(call);
      row.call = call;
      this.#fill(row);
      if (this.#body.children[index] !== row.element)
        this.#body.insertBefore(row.element, this.#body.children[index] ?? null);
    });
    this.#showTabStop();
    this.#empty.hidden = shown.length > 0;
    setText(
      this.#empty,
      isFiltered ? 'No live call matches the filter.' : 'No live calls. Start one with the form.',
    );
    this.#more.hidden = calls.length <= MAX_ROWS;
    setText(this.#more, `${calls.length - MAX_ROWS} more: use the filter to find them.`);
  }

  /** Updates the durations every second. */
  tick(nowMs: number): void {
    for (const { call, time } of this.#rows.values())
      setText(time, durationText(nowMs - Date.parse(call.establishedAt ?? call.createdAt)));
    this.#refreshPictures(nowMs);
  }

  /** Each picture is a run of an encoder, and asks the phone for a key frame: few of them, and seldom. */
  #refreshPictures(nowMs: number): void {
    if (document.hidden) return;
    const turn = Math.floor(nowMs / PICTURE_EVERY_MS);
    for (const { call, picture } of [...this.#rows.values()].slice(0, MAX_PICTURES)) {
      const shows =
        call.establishedAt !== null && call.media?.video != null && call.streamName !== '';
      if (!shows) picture.hidden = true;
      else setAttribute(picture, 'src', `${api.pictureUrl(call.streamName)}?at=${turn}`);
    }
  }

  /** Focuses the selected row, or the first one. */
  focus(): void {
    const row = this.#rows.get(this.#selected ?? '')?.element ?? this.#body.firstElementChild;
    if (row instanceof HTMLElement) row.focus();
  }

  #newRow(call: CallView): Row {
    const cell = (name: string, ...children: Node[]): HTMLTableCellElement =>
      el('td', { role: 'gridcell', class: name }, ...children);
    const picture = el('img', { class: 'thumbnail', alt: '', width: '64', height: '36' });
    picture.hidden = true;
    picture.addEventListener('load', () => (picture.hidden = false));
    picture.addEventListener('error', () => (picture.hidden = true));
    const status = el('span', { class: 'badge' });
    const direction = el('span');
    const callee = el('span', { class: 'strong' });
    const target = el('span', { class: 'faint' });
    const rtmp = el('span', { class: 'badge' });
    const rtmpError = el('span', { class: 'cell-error' });
    const media = el('span', {});
    const [rate, loss, time] = [el('span'), el('span'), el('span')];
    const element = el(
      'tr',
      { role: 'row', tabindex: '-1', 'data-call-id': call.callId },
      cell('cell-status', status),
      cell(
        'cell-callee',
        el('div', { class: 'peer' }, picture, direction, el('div', {}, callee, target)),
      ),
      cell('cell-rtmp', rtmp, rtmpError),
      cell('cell-media', media),
      cell('cell-rate number', rate),
      cell('cell-loss number', loss),
      cell('cell-time number', time),
    );
    element.addEventListener('click', () => this.#onSelect(call.callId, false));
    const row = {
      element,
      picture,
      status,
      direction,
      callee,
      target,
      rtmp,
      rtmpError,
      media,
      rate,
      loss,
      time,
      call,
    };
    this.#rows.set(call.callId, row);
    return row;
  }

  #fill(row: Row): void {
    const { call } = row;
    setText(row.status, callStatusText(call.status));
    setAttribute(row.status, 'data-tone', toneOf(call.status));
    const direction = call.incoming ? 'in' : 'out';
    if (row.direction.firstElementChild?.getAttribute('data-direction') !== direction)
      row.direction.replaceChildren(directionMark(call.incoming));
    setText(row.callee, peerText(call) || call.callId);
    const name = call.streamName || call.callId;
    setText(row.target, call.incoming ? `for ${calleeText(call.callee)} · ${name}` : name);
    const statuses = call.pushes.map((push) => push.status);
    // Between an event and the next API response, the push itself may be missing.
    if (statuses.length === 0 && call.rtmpStreamStatus !== null)
      statuses.push(call.rtmpStreamStatus);
    const summary = pushesSummary(statuses);
    setText(row.rtmp, summary?.text ?? '–');
    setAttribute(row.rtmp, 'class', summary ? 'badge' : 'faint');
    setAttribute(row.rtmp, 'data-tone', summary?.tone);
    const failing = call.pushes.find((push) => push.status !== 'RTMP_STREAM_ACTIVE');
    const reason = failing?.lastError ?? call.rtmpStreamError ?? '';
    setText(row.rtmpError, reason);
    setAttribute(row.rtmpError, 'title', reason);
    const { audio, video } = call.media ?? {};
    const size = video && video.width !== null ? ` ${video.width}×${video.height}` : '';
    const parts = [
      video?.codec ? codecText(video.codec) + size : '',
      audio?.codec ? codecText(audio.codec) : '',
    ];
    setText(row.media, parts.filter(Boolean).join(' · ') || '–');
    const rates = [audio?.bitrateBps, video?.bitrateBps].filter((rate) => rate != null);
    setText(
      row.rate,
      bitrateText(rates.length === 0 ? null : rates.reduce((sum, rate) => sum + rate, 0)),
    );
    const ratios = [audio?.lossRatio, video?.lossRatio].filter((ratio) => ratio != null);
    const worst = ratios.length === 0 ? null : Math.max(...ratios);
    setText(row.loss, percentText(worst));
    setAttribute(row.loss, 'data-bad', worst !== null && worst >= 0.02 ? '' : undefined);
    setText(row.time, durationText(Date.now() - Date.parse(call.establishedAt ?? call.createdAt)));
    setAttribute(
      row.element,
      'aria-selected',
      String(row.element.getAttribute('data-call-id') === this.#selected),
    );
  }

  /** One row can be reached by Tab; arrow keys move from there. */
  #showTabStop(): void {
    const rows = [...this.#rows.values()].map(({ element }) => element);
    const focused = rows.find((row) => row === document.activeElement);
    const stop = focused ?? this.#rows.get(this.#selected ?? '')?.element;
    const first = this.#body.firstElementChild;
    for (const row of rows) setAttribute(row, 'tabindex', row === (stop ?? first) ? '0' : '-1');
  }

  #onKey(event: KeyboardEvent): void {
    const row = (event.target as Element).closest('tr');
    if (!row || event.ctrlKey || event.metaKey || event.altKey) return;
    const to: Readonly<Record<string, () => Element | null>> = {
      ArrowDown: () => row.nextElementSibling,
      ArrowUp: () => row.previousElementSibling,
      Home: () => this.#body.firstElementChild,
      End: () => this.#body.lastElementChild,
    };
    const isChosen = event.key === 'Enter' || event.key === ' ';
    const next = to[event.key]?.();
    if (!isChosen && to[event.key] === undefined) return;
    event.preventDefault();
    const target = isChosen ? row : next;
    if (!(target instanceof HTMLElement)) return;
    target.focus();
    this.#onSelect(target.getAttribute('data-call-id') ?? '', isChosen);
    this.#showTabStop();
  }
}
