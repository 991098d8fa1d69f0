// Shows errors visibly and to screen readers.

import { ApiError } from './api.ts';
import { byId, el, icon } from './dom.ts';

const SHOWN_MS = 12_000;
const MAX_SHOWN = 4;

/** The text of an error: the API's message and its code. */
export function wordsOf(error: unknown): { readonly message: string; readonly code: string } {
  if (error instanceof ApiError) return { message: error.message, code: error.code };
  return { message: error instanceof Error ? error.message : String(error), code: '' };
}

/** Shows a failure for a while. @param what - The attempted action, e.g. `Hang up`. */
export function notify(what: string, error: unknown): void {
  const { message, code } = wordsOf(error);
  const close = el('button', { type: 'button', class: 'button quiet', 'aria-label': 'Dismiss' });
  close.append(icon('close'));
  const notice = el(
    'div',
    { class: 'notice' },
    el('p', {}, el('strong', {}, `${what}: `), message),
    code === '' ? undefined : el('code', {}, code),
    close,
  );
  const list = byId('notices');
  while (list.childElementCount >= MAX_SHOWN) list.firstElementChild?.remove();
  list.append(notice);
  const timer = window.setTimeout(() => notice.remove(), SHOWN_MS);
  close.addEventListener('click', () => {
    window.clearTimeout(timer);
    notice.remove();
  });
}

/** Runs an action, and shows its failure. */
export function attempt(what: string, work: () => Promise<unknown>): void {
  work().catch((error: unknown) => notify(what, error));
}
