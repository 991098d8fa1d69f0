// FLV tags of Enhanced RTMP v2 for VP8 and Opus, one track. For servers that announced support (`RtmpCapabilities`).
//
//  video  1 frame-type(3) packet-type(4) | FourCC(4) | body    audio  9(4) packet-type(4) | FourCC(4) | body

import type { FlvTag, Vp8Frame } from '../codec/frame.ts';
import { parseVp8FrameTag } from '../codec/vp8.ts';

/** FourCC of VP8 and Opus on the wire. */
export const FOURCC = { vp8: 'vp08', opus: 'Opus' } as const;

const IS_EX_HEADER = 0x80;
const FRAME_TYPE = { key: 1, inter: 2 } as const;
const EX_AUDIO = 0x90;
/** The same numbers in both media. */
const PACKET_TYPE = { sequenceStart: 0, codedFrames: 1 } as const;
const HEAD_BYTES = 5;
/** RFC 7845 §5.1, with channel mapping family 0. */
const OPUS_HEAD_BYTES = 19;
const OPUS_RATE_HZ = 48_000;

/** `videocodecid` and `audiocodecid` of `onMetaData`: the FourCC as a big-endian number. */
export const ENHANCED_CODEC_ID: Readonly<Record<'vp8' | 'opus', number>> = {
  vp8: Buffer.from(FOURCC.vp8, 'latin1').readUInt32BE(0),
  opus: Buffer.from(FOURCC.opus, 'latin1').readUInt32BE(0),
};

/**
 * Starts a VP8 stream; sent again when the picture size changes.
 *
 * @param keyFrame - The key frame that follows.
 * @returns `undefined` when its header cannot be parsed.
 */
export function enhancedVp8Header(keyFrame: Vp8Frame, timestampMs: number): FlvTag | undefined {
  const head = parseVp8FrameTag(keyFrame.payload);
  if (!head?.isKeyFrame) return undefined;
  // VPCodecConfigurationRecord ("VP Codec ISO Media File Format Binding" §2.3), without the version and flags of the box
  // around it: profile, level 0 (VP8 has none), 8 bit, 4:2:0, colours unspecified, no initialization data.
  const record = [head.version, 0, 0x82, 2, 2, 2, 0, 0];
  const body = videoBody(FRAME_TYPE.key, PACKET_TYPE.sequenceStart, Uint8Array.from(record));
  return { type: 9, timestampMs, body, role: 'sequence-header' };
}

/** One VP8 picture. It has no composition time. */
export function enhancedVp8Tag(frame: Vp8Frame, timestampMs: number): FlvTag {
  const { isKeyFrame, payload } = frame;
  const frameType = isKeyFrame ? FRAME_TYPE.key : FRAME_TYPE.inter;
  const body = videoBody(frameType, PACKET_TYPE.codedFrames, payload);
  return { type: 9, timestampMs, body, role: isKeyFrame ? 'key-frame' : 'inter-frame' };
}

/**
 * Starts an Opus stream.
 *
 * @param channels - Of the decoder's output. Default 2, as in RTP (RFC 7587 §7): each packet states its own channels.
 */
export function enhancedOpusHeader(timestampMs: number, channels: 1 | 2 = 2): FlvTag {
  const head = Buffer.alloc(OPUS_HEAD_BYTES);
  head.write('OpusHead', 'latin1');
  head[8] = 1;
  head[9] = channels;
  // No pre-skip: we join in the middle of a stream. No gain.
  head.writeUInt32LE(OPUS_RATE_HZ, 12);
  const body = audioBody(PACKET_TYPE.sequenceStart, head);
  return { type: 8, timestampMs, body, role: 'sequence-header' };
}

/** One Opus packet, as it came in RTP. */
export function enhancedOpusTag(packet: Uint8Array, timestampMs: number): FlvTag {
  const body = audioBody(PACKET_TYPE.codedFrames, packet);
  return { type: 8, timestampMs, body, role: 'audio' };
}

/** Whether this is an audio tag with Opus in it. */
export function isEnhancedOpusTag({ type, body }: FlvTag): boolean {
  return (
    type === 8 &&
    body[0] === (EX_AUDIO | PACKET_TYPE.codedFrames) &&
    Buffer.from(body.buffer, body.byteOffset, body.length).toString('latin1', 1, 5) === FOURCC.opus
  );
}

function videoBody(frameType: number, packetType: number, payload: Uint8Array): Buffer {
  return withHead(IS_EX_HEADER | (frameType << 4) | packetType, FOURCC.vp8, payload);
}

function audioBody(packetType: number, payload: Uint8Array): Buffer {
  return withHead(EX_AUDIO | packetType, FOURCC.opus, payload);
}

function withHead(first: number, fourCc: string, payload: Uint8Array): Buffer {
  const body = Buffer.allocUnsafe(HEAD_BYTES + payload.length);
  body[0] = first;
  body.write(fourCc, 1, 'latin1');
  body.set(payload, HEAD_BYTES);
  return body;
}
