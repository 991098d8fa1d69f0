// The RTMP chunk stream in both directions (Adobe RTMP 1.0 §5.3), without sockets.
//
//  basic header   fmt(2) csid(6) | 0 + csid-64 | 1 + csid-64 little-endian
//  fmt 0: timestamp(3) length(3) type(1) stream id(4, little-endian)
//  fmt 1: delta(3) length(3) type(1)      fmt 2: delta(3)      fmt 3: nothing
//  extended timestamp(4) after it when the 3-octet field is 0xFFFFFF, on continuation chunks as well

/** One message as the chunk stream carries it; `message.ts` says what it means. */
export interface ChunkMessage {
  /** 2–65,599; 2 is for protocol control. */
  readonly chunkStreamId: number;
  /** Message type id, e.g. 8 audio, 9 video, 18 AMF0 data, 20 AMF0 command. */
  readonly type: number;
  readonly streamId: number;
  /** Milliseconds; a writer takes any number ≥ 0 and sends it modulo 2³². */
  readonly timestampMs: number;
  readonly payload: Uint8Array;
}

/** Why a peer's chunk stream cannot be read any further. */
export type ChunkFault =
  | 'rtmp-chunk-size'
  | 'rtmp-message-too-large'
  | 'rtmp-too-many-chunk-streams'
  | 'rtmp-too-much-unfinished'
  | 'rtmp-chunk-without-header';

/** Chunk size before any Set Chunk Size (§5.4.1). */
export const DEFAULT_CHUNK_BYTES = 128;
/** Larger chunk sizes count as this: a message cannot be larger (§5.4.1). Servers announce up to 2³¹ − 1. */
export const MAX_CHUNK_BYTES = 0xffffff;
/** Limit of chunk streams per peer; real ones use fewer than ten. */
export const MAX_CHUNK_STREAMS = 64;
/** Limit of octets in unfinished messages, over all chunk streams, as a multiple of the longest message. */
const MAX_UNFINISHED_MESSAGES = 2;

const EXTENDED = 0xffffff;
const SET_CHUNK_SIZE = 1;
const ABORT = 2;

interface Outgoing {
  timestampMs: number;
  length: number;
  type: number;
  streamId: number;
}

/** Cuts messages into chunks. Copies no payload: the output is headers and views. */
export class ChunkWriter {
  readonly #streams = new Map<number, Outgoing>();
  #chunkBytes = DEFAULT_CHUNK_BYTES;

  /** Takes effect for the next message: send Set Chunk Size with the old size first. */
  setChunkSize(bytes: number): void {
    this.#chunkBytes = bytes;
  }

  /**
   * Appends the message's chunks to `out`.
   * @returns The octets appended.
   */
  write(message: ChunkMessage, out: Uint8Array[]): number {
    const { chunkStreamId, type, streamId, payload } = message;
    const last = this.#streams.get(chunkStreamId);
    const delta = last ? message.timestampMs - last.timestampMs : -1;
    // A delta works only forwards, below the escape value, and on the same message stream.
    const useDelta =
      last !== undefined && last.streamId === streamId && delta >= 0 && delta < EXTENDED;
    const time = useDelta ? delta : message.timestampMs % 0x1_0000_0000;
    const extended = time >= EXTENDED;
    const basicBytes = chunkStreamId < 64 ? 1 : chunkStreamId < 320 ? 2 : 3;
    const header = Buffer.allocUnsafe(basicBytes + (useDelta ? 7 : 11) + (extended ? 4 : 0));
    let at = writeBasicHeader(header, useDelta ? 1 : 0, chunkStreamId);
    at = header.writeUIntBE(extended ? EXTENDED : time, at, 3);
    at = header.writeUIntBE(payload.length, at, 3);
    at = header.writeUInt8(type, at);
    if (!useDelta) at = header.writeUInt32LE(streamId, at);
    if (extended) header.writeUInt32BE(time, at);
    if (last) {
      last.timestampMs = message.timestampMs;
      last.length = payload.length;
      last.type = type;
      last.streamId = streamId;
    } else {
      const { timestampMs } = message;
      this.#streams.set(chunkStreamId, { timestampMs, length: payload.length, type, streamId });
    }
    out.push(header);
    let written = header.length + payload.length;
    if (payload.length <= this.#chunkBytes) {
      if (payload.length > 0) out.push(payload);
      return written;
    }
    out.push(payload.subarray(0, this.#chunkBytes));
    const next = Buffer.allocUnsafe(basicBytes + (extended ? 4 : 0));
    writeBasicHeader(next, 3, chunkStreamId);
    if (extended) next.writeUInt32BE(time, basicBytes);
    for (let from = this.#chunkBytes; from < payload.length; from += this.#chunkBytes) {
      out.push(next, payload.subarray(from, from + this.#chunkBytes));
      written += next.length;
    }
    return written;
  }
}

function writeBasicHeader(header: Buffer, format: number, chunkStreamId: number): number {
  if (chunkStreamId < 64) {
    header[0] = (format << 6) | chunkStreamId;
    return 1;
  }
  if (chunkStreamId < 320) {
    header[0] = format << 6;
    header[1] = chunkStreamId - 64;
    return 2;
  }
  header[0] = (format << 6) | 1;
  return header.writeUInt16LE(chunkStreamId - 64, 1);
}

/** Receives what a {@link ChunkReader} finds. */
export interface ChunkReaderHandler {
  /** Once per message, Set Chunk Size and Abort included (the reader has obeyed them already). */
  onMessage(message: ChunkMessage): void;
  /** At most once, as the last call: close the connection. */
  onFault(fault: ChunkFault): void;
}

interface Incoming {
  timestampMs: number;
  /** The 32-bit field of the last header: absolute (format 0) or a delta. */
  delta: number;
  extended: boolean;
  length: number;
  type: number;
  streamId: number;
  payload: Buffer | undefined;
  received: number;
}

const HEADER_BYTES = [11, 7, 3, 0] as const;
const MAX_HEADER_BYTES = 3 + 11 + 4;

/** Assembles messages from chunks. Feed it received octets in pieces of any size. */
export class ChunkReader {
  readonly #handler: ChunkReaderHandler;
  readonly #maxMessageBytes: number;
  readonly #streams = new Map<number, Incoming>();
  /** Octets of an incomplete header. */
  readonly #header = Buffer.alloc(MAX_HEADER_BYTES);
  #headerLength = 0;
  #chunkBytes = DEFAULT_CHUNK_BYTES;
  /** The chunk whose payload is being read, and how much of it is missing. */
  #current: Incoming | undefined;
  #currentId = 0;
  #missing = 0;
  /** Octets reserved for unfinished messages. */
  #unfinishedBytes = 0;
  #dead = false;

  /** @param maxMessageBytes - A longer message is a fault, found before its octets are stored. */
  constructor(maxMessageBytes: number, handler: ChunkReaderHandler) {
    this.#maxMessageBytes = maxMessageBytes;
    this.#handler = handler;
  }

  /** Takes the next octets. */
  push(octets: Uint8Array): void {
    let at = 0;
    while (!this.#dead && at < octets.length) {
      if (this.#current) {
        at = this.#readPayload(this.#current, octets, at);
        continue;
      }
      this.#header[this.#headerLength++] = octets[at++] as number;
      // A header is at most 18 octets, and most chunks are far longer: one octet at a time costs little.
      if (this.#headerLength === this.#neededHeaderBytes()) this.#beginChunk();
    }
  }

  #basicBytes(): number {
    const low = (this.#header[0] as number) & 0x3f;
    return low === 0 ? 2 : low === 1 ? 3 : 1;
  }

  #chunkStreamId(): number {
    const low = (this.#header[0] as number) & 0x3f;
    if (low === 0) return 64 + (this.#header[1] as number);
    if (low === 1) return 64 + this.#header.readUInt16LE(1);
    return low;
  }

  #neededHeaderBytes(): number {
    const basic = this.#basicBytes();
    if (this.#headerLength < basic) return basic;
    const format = (this.#header[0] as number) >> 6;
    const plain = basic + (HEADER_BYTES[format] as number);
    if (this.#headerLength < plain) return plain;
    const extended =
      format === 3
        ? this.#streams.get(this.#chunkStreamId())?.extended === true
        : this.#header.readUIntBE(basic, 3) === EXTENDED;
    return plain + (extended ? 4 : 0);
  }

  #beginChunk(): void {
    const basic = this.#basicBytes();
    const format = (this.#header[0] as number) >> 6;
    const id = this.#chunkStreamId();
    let stream = this.#streams.get(id);
    if (!stream) {
      if (format !== 0) return this.#fail('rtmp-chunk-without-header');
      if (this.#streams.size >= MAX_CHUNK_STREAMS) return this.#fail('rtmp-too-many-chunk-streams');
      stream = {
        timestampMs: 0,
        delta: 0,
        extended: false,
        length: 0,
        type: 0,
        streamId: 0,
        payload: undefined,
        received: 0,
      };
      this.#streams.set(id, stream);
    }
    if (format !== 3) {
      const field = this.#header.readUIntBE(basic, 3);
      stream.extended = field === EXTENDED;
      const time = stream.extended ? this.#header.readUInt32BE(this.#headerLength - 4) : field;
      if (format < 2) {
        stream.length = this.#header.readUIntBE(basic + 3, 3);
        stream.type = this.#header[basic + 6] as number;
      }
      if (format === 0) {
        stream.streamId = this.#header.readUInt32LE(basic + 7);
        stream.timestampMs = time;
        stream.delta = 0;
      } else {
        stream.delta = time;
      }
      // A header in the middle of a message discards the received part.
      this.#abandon(stream);
    }
    if (!stream.payload) {
      if (stream.length > this.#maxMessageBytes) return this.#fail('rtmp-message-too-large');
      if (this.#unfinishedBytes + stream.length > MAX_UNFINISHED_MESSAGES * this.#maxMessageBytes)
        return this.#fail('rtmp-too-much-unfinished');
      this.#unfinishedBytes += stream.length;
      if (format !== 0) stream.timestampMs = (stream.timestampMs + stream.delta) % 0x1_0000_0000;
      stream.payload = Buffer.allocUnsafe(stream.length);
      stream.received = 0;
    }
    this.#headerLength = 0;
    this.#current = stream;
    this.#currentId = id;
    this.#missing = Math.min(this.#chunkBytes, stream.length - stream.received);
    if (this.#missing === 0) this.#endChunk(stream);
  }

  #readPayload(stream: Incoming, octets: Uint8Array, at: number): number {
    const taken = Math.min(this.#missing, octets.length - at);
    stream.payload?.set(octets.subarray(at, at + taken), stream.received);
    stream.received += taken;
    this.#missing -= taken;
    if (this.#missing === 0) this.#endChunk(stream);
    return at + taken;
  }

  #endChunk(stream: Incoming): void {
    this.#current = undefined;
    if (stream.received < stream.length || !stream.payload) return;
    const { payload, type, streamId, timestampMs } = stream;
    this.#abandon(stream);
    if (type === SET_CHUNK_SIZE && payload.length >= 4) {
      const bytes = payload.readUInt32BE(0);
      if (bytes < 1) return this.#fail('rtmp-chunk-size');
      this.#chunkBytes = Math.min(bytes, MAX_CHUNK_BYTES);
    } else if (type === ABORT && payload.length >= 4) {
      const aborted = this.#streams.get(payload.readUInt32BE(0));
      if (aborted) this.#abandon(aborted);
    }
    this.#handler.onMessage({
      chunkStreamId: this.#currentId,
      type,
      streamId,
      timestampMs,
      payload,
    });
  }

  #abandon(stream: Incoming): void {
    this.#unfinishedBytes -= stream.payload?.length ?? 0;
    stream.payload = undefined;
  }

  #fail(fault: ChunkFault): void {
    this.#dead = true;
    this.#handler.onFault(fault);
  }
}
