export { AAC_FRAME_SAMPLES, AdtsReader } from './aac.ts';
export type { AacFormat, AdtsReaderHandler } from './aac.ts';
export { amf0Object, decodeAmf0, EcmaArray, encodeAmf0, MAX_AMF0_DEPTH } from './amf0.ts';
export type { Amf0Fault, Amf0Value } from './amf0.ts';
export { AUDIO_CODECS, VIDEO_CLOCK_RATE_HZ } from './codec.ts';
export type { AudioCodec, AudioCodecFacts, G711Codec, VideoCodec } from './codec.ts';
export { CongestionGate } from './congestion-gate.ts';
export type { CongestionGateOptions } from './congestion-gate.ts';
export { MediaError, RtmpError } from './errors.ts';
export type { MediaErrorCode, RtmpErrorCode } from './errors.ts';
export { formatFlvHeader, formatFlvTag, readFlvTags } from './flv-file.ts';
export type { FlvFileTag } from './flv-file.ts';
export { NAL_HEADROOM_BYTES } from './frame.ts';
export type {
  AudioFrame,
  FlvTag,
  FlvTagRole,
  H264AccessUnit,
  MediaFrame,
  MediaKind,
  RtpPacket,
  Sink,
  VideoFrame,
  Vp8Frame,
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
export { AudioTimeline } from './audio-timeline.ts';
export type { AudioTimelineOptions, AudioTimelineStats } from './audio-timeline.ts';
export type { Depacketizer, DepacketizerHandler, RtpCodec } from './depacketizer.ts';
export { AudioDepacketizer, MAX_AUDIO_PAYLOAD_BYTES } from './depacketizer-audio.ts';
export type { AudioDepacketizerHandler, AudioFault } from './depacketizer-audio.ts';
export {
  H264Depacketizer,
  MAX_FRAGMENTS_PER_NAL,
  MAX_FRAME_BYTES,
  MAX_NALUS_PER_ACCESS_UNIT,
} from './depacketizer-h264.ts';
export type { H264DepacketizerHandler, H264Fault } from './depacketizer-h264.ts';
export { DtmfDecoder, DtmfSequence } from './dtmf.ts';
export type { DtmfOptions, DtmfStep } from './dtmf.ts';
export {
  beginsPicture,
  decodeSpropParameterSets,
  encodeAvcConfiguration,
  isPictureNal,
  NAL_TYPE,
  nalType,
  parseSps,
  unescapeNal,
} from './h264.ts';
export type { SequenceParameters } from './h264.ts';
export { JITTER_BUFFER_SLOTS, JitterBuffer } from './jitter-buffer.ts';
export type { JitterBufferOptions, JitterBufferStats, JitterGap } from './jitter-buffer.ts';
export { KeyFrameGate } from './key-frame-gate.ts';
export type { KeyFrameCause } from './key-frame-gate.ts';
export { KeyFrameRequester } from './key-frame-requester.ts';
export type { KeyFrameMethod, KeyFrameRequesterOptions } from './key-frame-requester.ts';
export { AudioPacketizer, G711_STEP, g711Silence } from './packetizer-audio.ts';
export type { AudioLine, AudioPacketizerOptions } from './packetizer-audio.ts';
export { PortPool } from './port-pool.ts';
export type { PortPoolOptions } from './port-pool.ts';
export { ReceptionStats } from './reception-stats.ts';
export { decodeRtcp, encodeRtcp, MAX_RTCP_PACKETS, ntpMs, unixToNtp } from './rtcp.ts';
export type {
  ApplicationPacket,
  Bye,
  FullIntraRequest,
  Nack,
  OtherRtcp,
  PictureLoss,
  ReceiverReport,
  ReportBlock,
  RtcpCompound,
  RtcpFault,
  RtcpPacket,
  SenderReport,
  SourceDescription,
} from './rtcp.ts';
export { decodeRtp, encodeRtp, isRtcp } from './rtp.ts';
export type { RtpFault, RtpFields } from './rtp.ts';
export { openRtpSession } from './rtp-session.ts';
export type {
  RtpRemote,
  RtpSession,
  RtpSessionHandler,
  RtpSessionOptions,
  RtpSessionStats,
} from './rtp-session.ts';
export { SourceLatch } from './source-latch.ts';
export { SyncClock } from './sync-clock.ts';
export type { SyncClockOptions } from './sync-clock.ts';
export { Ticker } from './ticker.ts';
export type { TickerOptions, TickSource } from './ticker.ts';
export { FlvMuxer } from './flv.ts';
export type { FlvMuxerOptions, VideoFormat } from './flv.ts';
export { openMediaSession } from './media-session.ts';
export type {
  LocalMedia,
  MediaSession,
  MediaSessionHandler,
  MediaSessionOptions,
  MediaStats,
  NegotiatedMedia,
  NegotiatedMedium,
  ReceivedMediaStats,
} from './media-session.ts';
export { OutputSet } from './output-set.ts';
export type { StreamOutput } from './output-set.ts';
export { openFfmpegTranscoders } from './transcoder-ffmpeg.ts';
export type { FfmpegOptions, FfmpegTranscoders } from './transcoder-ffmpeg.ts';
export type {
  AudioTranscoder,
  AudioTranscoderHandler,
  AudioTranscoderStats,
  OpenAudioTranscoder,
} from './transcoder.ts';
