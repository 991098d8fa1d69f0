// The contract of transcoders. One implementation is in transcoder-ffmpeg.ts and transcoder-ffmpeg-video.ts; an
// embedder may bring another.

import type { AacFormat } from '../codec/aac.ts';
import type { VideoCodec } from '../codec/codec.ts';
import type { MediaError } from '../errors.ts';
import type { AudioFrame, H264Picture, VideoFrame } from '../codec/frame.ts';

/** What a transcoder tells its owner, asynchronously, never after `close()`. */
export interface AudioTranscoderHandler {
  /** Before the first frame, and before the first one after a change. */
  onFormat(format: AacFormat): void;
  /**
   * One AAC-LC frame without header, ours to keep.
   * @param mediaTimeMs - Of its first sample, the delays of both codecs taken out; never decreases. The first may be some
   *   milliseconds before that of the first frame pushed.
   */
  onFrame(frame: Uint8Array, mediaTimeMs: number): void;
  /** It has given up. At most once, last. */
  onFailed(error: MediaError): void;
}

/** Counters of a transcoder, and its load. */
export interface TranscoderStats {
  readonly framesIn: number;
  readonly framesOut: number;
  /** Frames that were left out since the transcoder was too slow or being started again. */
  readonly framesDropped: number;
  /** Times it was started again after a crash or a hang. */
  readonly restarts: number;
  /** Share of one processor core that it uses, 0–1, more for several threads; null where this cannot be told. */
  readonly load: number | null;
}

/** Any audio codec in, mono AAC-LC out. */
export interface AudioTranscoder {
  readonly stats: TranscoderStats;
  /**
   * Takes the next frame; frames come back to back in media time, as from an `AudioTimeline`; their codec may change. Must not
   * throw or block.
   * @param mediaTimeMs - Of its first sample.
   */
  push(frame: AudioFrame, mediaTimeMs: number): void;
  /**
   * There is no more to come: what is still inside comes out, then `onDone` is called, once. `close()` follows, perhaps before
   * that. Default: what is inside is lost.
   */
  finish?(onDone: () => void): void;
  /** Ends it; what is still inside is lost. Idempotent. */
  close(): void;
}

/** Makes one transcoder for one call. */
export type OpenAudioTranscoder = (handler: AudioTranscoderHandler) => AudioTranscoder;

/** What a video transcoder tells its owner. Never after `close()`. */
export interface VideoTranscoderHandler {
  /**
   * One picture, ours to keep; key frames with their SPS and PPS, so that each can be the first one of an output. No
   * picture is reordered.
   * @param mediaTimeMs - Its presentation, the encoder's delay taken out; never decreases.
   */
  onFrame(picture: H264Picture, mediaTimeMs: number): void;
  /**
   * Pictures are dropped until the next key frame: at the start, after a crash, after a congestion. Called for each of
   * them, also from within `push`, and at each new start: the owner asks the sender, and throttles.
   */
  onKeyFrameWanted(): void;
  /** It has given up. At most once, last. */
  onFailed(error: MediaError): void;
}

/** Any video codec in; H.264 that every player can decode out, with a key frame every two seconds at least. */
export interface VideoTranscoder {
  readonly stats: TranscoderStats;
  /**
   * Takes the next picture, in decoding order. Must not throw or block.
   * @param mediaTimeMs - When it is to be shown.
   */
  push(frame: VideoFrame, mediaTimeMs: number): void;
  /** See {@link AudioTranscoder.finish}. */
  finish?(onDone: () => void): void;
  /** Ends it; what is still inside is lost. Idempotent. */
  close(): void;
}

/** What a video transcoder will be given. */
export interface VideoSource {
  readonly codec: VideoCodec;
  /** H.264: SPS and PPS of the session description, where there are any. */
  readonly parameterSets?: readonly Uint8Array[];
}

/** Makes one transcoder for the video of one call. */
export type OpenVideoTranscoder = (
  source: VideoSource,
  handler: VideoTranscoderHandler,
) => VideoTranscoder;
