export { AAC_FRAME_SAMPLES, AAC_SILENCE, AdtsReader, monoAacFormat } from './aac.ts';
export type { AacFormat, AdtsReaderHandler } from './aac.ts';
export { annexB, splitAnnexB } from './annex-b.ts';
export { amf0Object, decodeAmf0, EcmaArray, encodeAmf0, MAX_AMF0_DEPTH } from './amf0.ts';
export type { Amf0Fault, Amf0Value } from './amf0.ts';
export { AUDIO_CODECS, VIDEO_CLOCK_RATE_HZ } from './codec.ts';
export type { AudioCodec, AudioCodecFacts, G711Codec, VideoCodec } from './codec.ts';
export { CongestionGate } from './congestion-gate.ts';
export type { CongestionGateOptions } from './congestion-gate.ts';
export { MediaError, RtmpError } from './errors.ts';
export type { MediaErrorCode, RtmpErrorCode } from './errors.ts';
export {
  ENHANCED_CODEC_ID,
  enhancedOpusHeader,
  enhancedOpusTag,
  enhancedVp8Header,
  enhancedVp8Tag,
} from './flv-enhanced.ts';
export { FlvReader, formatFlvHeader, formatFlvTag, readFlvTags } from './flv-file.ts';
export type { FlvFault, FlvFileTag, FlvReaderHandler } from './flv-file.ts';
export { FlvRecorder } from './flv-recorder.ts';
export type { FlvRecorderHandler, FlvRecorderOptions, FlvRecording } from './flv-recorder.ts';
export { remuxToMp4 } from './remux.ts';
export { FlvViewer } from './flv-viewer.ts';
export type { FlvViewerHandler, FlvViewerStats, FlvViewerTarget } from './flv-viewer.ts';
export { NAL_HEADROOM_BYTES } from './frame.ts';
export type {
  AudioFrame,
  FlvTag,
  FlvTagRole,
  H264AccessUnit,
  H264Picture,
  MediaFrame,
  MediaKind,
  RtpPacket,
  Sink,
  StreamAudio,
  StreamVideo,
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
export type { RtmpCapabilities, RtmpEnhancedMode } from './rtmp-capabilities.ts';
export type {
  RtmpPublisher,
  RtmpPublisherHandler,
  RtmpPublisherOptions,
  RtmpPublisherStats,
  RtmpTlsOptions,
} from './rtmp-contract.ts';
export {
  ClientHandshake,
  findHandshakeDigest,
  HANDSHAKE_BYTES,
  handshakeSignature,
  signHandshakePacket,
} from './rtmp-handshake.ts';
export type { HandshakeParty, HandshakeStep } from './rtmp-handshake.ts';
export { MAX_RTMP_BODY_BYTES } from './rtmp-link.ts';
export { openRtmpPublisher } from './rtmp-publisher.ts';
export { adviseRtmpTarget, RTMP_TARGETS, rtmpTargetOf } from './rtmp-targets.ts';
export type { RtmpTarget, RtmpTargetAdvice } from './rtmp-targets.ts';
export { parseRtmpUrl, redactRtmpUrl, resolveRtmpUrl } from './rtmp-url.ts';
export type { RtmpUrl } from './rtmp-url.ts';
export { ArrivalDelay } from './arrival-delay.ts';
export { BlackVideo } from './black-video.ts';
export type { BlackVideoLine, BlackVideoOptions } from './black-video.ts';
export { AudioTimeline } from './audio-timeline.ts';
export type { AudioTimelineOptions, AudioTimelineStats } from './audio-timeline.ts';
export type { Depacketizer, DepacketizerHandler, RtpCodec } from './depacketizer.ts';
export {
  AudioDepacketizer,
  audioDurationMs,
  MAX_AUDIO_PAYLOAD_BYTES,
} from './depacketizer-audio.ts';
export type { AudioDepacketizerHandler, AudioFault } from './depacketizer-audio.ts';
export {
  H264Depacketizer,
  MAX_FRAGMENTS_PER_NAL,
  MAX_FRAME_BYTES,
  MAX_NALUS_PER_ACCESS_UNIT,
} from './depacketizer-h264.ts';
export type { H264DepacketizerHandler, H264Fault } from './depacketizer-h264.ts';
export { DecodeTimestamps, MAX_REORDER_FRAMES } from './decode-timestamps.ts';
export { MAX_PACKETS_PER_VP8_FRAME, Vp8Depacketizer } from './depacketizer-vp8.ts';
export type { Vp8Fault } from './depacketizer-vp8.ts';
export { DtmfDecoder, DtmfSequence } from './dtmf.ts';
export type { DtmfOptions, DtmfStep } from './dtmf.ts';
export {
  beginsPicture,
  decodeAvcConfiguration,
  decodeSpropParameterSets,
  encodeAvcConfiguration,
  isPictureNal,
  NAL_TYPE,
  nalType,
  parseSps,
  unescapeNal,
} from './h264.ts';
export type { MayConnect } from './guarded-lookup.ts';
export { recoveryFrameCount } from './h264-sei.ts';
export type { SequenceParameters } from './h264.ts';
export { JITTER_BUFFER_SLOTS, JitterBuffer } from './jitter-buffer.ts';
export type { JitterBufferOptions, JitterBufferStats, JitterGap } from './jitter-buffer.ts';
export { JitterDelay } from './jitter-delay.ts';
export type { DelayRange } from './jitter-delay.ts';
export { KeyFrameGate } from './key-frame-gate.ts';
export type { KeyFrameCause, KeyFrameGateOptions } from './key-frame-gate.ts';
export { KeyFrameRequester } from './key-frame-requester.ts';
export type {
  KeyFrameMethod,
  KeyFrameRequesterOptions,
  KeyFrameStats,
} from './key-frame-requester.ts';
export { NackRequester } from './nack-requester.ts';
export type { NackRequesterOptions, NackStats } from './nack-requester.ts';
export { AudioPacketizer } from './packetizer-audio.ts';
export type { AudioLine, AudioPacketizerOptions } from './packetizer-audio.ts';
export { PortPool } from './port-pool.ts';
export type { PortPoolOptions } from './port-pool.ts';
export { ReceptionLine } from './reception-line.ts';
export type { ReceptionLineOptions, ReceptionLineStats } from './reception-line.ts';
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
export type { RtpSession } from './rtp-session.ts';
export type {
  RtpRemote,
  RtpSessionHandler,
  RtpSessionOptions,
  RtpSessionStats,
} from './rtp-session-contract.ts';
export { AUDIO_STEP_MS, audioSilence } from './silence.ts';
export { openFileSound } from './sound-file.ts';
export type { FileSoundHandler, FileSoundOptions } from './sound-file.ts';
export { LiveSound } from './sound-live.ts';
export type { LiveSoundHandler, LiveSoundOptions, LiveSoundStats } from './sound-live.ts';
export type { SoundSource } from './sound-source.ts';
export { SourceLatch } from './source-latch.ts';
export type { SourceLatchOptions } from './source-latch.ts';
export { SyncClock } from './sync-clock.ts';
export type { SyncClockOptions } from './sync-clock.ts';
export { Ticker } from './ticker.ts';
export type { TickerOptions, TickSource } from './ticker.ts';
export { FlvMuxer, silencedTag } from './flv.ts';
export type { FlvAudioCodec, FlvMuxerOptions, VideoFormat } from './flv.ts';
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
} from './media-contract.ts';
export type { ConnectAudio } from './peer-sound.ts';
export { enhancedForm } from './output-form.ts';
export type { EnhancedMedia, OutputForm } from './output-form.ts';
export type { SessionTranscoders } from './rendition.ts';
export { OutputSet } from './output-set.ts';
export type { Output, OutputContents } from './output.ts';
export { FrameStream } from './frame-stream.ts';
export type {
  FrameStreamHandler,
  FrameStreamMedia,
  FrameStreamOptions,
  PictureTimes,
} from './frame-stream.ts';
export type { StreamFigures, StreamSource } from './stream-source.ts';
export { findFfmpeg } from './ffmpeg-binary.ts';
export type {
  FfmpegBinary,
  FfmpegCapabilities,
  FfmpegDecoding,
  FfmpegEncoding,
  FfmpegWanted,
} from './ffmpeg-binary.ts';
export { openFfmpegTranscoders } from './transcoder-ffmpeg.ts';
export type { FfmpegOptions, FfmpegTranscoders } from './transcoder-ffmpeg.ts';
export type {
  AudioTranscoder,
  AudioTranscoderHandler,
  TranscoderStats,
  OpenAudioTranscoder,
  OpenVideoTranscoder,
  VideoSource,
  VideoTranscoder,
  VideoTranscoderHandler,
} from './transcoder.ts';
export { openFfmpegVideo, VIDEO_PRESETS } from './transcoder-ffmpeg-video.ts';
export type { FfmpegVideoOptions, VideoPreset } from './transcoder-ffmpeg-video.ts';
export { isVp8KeyFrame, parseVp8FrameTag } from './vp8.ts';
export type { Vp8FrameTag } from './vp8.ts';
export { newSrtpKey, SRTP_SALT_BYTES, SRTP_SUITES, SrtpSession } from './srtp.ts';
export type { SrtpFault, SrtpKeys, SrtpSuite } from './srtp.ts';
