// How long to wait for a gap in the sequence: as long as packets of this line were late recently, and no longer.

import { MediaError } from '../errors.ts';

/** Bounds of a delay that adapts, in milliseconds. */
export interface DelayRange {
  readonly minMs: number;
  readonly maxMs: number;
}

/** Initial value, before anything is known about the line. */
const START_MS = 60;
/** Added to the observed lateness. */
const MARGIN_MS = 10;
/** A late packet counts in full for this long … */
const HOLD_MS = 10_000;
/** Where one packet of a burst comes late, the next may come later: once the line reorders, it is waited at least this long. */
const REORDERING_MS = START_MS;
const REORDERING_HOLD_MS = 30_000;
/** … and then fades at this rate. */
const FORGET_MS_PER_SECOND = 5;

/** Pure. Packets in order never wait; this only limits how long they wait for a missing one. */
export class JitterDelay {
  readonly #minMs: number;
  readonly #maxMs: number;
  #valueMs: number;
  #holdUntilMs = Number.NEGATIVE_INFINITY;
  /** The line reorders, until then at least. */
  #reordersUntilMs = Number.NEGATIVE_INFINITY;
  #updatedMs = Number.NaN;

  /**
   * @param delay a fixed number of milliseconds, at least 0, or bounds. Default 20–200.
   * @throws MediaError INVALID_ARGUMENT naming `delayMs`.
   */
  constructor(delay: number | DelayRange = { minMs: 20, maxMs: 200 }) {
    const { minMs, maxMs } = typeof delay === 'number' ? { minMs: delay, maxMs: delay } : delay;
    if (!(minMs >= 0 && maxMs >= minMs && maxMs < 10_000)) {
      throw new MediaError('INVALID_ARGUMENT', 'delayMs must be 0–9999, bounds in order', {
        field: 'delayMs',
      });
    }
    this.#minMs = minMs;
    this.#maxMs = maxMs;
    this.#valueMs = this.#clamp(START_MS);
  }

  /** Current value, in milliseconds. */
  get valueMs(): number {
    return this.#valueMs;
  }

  /**
   * A packet arrived out of order, `lateMs` after its successor. Rises at once. A packet that no delay within the bounds could have
   * waited for changes nothing: it would cost latency and repair nothing.
   */
  onLate(lateMs: number, nowMs: number): void {
    if (lateMs > this.#maxMs) return;
    this.#reordersUntilMs = nowMs + REORDERING_HOLD_MS;
    const wantedMs = this.#clamp(Math.max(lateMs + MARGIN_MS, REORDERING_MS));
    if (wantedMs < this.#valueMs) return;
    this.#valueMs = wantedMs;
    this.#holdUntilMs = nowMs + HOLD_MS;
  }

  /**
   * Falls slowly with time. Call it on every tick.
   * @param jitterMs interarrival jitter (RFC 3550): the delay stays at twice of it.
   * @param neededMs the delay stays at this too: what a retransmission takes, where packets are asked for again.
   */
  update(nowMs: number, jitterMs: number, neededMs = 0): void {
    const elapsedMs = Number.isNaN(this.#updatedMs) ? 0 : nowMs - this.#updatedMs;
    this.#updatedMs = nowMs;
    const reorderingMs = nowMs < this.#reordersUntilMs ? REORDERING_MS : 0;
    const floorMs = this.#clamp(Math.max(2 * jitterMs, neededMs, reorderingMs));
    if (nowMs >= this.#holdUntilMs) {
      this.#valueMs -= (Math.max(0, elapsedMs) * FORGET_MS_PER_SECOND) / 1000;
    }
    if (this.#valueMs < floorMs) this.#valueMs = floorMs;
  }

  #clamp(delayMs: number): number {
    return Math.min(this.#maxMs, Math.max(this.#minMs, delayMs));
  }
}
