export { amf0Object, decodeAmf0, EcmaArray, encodeAmf0, MAX_AMF0_DEPTH } from './amf0.ts';
export type { Amf0Fault, Amf0Value } from './amf0.ts';
export { CongestionGate } from './congestion-gate.ts';
export type { CongestionGateOptions } from './congestion-gate.ts';
export { MediaError, RtmpError } from './errors.ts';
export type { MediaErrorCode, RtmpErrorCode } from './errors.ts';
export { formatFlvHeader, formatFlvTag, readFlvTags } from './flv-file.ts';
export type { FlvFileTag } from './flv-file.ts';
export type {
  AudioCodec,
  AudioFrame,
  FlvTag,
  FlvTagRole,
  H264AccessUnit,
  MediaFrame,
  MediaKind,
  RtpPacket,
  Sink,
} from './frame.ts';
export {
  ChunkReader,
  ChunkWriter,
  DEFAULT_CHUNK_BYTES,
  MAX_CHUNK_BYTES,
  MAX_CHUNK_STREAMS,
} from './rtmp-chunk.ts';
export type { ChunkFault, ChunkReaderHandler, RtmpMessage } from './rtmp-chunk.ts';
export { ClientHandshake, HANDSHAKE_BYTES } from './rtmp-handshake.ts';
export type { HandshakeStep } from './rtmp-handshake.ts';
export { MAX_RTMP_BODY_BYTES, openRtmpPublisher } from './rtmp-publisher.ts';
export type {
  RtmpPublisher,
  RtmpPublisherHandler,
  RtmpPublisherOptions,
  RtmpPublisherStats,
} from './rtmp-publisher.ts';
export { parseRtmpUrl, redactRtmpUrl } from './rtmp-url.ts';
export type { RtmpUrl } from './rtmp-url.ts';
