// What the browser keeps between visits. A browser that keeps nothing is no failure.

/** Reads what was kept under a name. */
export function readKept(name: string): unknown {
  try {
    const text = localStorage.getItem(`sipcast.${name}`);
    return text === null ? undefined : (JSON.parse(text) as unknown);
  } catch {
    return undefined;
  }
}

/** Keeps a value under a name. */
export function keep(name: string, value: unknown): void {
  try {
    localStorage.setItem(`sipcast.${name}`, JSON.stringify(value));
  } catch {
    // Full, or forbidden.
  }
}
