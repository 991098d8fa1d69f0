// The frame tag of VP8: RFC 6386 §9.1.

/** The header of a VP8 frame. */
export interface Vp8FrameTag {
  readonly isKeyFrame: boolean;
  /** 0–3 are defined; the reconstruction filters, not the syntax, depend on it. */
  readonly version: number;
  /** False for a frame that is only a reference. */
  readonly showFrame: boolean;
  /** Octets of the first partition. */
  readonly firstPartitionBytes: number;
  /** Pixels, 1–16,383; 0 where it is no key frame. */
  readonly width: number;
  readonly height: number;
}

const TAG_BYTES = 3;
const KEY_FRAME_HEAD_BYTES = 10;

/** Bit 0 of the first octet is the inverse of this (RFC 6386 §9.1). False for an empty frame. */
export function isVp8KeyFrame(frame: Uint8Array): boolean {
  return frame.length > 0 && (frame[0]! & 1) === 0;
}

/**
 * Reads the tag: `| size 0 (19, little-endian) | show | version (3) | inter |`, in a key frame also
 * `| 9D 01 2A | scale (2) width (14) | scale (2) height (14) |`, little-endian.
 * Undefined when the frame is truncated, or is a key frame without its start code or with an empty picture.
 */
export function parseVp8FrameTag(frame: Uint8Array): Vp8FrameTag | undefined {
  if (frame.length < TAG_BYTES) return undefined;
  const tag = frame[0]! | (frame[1]! << 8) | (frame[2]! << 16);
  const isKeyFrame = (tag & 1) === 0;
  let width = 0;
  let height = 0;
  if (isKeyFrame) {
    if (frame.length < KEY_FRAME_HEAD_BYTES) return undefined;
    if (frame[3] !== 0x9d || frame[4] !== 0x01 || frame[5] !== 0x2a) return undefined;
    width = (frame[6]! | (frame[7]! << 8)) & 0x3fff;
    height = (frame[8]! | (frame[9]! << 8)) & 0x3fff;
    if (width === 0 || height === 0) return undefined;
  }
  return {
    isKeyFrame,
    version: (tag >> 1) & 7,
    showFrame: ((tag >> 4) & 1) === 1,
    firstPartitionBytes: tag >>> 5,
    width,
    height,
  };
}
