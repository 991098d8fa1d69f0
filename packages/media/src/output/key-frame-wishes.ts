// How often the outputs of a stream want a key frame.

/** The shortest wish counts. */
export class KeyFrameWishes {
  readonly #wishes: { readonly everyMs: number }[] = [];
  readonly #onChanged: (leastMs: number | undefined) => void;

  /** @param onChanged - What counts from now on; undefined: nobody wants any. */
  constructor(onChanged: (leastMs: number | undefined) => void) {
    this.#onChanged = onChanged;
  }

  /** @returns what ends the wish, once. */
  add(everyMs: number): () => void {
    const wish = { everyMs };
    this.#wishes.push(wish);
    this.#tell();
    return () => {
      const at = this.#wishes.indexOf(wish);
      if (at < 0) return;
      this.#wishes.splice(at, 1);
      this.#tell();
    };
  }

  #tell(): void {
    const leastMs = Math.min(...this.#wishes.map(({ everyMs }) => everyMs));
    this.#onChanged(Number.isFinite(leastMs) ? leastMs : undefined);
  }
}
