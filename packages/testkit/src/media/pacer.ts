// One drift-free timer for all senders of a process: each tick is scheduled from the first, not from the previous one.

/** A subscriber of the timer. */
interface Paced {
  /** @param nowMs - `performance.now()`. Must not throw. */
  beat(nowMs: number): void;
}

/** Tick interval. */
const BEAT_MS = 5;

/** Ticks while there are subscribers. */
class Pacer {
  readonly #paced = new Set<Paced>();
  #timer: NodeJS.Timeout | undefined;
  #nextMs = 0;

  /** Adds a subscriber. */
  add(paced: Paced): void {
    this.#paced.add(paced);
    if (this.#timer !== undefined) return;
    this.#nextMs = performance.now();
    this.#plan();
  }

  /** Removes a subscriber. The timer stops with the last one. */
  remove(paced: Paced): void {
    this.#paced.delete(paced);
    if (this.#paced.size > 0) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #plan(): void {
    const nowMs = performance.now();
    this.#nextMs += BEAT_MS;
    // After a stall, one tick catches up with everything, so missed ticks are not repeated.
    if (this.#nextMs < nowMs) this.#nextMs = nowMs;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      const at = performance.now();
      for (const paced of this.#paced) paced.beat(at);
      if (this.#paced.size > 0 && this.#timer === undefined) this.#plan();
    }, this.#nextMs - nowMs);
  }
}

/** The timer shared by all senders. It runs only while one of them is active. */
export const sharedPacer = new Pacer();
