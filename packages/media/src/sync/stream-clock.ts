// The time base of one stream's tags: 0 is its first packet, of either medium.

import { SyncClock } from './sync-clock.ts';
import type { SyncClockOptions } from './sync-clock.ts';

/** Pure: time is an argument. */
export class StreamClock {
  /** Media time of both media; see {@link SyncClock}. */
  readonly sync: SyncClock;
  /** Arrival time that is 0 of the stream's time; NaN before. */
  #zeroMs = Number.NaN;

  /** @param onRate - See {@link SyncClockOptions.onRate}. */
  constructor(onRate?: SyncClockOptions['onRate']) {
    this.sync = new SyncClock({ onRate });
  }

  /** Whether the stream has begun. */
  get hasBegun(): boolean {
    return !Number.isNaN(this.#zeroMs);
  }

  /** Starts the stream at this time, unless it has begun. */
  begin(nowMs: number): void {
    if (Number.isNaN(this.#zeroMs)) this.#zeroMs = nowMs;
  }

  /** Stream time of a time on the arrival clock. */
  at(nowMs: number): number {
    return nowMs - this.#zeroMs;
  }

  /** Stream time of an audio frame; never decreases. Milliseconds, 0 or more. */
  soundMs(rtpTimestamp: number, arrivalMs: number): number {
    return this.#streamMs(this.sync.mediaTimeMs('audio', rtpTimestamp, arrivalMs));
  }

  /** Stream time at which a picture is shown. Milliseconds, 0 or more. */
  pictureMs(rtpTimestamp: number, arrivalMs: number): number {
    return this.#streamMs(this.sync.presentationTimeMs('video', rtpTimestamp, arrivalMs));
  }

  /** The stream may have begun long before the first frame that was timed. */
  #streamMs(mediaTimeMs: number): number {
    return Math.max(0, mediaTimeMs + this.sync.originMs - this.#zeroMs);
  }
}
