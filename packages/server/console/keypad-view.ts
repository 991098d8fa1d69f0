// A telephone keypad, for the pointer, and for the keyboard while it has the focus.

import { api } from './api.ts';
import { byId, el, typedById } from './dom.ts';
import { attempt } from './notices.ts';

const KEYS: readonly (readonly [key: string, letters: string])[] = [
  ['1', ''],
  ['2', 'ABC'],
  ['3', 'DEF'],
  ['4', 'GHI'],
  ['5', 'JKL'],
  ['6', 'MNO'],
  ['7', 'PQRS'],
  ['8', 'TUV'],
  ['9', 'WXYZ'],
  ['*', ''],
  ['0', ''],
  ['#', ''],
];
const MAX_LOGGED = 40;
const PRESSED_MS = 120;

/** The keypad of the selected call. */
export class KeypadView {
  readonly #pad = byId('keypad');
  readonly #sent = byId('keypad-sent');
  readonly #heard = byId('keypad-heard');
  readonly #type = typedById('keypad-type', HTMLSelectElement);
  #callId: string | undefined;

  constructor() {
    for (const [key, letters] of KEYS) {
      const button = el(
        'button',
        { type: 'button', class: 'key', 'data-key': key, 'aria-label': nameOf(key) },
        el('b', {}, key),
        el('small', {}, letters),
      );
      button.addEventListener('click', () => this.#press(key));
      this.#pad.append(button);
    }
    const panel = byId('panel-keypad');
    panel.addEventListener('keydown', (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.target === this.#type) return;
      if (!/^[0-9*#a-dA-D]$/.test(event.key)) return;
      event.preventDefault();
      event.stopPropagation();
      this.#press(event.key.toUpperCase());
    });
  }

  /** Clears the keys of the previous call. */
  show(callId: string | undefined): void {
    if (callId === this.#callId) return;
    this.#callId = callId;
    this.#sent.textContent = '';
    this.#heard.textContent = '';
  }

  focus(): void {
    this.#pad.querySelector('button')?.focus();
  }

  /** The peer pressed a key. */
  onHeard(callId: string, digit: string): void {
    if (callId === this.#callId) log(this.#heard, digit);
  }

  #press(key: string): void {
    const callId = this.#callId;
    if (callId === undefined) return;
    const button = [...this.#pad.children].find((one) => one.getAttribute('data-key') === key);
    button?.setAttribute('data-pressed', '');
    window.setTimeout(() => button?.removeAttribute('data-pressed'), PRESSED_MS);
    attempt(`Key ${key}`, async () => {
      await api.sendDtmf(callId, key, this.#type.value);
      if (callId === this.#callId) log(this.#sent, key);
    });
  }
}

function log(output: HTMLElement, digit: string): void {
  output.textContent = ((output.textContent ?? '') + digit).slice(-MAX_LOGGED);
}

function nameOf(key: string): string {
  return key === '*' ? 'Star' : key === '#' ? 'Pound' : key;
}
