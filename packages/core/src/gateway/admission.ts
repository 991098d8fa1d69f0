// Whether one more call is taken: not when there are enough, not while the gateway drains, not while the process cannot keep
// up with what it has.

import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { IntervalHistogram } from 'node:perf_hooks';
import { GatewayError } from '../errors.ts';

/** Bounds. */
export interface AdmissionOptions {
  /** Live calls. Default 1,000. */
  readonly maxCalls?: number;
  /** 0 (the default): whatever the lag is. */
  readonly maxLoopLagMs?: number;
}

const WINDOW_MS = 500;
const RESOLUTION_MS = 10;
/** One long turn, of a garbage collection or of a neighbour, is no overload. */
const WINDOWS_IN_A_ROW = 2;

/** How long events wait for the process, measured in windows. Costs a timer of 10 ms. */
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
    // Without a sample the mean is no number: then the whole window was one turn, and the timer itself came late.
    const measured = this.#histogram.percentile(99) / 1e6;
    this.#lastMs = Number.isFinite(measured) ? Math.max(0, measured - RESOLUTION_MS) : 0;
    this.#windowsAbove = this.#lastMs > this.#maxMs ? this.#windowsAbove + 1 : 0;
    this.#histogram.reset();
  }
}

/** The gateway's decision about one more call. */
export class Admission {
  readonly #maxCalls: number;
  readonly #maxLoopLagMs: number;
  #lag: LoopLag | undefined;
  #isDraining = false;

  constructor({ maxCalls = 1000, maxLoopLagMs = 0 }: AdmissionOptions) {
    this.#maxCalls = maxCalls;
    this.#maxLoopLagMs = maxLoopLagMs;
  }

  /** Begins to measure. */
  open(): void {
    if (this.#maxLoopLagMs > 0) this.#lag = new LoopLag(this.#maxLoopLagMs);
  }

  get isDraining(): boolean {
    return this.#isDraining;
  }

  /**
   * No more calls from now on. Resolves when there are none, at the latest after `deadlineMs`.
   * @param next - One of the calls that are left.
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
    if (this.#isDraining) throw new GatewayError('DRAINING', 'The gateway takes no more calls');
    if (liveCalls >= this.#maxCalls)
      throw new GatewayError('TOO_MANY_CALLS', `${this.#maxCalls} calls are live`);
    if (this.#lag?.isTooLong !== true) return;
    const lag = Math.round(this.#lag.lastMs);
    throw new GatewayError('OVERLOADED', `The process is behind by ${lag} ms`);
  }

  /** Measures no longer. */
  close(): void {
    this.#lag?.close();
  }
}
