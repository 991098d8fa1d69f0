// The stages of the media path and the wire formats, each usable alone: for your own peers, tests and measurements.
// Less stable than the main door.

export type { TickerOptions, TickSource } from './ticker.ts';
export { AAC_FRAME_SAMPLES, AAC_SILENCE, AdtsReader, monoAacFormat } from './codec/aac.ts';
export type { AacFormat, AdtsReaderHandler } from './codec/aac.ts';
export { splitAnnexB } from './codec/annex-b.ts';
export { VIDEO_CLOCK_RATE_HZ } from './codec/codec.ts';
export type { AudioCodecFacts, G711Codec } from './codec/codec.ts';
export { NAL_HEADROOM_BYTES } from './codec/frame.ts';
export type {
  FlvTagRole,
  H264AccessUnit,
  H264Picture,
  MediaFrame,
  MediaKind,
  RtpPacket,
  Vp8Frame,
} from './codec/frame.ts';
export { recoveryFrameCount } from './codec/h264-sei.ts';
export {
  beginsPicture,
  decodeAvcConfiguration,
  encodeAvcConfiguration,
  isPictureNal,
  NAL_TYPE,
  nalType,
  unescapeNal,
} from './codec/h264.ts';
export type { SequenceParameters } from './codec/h264.ts';
export { AUDIO_STEP_MS, audioSilence } from './codec/silence.ts';
export { isVp8KeyFrame, parseVp8FrameTag } from './codec/vp8.ts';
export type { Vp8FrameTag } from './codec/vp8.ts';
export { amf0Object, decodeAmf0, EcmaArray, encodeAmf0, MAX_AMF0_DEPTH } from './flv/amf0.ts';
export type { Amf0Fault, Amf0Value } from './flv/amf0.ts';
export type { FlvAudioCodec } from './flv/audio-tag.ts';
export {
  ENHANCED_CODEC_ID,
  enhancedOpusHeader,
  enhancedOpusTag,
  enhancedVp8Header,
  enhancedVp8Tag,
} from './flv/enhanced-tags.ts';
export { FlvReader } from './flv/flv-file.ts';
export type { FlvFault, FlvFileTag, FlvReaderHandler } from './flv/flv-file.ts';
export { FlvMuxer } from './flv/flv-muxer.ts';
export type { FlvMuxerOptions, VideoFormat } from './flv/flv-muxer.ts';
export {
  AudioDepacketizer,
  audioDurationMs,
  MAX_AUDIO_PAYLOAD_BYTES,
} from './rtp/audio-depacketizer.ts';
export type { AudioFault, AudioUnit, PressedKey } from './rtp/audio-depacketizer.ts';
export { AudioPacketizer } from './rtp/audio-packetizer.ts';
export type { AudioLine, AudioPacketizerOptions } from './rtp/audio-packetizer.ts';
export { BlackVideo } from './rtp/black-video.ts';
export type { BlackVideoLine, BlackVideoOptions } from './rtp/black-video.ts';
export type { Depacketizer, RtpCodec } from './rtp/depacketizer.ts';
export { DtmfDecoder, DtmfSequence } from './rtp/dtmf.ts';
export type { DtmfOptions, DtmfStep } from './rtp/dtmf.ts';
export {
  H264Depacketizer,
  MAX_FRAGMENTS_PER_NAL,
  MAX_FRAME_BYTES,
  MAX_NALUS_PER_ACCESS_UNIT,
} from './rtp/h264-depacketizer.ts';
export type {
  H264Fault,
  H264LeftOut,
  H264ParameterSet,
  H264Unit,
} from './rtp/h264-depacketizer.ts';
export { JITTER_BUFFER_SLOTS, JitterBuffer } from './rtp/jitter-buffer.ts';
export type { JitterBufferOptions, JitterBufferStats, JitterGap } from './rtp/jitter-buffer.ts';
export { JitterDelay } from './rtp/jitter-delay.ts';
export type { DelayRange } from './rtp/jitter-delay.ts';
export { KeyFrameRequester } from './rtp/key-frame-requester.ts';
export type {
  KeyFrameMethod,
  KeyFrameRequesterOptions,
  KeyFrameStats,
} from './rtp/key-frame-requester.ts';
export { NackRequester } from './rtp/nack-requester.ts';
export type { NackRequesterOptions, NackStats } from './rtp/nack-requester.ts';
export type { PortPoolOptions } from './rtp/port-pool.ts';
export { ReceptionLine } from './rtp/reception-line.ts';
export type { ReceptionLineOptions, ReceptionLineStats } from './rtp/reception-line.ts';
export { ReceptionStats } from './rtp/reception-stats.ts';
export { decodeRtcp, encodeRtcp, MAX_RTCP_PACKETS, ntpMs, unixToNtp } from './rtp/rtcp.ts';
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
} from './rtp/rtcp.ts';
export type { RtpRemote } from './rtp/rtp-remote.ts';
export { openRtpSession } from './rtp/rtp-session.ts';
export type {
  RtpSession,
  RtpSessionHandler,
  RtpSessionOptions,
  RtpSessionStats,
} from './rtp/rtp-session.ts';
export { decodeRtp, encodeRtp, isRtcp } from './rtp/rtp.ts';
export type { RtpFault, RtpFields } from './rtp/rtp.ts';
export type { SoundSource } from './codec/sound-source.ts';
export { SourceLatch } from './rtp/source-latch.ts';
export type { KnownStream, SourceLatchOptions } from './rtp/source-latch.ts';
export { SRTP_SALT_BYTES, SrtpSession } from './rtp/srtp.ts';
export type { SrtpFault, SrtpSuite } from './rtp/srtp.ts';
export { MAX_PACKETS_PER_VP8_FRAME, Vp8Depacketizer } from './rtp/vp8-depacketizer.ts';
export type { Vp8Fault, Vp8Unit } from './rtp/vp8-depacketizer.ts';
export { ArrivalDelay } from './sync/arrival-delay.ts';
export { AudioTimeline } from './sync/audio-timeline.ts';
export type { AudioTimelineOptions, AudioTimelineStats } from './sync/audio-timeline.ts';
export { DecodeTimestamps, MAX_REORDER_FRAMES } from './sync/decode-timestamps.ts';
export { KeyFrameGate } from './sync/key-frame-gate.ts';
export type { KeyFrameCause, KeyFrameGateOptions } from './sync/key-frame-gate.ts';
export { SyncClock } from './sync/sync-clock.ts';
export type { SyncClockOptions } from './sync/sync-clock.ts';
export {
  ChunkReader,
  ChunkWriter,
  DEFAULT_CHUNK_BYTES,
  MAX_CHUNK_BYTES,
  MAX_CHUNK_STREAMS,
} from './rtmp/chunk.ts';
export type { ChunkFault, ChunkMessage, ChunkReaderHandler } from './rtmp/chunk.ts';
export { CongestionGate } from './rtmp/congestion-gate.ts';
export type { CongestionGateOptions } from './rtmp/congestion-gate.ts';
export type { MayConnect } from './rtmp/guarded-lookup.ts';
export {
  ClientHandshake,
  findHandshakeDigest,
  HANDSHAKE_BYTES,
  handshakeSignature,
  signHandshakePacket,
} from './rtmp/handshake.ts';
export type { HandshakeParty, HandshakeStep } from './rtmp/handshake.ts';
export { MAX_RTMP_BODY_BYTES } from './rtmp/link.ts';
export { redactRtmpUrl, resolveRtmpUrl } from './rtmp/url.ts';
export type { RtmpUrl } from './rtmp/url.ts';
export type {
  FfmpegCapabilities,
  FfmpegDecoding,
  FfmpegEncoding,
  FfmpegWanted,
} from './ffmpeg/binary.ts';
export type { FileSoundHandler, FileSoundOptions } from './ffmpeg/file-sound.ts';
export { LiveSound } from './ffmpeg/live-sound.ts';
export type { LiveSoundHandler, LiveSoundOptions, LiveSoundStats } from './ffmpeg/live-sound.ts';
export type { VideoSource } from './ffmpeg/transcoder.ts';
export { openFfmpegVideo, VIDEO_PRESETS } from './ffmpeg/video-transcoder.ts';
export type { FfmpegVideoOptions, VideoPreset } from './ffmpeg/video-transcoder.ts';
export type { EnhancedMedia } from './output/output-form.ts';
export { OutputSet } from './output/output-set.ts';
export { RTMP_TARGETS, rtmpTargetOf } from './output/rtmp-targets.ts';
export type { RtmpTarget } from './output/rtmp-targets.ts';
export type { SoundReplacementHandler } from './output/sound-replacement.ts';
export type { LocalMedia } from './session/media-session.ts';
export type { ReceivedMediaStats } from './session/media-stats.ts';
export type { ConnectAudio } from './session/peer-sound.ts';
