// Whether a sender repeats one coded picture. Pure.

import type { VideoFrame } from '../codec/frame.ts';
import { isPictureNal } from '../codec/h264.ts';

/**
 * Notices H.264 pictures with the very slices of the one before. No encoder makes two: of two pictures in a row, frame_num, the
 * order count or idr_pic_id differ (H.264 §7.4.3), even where nothing moves, as on a slide. Seen in: gateways and cameras that send
 * their last picture again when the input is gone. VP8 has no such numbers, so its pictures are not judged.
 */
export class RepeatedPictures {
  #slices: readonly Uint8Array[] = [];

  /** @returns whether this picture repeats the one before. */
  push(frame: VideoFrame): boolean {
    if (frame.codec !== 'h264') {
      this.#slices = [];
      return false;
    }
    const before = this.#slices;
    const slices = frame.nalus.filter(isPictureNal);
    this.#slices = slices;
    return slices.length === before.length && slices.every((one, at) => isSame(one, before[at]!));
  }
}

function isSame(one: Uint8Array, other: Uint8Array): boolean {
  return one.length === other.length && Buffer.compare(one, other) === 0;
}
