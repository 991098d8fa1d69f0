// Black pictures as FLV tags: what players see until the first picture of a camera that is off.

import { BLACK_PICTURES, BLACK_PPS, BLACK_SPS } from '../codec/black-picture.ts';
import type { FlvTag } from '../codec/frame.ts';
import { encodeAvcConfiguration } from '../codec/h264.ts';

/** Key frame of AVC; sequence header, or NAL units; no composition time (FLV 10.1 §E.4.3). */
const headOf = (packetType: 0 | 1): Buffer => Buffer.from([0x17, packetType, 0, 0, 0]);

/** Their sequence header, at time 0. */
export const BLACK_HEADER: FlvTag = {
  type: 9,
  timestampMs: 0,
  role: 'sequence-header',
  body: Buffer.concat([headOf(0), encodeAvcConfiguration([BLACK_SPS], [BLACK_PPS])]),
};

/** Key frames to alternate between, at time 0. */
export const BLACK_TAGS: readonly FlvTag[] = BLACK_PICTURES.map((slice) => {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(slice.length);
  const body = Buffer.concat([headOf(1), length, slice]);
  return { type: 9, timestampMs: 0, role: 'key-frame', body };
});
