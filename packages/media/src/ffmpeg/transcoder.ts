// The contract of transcoders. `audio-transcoder.ts` and `video-transcoder.ts` implement it by ffmpeg; an embedder may
// supply others.

import type { AacFormat } from '../codec/aac.ts';
import type { VideoCodec } from '../codec/codec.ts';
import type { MediaError } from '../errors.ts';
import type { AudioFrame, H264Picture, VideoFrame } from '../codec/frame.ts';

/** What a transcoder reports, asynchronously, never after `close()`. */
export interface AudioTranscoderHandler {
  /** Before the first frame, and before the first one after a change. */
  onFormat(format: AacFormat): void;
  /**
   * One AAC-LC frame without header. The receiver may keep it.
   * @param mediaTimeMs - Time of its first sample, without the delays of both codecs; never decreases. The first may be some
   *   milliseconds before that of the first frame pushed.
   */
  onFrame(frame: Uint8Array, mediaTimeMs: number): void;
  /** It has given up. At most once, as the last call. */
  onFailed(error: MediaError): void;
}

/** Counters of a transcoder, and its load. */
export interface TranscoderStats {
  readonly framesIn: number;
  readonly framesOut: number;
  /** Frames dropped because the transcoder was too slow or restarting. */
  readonly framesDropped: number;
  /** Number of restarts after a crash or a hang. */
  readonly restarts: number;
  /** Share of one processor core that it uses, 0–1, more for several threads; null where this is unknown. */
  readonly load: number | null;
}

/** Any audio codec in, mono AAC-LC out. */
export interface AudioTranscoder {
  readonly stats: TranscoderStats;
  /**
   * Takes the next frame; frames come back to back in media time, as from an `AudioTimeline`; their codec may change. Must not
   * throw or block.
   * @param mediaTimeMs - Time of its first sample.
   */
  push(frame: AudioFrame, mediaTimeMs: number): void;
  /**
   * The input has ended: the transcoder is drained, then `onDone` is called, once. `close()` follows, perhaps before
   * that. Default: the remaining output is lost.
   */
  finish?(onDone: () => void): void;
  /** Ends it; remaining output is lost. Idempotent. */
  close(): void;
}

/** Opens one transcoder for one call. */
export type OpenAudioTranscoder = (handler: AudioTranscoderHandler) => AudioTranscoder;

/** What a video transcoder reports. Never after `close()`. */
export interface VideoTranscoderHandler {
  /**
   * One picture, which the receiver may keep; key frames with their SPS and PPS, so that an output can start with each. No
   * picture is reordered.
   * @param mediaTimeMs - Its presentation, without the encoder's delay; never decreases.
   */
  onFrame(picture: H264Picture, mediaTimeMs: number): void;
  /**
   * Pictures are dropped until the next key frame: at the start, after a crash, after congestion. Called for each of
   * them, also from within `push`, and at each restart: request one from the sender, throttled.
   */
  onKeyFrameWanted(): void;
  /** It has given up. At most once, as the last call. */
  onFailed(error: MediaError): void;
}

/** Any video codec in; H.264 that every player can decode out, with a key frame every two seconds at least. */
export interface VideoTranscoder {
  readonly stats: TranscoderStats;
  /**
   * Takes the next picture, in decoding order. Must not throw or block.
   * @param mediaTimeMs - When it is shown.
   */
  push(frame: VideoFrame, mediaTimeMs: number): void;
  /** See {@link AudioTranscoder.finish}. */
  finish?(onDone: () => void): void;
  /** Ends it; remaining output is lost. Idempotent. */
  close(): void;
}

/** The input of a video transcoder. */
export interface VideoSource {
  readonly codec: VideoCodec;
  /** H.264: SPS and PPS of the session description, if any. */
  readonly parameterSets?: readonly Uint8Array[];
}

/** Opens one transcoder for the video of one call. */
export type OpenVideoTranscoder = (
  source: VideoSource,
  handler: VideoTranscoderHandler,
) => VideoTranscoder;
