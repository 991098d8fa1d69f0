// Counts bad input from the wire by name; logs at most one line a second, with the last example.

import { childLogger } from './logger.ts';
import type { Logger } from './logger.ts';

const PERIOD_MS = 1000;

/** Counts faults. Logs the first at once, then the number since the last line. */
export class FaultLog {
  readonly #logger: Logger;
  readonly #now: () => number;
  readonly #counts = new Map<string, number>();
  #loggedMs = Number.NEGATIVE_INFINITY;
  #sinceLogged = 0;

  /** @param now - Monotonic milliseconds. */
  constructor(logger: Logger, now: () => number) {
    this.#logger = logger;
    this.#now = now;
  }

  count(fault: string, source: string): void {
    this.add(fault);
    this.#sinceLogged++;
    const nowMs = this.#now();
    if (nowMs - this.#loggedMs < PERIOD_MS) return;
    const area = fault.startsWith('sip-') ? 'sip' : 'rtp';
    childLogger(this.#logger, { area, fault }).warn(
      `bad input: ${fault} from ${source} (${this.#sinceLogged} since the last line)`,
    );
    this.#loggedMs = nowMs;
    this.#sinceLogged = 0;
  }

  /** Counts one that its finder logs itself. */
  add(fault: string): void {
    this.#counts.set(fault, (this.#counts.get(fault) ?? 0) + 1);
  }

  /** Occurrences by name. */
  get counts(): Readonly<Record<string, number>> {
    return Object.fromEntries(this.#counts);
  }
}
