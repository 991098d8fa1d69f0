// What is seen when no picture comes: the last key frame again, until the next one. Stands between a muxer and its outputs.

import type { FlvTag, Sink } from '../codec/frame.ts';

/** Options of a {@link PictureFreeze}. */
export interface PictureFreezeOptions {
  /** Milliseconds without a picture after which the last key frame is sent again; 0: never. */
  readonly videoFreezeMs: number;
  /** What was chosen for pictures after a loss: with `continue`, those that refer to others than the frozen one pass. */
  readonly videoLoss: 'wait' | 'continue';
}

/** A source with pictures as far apart as the last two were is slow, not stopped: up to half as much more, and this. */
const SLOW_FACTOR = 1.5;
const MAX_SLOW_MS = 10_000;

/** Tags pass; their video timestamps increase, frozen pictures included. Pure: `tick` is its time. */
export class PictureFreeze {
  /** An encoder of ours makes the pictures: they refer to nothing of the source's. */
  isEncoded = false;
  readonly #next: Sink<FlvTag>;
  readonly #options: PictureFreezeOptions;
  readonly #onFrozen: () => void;
  #keyFrame: FlvTag | undefined;
  /** Timestamp of the last picture, -1 before the first, and the stream's time when it came. */
  #videoMs = -1;
  #videoSeenMs = 0;
  /** Stream's time of the last picture that was not a frozen one, and what lay between the last three of them. */
  #pictureSeenMs = 0;
  #gapMs = 0;
  #formerGapMs = 0;
  #streamNowMs = 0;
  #frozen = false;
  #frozenFrames = 0;

  /** @param onFrozen - The first frozen picture of the source's own was sent: what refers to others is no use now. */
  constructor(next: Sink<FlvTag>, options: PictureFreezeOptions, onFrozen: () => void) {
    this.#next = next;
    this.#options = options;
    this.#onFrozen = onFrozen;
  }

  /** Times that the last key frame was sent again. */
  get frozenFrames(): number {
    return this.#frozenFrames;
  }

  /** Passes a tag on, in order; drops pictures that refer to what the decoder does not have. */
  readonly push: Sink<FlvTag> = (tag) => {
    if (tag.type !== 9) {
      this.#next(tag);
      return;
    }
    if (this.#frozen) {
      // The decoder shows a picture that those which follow do not know of.
      const passes = this.#options.videoLoss === 'continue' && !this.isEncoded;
      if (tag.role === 'inter-frame' && !passes) return;
      if (tag.role !== 'sequence-header') this.#frozen = false;
    }
    const isPicture = tag.role !== 'sequence-header';
    if (isPicture) this.#noteGap();
    // Frozen pictures run ahead of the stream by the delay of the path, and no two pictures may have one time.
    const earliestMs = isPicture ? this.#videoMs + 1 : this.#videoMs;
    const inOrder = tag.timestampMs >= earliestMs ? tag : { ...tag, timestampMs: earliestMs };
    if (tag.role === 'key-frame') this.#keyFrame = inOrder;
    if (isPicture) this.#onPicture(inOrder.timestampMs);
    this.#next(inOrder);
  };

  /** About every 20 ms: sends the last key frame again, where it is time. */
  tick(streamNowMs: number): void {
    this.#streamNowMs = streamNowMs;
    if (this.#keyFrame && streamNowMs - this.#videoSeenMs >= this.#freezeAfterMs)
      this.#freeze(this.#keyFrame, streamNowMs);
  }

  /** The pictures before are no beginning any more: nothing is sent again before the next key frame. */
  forget(): void {
    this.#keyFrame = undefined;
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
    this.#next({ ...keyFrame, timestampMs });
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
