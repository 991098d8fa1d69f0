// The contract of transcoders. One implementation is in transcoder-ffmpeg.ts; an embedder may bring another.

import type { AacFormat } from './aac.ts';
import type { MediaError } from './errors.ts';
import type { AudioFrame } from './frame.ts';

/** What a transcoder tells its owner, asynchronously, never after `close()`. */
export interface AudioTranscoderHandler {
  /** Before the first frame, and before the first one after a change. */
  onFormat(format: AacFormat): void;
  /**
   * One AAC-LC frame without header, ours to keep.
   * @param mediaTimeMs - Of its first sample, the encoder's delay taken out; never decreases.
   */
  onFrame(frame: Uint8Array, mediaTimeMs: number): void;
  /** It has given up. At most once, last. */
  onFailed(error: MediaError): void;
}

/** Counters of a transcoder. */
export interface AudioTranscoderStats {
  readonly framesIn: number;
  readonly framesOut: number;
  /** Frames that were left out since the transcoder was too slow or being started again. */
  readonly framesDropped: number;
  /** Times it was started again after a crash or a hang. */
  readonly restarts: number;
  /** Share of one processor core that it uses, 0–1, more for several threads; null where this cannot be told. */
  readonly load: number | null;
}

/** G.711 in, mono AAC-LC out. */
export interface AudioTranscoder {
  readonly stats: AudioTranscoderStats;
  /**
   * Takes the next frame; frames come back to back in media time, as from an `AudioTimeline`. Must not throw or block.
   * @param mediaTimeMs - Of its first sample.
   */
  push(frame: AudioFrame, mediaTimeMs: number): void;
  /** Ends it; what is still inside is lost. Idempotent. */
  close(): void;
}

/** Makes one transcoder for one call. */
export type OpenAudioTranscoder = (handler: AudioTranscoderHandler) => AudioTranscoder;
