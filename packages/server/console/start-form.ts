// The form that starts a call. It remembers its last values, but never a password.

import { api, ApiError } from './api.ts';
import { byId, el, typedById } from './dom.ts';
import { keep, readKept } from './kept.ts';
import { wordsOf } from './notices.ts';
import { proposedStream } from './words.ts';

const KEPT = 'start';

/** The form of the page. */
export class StartForm {
  readonly #form = typedById('start-form', HTMLFormElement);
  readonly #problem = byId('start-problem');
  readonly #onStarted: (callId: string) => void;
  /** The user typed the stream name, so it is no longer suggested. */
  #isNamed = false;

  constructor(onStarted: (callId: string) => void) {
    this.#onStarted = onStarted;
    this.#restore();
    this.#form.addEventListener('submit', (event) => {
      event.preventDefault();
      void this.#submit();
    });
    this.#form.addEventListener('input', (event) => {
      const field = event.target as HTMLInputElement;
      this.#clearProblem(field);
      if (field.name === 'toStream') this.#isNamed = field.value !== '';
      if (field.name === 'callee') this.#propose();
    });
    byId('start-reset').addEventListener('click', () => {
      this.#form.reset();
      keep(KEPT, {});
      this.#isNamed = false;
      this.#clearProblems();
      this.#field('callee')?.focus();
    });
    this.#propose();
  }

  focus(): void {
    const callee = this.#field('callee');
    callee?.focus();
    if (callee instanceof HTMLInputElement) callee.select();
  }

  #fields(): (HTMLInputElement | HTMLSelectElement)[] {
    return [...this.#form.elements].filter(
      (one) => one instanceof HTMLInputElement || one instanceof HTMLSelectElement,
    );
  }

  #field(name: string): HTMLInputElement | HTMLSelectElement | undefined {
    return this.#fields().find((field) => field.name === name);
  }

  #propose(): void {
    const field = this.#field('toStream');
    if (!field || this.#isNamed) return;
    const callee = this.#field('callee')?.value ?? '';
    field.value = callee === '' ? '' : proposedStream(callee, new Date());
  }

  #restore(): void {
    const kept = readKept(KEPT);
    if (typeof kept !== 'object' || kept === null) return;
    const values = kept as Record<string, unknown>;
    for (const field of this.#fields()) {
      const value = values[field.name];
      if (field.type === 'password') continue;
      if (field instanceof HTMLInputElement && field.type === 'checkbox') {
        if (typeof value === 'boolean') field.checked = value;
      } else if (typeof value === 'string') field.value = value;
    }
    for (const group of this.#form.querySelectorAll('details')) {
      group.open = [...group.querySelectorAll('input')].some(
        (field) => field.type !== 'checkbox' && field.value !== '',
      );
    }
  }

  #keep(): void {
    const values: Record<string, string | boolean> = {};
    for (const field of this.#fields()) {
      // A suggested name applies to one call only.
      if (field.type === 'password' || (field.name === 'toStream' && !this.#isNamed)) continue;
      values[field.name] =
        field instanceof HTMLInputElement && field.type === 'checkbox'
          ? field.checked
          : field.value.trim();
    }
    // Like the password: it must not be readable from the browser's storage.
    if (typeof values['rtmpUrl'] === 'string')
      values['rtmpUrl'] = values['rtmpUrl'].replace(/^([a-z]+:\/\/[^/?@:]*):[^/?@]*@/i, '$1@');
    keep(KEPT, values);
  }

  async #submit(): Promise<void> {
    this.#clearProblems();
    this.#propose();
    const request: Record<string, unknown> = {};
    for (const field of this.#fields()) {
      if (field.name === '') continue;
      if (field instanceof HTMLInputElement && field.type === 'checkbox')
        request[field.name] = field.checked;
      else {
        const value = field.type === 'password' ? field.value : field.value.trim();
        if (value !== '') request[field.name] = value;
      }
    }
    request['callId'] ??= newCallId();
    const button = typedById('start-button', HTMLButtonElement);
    button.disabled = true;
    try {
      await api.startCall(request);
      this.#keep();
      const password = this.#field('sipPassword');
      if (password) password.value = '';
      this.#onStarted(String(request['callId']));
      // The next call needs a different one.
      const callId = this.#field('callId');
      if (callId) callId.value = '';
      this.#propose();
    } catch (error) {
      this.#showProblem(error);
    } finally {
      button.disabled = false;
    }
  }

  #showProblem(error: unknown): void {
    const { message, code } = wordsOf(error);
    const name = error instanceof ApiError ? error.field : undefined;
    const field = name === undefined ? undefined : this.#field(name);
    if (!field) {
      this.#problem.replaceChildren(message, ' ', el('code', {}, code));
      this.#problem.hidden = false;
      return;
    }
    const group = field.closest('details');
    if (group) group.open = true;
    const id = `problem-${field.name}`;
    // The field is directly above.
    const bare = message.replace(`${name}: `, '');
    const words = el('p', { class: 'field-problem', id, role: 'alert' }, bare, ' ');
    words.append(el('code', {}, code));
    field.setAttribute('aria-invalid', 'true');
    field.setAttribute('aria-describedby', id);
    field.closest('.field')?.append(words);
    field.focus();
  }

  #clearProblem(field: Element): void {
    field.removeAttribute('aria-invalid');
    field.removeAttribute('aria-describedby');
    field.closest('.field')?.querySelector('.field-problem')?.remove();
  }

  #clearProblems(): void {
    this.#problem.hidden = true;
    for (const field of this.#fields()) this.#clearProblem(field);
  }
}

/** `crypto.randomUUID` exists only on secure origins, and an operator's gateway may not be one. */
function newCallId(): string {
  const octets = crypto.getRandomValues(new Uint8Array(12));
  return [...octets].map((octet) => octet.toString(16).padStart(2, '0')).join('');
}
