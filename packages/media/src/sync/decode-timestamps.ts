// Decoding times for pictures that are not decoded in the order in which they are shown (B-pictures): H.264 §C.4.5.2.

/** Largest reorder depth that any level of H.264 allows (§A.3.1, `MaxDpbFrames`). */
export const MAX_REORDER_FRAMES = 16;

/**
 * Gives each picture a decoding time, from the presentation times in decoding order: never decreasing, and not after
 * the presentation. It is the presentation time of the picture as far back as the stream reorders, so that a stream
 * that does not reorder is decoded when it is shown. If no parameter set gives the depth, it is learnt from the
 * stream: then the first reordered pictures are shown late once, when they are decoded.
 */
export class DecodeTimestamps {
  /** Latest presentation times, the latest first. */
  readonly #latest = new Float64Array(MAX_REORDER_FRAMES + 1);
  #count = 0;
  #reorderFrames = 0;
  #lastMs = Number.NEGATIVE_INFINITY;
  #compositionMs = 0;

  /** Pictures by which decoding runs ahead of presentation, 0–16: as given or learnt. */
  get reorderFrames(): number {
    return this.#reorderFrames;
  }

  /** Takes `maxReorderFrames` of a sequence parameter set. A larger depth already learnt is kept. */
  setReorderFrames(frames = 0): void {
    this.#reorderFrames = Math.max(this.#reorderFrames, Math.min(MAX_REORDER_FRAMES, frames));
  }

  /** For the last `push`: how long after decoding the picture is shown, in milliseconds, 0 or more. */
  get compositionMs(): number {
    return this.#compositionMs;
  }

  /**
   * Takes the next picture in decoding order.
   * @param isKeyFrame - An IDR picture: all pictures before it are shown before it (§8.2.1).
   * @returns its decoding time; `compositionMs` has the rest.
   */
  push(presentationMs: number, isKeyFrame: boolean): number {
    let later = 0;
    while (later < this.#count && this.#latest[later]! > presentationMs) later++;
    if (later > 0 && (isKeyFrame || later > MAX_REORDER_FRAMES)) {
      // Reordering cannot explain it: time itself went back.
      this.#count = 0;
      later = 0;
    }
    if (later > this.#reorderFrames) this.#reorderFrames = later;
    this.#insert(presentationMs, later);
    const back = Math.min(this.#reorderFrames, this.#count - 1);
    this.#lastMs = Math.max(this.#lastMs, this.#latest[back]!);
    this.#compositionMs = Math.max(0, presentationMs - this.#lastMs);
    return this.#lastMs;
  }

  /** Forgets previous pictures, for a change of the source; decoding times continue from where they are. */
  reset(): void {
    this.#count = 0;
    this.#reorderFrames = 0;
  }

  #insert(presentationMs: number, at: number): void {
    this.#latest.copyWithin(at + 1, at);
    this.#latest[at] = presentationMs;
    this.#count = Math.min(this.#count + 1, this.#latest.length);
  }
}
