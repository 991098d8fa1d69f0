// The hub of a stream: frames from its source in, tags and frames out to everything attached. The only StreamSource:
// a call's session and a stream of application-supplied frames both own one.

import { MediaError } from '../errors.ts';
import { annexB } from '../codec/annex-b.ts';
import type {
  AudioFrame,
  Sink,
  StillPicture,
  StreamAudio,
  StreamVideo,
  VideoFrame,
} from '../codec/frame.ts';
import type { ParameterSets } from '../codec/parameter-sets.ts';
import type { VideoFormat } from '../flv/flv-muxer.ts';
import { FrameTaps } from './frame-taps.ts';
import { KeyFrameWishes } from './key-frame-wishes.ts';
import type { Output, OutputContents, OutputOptions } from './output.ts';
import type { OutputForm } from './output-form.ts';
import { RenditionSet } from './rendition-set.ts';
import type { AacFrame, ExpectedMedia, RenditionOptions, RenditionStats } from './rendition.ts';
import type { StreamFigures, StreamSource } from './stream-source.ts';

/** What a hub needs from its source. */
export interface StreamHubDeps {
  /** Requests a key frame. Called often: the source throttles. */
  requestKeyFrame(): void;
  /** Sets how often outputs want a key frame at least; undefined: not at all. */
  setKeyFramePeriod(everyMs: number | undefined): void;
  /** A frozen picture is shown: pictures that refer to others are useless before the next key frame. */
  onFrozen(): void;
  /** An output or a tap has thrown, and was removed. */
  onOutputFailed(error: unknown): void;
  /** An encoder of the stream's own form has failed. Failures of other forms end only their outputs. */
  onFailure(error: unknown): void;
  /** Figures of the media, as received. */
  figures(): Omit<StreamFigures, 'width' | 'height'>;
  /** Ends the source, which pushes everything it still holds before this returns. */
  finish(): Promise<void>;
}

/** Passes each frame to every rendition and every tap. There is one rendition for each form that outputs want. */
export class StreamHub implements StreamSource {
  readonly form: OutputForm;
  readonly #deps: StreamHubDeps;
  readonly #renditions: RenditionSet;
  readonly #taps: FrameTaps;
  readonly #keyFrameWishes: KeyFrameWishes;
  #closed = false;
  #keyFrame: VideoFrame | undefined;

  constructor(options: RenditionOptions, deps: StreamHubDeps) {
    const { form, ...others } = options;
    this.form = form;
    this.#deps = deps;
    this.#renditions = new RenditionSet(form, others, {
      onKeyFrameWanted: () => deps.requestKeyFrame(),
      onFrozen: () => deps.onFrozen(),
      onOutputFailed: (error) => deps.onOutputFailed(error),
      onFailure: (error) => deps.onFailure(error),
    });
    this.#taps = new FrameTaps((error) => deps.onOutputFailed(error));
    this.#keyFrameWishes = new KeyFrameWishes((leastMs) => deps.setKeyFramePeriod(leastMs));
  }

  // Outputs: see StreamSource.

  prepare(form: OutputForm, onFailed?: (error: unknown) => void): () => void {
    if (this.#closed) throw new MediaError('CLOSED', 'The stream is closed');
    return this.#renditions.of(form).hold(onFailed);
  }

  addOutput(output: Output, form: OutputForm = this.form, options?: OutputOptions): void {
    this.#renditions.of(form).add(output, options);
    this.requestKeyFrame();
  }

  removeOutput(output: Output): void {
    this.#renditions.remove(output);
  }

  contents(form: OutputForm): OutputContents {
    return this.#renditions.of(form).contents;
  }

  pictureSize(form: OutputForm): { readonly width: number; readonly height: number } | null {
    return this.#renditions.videoOf(form) ?? null;
  }

  get stillPicture(): StillPicture | null {
    const frame = this.#keyFrame;
    if (!frame) return null;
    const { arrivalMs } = frame;
    if (frame.codec === 'vp8') return { codec: 'vp8', octets: frame.payload, arrivalMs };
    const { nalus } = this.#renditions.parameterSets;
    return { codec: 'h264', octets: annexB([...nalus, ...frame.nalus]), arrivalMs };
  }

  requestKeyFrame(): void {
    this.#deps.requestKeyFrame();
  }

  wantKeyFrames(everyMs: number): () => void {
    return this.#keyFrameWishes.add(everyMs);
  }

  tapAudio(sink: Sink<StreamAudio>): () => void {
    return this.#taps.addAudio(sink);
  }

  tapVideo(sink: Sink<StreamVideo>): () => void {
    return this.#taps.addVideo(sink);
  }

  figures(): StreamFigures {
    const { width = null, height = null } = this.#renditions.video ?? {};
    return { ...this.#deps.figures(), width, height };
  }

  async finish(): Promise<void> {
    const ending = this.#deps.finish();
    await Promise.all([ending, this.#renditions.finish()]);
  }

  // The source.

  /** Attached outputs, of all forms. */
  get outputCount(): number {
    return this.#renditions.outputCount;
  }

  /** Parameter sets of the stream, for outputs that start later. */
  get parameterSets(): ParameterSets {
    return this.#renditions.parameterSets;
  }

  /** Size and profile of the pictures; undefined while unknown. */
  get video(): VideoFormat | undefined {
    return this.#renditions.video;
  }

  /** Figures of the encoders. */
  get stats(): RenditionStats & { readonly framesWithoutParameterSets: number } {
    return this.#renditions.stats;
  }

  /** Sets the expected media. @throws as `RenditionSet.expect`, without any change. */
  expect(media: ExpectedMedia): void {
    this.#renditions.expect(media);
  }

  /** Takes parameter sets, including those from outside access units. */
  setParameterSets(nalus: readonly Uint8Array[]): void {
    this.#renditions.setParameterSets(nalus);
  }

  /** Takes one audio frame at its time: back to back; AAC may have holes. */
  pushAudio(frame: AudioFrame | AacFrame, timeMs: number): void {
    this.#renditions.pushAudio(frame, timeMs);
    this.#taps.pushAudio(frame, timeMs);
  }

  /** Takes one picture in decoding order; `compositionMs`: how long after decoding it is shown. */
  pushVideo(frame: VideoFrame, timeMs: number, compositionMs: number): void {
    if (frame.isKeyFrame) this.#keyFrame = frame;
    this.#renditions.pushVideo(frame, timeMs, compositionMs);
    this.#taps.pushVideo(frame, timeMs, compositionMs);
  }

  /** Call it about every 20 ms. */
  tick(streamNowMs: number): void {
    this.#renditions.tick(streamNowMs);
  }

  /** Closes the encoders; removes outputs, taps and pictures. Idempotent. */
  close(): void {
    this.#closed = true;
    this.#keyFrame = undefined;
    this.#taps.clear();
    this.#renditions.close();
  }
}
