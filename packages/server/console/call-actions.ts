// Actions on an established call: hold and resume, transfer, hang up.

import type { CallView } from '@sipcast/core';
import { api } from './api.ts';
import { isFinal } from './call-list.ts';
import { byId, el, setAttribute, setText, typedById } from './dom.ts';
import { attempt, notify, wordsOf } from './notices.ts';
import { twoStepButton } from './two-step-button.ts';
import { directionText } from './words.ts';

/** The buttons of the selected call, and the transfer form. */
export class CallActions {
  readonly #hold = typedById('hold', HTMLButtonElement);
  readonly #transfer = typedById('transfer', HTMLButtonElement);
  readonly #form = typedById('transfer-form', HTMLFormElement);
  readonly #target = typedById('transfer-target', HTMLInputElement);
  readonly #send = typedById('transfer-send', HTMLButtonElement);
  readonly #problem = byId('transfer-problem');
  readonly #hangUp: HTMLButtonElement;
  readonly #onChanged: () => void;
  #call: CallView | undefined;
  /** Calls with an unanswered hold, resume or transfer request. */
  readonly #asked = new Set<string>();

  /** @param onChanged - An action was requested that changes the call. */
  constructor(onChanged: () => void) {
    this.#onChanged = onChanged;
    this.#hangUp = twoStepButton('Hang up', 'Really hang up?', () => {
      const callId = this.#call?.callId;
      if (callId !== undefined)
        attempt('Hang up', () => api.hangUp(callId).finally(() => onChanged()));
    });
    this.#hangUp.id = 'hang-up';
    byId('call-actions').append(this.#hangUp);
    this.#hold.addEventListener('click', () => void this.#toggleHold());
    this.#transfer.addEventListener('click', () => {
      if (this.#form.hidden) this.openTransfer();
      else this.#closeTransfer();
    });
    this.#form.addEventListener('submit', (event) => {
      event.preventDefault();
      void this.#submit();
    });
    this.#form.addEventListener('keydown', (event) => {
      if (event.key !== 'Escape') return;
      event.stopPropagation();
      this.#closeTransfer();
      this.#transfer.focus();
    });
    this.#target.addEventListener('input', () => this.#showProblem(undefined));
  }

  /** Shows a call: a different one, or an update of the same. */
  show(call: CallView): void {
    if (call.callId !== this.#call?.callId) this.#closeTransfer();
    this.#call = call;
    const { callId, status, target } = call;
    const stands = status === 'ESTABLISHED' || status === 'HOLD';
    this.#hangUp.hidden = isFinal(status);
    this.#hold.hidden = !stands;
    this.#transfer.hidden = !stands;
    if (!stands) this.#closeTransfer();
    setText(this.#hold, status === 'HOLD' ? 'Resume' : 'Hold');
    this.#hold.disabled = this.#asked.has(callId);
    this.#transfer.disabled = target !== null;
    this.#send.disabled = target !== null;
    setAttribute(this.#transfer, 'aria-expanded', String(!this.#form.hidden));
    const words = target === null ? directionText(call) : `Being transferred to ${target} …`;
    setText(byId('call-direction'), words);
  }

  /** Moves the focus to the button, so that Enter presses it. */
  focusHold(): void {
    this.#hold.focus();
  }

  /** Opens the form for the transfer target. */
  openTransfer(): void {
    if (this.#transfer.hidden || this.#transfer.disabled) return;
    this.#form.hidden = false;
    setAttribute(this.#transfer, 'aria-expanded', 'true');
    this.#target.focus();
  }

  #closeTransfer(): void {
    this.#form.hidden = true;
    this.#form.reset();
    this.#showProblem(undefined);
    setAttribute(this.#transfer, 'aria-expanded', 'false');
  }

  async #toggleHold(): Promise<void> {
    const call = this.#call;
    if (!call) return;
    const { callId } = call;
    const mustHold = call.status !== 'HOLD';
    this.#asked.add(callId);
    this.#hold.disabled = true;
    try {
      await (mustHold ? api.hold(callId) : api.resume(callId));
      const now = await api.call(callId);
      if (!mustHold && now?.status === 'HOLD')
        notify(
          'Resume',
          new Error('The peer also holds the call, and only the peer can resume it'),
        );
    } catch (error) {
      notify(mustHold ? 'Hold' : 'Resume', error);
    } finally {
      this.#asked.delete(callId);
      if (this.#call?.callId === callId) {
        this.#hold.disabled = false;
        // A disabled button has lost its focus.
        if (document.activeElement === document.body) this.#hold.focus();
      }
      this.#onChanged();
    }
  }

  async #submit(): Promise<void> {
    const callId = this.#call?.callId;
    if (callId === undefined) return;
    this.#showProblem(undefined);
    // The response arrives when the transfer has succeeded or failed. Until then the call shows its progress.
    this.#send.disabled = true;
    const asked = api.transfer(callId, this.#target.value.trim());
    this.#onChanged();
    try {
      await asked;
      if (this.#call?.callId === callId) this.#closeTransfer();
    } catch (error) {
      if (this.#call?.callId === callId && !this.#form.hidden) this.#showProblem(error);
      else notify('Transfer', error);
    } finally {
      this.#send.disabled = false;
      this.#onChanged();
    }
  }

  #showProblem(error: unknown): void {
    this.#problem.hidden = error === undefined;
    setAttribute(this.#target, 'aria-invalid', error === undefined ? undefined : 'true');
    if (error === undefined) return;
    const { message, code } = wordsOf(error);
    this.#problem.replaceChildren(message, ' ', el('code', {}, code));
    this.#target.focus();
  }
}
