// The panel of the selected call: player, facts, pushes, keypad, quality, SIP messages.

import type { CallView } from '@sipcast/core';
import { CallActions } from './call-actions.ts';
import { isFinal } from './call-list.ts';
import { byId, el, setAttribute, setText } from './dom.ts';
import { KeypadView } from './keypad-view.ts';
import { LadderView } from './ladder-view.ts';
import { Player } from './player.ts';
import { PushesView } from './pushes-view.ts';
import { QualityView } from './quality-view.ts';
import { openTabs } from './tabs.ts';
import {
  callerText,
  callStatusText,
  peerText,
  publicUrl,
  rtmpStatusText,
  timeText,
  toneOf,
} from './words.ts';

/** The panel of the page. */
export class CallPanel {
  readonly player = new Player();
  readonly keypad = new KeypadView();
  readonly actions: CallActions;
  readonly openTab: (name: string) => void;
  readonly #pushes: PushesView;
  readonly #quality = new QualityView();
  readonly #ladder = new LadderView();
  readonly #facts = byId('facts');
  #call: CallView | undefined;
  #tab = 'overview';
  #shownFacts = '';
  /** Start playing as soon as the stream name is known. */
  #mustPlay = false;

  /** @param onChanged - An action was requested that changes the call. */
  constructor(onChanged: () => void) {
    byId('player-place').append(this.player.element);
    this.#pushes = new PushesView(onChanged);
    this.actions = new CallActions(onChanged);
    this.openTab = openTabs(byId('tabs'), (name) => {
      this.#tab = name;
      if (name === 'sip') void this.#ladder.refresh();
    });
  }

  /** The Call-ID of the shown call. */
  get callId(): string | undefined {
    return this.#call?.callId;
  }

  /** Shows a call: a different one, or an update of the same. */
  show(call: CallView): void {
    const before = this.#call;
    const isAnew = before !== undefined && isFinal(before.status) && !isFinal(call.status);
    const isOther = before?.callId !== call.callId || isAnew;
    const wasPlaying = isOther && this.player.streamName !== undefined;
    this.#call = call;
    const isOver = isFinal(call.status);
    setText(byId('call-title'), peerText(call) || call.callId);
    const badge = byId('call-status');
    setText(badge, callStatusText(call.status));
    setAttribute(badge, 'data-tone', toneOf(call.status));
    this.actions.show(call);
    const reason = byId('call-reason');
    reason.hidden = call.info === null;
    setText(reason, reasonOf(call));
    this.#showFacts(call);
    this.#pushes.show(isOver ? { ...call, pushes: [], streamName: '' } : call);
    this.keypad.show(isOver ? undefined : call.callId);
    this.#ladder.show(call.callId);
    for (const name of ['pushes', 'keypad'])
      byId(`tab-${name}`).toggleAttribute('data-dim', isOver);
    if (isOther) {
      this.#mustPlay = false;
      this.#quality.reset(call.callId);
      this.player.stop(idleWords(call));
      if (this.#tab === 'sip') void this.#ladder.refresh();
    }
    const canPlay = call.streamName !== '' && !isOver;
    this.player.offer(canPlay ? call.streamName : undefined);
    if (isOver && this.player.streamName !== undefined) this.player.stop('The call has ended');
    // When the user moves between calls, keep playing.
    if ((wasPlaying || this.#mustPlay) && canPlay) this.play();
    if (before?.status !== call.status) {
      if (isOther || !canPlay) this.#idle(call);
      if (this.#tab === 'sip') void this.#ladder.refresh();
    }
  }

  /** Plays the call if possible. Events do not contain the stream name, but the next API response does. */
  play(): void {
    const call = this.#call;
    if (!call || isFinal(call.status)) return;
    this.#mustPlay = call.streamName === '';
    if (call.streamName !== '') this.player.play(call.streamName);
  }

  /** A fresh API response about the call, about once a second. */
  takeStats(call: CallView): void {
    if (call.callId !== this.#call?.callId) return;
    this.#quality.take(call);
    if (this.#tab === 'sip') void this.#ladder.refresh();
  }

  #idle(call: CallView): void {
    if (this.player.streamName === undefined) this.player.stop(idleWords(call));
  }

  #showFacts(call: CallView): void {
    const target =
      call.rtmpUrl === null ? '–' : `${publicUrl(call.rtmpUrl)} · ${call.rtmpStream ?? ''}`;
    const rows: (readonly [string, string])[] = [
      ['Stream', call.streamName || '–'],
      ['Callee', call.callee || '–'],
      ['RTMP', target],
      ['RTMP status', rtmpStatusText(call.rtmpStreamStatus, call.rtmpStreamError)],
      ['Caller', callerText(call) || '–'],
      ['Call-ID', call.callId],
      ['SIP status', call.sipStatus === null ? '–' : String(call.sipStatus)],
      ['Started', timeText(call.createdAt)],
      ['Answered', timeText(call.establishedAt)],
    ];
    if (call.endedAt !== null) rows.push(['Ended', timeText(call.endedAt)]);
    const key = JSON.stringify(rows);
    if (key === this.#shownFacts) return;
    this.#shownFacts = key;
    this.#facts.replaceChildren(
      ...rows.flatMap(([name, value]) => [el('dt', {}, name), el('dd', {}, value)]),
    );
  }
}

function reasonOf({ info, sipStatus, status }: CallView): string {
  const isReason = sipStatus !== null && isFinal(status);
  return isReason ? `${info ?? ''} (SIP ${sipStatus})` : (info ?? '');
}

function idleWords(call: CallView): string {
  if (isFinal(call.status)) return 'The call has ended';
  return 'Press play';
}
