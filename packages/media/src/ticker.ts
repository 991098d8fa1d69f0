// One timer for many sessions: a 20 ms tick that does not drift.

/** A tick that sessions share. */
export interface TickSource {
  /** Calls `callback` on every tick from now on. Adding the same function twice has no effect. Callbacks must not throw. */
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

/** Node.js reads 32 datagrams of a socket in one turn of its loop: as many as a call of 160 packets a second gets in this time. */
const STALL_PER_TURN_MS = 200;
const MAX_TURNS = 8;
/** A peer in this process, or one stalled with it, needs two turns to send what is due. */
const SENDER_TURNS = 2;

/**
 * Runs its timer only while it has listeners, so it needs no closing. After a stall of the whole process it waits until the
 * sockets have been read and other timers have run: data that has arrived but was not read yet must not count as late.
 */
export class Ticker implements TickSource {
  readonly #periodMs: number;
  readonly #now: () => number;
  readonly #callbacks = new Set<(nowMs: number) => void>();
  #timer: NodeJS.Timeout | undefined;
  #turn: NodeJS.Immediate | undefined;
  #dueMs = 0;

  constructor(options: TickerOptions = {}) {
    this.#periodMs = options.periodMs ?? 20;
    this.#now = options.now ?? (() => performance.now());
  }

  /** Number of listeners. */
  get size(): number {
    return this.#callbacks.size;
  }

  add(callback: (nowMs: number) => void): void {
    this.#callbacks.add(callback);
    if (this.#timer !== undefined || this.#turn !== undefined) return;
    this.#dueMs = this.#now();
    this.#arm();
  }

  remove(callback: (nowMs: number) => void): void {
    this.#callbacks.delete(callback);
    if (this.#callbacks.size > 0) return;
    clearTimeout(this.#timer);
    clearImmediate(this.#turn);
    this.#timer = undefined;
    this.#turn = undefined;
  }

  #arm(): void {
    const nowMs = this.#now();
    this.#dueMs += this.#periodMs;
    // After a stall: no burst of ticks to catch up; listeners see the time that passed.
    if (this.#dueMs < nowMs) this.#dueMs = nowMs;
    this.#timer = setTimeout(this.#onDue, Math.max(1, Math.round(this.#dueMs - nowMs)));
  }

  readonly #onDue = (): void => {
    this.#timer = undefined;
    const lateMs = this.#now() - this.#dueMs;
    if (lateMs <= this.#periodMs) this.#tick();
    else this.#tickAfter(Math.min(Math.ceil(lateMs / STALL_PER_TURN_MS), MAX_TURNS) + SENDER_TURNS);
  };

  /** Immediates run behind timers and sockets. */
  #tickAfter(turns: number): void {
    this.#turn = setImmediate(() => {
      this.#turn = undefined;
      if (turns > 1) this.#tickAfter(turns - 1);
      else this.#tick();
    });
  }

  readonly #tick = (): void => {
    const nowMs = this.#now();
    for (const callback of this.#callbacks) callback(nowMs);
    if (this.#callbacks.size > 0 && this.#timer === undefined) this.#arm();
  };
}
