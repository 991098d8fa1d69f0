// The framing of FLV files (Adobe FLV 10.1 §E.2–E.4.1): writing and reading them.
//
//  'F' 'L' 'V' 1 flags header-size(4) | previous-size(4) tag | previous-size(4) tag | …
//  tag: type(1) size(3) timestamp(3) timestamp-high(1) stream id(3) body

import type { FlvTag } from '../codec/frame.ts';

/** The first 13 octets of an FLV file: its header, and the size of no tag before it. */
export function formatFlvHeader(contents: {
  readonly hasAudio: boolean;
  readonly hasVideo: boolean;
}): Buffer {
  const flags = (contents.hasAudio ? 4 : 0) | (contents.hasVideo ? 1 : 0);
  return Buffer.from([0x46, 0x4c, 0x56, 1, flags, 0, 0, 0, 9, 0, 0, 0, 0]);
}

/** One tag as an FLV file holds it, followed by its size. `timestampMs` is written modulo 2³². */
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
  /** 8 audio, 9 video, 18 script data; others are passed through. */
  readonly type: number;
  /** Milliseconds, u32. */
  readonly timestampMs: number;
  /** View into the file's octets. */
  readonly body: Uint8Array;
}

/**
 * The tags of an FLV file, in order. Ends at the first incomplete tag, as after a crash of the writer.
 * Yields nothing when the data does not start with an FLV header.
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

/** Why a {@link FlvReader} stopped. */
export type FlvFault =
  /** It does not start with an FLV header. */
  | 'flv-signature'
  /** A tag above the limit. */
  | 'flv-oversize';

/** What an {@link FlvReader} reports, from within `push`. Handlers must not throw. */
export interface FlvReaderHandler {
  /** A complete tag. The receiver may keep its body. */
  onTag(tag: FlvFileTag): void;
  /** Reading has stopped. At most once. */
  onFault(fault: FlvFault): void;
}

const FILE_HEAD_BYTES = 9;
const TAG_HEAD_BYTES = 11;
const SIZE_BYTES = 4;

/** Reads a stream in the form of an FLV file, cut anywhere. Holds one tag at most. */
export class FlvReader {
  readonly #handler: FlvReaderHandler;
  readonly #maxBodyBytes: number;
  /** The part being read, and how much of it has arrived. `rest`: a longer file header, and the size after a tag. */
  #part: 'head' | 'rest' | 'tag' | 'body' | 'nothing' = 'head';
  #octets = Buffer.allocUnsafe(FILE_HEAD_BYTES);
  #filled = 0;
  #skip = 0;
  #type = 0;
  #timestampMs = 0;

  /** @param maxBodyBytes - Largest body of a tag, 1–16,777,215. */
  constructor(handler: FlvReaderHandler, maxBodyBytes: number) {
    this.#handler = handler;
    this.#maxBodyBytes = maxBodyBytes;
  }

  /** Takes the next octets of the stream; they are copied. */
  push(octets: Uint8Array): void {
    for (let at = 0; at < octets.length && this.#part !== 'nothing'; ) {
      if (this.#part === 'rest') {
        const skipped = Math.min(this.#skip, octets.length - at);
        at += skipped;
        this.#skip -= skipped;
        if (this.#skip === 0) this.#expect('tag', TAG_HEAD_BYTES);
        continue;
      }
      const taken = Math.min(this.#octets.length - this.#filled, octets.length - at);
      this.#octets.set(octets.subarray(at, at + taken), this.#filled);
      at += taken;
      this.#filled += taken;
      if (this.#filled === this.#octets.length) this.#onPart();
    }
  }

  #onPart(): void {
    const bytes = this.#octets;
    if (this.#part === 'head') {
      const headBytes = bytes.readUInt32BE(5);
      if (bytes.toString('latin1', 0, 3) !== 'FLV' || headBytes < FILE_HEAD_BYTES) {
        this.#stop('flv-signature');
      } else this.#expectRest(headBytes - FILE_HEAD_BYTES + SIZE_BYTES);
    } else if (this.#part === 'tag') {
      const length = bytes.readUIntBE(1, 3);
      this.#type = bytes[0]! & 0x1f;
      this.#timestampMs = bytes.readUIntBE(4, 3) + bytes[7]! * 0x1000000;
      if (length > this.#maxBodyBytes) this.#stop('flv-oversize');
      else if (length > 0) this.#expect('body', length);
      else this.#onTag(Buffer.alloc(0));
    } else this.#onTag(bytes);
  }

  #onTag(body: Buffer): void {
    this.#expectRest(SIZE_BYTES);
    this.#handler.onTag({ type: this.#type, timestampMs: this.#timestampMs, body });
  }

  #expect(part: 'tag' | 'body', bytes: number): void {
    this.#part = part;
    this.#filled = 0;
    this.#octets = Buffer.allocUnsafe(bytes);
  }

  #expectRest(bytes: number): void {
    this.#part = 'rest';
    this.#skip = bytes;
  }

  #stop(fault: FlvFault): void {
    this.#part = 'nothing';
    this.#handler.onFault(fault);
  }
}
