// One timer for all senders of a process, without drift: each beat is planned from the first, not from the one before.

/** What is called at each beat. */
interface Paced {
  /** @param nowMs - `performance.now()`. Must not throw. */
  beat(nowMs: number): void;
}

/** Time between two beats. */
const BEAT_MS = 5;

/** Beats as long as there is somebody to hear it. */
class Pacer {
  readonly #paced = new Set<Paced>();
  #timer: NodeJS.Timeout | undefined;
  #nextMs = 0;

  /** Calls `paced` from now on. */
  add(paced: Paced): void {
    this.#paced.add(paced);
    if (this.#timer !== undefined) return;
    this.#nextMs = performance.now();
    this.#plan();
  }

  /** Calls `paced` no more; stops with the last one. */
  remove(paced: Paced): void {
    this.#paced.delete(paced);
    if (this.#paced.size > 0) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #plan(): void {
    const nowMs = performance.now();
    this.#nextMs += BEAT_MS;
    // After a stall: one beat catches up with everything, so missed ones are not repeated.
    if (this.#nextMs < nowMs) this.#nextMs = nowMs;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      const at = performance.now();
      for (const paced of this.#paced) paced.beat(at);
      if (this.#paced.size > 0 && this.#timer === undefined) this.#plan();
    }, this.#nextMs - nowMs);
  }
}

/** The timer that senders share. It runs only while one of them does. */
export const sharedPacer = new Pacer();
