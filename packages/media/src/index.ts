// The public API: sessions, streams, outputs, encoders. The stages below are in `@sipcast/media/wire`.

export { MediaError, RtmpError } from './errors.ts';
export type { MediaErrorCode, RtmpErrorCode } from './errors.ts';
export { Ticker } from './ticker.ts';
export { annexB } from './codec/annex-b.ts';
export { AUDIO_CODECS } from './codec/codec.ts';
export type { AudioCodec, VideoCodec } from './codec/codec.ts';
export type {
  AudioFrame,
  FlvTag,
  Sink,
  StreamAudio,
  StillPicture,
  StreamVideo,
  VideoFrame,
} from './codec/frame.ts';
export { decodeSpropParameterSets, parseSps } from './codec/h264.ts';
export { formatFlvHeader, formatFlvTag, readFlvTags } from './flv/flv-file.ts';
export { PortPool } from './rtp/port-pool.ts';
export { newSrtpKey, SRTP_SUITES } from './rtp/srtp.ts';
export type { SrtpKeys } from './rtp/srtp.ts';
export type { RtmpCapabilities, RtmpEnhancedMode } from './rtmp/capabilities.ts';
export { openRtmpPublisher } from './rtmp/publication.ts';
export { Mp4Recorder } from './mp4/mp4-recorder.ts';
export type { Mp4RecorderHandler } from './mp4/mp4-recorder.ts';
export { HlsPackager } from './hls/hls-packager.ts';
export type { HlsFile, HlsPackagerHandler, HlsPackagerOptions } from './hls/hls-packager.ts';
export { takeSnapshot } from './snapshot/snapshot.ts';
export type { SnapshotOptions } from './snapshot/snapshot.ts';
export { openSrtPublisher } from './srt/publisher.ts';
export type { SrtPublisherOptions } from './srt/publisher.ts';
export { parseSrtUrl } from './srt/url.ts';
export type { SrtUrl } from './srt/url.ts';
export type {
  RtmpPublisher,
  RtmpPublisherHandler,
  RtmpPublisherOptions,
  RtmpPublisherStats,
  RtmpTlsOptions,
} from './rtmp/publisher.ts';
export { parseRtmpUrl } from './rtmp/url.ts';
export { findFfmpeg } from './ffmpeg/binary.ts';
export type { FfmpegBinary } from './ffmpeg/binary.ts';
export { openFileSound } from './ffmpeg/file-sound.ts';
export { openFfmpegTranscoders } from './ffmpeg/open-transcoders.ts';
export type { FfmpegOptions, FfmpegTranscoders } from './ffmpeg/open-transcoders.ts';
export type {
  AudioTranscoder,
  AudioTranscoderHandler,
  OpenAudioTranscoder,
  OpenVideoTranscoder,
  TranscoderStats,
  VideoTranscoder,
  VideoTranscoderHandler,
} from './ffmpeg/transcoder.ts';
export { AudioOverride } from './output/audio-override.ts';
export { FlvRecorder } from './output/flv-recorder.ts';
export type {
  FlvRecorderHandler,
  FlvRecorderOptions,
  FlvRecording,
} from './output/flv-recorder.ts';
export { FlvViewer } from './output/flv-viewer.ts';
export type { FlvViewerHandler, FlvViewerStats, FlvViewerTarget } from './output/flv-viewer.ts';
export { enhancedForm } from './output/output-form.ts';
export type { OutputForm } from './output/output-form.ts';
export type { Output, OutputContents, OutputOptions } from './output/output.ts';
export type { SessionTranscoders } from './output/rendition.ts';
export { adviseRtmpTarget } from './output/rtmp-targets.ts';
export type { RtmpTargetAdvice } from './output/rtmp-targets.ts';
export type { OpenSound } from './output/sound-replacement.ts';
export type { StreamFigures, StreamSource } from './output/stream-source.ts';
export { FrameStream } from './session/frame-stream.ts';
export type {
  FrameStreamHandler,
  FrameStreamMedia,
  FrameStreamOptions,
  PictureTimes,
} from './session/frame-stream.ts';
export { openMediaSession } from './session/media-session.ts';
export type {
  MediaSession,
  MediaSessionHandler,
  MediaSessionOptions,
} from './session/media-session.ts';
export type { MediaProblem } from './session/media-problems.ts';
export type { MediaStats } from './session/media-stats.ts';
export type { NegotiatedMedia, NegotiatedMedium } from './session/negotiated-media.ts';
