// Repeats the last key frame while no picture arrives, until the next one. Sits between a muxer and its outputs.

import type { FlvTag, Sink } from '../codec/frame.ts';
import { repeatedPictures } from '../flv/repeated-picture.ts';

/** Options of a {@link PictureFreeze}. */
export interface PictureFreezeOptions {
  /** Milliseconds without a picture after which the last key frame is sent again; 0: never. */
  readonly videoFreezeMs: number;
  /** The policy for pictures after a loss: with `continue`, pictures pass even if they refer to others than the frozen one. */
  readonly videoLoss: 'wait' | 'continue';
}

/** A source is slow, not stopped, up to this multiple of the last picture intervals, and at most this long. */
const SLOW_FACTOR = 1.5;
const MAX_SLOW_MS = 10_000;

/** Passes tags on; video timestamps increase, including those of frozen pictures. Pure: call `tick`. */
export class PictureFreeze {
  /** The pictures come from our encoder, and do not refer to pictures of the source. */
  isEncoded = false;
  readonly #next: Sink<FlvTag>;
  readonly #options: PictureFreezeOptions;
  readonly #onFrozen: () => void;
  #keyFrame: FlvTag | undefined;
  #header: FlvTag | undefined;
  /** The key frame as it is sent again, in turns; made when it is. */
  #repeated: readonly FlvTag[] = [];
  /** Timestamp of the last picture, -1 before the first, and the stream time of its arrival. */
  #videoMs = -1;
  #videoSeenMs = 0;
  /** Stream time of the last real picture, and the intervals between the last three. */
  #pictureSeenMs = 0;
  #gapMs = 0;
  #formerGapMs = 0;
  #streamNowMs = 0;
  #frozen = false;
  #frozenFrames = 0;

  /** @param onFrozen - The first frozen picture was sent, of a source without encoder: pictures that refer to others are useless now. */
  constructor(next: Sink<FlvTag>, options: PictureFreezeOptions, onFrozen: () => void) {
    this.#next = next;
    this.#options = options;
    this.#onFrozen = onFrozen;
  }

  /** Times that the last key frame was sent again. */
  get frozenFrames(): number {
    return this.#frozenFrames;
  }

  /** Passes a tag on, in order; drops pictures that refer to ones the decoder does not have. */
  readonly push: Sink<FlvTag> = (tag) => {
    if (tag.type !== 9) {
      this.#next(tag);
      return;
    }
    if (this.#frozen) {
      // The decoder shows a frozen picture, which the following ones do not refer to.
      const passes = this.#options.videoLoss === 'continue' && !this.isEncoded;
      if (tag.role === 'inter-frame' && !passes) return;
      if (tag.role !== 'sequence-header') this.#frozen = false;
    }
    const isPicture = tag.role !== 'sequence-header';
    if (isPicture) this.#noteGap();
    // Frozen pictures run ahead of the stream by the delay of the path, and no two pictures may have one time.
    const earliestMs = isPicture ? this.#videoMs + 1 : this.#videoMs;
    const inOrder = tag.timestampMs >= earliestMs ? tag : { ...tag, timestampMs: earliestMs };
    if (tag.role === 'sequence-header') this.#header = tag;
    if (tag.role === 'key-frame') {
      this.#keyFrame = inOrder;
      this.#repeated = [];
    }
    if (isPicture) this.#onPicture(inOrder.timestampMs);
    this.#next(inOrder);
  };

  /** About every 20 ms: sends the last key frame again when it is due. */
  tick(streamNowMs: number): void {
    this.#streamNowMs = streamNowMs;
    if (this.#keyFrame && streamNowMs - this.#videoSeenMs >= this.#freezeAfterMs)
      this.#freeze(this.#keyFrame, streamNowMs);
  }

  /** Forgets the last key frame: nothing is repeated before the next one. */
  forget(): void {
    this.#keyFrame = undefined;
    this.#repeated = [];
    this.#frozen = false;
  }

  get #freezeAfterMs(): number {
    const { videoFreezeMs } = this.#options;
    if (videoFreezeMs === 0) return Number.POSITIVE_INFINITY;
    if (this.#frozen) return videoFreezeMs;
    const slowMs = Math.min(this.#gapMs, this.#formerGapMs) * SLOW_FACTOR;
    return Math.max(videoFreezeMs, Math.min(slowMs, MAX_SLOW_MS));
  }

  #freeze(keyFrame: FlvTag, streamNowMs: number): void {
    const timestampMs = this.#videoMs + (streamNowMs - this.#videoSeenMs);
    const isFirst = !this.#frozen;
    this.#frozen = true;
    this.#frozenFrames++;
    this.#onPicture(timestampMs);
    if (this.#repeated.length === 0) this.#repeated = repeatedPictures(keyFrame, this.#header);
    const again = this.#repeated[this.#frozenFrames % this.#repeated.length] ?? keyFrame;
    this.#next({ ...again, timestampMs });
    if (isFirst && !this.isEncoded) this.#onFrozen();
  }

  #noteGap(): void {
    this.#formerGapMs = this.#gapMs;
    this.#gapMs = this.#streamNowMs - this.#pictureSeenMs;
    this.#pictureSeenMs = this.#streamNowMs;
  }

  #onPicture(timestampMs: number): void {
    this.#videoMs = timestampMs;
    this.#videoSeenMs = this.#streamNowMs;
  }
}
