// The framing of FLV files (Adobe FLV 10.1 §E.2–E.4.1): writing and reading them.
//
//  'F' 'L' 'V' 1 flags header-size(4) | previous-size(4) tag | previous-size(4) tag | …
//  tag: type(1) size(3) timestamp(3) timestamp-high(1) stream id(3) body

import type { FlvTag } from './frame.ts';

/** The first 13 octets of an FLV file: its header, and the size of no tag before it. */
export function formatFlvHeader(contents: {
  readonly hasAudio: boolean;
  readonly hasVideo: boolean;
}): Buffer {
  const flags = (contents.hasAudio ? 4 : 0) | (contents.hasVideo ? 1 : 0);
  return Buffer.from([0x46, 0x4c, 0x56, 1, flags, 0, 0, 0, 9, 0, 0, 0, 0]);
}

/** One tag as it stands in an FLV file, with the size behind it. `timestampMs` is written modulo 2³². */
export function formatFlvTag(tag: Pick<FlvTag, 'type' | 'timestampMs' | 'body'>): Buffer {
  const { type, body } = tag;
  const timestampMs = Math.round(tag.timestampMs) % 0x1_0000_0000;
  const bytes = Buffer.allocUnsafe(11 + body.length + 4);
  bytes[0] = type;
  bytes.writeUIntBE(body.length, 1, 3);
  bytes.writeUIntBE(timestampMs % 0x1000000, 4, 3);
  bytes[7] = Math.floor(timestampMs / 0x1000000);
  bytes.writeUIntBE(0, 8, 3);
  bytes.set(body, 11);
  bytes.writeUInt32BE(11 + body.length, 11 + body.length);
  return bytes;
}

/** A tag read from a file. */
export interface FlvFileTag {
  /** 8 audio, 9 video, 18 script data; others are passed on as they are. */
  readonly type: number;
  /** Milliseconds, u32. */
  readonly timestampMs: number;
  /** View into the file's octets. */
  readonly body: Uint8Array;
}

/**
 * The tags of an FLV file, in order. Ends at the first tag that is not whole, as after a crash of its writer.
 * Yields nothing when the octets do not begin with an FLV header.
 */
export function* readFlvTags(file: Uint8Array): Generator<FlvFileTag> {
  const bytes = Buffer.from(file.buffer, file.byteOffset, file.length);
  if (bytes.length < 13 || bytes.toString('latin1', 0, 3) !== 'FLV') return;
  let at = bytes.readUInt32BE(5) + 4;
  while (at + 11 <= bytes.length) {
    const length = bytes.readUIntBE(at + 1, 3);
    const end = at + 11 + length;
    if (end > bytes.length) return;
    const timestampMs = bytes.readUIntBE(at + 4, 3) + (bytes[at + 7] as number) * 0x1000000;
    yield { type: (bytes[at] as number) & 0x1f, timestampMs, body: bytes.subarray(at + 11, end) };
    at = end + 4;
  }
}
