// Light or dark theme, or the system setting.

import { byId } from './dom.ts';
import { keep, readKept } from './kept.ts';

const THEMES = ['system', 'light', 'dark'] as const;
type Theme = (typeof THEMES)[number];

function current(): Theme {
  const kept = readKept('theme');
  return THEMES.find((theme) => theme === kept) ?? 'system';
}

function show(theme: Theme): void {
  if (theme === 'system') document.documentElement.removeAttribute('data-theme');
  else document.documentElement.setAttribute('data-theme', theme);
  const button = byId('theme');
  button.setAttribute('data-theme-choice', theme);
  button.setAttribute('aria-label', `Theme: ${theme}. Change it`);
  button.setAttribute('title', `Theme: ${theme} (T)`);
}

/** Switches to the next theme. */
export function nextTheme(): void {
  const theme = THEMES[(THEMES.indexOf(current()) + 1) % THEMES.length] ?? 'system';
  keep('theme', theme);
  show(theme);
}

/** Shows the theme chosen last. */
export function openTheme(): void {
  show(current());
  byId('theme').addEventListener('click', nextTheme);
}
