// The renditions of one stream: one for each form that somebody wants, all fed with the same frames.

import type { AudioFrame, VideoFrame } from '../codec/frame.ts';
import type { VideoFormat } from '../flv/flv-muxer.ts';
import type { Output } from './output.ts';
import { enhancedForm, sameForm } from './output-form.ts';
import type { OutputForm } from './output-form.ts';
import { ParameterSets } from '../codec/parameter-sets.ts';
import { Rendition, requireTranscoders } from './rendition.ts';
import type { AacFrame, ExpectedMedia, RenditionOptions, RenditionStats } from './rendition.ts';

/** What the renditions tell the stream's owner. */
export interface RenditionSetHandler {
  /** An encoder can only go on with a key frame. */
  onKeyFrameWanted(): void;
  /** A rendition shows a frozen picture: those that refer to others than it are no use from now on. */
  onFrozen(): void;
  /** An encoder of the first form has given up. What only some outputs wanted is the end of those alone. */
  onFailure(error: unknown): void;
}

/** Hands each frame to every rendition. */
export class RenditionSet {
  /** Of the stream, for renditions that begin later. */
  readonly parameterSets: ParameterSets = new ParameterSets();
  readonly #options: Omit<RenditionOptions, 'form'>;
  readonly #handler: RenditionSetHandler;
  readonly #renditions: Rendition[] = [];
  #expected: ExpectedMedia | undefined;

  /** @param form - The first one, made at once: its failures are those of the stream. */
  constructor(
    form: OutputForm,
    options: Omit<RenditionOptions, 'form'>,
    handler: RenditionSetHandler,
  ) {
    this.#options = options;
    this.#handler = handler;
    this.of(form);
  }

  /** Of the first form that knows it: those whose encoders rest do not. */
  get video(): VideoFormat | undefined {
    return this.#renditions.find((one) => one.video)?.video;
  }

  /** Of the first form; the encoders are those of the first form that has any. */
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

  /** That of the form; made when it is first asked for. @throws MediaError `TRANSCODING_DISABLED` */
  of(wanted: OutputForm): Rendition {
    const form = this.#reduced(wanted);
    const known = this.#find(form);
    if (known) return known;
    const rendition: Rendition = new Rendition(
      { ...this.#options, form },
      {
        onKeyFrameWanted: () => this.#handler.onKeyFrameWanted(),
        onFrozen: () => this.#handler.onFrozen(),
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

  /** Of the pictures in this form; undefined while nobody wants it, or it has none. */
  videoOf(form: OutputForm): VideoFormat | undefined {
    return this.#find(this.#reduced(form))?.video;
  }

  /**
   * Without what makes no difference at present: where no VP8 and no Opus comes, one encoder serves those that take it and those
   * that do not. Should it come later it is encoded for both, so only where that can be done.
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

  /** What comes from now on. All or none: throws what a rendition throws, and all are as they were. */
  expect(media: ExpectedMedia): void {
    for (const { form } of this.#renditions) this.#require(form, media);
    const before = this.#renditions.map((rendition) => rendition.expected);
    try {
      for (const rendition of this.#renditions) rendition.expect(media);
    } catch (error) {
      // What they need for that is free again.
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

  /** What the encoders still hold goes to the outputs. */
  async finish(): Promise<void> {
    await Promise.all(this.#renditions.map((rendition) => rendition.finish()));
  }

  /** Ends every encoder and forgets outputs and pictures. */
  close(): void {
    for (const rendition of this.#renditions) rendition.close();
  }
}
