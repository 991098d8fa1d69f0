// Values that the browser stores between visits. A browser without storage is fine.

/** Reads the stored value of a name. */
export function readKept(name: string): unknown {
  try {
    const text = localStorage.getItem(`sipcast.${name}`);
    return text === null ? undefined : (JSON.parse(text) as unknown);
  } catch {
    return undefined;
  }
}

/** Stores a value under a name. */
export function keep(name: string, value: unknown): void {
  try {
    localStorage.setItem(`sipcast.${name}`, JSON.stringify(value));
  } catch {
    // Ignored: storage is full or forbidden, and the page works without.
  }
}
