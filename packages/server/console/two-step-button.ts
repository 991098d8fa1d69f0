// A button for irreversible actions: the first press arms it for some seconds, the second one acts.

import { el } from './dom.ts';

const ARMED_MS = 4000;
/** A double click is a single decision. */
const LEAST_PAUSE_MS = 350;

/** `label` normally, `question` while armed. Escape, blur and time disarm it. */
export function twoStepButton(label: string, question: string, run: () => void): HTMLButtonElement {
  const text = el('span', {}, label);
  const button = el('button', { type: 'button', class: 'button danger' }, text);
  let armedAtMs = 0;
  let timer = 0;
  const disarm = (): void => {
    window.clearTimeout(timer);
    armedAtMs = 0;
    button.removeAttribute('data-armed');
    text.textContent = label;
  };
  button.addEventListener('click', () => {
    const nowMs = performance.now();
    if (armedAtMs === 0) {
      armedAtMs = nowMs;
      button.setAttribute('data-armed', '');
      text.textContent = question;
      timer = window.setTimeout(disarm, ARMED_MS);
    } else if (nowMs - armedAtMs >= LEAST_PAUSE_MS) {
      disarm();
      run();
    }
  });
  button.addEventListener('blur', disarm);
  button.addEventListener('keydown', (event) => {
    if (event.key !== 'Escape' || armedAtMs === 0) return;
    event.stopPropagation();
    disarm();
  });
  // The button's name changes while it has the focus, and screen readers must announce it.
  text.setAttribute('aria-live', 'assertive');
  return button;
}
