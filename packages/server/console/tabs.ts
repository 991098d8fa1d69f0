// Tabs by the ARIA pattern: arrow keys move between tabs, Tab enters the panel.

/** Sets up the tabs of the page. @returns a function that opens a tab by name */
export function openTabs(
  list: HTMLElement,
  onOpened: (name: string) => void,
): (name: string) => void {
  const tabs = [...list.querySelectorAll<HTMLElement>('[role=tab]')];
  const select = (chosen: HTMLElement, focus: boolean): void => {
    for (const tab of tabs) {
      const isChosen = tab === chosen;
      tab.setAttribute('aria-selected', String(isChosen));
      tab.tabIndex = isChosen ? 0 : -1;
      const panel = document.getElementById(tab.getAttribute('aria-controls') ?? '');
      if (panel) panel.hidden = !isChosen;
    }
    if (focus) chosen.focus();
    onOpened(chosen.getAttribute('data-tab') ?? '');
  };
  for (const [index, tab] of tabs.entries()) {
    tab.addEventListener('click', () => select(tab, false));
    tab.addEventListener('keydown', (event) => {
      const to: Readonly<Record<string, number>> = {
        ArrowRight: (index + 1) % tabs.length,
        ArrowLeft: (index + tabs.length - 1) % tabs.length,
        Home: 0,
        End: tabs.length - 1,
      };
      const next = tabs[to[event.key] ?? -1];
      if (!next) return;
      event.preventDefault();
      select(next, true);
    });
  }
  return (name) => {
    const tab = tabs.find((one) => one.getAttribute('data-tab') === name);
    if (tab) select(tab, false);
  };
}
