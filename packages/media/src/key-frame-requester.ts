// When and how to ask the sender for a key frame: a ladder of methods, throttled, that remembers what worked.

/** RFC 4585 PLI, RFC 5104 FIR, or RFC 5168 `media_control` in a SIP INFO, which the owner of the call sends. */
export type KeyFrameMethod = 'pli' | 'fir' | 'info';

/** Options of a {@link KeyFrameRequester}. */
export interface KeyFrameRequesterOptions {
  /** The ladder, first choice first. Default PLI, then FIR. Empty: never asks. */
  readonly methods?: readonly KeyFrameMethod[];
  /** Shortest time between two requests. Default 500 ms. */
  readonly minIntervalMs?: number;
  /** Requests by one method before the next is tried. Default 2. */
  readonly attempts?: number;
}

/** Without an answer on any rung the interval doubles up to this. */
const MAX_INTERVAL_MS = 4000;

/** Pure: sends nothing, keeps no clock. */
export class KeyFrameRequester {
  readonly #methods: readonly KeyFrameMethod[];
  readonly #minIntervalMs: number;
  readonly #attempts: number;
  #wanted = false;
  #intervalMs: number;
  #lastMs = Number.NEGATIVE_INFINITY;
  /** The rung that worked last time, where the next request begins. */
  #firstRung = 0;
  #rung = 0;
  #sentOnRung = 0;
  #lastRung = -1;

  constructor(options: KeyFrameRequesterOptions = {}) {
    this.#methods = options.methods ?? ['pli', 'fir'];
    this.#minIntervalMs = options.minIntervalMs ?? 500;
    this.#attempts = options.attempts ?? 2;
    this.#intervalMs = this.#minIntervalMs;
  }

  /** True while a key frame is asked for and has not come. */
  get wanted(): boolean {
    return this.#wanted;
  }

  /** A key frame is needed. Calling it again while one is wanted changes nothing. */
  request(): void {
    if (this.#wanted) return;
    this.#wanted = true;
    this.#rung = this.#firstRung;
    this.#sentOnRung = 0;
    this.#lastRung = -1;
    this.#intervalMs = this.#minIntervalMs;
  }

  /** The method to ask by now, or undefined when nothing is to be done yet. Call it on every tick. */
  poll(nowMs: number): KeyFrameMethod | undefined {
    const method = this.#methods[this.#rung];
    if (!this.#wanted || method === undefined) return undefined;
    if (nowMs - this.#lastMs < this.#intervalMs) return undefined;
    this.#lastMs = nowMs;
    this.#lastRung = this.#rung;
    if (++this.#sentOnRung >= this.#attempts) {
      this.#sentOnRung = 0;
      this.#rung = (this.#rung + 1) % this.#methods.length;
      if (this.#rung === this.#firstRung) {
        this.#intervalMs = Math.min(MAX_INTERVAL_MS, this.#intervalMs * 2);
      }
    }
    return method;
  }

  /** A key frame came, asked for or not. */
  onKeyFrame(): void {
    if (this.#wanted && this.#lastRung >= 0) this.#firstRung = this.#lastRung;
    this.#wanted = false;
  }
}
