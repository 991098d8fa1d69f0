// Decoding times for pictures that are not decoded in the order in which they are shown (B-pictures): H.264 §C.4.5.2.

/** Largest reorder depth that any level of H.264 allows (§A.3.1, `MaxDpbFrames`). */
export const MAX_REORDER_FRAMES = 16;

/** What encoders of live video use: B-pictures between references, or one level of references among them. */
const GUESSED_DEPTH = 2;
const GUESSED_PICTURES = 100;
/** A guess may not move decoding further away than this, e.g. after a pause. */
const MAX_GUESS_MS = 200;
/** Between two decoding times. */
const LEAST_STEP_MS = 1;

/**
 * Gives each picture a decoding time, from the presentation times in decoding order: never decreasing, and not after
 * the presentation. It is the presentation time of the picture as far back as the stream reorders, so that a stream
 * that does not reorder is decoded when it is shown. If no parameter set gives the depth, it is guessed (`guess`) and learnt
 * from the stream: pictures beyond the guess are shown late once, when they are decoded.
 */
export class DecodeTimestamps {
  /** Latest presentation times, the latest first. */
  readonly #latest = new Float64Array(MAX_REORDER_FRAMES + 1);
  #count = 0;
  #reorderFrames = 0;
  #lastMs = Number.NEGATIVE_INFINITY;
  #compositionMs = 0;
  /** Pictures for which the depth is still a guess. */
  #guesses = 0;
  #guessed = false;

  /** Pictures by which decoding runs ahead of presentation, 0–16: as given or learnt. */
  get reorderFrames(): number {
    return this.#reorderFrames;
  }

  /** Takes `maxReorderFrames` of a sequence parameter set. A larger depth already learnt is kept. */
  setReorderFrames(frames = 0): void {
    this.#reorderFrames = Math.max(this.#reorderFrames, Math.min(MAX_REORDER_FRAMES, frames));
  }

  /**
   * The depth is unknown, and the profile allows B-pictures. For the next hundred pictures the decoding times leave room for
   * two, so that the pictures that reveal the depth are shown at their time, too.
   */
  guess(): void {
    if (this.#guessed) return;
    this.#guessed = true;
    this.#guesses = GUESSED_PICTURES;
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
    let decodeMs = this.#latest[back]!;
    if (this.#guesses > 0) decodeMs = Math.min(decodeMs, this.#guess(presentationMs));
    // The first pictures of a reordered stream have none to take the time of. Equal times disturb muxers.
    const leastMs = Math.min(this.#lastMs + LEAST_STEP_MS, presentationMs);
    this.#lastMs = Math.max(this.#lastMs, leastMs, decodeMs);
    this.#compositionMs = Math.max(0, presentationMs - this.#lastMs);
    return this.#lastMs;
  }

  /** Forgets previous pictures, for a change of the source; decoding times continue from where they are. */
  reset(): void {
    this.#count = 0;
    this.#reorderFrames = 0;
    this.#guessed = false;
    this.#guesses = 0;
  }

  #guess(presentationMs: number): number {
    this.#guesses--;
    const back = Math.min(GUESSED_DEPTH, this.#count - 1);
    return Math.max(this.#latest[back]!, presentationMs - MAX_GUESS_MS);
  }

  #insert(presentationMs: number, at: number): void {
    this.#latest.copyWithin(at + 1, at);
    this.#latest[at] = presentationMs;
    this.#count = Math.min(this.#count + 1, this.#latest.length);
  }
}
