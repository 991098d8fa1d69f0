// Pairs of UDP ports for RTP and RTCP: even and the odd one above it (RFC 3550 §11).

import { MediaError } from '../errors.ts';

/** Options of a {@link PortPool}. */
export interface PortPoolOptions {
  /** Lowest port, 1–65534. An odd one counts as the even one above. */
  readonly min: number;
  /** Highest port, at least `min + 1`. */
  readonly max: number;
  /** How long a returned pair rests, so that late packets of its last call do not reach a new one. Default 1000 ms. */
  readonly coolDownMs?: number;
  /** Monotonic milliseconds. Default `performance.now()`. */
  readonly now?: () => number;
}

/** Which pairs of a range are free. One per process or gateway; opens no socket itself. */
export class PortPool {
  readonly #coolDownMs: number;
  readonly #now: () => number;
  /** First in, first out: the pair that rested longest goes out next. */
  readonly #free = new Map<number, number>();
  readonly #taken = new Set<number>();

  /** @throws MediaError INVALID_ARGUMENT naming `min`, `max` or `coolDownMs`. */
  constructor(options: PortPoolOptions) {
    const { min, max, coolDownMs = 1000, now = () => performance.now() } = options;
    if (!Number.isInteger(min) || min < 1 || min > 65_534) {
      throw new MediaError('INVALID_ARGUMENT', 'min must be a port below 65535', { field: 'min' });
    }
    const first = min + (min % 2);
    if (!Number.isInteger(max) || max <= first || max > 65_535) {
      throw new MediaError('INVALID_ARGUMENT', 'max must leave room for an even/odd pair', {
        field: 'max',
      });
    }
    if (!(coolDownMs >= 0)) {
      throw new MediaError('INVALID_ARGUMENT', 'coolDownMs must be 0 or more', {
        field: 'coolDownMs',
      });
    }
    this.#coolDownMs = coolDownMs;
    this.#now = now;
    for (let port = first; port < max; port += 2) {
      this.#free.set(port, Number.NEGATIVE_INFINITY);
    }
  }

  /** Number of pairs in the range. */
  get size(): number {
    return this.#free.size + this.#taken.size;
  }

  /** Number of pairs in use. */
  get taken(): number {
    return this.#taken.size;
  }

  /** Takes a pair: its even port, or undefined when all are in use or resting. */
  take(): number | undefined {
    for (const [port, restingUntilMs] of this.#free) {
      if (restingUntilMs > this.#now()) return undefined;
      this.#free.delete(port);
      this.#taken.add(port);
      return port;
    }
    return undefined;
  }

  /** Returns a pair by its even port. Returning one that is not taken does nothing. */
  release(port: number): void {
    if (!this.#taken.delete(port)) return;
    this.#free.set(port, this.#now() + this.#coolDownMs);
  }
}
