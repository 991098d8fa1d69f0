// RTMP messages as values, and their encoding for the chunk stream (Adobe RTMP 1.0 §5.4, §7.1). No other file in this
// folder knows the octets of a message, except `chunk.ts`, which obeys Set Chunk Size and Abort.

import { decodeAmf0Prefix, encodeAmf0 } from '../flv/amf0.ts';
import type { Amf0Fault, Amf0Value } from '../flv/amf0.ts';
import type { FlvTag } from '../codec/frame.ts';
import type { ChunkMessage } from './chunk.ts';

/** A command (§7.2), in AMF0. */
export interface RtmpCommand {
  readonly kind: 'command';
  /** 0: the connection. */
  readonly streamId: number;
  readonly name: string;
  /** 0: no answer is expected. `undefined`: a received command without one; never sent. */
  readonly transaction: number | undefined;
  /** The command object, or `null`, and then the arguments. */
  readonly values: readonly Amf0Value[];
}

/** A protocol control message (§5.4). `bytes` and `sequence` are u32. */
type RtmpControl =
  | { readonly kind: 'set-chunk-size'; readonly bytes: number }
  | { readonly kind: 'acknowledgement'; readonly sequence: number }
  | { readonly kind: 'window-acknowledgement-size'; readonly bytes: number }
  /** PingRequest and PingResponse (§7.1.7); `id` is u32, and an answer repeats it. */
  | { readonly kind: 'ping-request'; readonly id: number }
  | { readonly kind: 'ping-response'; readonly id: number };

/** A message that a publisher sends or understands. For media see {@link encodeTag}. */
export type RtmpMessage = RtmpControl | RtmpCommand;

/** Message types (§5.4, §7.1). */
const TYPE = {
  setChunkSize: 1,
  acknowledgement: 3,
  userControl: 4,
  windowAcknowledgementSize: 5,
  video: 9,
  amf3Command: 17,
  data: 18,
  command: 20,
} as const;
/** User control events (§7.1.7). */
const EVENT = { pingRequest: 6, pingResponse: 7 } as const;
/** §5.4: reserved for protocol control messages. */
const CONTROL_CHUNK_STREAM = 2;
const COMMAND_CHUNK_STREAM = 3;
const CHUNK_STREAM_OF_TAG = { 8: 4, 9: 6, 18: 5 } as const;
/** Precedes metadata: the server keeps it for players that join later. */
const SET_DATA_FRAME = encodeAmf0('@setDataFrame');

/** Encodes a message for the chunk stream. */
export function encodeMessage(message: RtmpMessage): ChunkMessage {
  if (message.kind === 'command') {
    const { streamId, name, transaction, values } = message;
    return {
      chunkStreamId: COMMAND_CHUNK_STREAM,
      type: TYPE.command,
      streamId,
      timestampMs: 0,
      payload: encodeAmf0(name, transaction, ...values),
    };
  }
  if (message.kind === 'ping-request') return userControl(EVENT.pingRequest, message.id);
  if (message.kind === 'ping-response') return userControl(EVENT.pingResponse, message.id);
  if (message.kind === 'acknowledgement')
    return control(TYPE.acknowledgement, u32(message.sequence));
  if (message.kind === 'set-chunk-size') return control(TYPE.setChunkSize, u32(message.bytes));
  return control(TYPE.windowAcknowledgementSize, u32(message.bytes));
}

/**
 * Encodes a tag for the chunk stream. Only the body of metadata is copied. The hot path.
 * @param timestampMs - On the connection's time base.
 */
export function encodeTag(tag: FlvTag, streamId: number, timestampMs: number): ChunkMessage {
  return {
    chunkStreamId: CHUNK_STREAM_OF_TAG[tag.type],
    type: tag.type,
    streamId,
    timestampMs,
    payload: tag.type === TYPE.data ? Buffer.concat([SET_DATA_FRAME, tag.body]) : tag.body,
  };
}

/**
 * Decodes a received message.
 * @returns `undefined` for messages that a publisher ignores, and for truncated control messages; a fault for a command
 * that cannot be decoded.
 */
export function decodeMessage({
  type,
  streamId,
  payload,
}: ChunkMessage): RtmpMessage | Amf0Fault | undefined {
  switch (type) {
    case TYPE.setChunkSize:
      return payload.length < 4 ? undefined : { kind: 'set-chunk-size', bytes: u32At(payload, 0) };
    case TYPE.acknowledgement:
      if (payload.length < 4) return undefined;
      return { kind: 'acknowledgement', sequence: u32At(payload, 0) };
    case TYPE.windowAcknowledgementSize:
      if (payload.length < 4) return undefined;
      return { kind: 'window-acknowledgement-size', bytes: u32At(payload, 0) };
    case TYPE.userControl:
      return payload.length < 6 ? undefined : decodePing(payload);
    case TYPE.command:
      return decodeCommand(payload, streamId);
    case TYPE.amf3Command:
      // The first octet is the form of the values; 0, as every server sends it: AMF0.
      return payload[0] === 0 ? decodeCommand(payload.subarray(1), streamId) : undefined;
    default:
      return undefined;
  }
}

function decodePing(payload: Uint8Array): RtmpControl | undefined {
  const event = view(payload).readUInt16BE(0);
  const id = u32At(payload, 2);
  if (event === EVENT.pingRequest) return { kind: 'ping-request', id };
  return event === EVENT.pingResponse ? { kind: 'ping-response', id } : undefined;
}

function decodeCommand(payload: Uint8Array, streamId: number): RtmpCommand | Amf0Fault {
  const { values: decoded, fault } = decodeAmf0Prefix(payload);
  // Servers add values of their own types behind the ones that matter, e.g. in AMF3: what stands before them counts.
  if (fault !== undefined && fault !== 'amf0-unknown-type') return fault;
  const [name, transaction, ...values] = decoded;
  return {
    kind: 'command',
    streamId,
    name: typeof name === 'string' ? name : '',
    transaction: typeof transaction === 'number' ? transaction : undefined,
    values,
  };
}

function control(type: number, payload: Uint8Array): ChunkMessage {
  return { chunkStreamId: CONTROL_CHUNK_STREAM, type, streamId: 0, timestampMs: 0, payload };
}

function userControl(event: number, value: number): ChunkMessage {
  const payload = Buffer.allocUnsafe(6);
  payload.writeUInt16BE(event, 0);
  payload.writeUInt32BE(value, 2);
  return control(TYPE.userControl, payload);
}

function u32(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(4);
  bytes.writeUInt32BE(value, 0);
  return bytes;
}

function u32At(bytes: Uint8Array, at: number): number {
  return view(bytes).readUInt32BE(at);
}

/** The same octets as a Buffer. */
function view(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}
