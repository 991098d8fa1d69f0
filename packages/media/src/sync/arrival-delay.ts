// How late audio in order arrives: how long a timeline must wait before it inserts silence.

import { MediaError } from '../errors.ts';
import type { RtpPacket } from '../codec/frame.ts';
import type { DelayRange } from '../rtp/jitter-delay.ts';

/** Added to the observed lateness. */
const MARGIN_MS = 10;
/** Lateness counts from the shortest transit of this many seconds, as clocks drift. */
const BASE_SECONDS = 10;
/** The delay covers the latest packet of this many seconds. */
const PEAK_SECONDS = 5;
/** After that, the delay falls at this rate. */
const FORGET_MS_PER_SECOND = 20;
/** A larger change of the transit is not lateness: the sender's clock stopped or jumped. */
const MAX_TRANSIT_STEP_MS = 1000;

/**
 * Pure. Fed with each packet of one audio stream as it arrives. Lateness is the transit time of a packet, beyond the
 * shortest one: a packet with a timestamp 40 ms after the last one that arrives 100 ms after it is 60 ms late.
 * Pauses during which timestamps advance (DTX) do not count.
 */
export class ArrivalDelay {
  readonly #clockRateHz: number;
  readonly #minMs: number;
  readonly #maxMs: number;
  #valueMs: number;
  #ssrc = -1;
  #rtpTimestamp = 0;
  #mediaMs = 0;
  #transitMs = 0;
  #second = 0;
  #baseMs = 0;
  /** Shortest and longest transit of the last seconds; the current second first. */
  readonly #shortestMs = new Float64Array(BASE_SECONDS);
  readonly #longestMs = new Float64Array(PEAK_SECONDS);

  /**
   * @param clockRateHz of the payload's timestamps.
   * @param range bounds of the value. Default 20–400 ms.
   * @throws MediaError INVALID_ARGUMENT naming `range`.
   */
  constructor(clockRateHz: number, range: DelayRange = { minMs: 20, maxMs: 400 }) {
    if (!(range.minMs >= 0 && range.maxMs >= range.minMs)) {
      throw new MediaError('INVALID_ARGUMENT', 'range must be 0 or more, in order', {
        field: 'range',
      });
    }
    this.#clockRateHz = clockRateHz;
    this.#minMs = range.minMs;
    this.#maxMs = range.maxMs;
    this.#valueMs = range.minMs;
  }

  /** Current value in milliseconds: rises at once, falls slowly. Kept when another source starts. */
  get valueMs(): number {
    return this.#valueMs;
  }

  /** Takes a packet as it arrives; the hot path. Packets out of order count, too: they are late. */
  push(packet: RtpPacket): void {
    const { rtpTimestamp, arrivalMs } = packet;
    const ticks = (rtpTimestamp - this.#rtpTimestamp) | 0;
    const mediaMs = this.#mediaMs + (ticks * 1000) / this.#clockRateHz;
    const transitMs = arrivalMs - mediaMs;
    if (packet.ssrc !== this.#ssrc || Math.abs(transitMs - this.#transitMs) > MAX_TRANSIT_STEP_MS) {
      this.#begin(packet);
      return;
    }
    this.#rtpTimestamp = rtpTimestamp;
    this.#mediaMs = mediaMs;
    this.#transitMs = transitMs;
    const second = Math.floor(arrivalMs / 1000);
    if (second !== this.#second) this.#turnOver(second);
    if (transitMs < this.#shortestMs[0]!) {
      this.#shortestMs[0] = transitMs;
      if (transitMs < this.#baseMs) this.#baseMs = transitMs;
    }
    if (transitMs > this.#longestMs[0]!) {
      this.#longestMs[0] = transitMs;
      const wantedMs = this.#wantedMs(transitMs);
      if (wantedMs > this.#valueMs) this.#valueMs = wantedMs;
    }
  }

  #begin({ ssrc, rtpTimestamp, arrivalMs }: RtpPacket): void {
    this.#ssrc = ssrc;
    this.#rtpTimestamp = rtpTimestamp;
    this.#mediaMs = 0;
    this.#transitMs = arrivalMs;
    this.#second = Math.floor(arrivalMs / 1000);
    this.#baseMs = arrivalMs;
    this.#shortestMs.fill(Number.POSITIVE_INFINITY);
    this.#longestMs.fill(Number.NEGATIVE_INFINITY);
    this.#shortestMs[0] = arrivalMs;
    this.#longestMs[0] = arrivalMs;
  }

  #turnOver(second: number): void {
    const seconds = Math.max(1, second - this.#second);
    this.#second = second;
    for (let step = Math.min(seconds, BASE_SECONDS); step > 0; step--) {
      this.#shortestMs.copyWithin(1, 0);
      this.#shortestMs[0] = Number.POSITIVE_INFINITY;
      this.#longestMs.copyWithin(1, 0);
      this.#longestMs[0] = Number.NEGATIVE_INFINITY;
    }
    // After a pause of the whole stream: the previous base is better than none.
    const shortestMs = Math.min(...this.#shortestMs);
    if (Number.isFinite(shortestMs)) this.#baseMs = shortestMs;
    const wantedMs = this.#wantedMs(Math.max(...this.#longestMs));
    this.#valueMs = Math.max(wantedMs, this.#valueMs - seconds * FORGET_MS_PER_SECOND);
  }

  #wantedMs(transitMs: number): number {
    const lateMs = transitMs - this.#baseMs + MARGIN_MS;
    return Math.min(this.#maxMs, Math.max(this.#minMs, lateMs));
  }
}
