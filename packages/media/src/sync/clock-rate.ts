// Whether a sender's timestamps run at the rate of their clock, compared with the times of arrival.

/** A disagreement below this is drift and jitter. */
const LEAST_ERROR = 0.05;
/** Two of these in a row must agree. */
const PERIOD_MS = 1000;
const PERIODS = 2;
/** How far the periods may differ, as a share of the rate. */
const SPREAD = 0.1;
/** Fewer packets in a period say nothing. */
const LEAST_PACKETS = 8;
/** Slower than this, timestamps stand still. */
const STANDSTILL = 0.0001;
/** After a pause, or a jump of the timestamps, measuring begins again. */
const MAX_PAUSE_MS = 500;
const MAX_STEP_MS = 2000;
/** Distance from the straight line, as a share of what the wrong rate makes: a stall is a step, not a rate. */
const MAX_RESIDUE = 0.35;

/** Pure. Fed with each packet of one stream; a line is fitted through each second (least squares). */
export class ClockRate {
  readonly #clockRateHz: number;
  #rtpTimestamp = 0;
  #lastMs = Number.NaN;
  #mediaMs = 0;
  #arrivalMs = 0;
  /** Sums of the present period, times counted from its beginning. */
  #count = 0;
  #sumX = 0;
  #sumY = 0;
  #sumXX = 0;
  #sumXY = 0;
  #sumYY = 0;
  /** The rate of the period before; undefined unless it was plainly measured. */
  #former: number | undefined;

  /** @param clockRateHz - What the timestamps should count. */
  constructor(clockRateHz: number) {
    this.#clockRateHz = clockRateHz;
  }

  /**
   * Takes a packet, in order of arrival.
   * @param assumed - The rate in use, as a multiple of the clock's.
   * @returns the rate of the last two seconds, as a multiple of the clock's, when it plainly disagrees with `assumed`; 0: they stand
   * still.
   */
  push(rtpTimestamp: number, arrivalMs: number, assumed = 1): number | undefined {
    const stepMs = (((rtpTimestamp - this.#rtpTimestamp) | 0) * 1000) / this.#clockRateHz;
    const isNext = arrivalMs - this.#lastMs <= MAX_PAUSE_MS && Math.abs(stepMs) <= MAX_STEP_MS;
    this.#rtpTimestamp = rtpTimestamp;
    this.#lastMs = arrivalMs;
    if (!isNext) {
      this.#former = undefined;
      this.#begin(arrivalMs);
      return undefined;
    }
    this.#mediaMs += stepMs;
    this.#add(arrivalMs - this.#arrivalMs, this.#mediaMs);
    if (arrivalMs - this.#arrivalMs < PERIOD_MS) return undefined;
    const rate = this.#measure(assumed);
    const former = this.#former;
    this.#begin(arrivalMs);
    this.#former = rate;
    if (rate === undefined || former === undefined) return undefined;
    if (Math.abs(rate - former) > SPREAD * former) return undefined;
    this.#former = undefined;
    const mean = (rate + former) / PERIODS;
    // Almost right is right.
    return Math.abs(mean - 1) <= LEAST_ERROR / 2 ? 1 : mean;
  }

  #begin(arrivalMs: number): void {
    this.#arrivalMs = arrivalMs;
    this.#mediaMs = 0;
    this.#count = 0;
    this.#sumX = this.#sumY = this.#sumXX = this.#sumXY = this.#sumYY = 0;
    this.#add(0, 0);
  }

  #add(x: number, y: number): void {
    this.#count++;
    this.#sumX += x;
    this.#sumY += y;
    this.#sumXX += x * x;
    this.#sumXY += x * y;
    this.#sumYY += y * y;
  }

  /** The slope of the period, if it is plainly another than `assumed`. */
  #measure(assumed: number): number | undefined {
    const count = this.#count;
    if (count < LEAST_PACKETS) return undefined;
    const varX = this.#sumXX / count - (this.#sumX / count) ** 2;
    const varY = this.#sumYY / count - (this.#sumY / count) ** 2;
    const covariance = this.#sumXY / count - (this.#sumX / count) * (this.#sumY / count);
    if (varX <= 0) return undefined;
    const slope = covariance / varX;
    const error = Math.abs(slope - assumed);
    if (Math.abs(slope) < STANDSTILL) return assumed === 0 ? undefined : 0;
    if (slope < 0 || error <= LEAST_ERROR * assumed) return undefined;
    const residue = Math.max(0, varY - slope * covariance);
    return residue <= (MAX_RESIDUE * error) ** 2 * varX ? slope : undefined;
  }
}
