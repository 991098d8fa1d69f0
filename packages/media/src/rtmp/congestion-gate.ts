// Which tags to skip for a slow RTMP server or viewer. Pure: outstanding octets in, a decision out.

import type { FlvTag } from '../codec/frame.ts';

/** Options of a {@link CongestionGate}. */
export interface CongestionGateOptions {
  /** Media that may be outstanding before video is dropped, in milliseconds. Default 2,000. */
  readonly highWaterMs?: number;
  /** Octets outstanding in normal operation (an acknowledgement window); high water is at least one and a half times this. Default 0. */
  readonly windowBytes?: number;
  /** Above this nothing is sent, not even audio. Default 8 MiB. */
  readonly maxBytes?: number;
}

const MIN_HIGH_WATER_BYTES = 16 * 1024;
/** Data in flight beyond a window is not yet a backlog. */
const WINDOWS_IN_HIGH_WATER = 1.5;
/** If a backlog does not shrink for this long, the target reads nothing: audio would only age in the queue. */
const STUCK_MS = 1500;
/** High water until the bitrate is known: the first key frame can be large. */
const FIRST_HIGH_WATER_BYTES = 1024 * 1024;
/** Bitrate is measured over periods of this length. */
const RATE_PERIOD_MS = 1000;

/**
 * Decides tag by tag. Above high water inter-frames are skipped, then all video until a key frame
 * arrives after the backlog has fallen below half of it, so that no decoder sees a frame without its
 * reference. Audio is skipped when the backlog no longer shrinks, or above `maxBytes`. Metadata and sequence
 * headers always pass.
 */
export class CongestionGate {
  readonly #highWaterMs: number;
  #windowBytes: number;
  readonly #maxBytes: number;
  #congested = false;
  /** Smallest backlog since it began, and when. */
  #lowestBytes = 0;
  #lowestMs = 0;
  #needsKeyFrame = true;
  /** A key frame was sent: tags skipped from now on count as dropped. */
  #started = false;
  #skipped = 0;
  #periodStartMs = Number.NaN;
  #periodBytes = 0;
  #periodLargestBytes = 0;
  /** Largest tag of the last complete period. */
  #largestBytes = 0;
  #bytesPerMs = 0;

  constructor(options: CongestionGateOptions = {}) {
    this.#highWaterMs = options.highWaterMs ?? 2000;
    this.#windowBytes = options.windowBytes ?? 0;
    this.#maxBytes = options.maxBytes ?? 8 * 1024 * 1024;
  }

  /**
   * Should this tag be sent?
   * @param outstandingBytes - Octets written and not known to have arrived.
   */
  admit(tag: FlvTag, outstandingBytes: number): boolean {
    // Headers may be as old as the stream: measured, they would make the bitrate 0.
    if (tag.role === 'metadata' || tag.role === 'sequence-header') return true;
    this.#measure(tag);
    if (outstandingBytes >= this.#maxBytes) return this.#skip(tag);
    if (tag.role === 'audio') return this.#isStuck(tag, outstandingBytes) ? this.#skip(tag) : true;
    const high = this.highWaterBytes;
    if (outstandingBytes > high) this.#begin(tag, outstandingBytes);
    else if (outstandingBytes <= high / 2) this.#congested = false;
    if (this.#congested) return this.#skip(tag);
    if (tag.role === 'key-frame') {
      this.#needsKeyFrame = false;
      this.#started = true;
      return true;
    }
    return this.#needsKeyFrame ? this.#skip(tag) : true;
  }

  /** Changes the octets outstanding in normal operation. */
  setWindow(bytes: number): void {
    this.#windowBytes = bytes;
  }

  /** The backlog is gone and video needs a key frame to resume: request one now. */
  get wantsKeyFrame(): boolean {
    return this.#needsKeyFrame && !this.#congested;
  }

  /** Video is being skipped because of the backlog. */
  get congested(): boolean {
    return this.#congested;
  }

  /** Tags skipped so far, not counting those before the first key frame. */
  get skipped(): number {
    return this.#skipped;
  }

  /** Outstanding octets above which video is skipped. */
  get highWaterBytes(): number {
    const media =
      this.#bytesPerMs === 0
        ? FIRST_HIGH_WATER_BYTES
        : Math.max(MIN_HIGH_WATER_BYTES, this.#bytesPerMs * this.#highWaterMs);
    const least = Math.max(media, WINDOWS_IN_HIGH_WATER * this.#windowBytes);
    // One large frame is not a backlog.
    return Math.min(least + this.#largestBytes, this.#maxBytes);
  }

  #begin(tag: FlvTag, outstandingBytes: number): void {
    if (this.#congested) return;
    this.#congested = true;
    this.#lowestBytes = outstandingBytes;
    this.#lowestMs = tag.timestampMs;
  }

  #isStuck(tag: FlvTag, outstandingBytes: number): boolean {
    if (!this.#congested) return false;
    if (outstandingBytes < this.#lowestBytes) {
      this.#lowestBytes = outstandingBytes;
      this.#lowestMs = tag.timestampMs;
    }
    return tag.timestampMs - this.#lowestMs >= STUCK_MS;
  }

  #skip(tag: FlvTag): false {
    if (tag.role !== 'audio') this.#needsKeyFrame = true;
    if (this.#started) this.#skipped++;
    return false;
  }

  #measure(tag: FlvTag): void {
    if (Number.isNaN(this.#periodStartMs)) this.#periodStartMs = tag.timestampMs;
    this.#periodBytes += tag.body.length;
    if (tag.body.length > this.#periodLargestBytes) this.#periodLargestBytes = tag.body.length;
    const elapsedMs = tag.timestampMs - this.#periodStartMs;
    if (elapsedMs < RATE_PERIOD_MS) return;
    const rate = this.#periodBytes / elapsedMs;
    this.#bytesPerMs = this.#bytesPerMs === 0 ? rate : this.#bytesPerMs * 0.7 + rate * 0.3;
    this.#periodStartMs = tag.timestampMs;
    this.#periodBytes = 0;
    this.#largestBytes = this.#periodLargestBytes;
    this.#periodLargestBytes = 0;
  }
}
