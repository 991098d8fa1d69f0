// Whether another call is admitted: not above the limit, not while the gateway drains, and not while the process is overloaded.

import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { IntervalHistogram } from 'node:perf_hooks';
import { GatewayError } from '../errors.ts';

/** Limits. */
export interface AdmissionOptions {
  /** Live calls. Default 1,000. */
  readonly maxCalls?: number;
  /** Event-loop lag above which calls are refused. Default 0: no limit. */
  readonly maxLoopLagMs?: number;
}

const WINDOW_MS = 500;
const RESOLUTION_MS = 10;
/** A single long turn, e.g. a garbage collection, is not an overload. */
const WINDOWS_IN_A_ROW = 2;

/** Event-loop lag, measured in windows. Costs a 10 ms timer. */
export class LoopLag {
  readonly #histogram: IntervalHistogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  readonly #timer: NodeJS.Timeout;
  readonly #maxMs: number;
  #windowsAbove = 0;
  #lastMs = 0;

  constructor(maxMs: number) {
    this.#maxMs = maxMs;
    this.#histogram.enable();
    this.#timer = setInterval(() => this.#judge(), WINDOW_MS).unref();
  }

  /** The 99th percentile of the last window, in milliseconds. */
  get lastMs(): number {
    return this.#lastMs;
  }

  get isTooLong(): boolean {
    return this.#windowsAbove >= WINDOWS_IN_A_ROW;
  }

  close(): void {
    clearInterval(this.#timer);
    this.#histogram.disable();
  }

  #judge(): void {
    // Without samples the percentile is not a number: the whole window was one turn, and this timer fired late.
    const measured = this.#histogram.percentile(99) / 1e6;
    this.#lastMs = Number.isFinite(measured) ? Math.max(0, measured - RESOLUTION_MS) : 0;
    this.#windowsAbove = this.#lastMs > this.#maxMs ? this.#windowsAbove + 1 : 0;
    this.#histogram.reset();
  }
}

/** Decides whether another call is admitted. */
export class Admission {
  readonly #maxCalls: number;
  readonly #maxLoopLagMs: number;
  #lag: LoopLag | undefined;
  #isDraining = false;

  constructor({ maxCalls = 1000, maxLoopLagMs = 0 }: AdmissionOptions) {
    this.#maxCalls = maxCalls;
    this.#maxLoopLagMs = maxLoopLagMs;
  }

  /** Starts measuring. */
  open(): void {
    if (this.#maxLoopLagMs > 0) this.#lag = new LoopLag(this.#maxLoopLagMs);
  }

  get isDraining(): boolean {
    return this.#isDraining;
  }

  /**
   * Admits no calls from now on. Resolves when none are left, at the latest after `deadlineMs`.
   * @param next - Returns one of the remaining calls.
   */
  async drain(
    deadlineMs: number,
    next: () => { closed(): Promise<unknown> } | undefined,
  ): Promise<void> {
    this.#isDraining = true;
    let timer: NodeJS.Timeout | undefined;
    const deadline = new Promise<'over'>((resolve) => {
      timer = setTimeout(() => resolve('over'), deadlineMs);
    });
    for (let call = next(); call; call = next())
      if ((await Promise.race([call.closed(), deadline])) === 'over') break;
    clearTimeout(timer);
  }

  /** @throws GatewayError `DRAINING`, `TOO_MANY_CALLS`, `OVERLOADED` */
  check(liveCalls: number): void {
    if (this.#isDraining) throw new GatewayError('DRAINING', 'The gateway no longer takes calls');
    if (liveCalls >= this.#maxCalls)
      throw new GatewayError('TOO_MANY_CALLS', `${this.#maxCalls} calls are live`);
    if (this.#lag?.isTooLong !== true) return;
    const lag = Math.round(this.#lag.lastMs);
    throw new GatewayError('OVERLOADED', `The process is behind by ${lag} ms`);
  }

  /** Stops measuring. */
  close(): void {
    this.#lag?.close();
  }
}
