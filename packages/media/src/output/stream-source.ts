// A stream as its outputs see it, whether a call's or one of the user's own: the contract.

import type { AudioCodec, VideoCodec } from '../codec/codec.ts';
import type { Sink, StreamAudio, StreamVideo } from '../codec/frame.ts';
import type { Output, OutputContents } from './output.ts';
import type { OutputForm } from './output-form.ts';

/** What is known of a stream's media; `null` where nothing came. */
export interface StreamFigures {
  /** As they come from the source. */
  readonly audioCodec: AudioCodec | 'aac' | null;
  readonly videoCodec: VideoCodec | null;
  readonly width: number | null;
  readonly height: number | null;
  readonly fps: number | null;
  /** Of both media, as received. */
  readonly bitrateBps: number | null;
}

/** Where outputs get their tags from. */
export interface StreamSource {
  /** In which outputs get it that want nothing else. */
  readonly form: OutputForm;
  /**
   * Somebody will want this form of the stream soon: its encoders run until the last that prepared them lets go.
   * @param onFailed - An encoder has given up. That of a call's own form ends the call, too.
   * @returns what lets go, once.
   * @throws what the encoders throw when they are opened; MediaError `TRANSCODING_DISABLED`, `CLOSED`.
   */
  prepare(form: OutputForm, onFailed?: (error: unknown) => void): () => void;
  /**
   * From the newest key frame on, or the next one, which is asked for; metadata and sequence header go before it.
   * @param form - Default: the stream's own. Prepared by the caller.
   */
  addOutput(output: Output, form?: OutputForm): void;
  /** It gets nothing any more. */
  removeOutput(output: Output): void;
  /** Which media outputs in this form get at present, silent tracks included. */
  contents(form: OutputForm): OutputContents;
  /** Size of the pictures that outputs in this form get; `null` while unknown. */
  pictureSize(form: OutputForm): { readonly width: number; readonly height: number } | null;
  /** Asks the source for a key frame; throttled. */
  requestKeyFrame(): void;
  /**
   * Asks the source for a key frame whenever the last one is so old; the shortest wish counts.
   * @param everyMs - At least 1,000.
   * @returns what ends the wish, once.
   */
  wantKeyFrames(everyMs: number): () => void;
  /**
   * The sound, from now on: of a call gap-free, of whatever codec it has.
   * @returns what ends it.
   */
  tapAudio(sink: Sink<StreamAudio>): () => void;
  /**
   * The pictures, from now on, as they came: ask for a key frame to begin with.
   * @returns what ends it.
   */
  tapVideo(sink: Sink<StreamVideo>): () => void;
  /**
   * Its owner has ended it: nothing new is taken, and what is still on its way, in encoders too, reaches the outputs. Resolves
   * when it has, half a second later at the latest. Never rejects.
   */
  finish(): Promise<void>;
  /** What is known at present. */
  figures(): StreamFigures;
}
