// The contract of a stream as its outputs see it, whether of a call or supplied by an application.

import type { AudioCodec, VideoCodec } from '../codec/codec.ts';
import type { Sink, StillPicture, StreamAudio, StreamVideo } from '../codec/frame.ts';
import type { Output, OutputContents, OutputOptions } from './output.ts';
import type { OutputForm } from './output-form.ts';

/** Figures of a stream's media; `null` where nothing has arrived. */
export interface StreamFigures {
  /** Codecs as received from the source. */
  readonly audioCodec: AudioCodec | 'aac' | null;
  readonly videoCodec: VideoCodec | null;
  readonly width: number | null;
  readonly height: number | null;
  readonly fps: number | null;
  /** Sum of both media, as received. */
  readonly bitrateBps: number | null;
}

/** The source of tags for outputs. */
export interface StreamSource {
  /** The default form for outputs. */
  readonly form: OutputForm;
  /**
   * This form of the stream will be needed soon: its encoders run until every caller has released it.
   * @param onFailed - An encoder has failed. In a call's own form, that also ends the call.
   * @returns an idempotent release function.
   * @throws errors from opening encoders; MediaError `TRANSCODING_DISABLED`, `CLOSED`.
   */
  prepare(form: OutputForm, onFailed?: (error: unknown) => void): () => void;
  /**
   * Starts with the latest key frame, or the next one, which is requested; metadata and sequence headers precede it.
   * @param form - Default: the stream's own. Prepared by the caller.
   */
  addOutput(output: Output, form?: OutputForm, options?: OutputOptions): void;
  /** Stops the tags for an output. */
  removeOutput(output: Output): void;
  /** Which media outputs in this form currently receive, including silent tracks. */
  contents(form: OutputForm): OutputContents;
  /** Size of the pictures that outputs in this form receive; `null` while unknown. */
  pictureSize(form: OutputForm): { readonly width: number; readonly height: number } | null;
  /** The latest key frame with its parameter sets; `null` before the first. */
  readonly stillPicture: StillPicture | null;
  /** Requests a key frame from the source; throttled. */
  requestKeyFrame(): void;
  /**
   * Requests a key frame from the source whenever the last one is this old; the shortest wish counts.
   * @param everyMs - At least 1,000.
   * @returns an idempotent function that ends the wish.
   */
  wantKeyFrames(everyMs: number): () => void;
  /**
   * Delivers the sound from now on, in its own codec; from a call, without gaps.
   * @returns an idempotent function that removes the tap.
   */
  tapAudio(sink: Sink<StreamAudio>): () => void;
  /**
   * Delivers the pictures from now on, as received. Request a key frame to start with.
   * @returns an idempotent function that removes the tap.
   */
  tapVideo(sink: Sink<StreamVideo>): () => void;
  /**
   * Ends the stream: it takes nothing new, and everything still on its way, in encoders too, reaches the outputs. Resolves
   * after that, half a second later at the latest. Never rejects.
   */
  finish(): Promise<void>;
  /** Current figures. */
  figures(): StreamFigures;
}
