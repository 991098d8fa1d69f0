// How often the outputs of a stream want a key frame.

/** The shortest wish counts. */
export class KeyFrameWishes {
  readonly #wishes: { readonly everyMs: number }[] = [];
  readonly #onChanged: (leastMs: number | undefined) => void;

  /** @param onChanged - Called with the shortest wish after each change; undefined: there is none. */
  constructor(onChanged: (leastMs: number | undefined) => void) {
    this.#onChanged = onChanged;
  }

  /** @returns an idempotent function that ends the wish. */
  add(everyMs: number): () => void {
    const wish = { everyMs };
    this.#wishes.push(wish);
    this.#notify();
    return () => {
      const at = this.#wishes.indexOf(wish);
      if (at < 0) return;
      this.#wishes.splice(at, 1);
      this.#notify();
    };
  }

  #notify(): void {
    const leastMs = Math.min(...this.#wishes.map(({ everyMs }) => everyMs));
    this.#onChanged(Number.isFinite(leastMs) ? leastMs : undefined);
  }
}
