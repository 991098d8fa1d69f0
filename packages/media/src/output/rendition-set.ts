// The renditions of one stream: one for each form in use, all fed with the same frames.

import type { AudioFrame, VideoFrame } from '../codec/frame.ts';
import type { VideoFormat } from '../flv/flv-muxer.ts';
import type { Output } from './output.ts';
import { enhancedForm, sameForm } from './output-form.ts';
import type { OutputForm } from './output-form.ts';
import { ParameterSets } from '../codec/parameter-sets.ts';
import { Rendition, requireTranscoders } from './rendition.ts';
import type { AacFrame, ExpectedMedia, RenditionOptions, RenditionStats } from './rendition.ts';

/** What the renditions report. */
export interface RenditionSetHandler {
  /** An encoder needs a key frame to continue. */
  onKeyFrameWanted(): void;
  /** A rendition shows a frozen picture: pictures that refer to others are useless now. */
  onFrozen(): void;
  /** An output has thrown, and was removed. */
  onOutputFailed(error: unknown): void;
  /** An encoder of the first form has failed. Failures of other forms end only their outputs. */
  onFailure(error: unknown): void;
}

/** Passes each frame to every rendition. */
export class RenditionSet {
  /** Parameter sets of the stream, for renditions that start later. */
  readonly parameterSets: ParameterSets = new ParameterSets();
  readonly #options: Omit<RenditionOptions, 'form'>;
  readonly #handler: RenditionSetHandler;
  readonly #renditions: Rendition[] = [];
  #expected: ExpectedMedia | undefined;

  /** @param form - The first form, created at once: its failures are those of the stream. */
  constructor(
    form: OutputForm,
    options: Omit<RenditionOptions, 'form'>,
    handler: RenditionSetHandler,
  ) {
    this.#options = options;
    this.#handler = handler;
    this.of(form);
  }

  /** From the first form that knows it; forms with idle encoders do not. */
  get outputCount(): number {
    return this.#renditions.reduce((sum, { outputCount }) => sum + outputCount, 0);
  }

  /** Of the stream. */
  get video(): VideoFormat | undefined {
    return this.#renditions.find((one) => one.video)?.video;
  }

  /** Figures of the first form; encoder figures of the first form that has any. */
  get stats(): RenditionStats & { readonly framesWithoutParameterSets: number } {
    const all = this.#renditions.map((one) => one.stats);
    const first = this.#renditions[0]!;
    return {
      ...all[0]!,
      audio: all.find((one) => one.audio)?.audio ?? null,
      video: all.find((one) => one.video)?.video ?? null,
      framesWithoutParameterSets: first.framesWithoutParameterSets,
    };
  }

  /** The rendition of a form, created on first use. @throws MediaError `TRANSCODING_DISABLED` */
  of(wanted: OutputForm): Rendition {
    const form = this.#reduced(wanted);
    const known = this.#find(form);
    if (known) return known;
    const rendition: Rendition = new Rendition(
      { ...this.#options, form },
      {
        onKeyFrameWanted: () => this.#handler.onKeyFrameWanted(),
        onFrozen: () => this.#handler.onFrozen(),
        onOutputFailed: (error) => this.#handler.onOutputFailed(error),
        onFailure: (error) => {
          if (rendition === this.#renditions[0]) this.#handler.onFailure(error);
        },
      },
    );
    if (this.#expected) {
      rendition.expect(this.#expected);
      rendition.setParameterSets(this.parameterSets.nalus);
    }
    this.#renditions.push(rendition);
    return rendition;
  }

  /** Format of the pictures in this form; undefined if the form is not in use or has no pictures. */
  videoOf(form: OutputForm): VideoFormat | undefined {
    return this.#find(this.#reduced(form))?.video;
  }

  /**
   * Removes distinctions without effect: as long as there is no VP8 and no Opus, one encoder serves outputs that accept
   * them and outputs that do not. If they appear later, they are encoded for both, so only if there are encoders.
   */
  #reduced(form: OutputForm): OutputForm {
    const { openAudio, openVideo } = this.#options.transcoders ?? {};
    if (!form.enhanced || !this.#expected || !openAudio || !openVideo) return form;
    const { audio, video } = this.#expected;
    const { vp8, opus } = form.enhanced;
    return enhancedForm(form, { vp8: vp8 && video === 'vp8', opus: opus && audio === 'opus' });
  }

  #find(form: OutputForm): Rendition | undefined {
    return this.#renditions.find((one) => sameForm(one.form, form));
  }

  /** Sets the expected media, for all renditions or none: rethrows an error of a rendition after restoring the others. */
  expect(media: ExpectedMedia): void {
    for (const { form } of this.#renditions) this.#require(form, media);
    const before = this.#renditions.map((rendition) => rendition.expected);
    try {
      for (const rendition of this.#renditions) rendition.expect(media);
    } catch (error) {
      // The encoders needed for that are free again.
      for (const [index, rendition] of this.#renditions.entries()) rendition.expect(before[index]!);
      throw error;
    }
    this.#expected = media;
  }

  #require(form: OutputForm, media: ExpectedMedia): void {
    requireTranscoders(form, media, this.#options.transcoders);
  }

  setParameterSets(nalus: readonly Uint8Array[]): void {
    for (const nalu of nalus) this.parameterSets.push(nalu);
    for (const rendition of this.#renditions) rendition.setParameterSets(nalus);
  }

  pushAudio(frame: AudioFrame | AacFrame, timeMs: number): void {
    for (const rendition of this.#renditions) rendition.pushAudio(frame, timeMs);
  }

  pushVideo(frame: VideoFrame, timeMs: number, compositionMs: number): void {
    for (const rendition of this.#renditions) rendition.pushVideo(frame, timeMs, compositionMs);
  }

  tick(streamNowMs: number): void {
    for (const rendition of this.#renditions) rendition.tick(streamNowMs);
  }

  remove(output: Output): void {
    for (const rendition of this.#renditions) rendition.remove(output);
  }

  /** Drains the encoders to the outputs. */
  async finish(): Promise<void> {
    await Promise.all(this.#renditions.map((rendition) => rendition.finish()));
  }

  /** Closes every encoder; removes outputs and pictures. */
  close(): void {
    for (const rendition of this.#renditions) rendition.close();
  }
}
