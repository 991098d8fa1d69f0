// One timer for many sessions: a 20 ms beat that does not drift.

/** A beat that sessions share. */
export interface TickSource {
  /** Calls `callback` on every beat from now on. The same function twice counts once. Callbacks must not throw. */
  add(callback: (nowMs: number) => void): void;
  /** Stops calling it. */
  remove(callback: (nowMs: number) => void): void;
}

/** Options of a {@link Ticker}. */
export interface TickerOptions {
  /** Default 20 ms. */
  readonly periodMs?: number;
  /** Monotonic milliseconds. Default `performance.now()`. */
  readonly now?: () => number;
}

/** Has a timer only while somebody listens; so it needs no closing. */
export class Ticker implements TickSource {
  readonly #periodMs: number;
  readonly #now: () => number;
  readonly #callbacks = new Set<(nowMs: number) => void>();
  #timer: NodeJS.Timeout | undefined;
  #dueMs = 0;

  constructor(options: TickerOptions = {}) {
    this.#periodMs = options.periodMs ?? 20;
    this.#now = options.now ?? (() => performance.now());
  }

  /** How many listen. */
  get size(): number {
    return this.#callbacks.size;
  }

  add(callback: (nowMs: number) => void): void {
    this.#callbacks.add(callback);
    if (this.#timer !== undefined) return;
    this.#dueMs = this.#now();
    this.#arm();
  }

  remove(callback: (nowMs: number) => void): void {
    this.#callbacks.delete(callback);
    if (this.#callbacks.size > 0) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #arm(): void {
    const nowMs = this.#now();
    this.#dueMs += this.#periodMs;
    // After a stall: no burst of beats to catch up; listeners see the time that passed.
    if (this.#dueMs < nowMs) this.#dueMs = nowMs;
    this.#timer = setTimeout(this.#beat, Math.max(1, Math.round(this.#dueMs - nowMs)));
  }

  readonly #beat = (): void => {
    const nowMs = this.#now();
    for (const callback of this.#callbacks) callback(nowMs);
    if (this.#callbacks.size > 0) this.#arm();
    else this.#timer = undefined;
  };
}
