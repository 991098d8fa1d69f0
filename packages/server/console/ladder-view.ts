// The SIP messages of a call as arrows between lifelines; each expands to its full text.

import { api, ApiError } from './api.ts';
import { byId, el, setText } from './dom.ts';
import { layoutLadder, offsetText } from './ladder-layout.ts';
import type { LadderRow, TracedMessage } from './ladder-layout.ts';
import { wordsOf } from './notices.ts';

/** The message ladder of the selected call. */
export class LadderView {
  readonly #list = byId('ladder');
  readonly #heads = byId('ladder-heads');
  readonly #note = byId('ladder-note');
  #callId: string | undefined;
  /** Expanded messages, by index. */
  readonly #open = new Set<number>();
  #drawn = '';
  /** The gateway is older and has no trace. */
  #isMissing = false;

  /** Shows another call, or none. */
  show(callId: string | undefined): void {
    if (callId === this.#callId) return;
    this.#callId = callId;
    this.#open.clear();
    this.#draw([]);
    setText(this.#note, '');
  }

  /** Reloads the messages. */
  async refresh(): Promise<void> {
    const callId = this.#callId;
    if (callId === undefined || this.#isMissing) return;
    try {
      const messages = await api.trace(callId);
      if (callId !== this.#callId) return;
      this.#draw(messages);
      setText(this.#note, messages.length === 0 ? 'No messages are kept for this call.' : '');
    } catch (error) {
      if (callId !== this.#callId) return;
      this.#isMissing = error instanceof ApiError && error.code === 'NO_SUCH_METHOD';
      const words = this.#isMissing
        ? 'This gateway keeps no SIP messages.'
        : wordsOf(error).message;
      setText(this.#note, words);
    }
  }

  #draw(messages: readonly TracedMessage[]): void {
    const key = `${messages.length} ${messages.at(-1)?.at ?? ''} ${messages[0]?.at ?? ''}`;
    // Leave the DOM alone while nothing is new, so that reading and selection are not disturbed.
    if (key === this.#drawn) return;
    this.#drawn = key;
    const { columns, rows } = layoutLadder(messages);
    const focused = document.activeElement?.getAttribute('data-message');
    for (const part of [this.#heads, this.#list])
      part.style.setProperty('--columns', String(Math.max(2, columns.length)));
    this.#heads.hidden = messages.length === 0;
    this.#heads.replaceChildren(...columns.map((title) => el('span', {}, title)));
    this.#list.replaceChildren(...rows.map((row, index) => this.#row(row, index, columns.length)));
    if (focused != null)
      for (const button of this.#list.querySelectorAll('button'))
        if (button.getAttribute('data-message') === focused) button.focus();
  }

  #row(row: LadderRow, index: number, columns: number): HTMLElement {
    const { traced, from, to, label, note, kind, offsetMs } = row;
    const id = `message-${index}`;
    const isOpen = this.#open.has(index);
    const arrow = el(
      'span',
      { class: 'arrow', 'data-kind': kind, 'data-to': from < to ? 'right' : 'left' },
      el('span', { class: 'arrow-label' }, label, note === '' ? undefined : el('small', {}, note)),
    );
    const [left, right] = from < to ? [from, to] : [to, from];
    arrow.style.setProperty('--left', String((left + 0.5) / columns));
    arrow.style.setProperty('--right', String(1 - (right + 0.5) / columns));
    const lanes = el('span', { class: 'lanes' }, arrow);
    const again = traced.retransmission
      ? el('span', { class: 'again', title: 'Retransmission' }, 'again')
      : undefined;
    const sender = traced.direction === 'out' ? 'sent to' : 'received from';
    const button = el(
      'button',
      {
        type: 'button',
        class: 'message',
        'aria-expanded': String(isOpen),
        'aria-controls': id,
        'aria-label': `${label} ${note}, ${sender} ${traced.remote}, ${offsetText(offsetMs)} s`,
        'data-message': String(index),
      },
      el('span', { class: 'offset number' }, offsetText(offsetMs), again),
      lanes,
    );
    const head = `${traced.at}  ${traced.transport}  ${traced.local} ${traced.direction === 'out' ? '→' : '←'} ${traced.remote}`;
    const text = el(
      'div',
      { class: 'message-text', id, hidden: !isOpen },
      el('p', { class: 'faint' }, head),
      el('pre', { tabindex: '0' }, traced.message.replaceAll('\r\n', '\n').trimEnd()),
    );
    button.addEventListener('click', () => {
      const opens = text.hidden;
      text.hidden = !opens;
      button.setAttribute('aria-expanded', String(opens));
      if (opens) this.#open.add(index);
      else this.#open.delete(index);
    });
    return el('li', { 'data-retransmission': traced.retransmission }, button, text);
  }
}
