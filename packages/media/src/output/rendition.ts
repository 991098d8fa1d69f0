// One form of a stream: which media pass through and which are encoded, the resulting tags, and the outputs that take
// them. A stream has one rendition for each form that its outputs want.

import { AAC_FRAME_SAMPLES, AAC_SILENCE, monoAacFormat } from '../codec/aac.ts';
import type { AacFormat } from '../codec/aac.ts';
import type { AudioCodec, VideoCodec } from '../codec/codec.ts';
import { MediaError } from '../errors.ts';
import type { FfmpegBinary } from '../ffmpeg/binary.ts';
import { FlvMuxer } from '../flv/flv-muxer.ts';
import type { FlvAudioCodec } from '../flv/audio-tag.ts';
import type { VideoFormat } from '../flv/flv-muxer.ts';
import type { AudioFrame, VideoFrame } from '../codec/frame.ts';
import { passesAudio, passesVideo } from './output-form.ts';
import type { OutputForm } from './output-form.ts';
import { OutputSet } from './output-set.ts';
import type { Output, OutputContents, OutputOptions } from './output.ts';
import { PictureFreeze } from './picture-freeze.ts';
import type { PictureFreezeOptions } from './picture-freeze.ts';
import type {
  AudioTranscoder,
  OpenAudioTranscoder,
  OpenVideoTranscoder,
  TranscoderStats,
  VideoTranscoder,
} from '../ffmpeg/transcoder.ts';

/** Encoders and decoders for a session. Anything absent is unavailable. */
export interface SessionTranscoders {
  readonly openAudio?: OpenAudioTranscoder;
  readonly openVideo?: OpenVideoTranscoder;
  /** For sounds that the peer hears. */
  readonly ffmpeg?: FfmpegBinary;
  /** Reserves a slot for one such ffmpeg process; returns a release function. Throws if none is free. Default: no limit. */
  readonly takeSoundSlot?: () => () => void;
}

/** One frame of AAC-LC without header, from an application-supplied stream. */
export interface AacFrame {
  readonly codec: 'aac';
  readonly payload: Uint8Array;
  readonly format: AacFormat;
  readonly durationMs: number;
}

/** The current media of a stream; an absent one was not negotiated. */
export interface ExpectedMedia {
  readonly audio?: AudioCodec | 'aac';
  readonly video?: VideoCodec;
}

/** Options of a {@link Rendition}. */
export interface RenditionOptions extends PictureFreezeOptions {
  readonly form: OutputForm;
  /** Undefined: transcoding is off. */
  readonly transcoders: SessionTranscoders | undefined;
  /** Add a silent AAC track if there is only video. */
  readonly silentAudio: boolean;
}

/** What a rendition reports. */
export interface RenditionHandler {
  /** An encoder needs a key frame to continue. */
  onKeyFrameWanted(): void;
  /** The last key frame was sent again: pictures that refer to others are useless now. */
  onFrozen(): void;
  /** An output has thrown, and was removed. */
  onOutputFailed(error: unknown): void;
  /** An encoder has failed. The holders of the rendition are notified, too. */
  onFailure(error: unknown): void;
}

/** Figures of a rendition's encoders. */
export interface RenditionStats {
  readonly audio: TranscoderStats | null;
  readonly video: TranscoderStats | null;
  /** Times that the last key frame was sent again. */
  readonly frozenFrames: number;
  /** Silence inserted for an encoder that hung or restarted, or for audio that was not negotiated. Milliseconds. */
  readonly silenceMs: number;
}

/** If AAC is further behind the stream than the first value, silence is inserted, up to the second value behind it. */
const MAX_AAC_LAG_MS = 1000;
const SILENCE_LAG_MS = 300;
/** How far a silent track is behind the stream. */
const SILENT_TRACK_LAG_MS = 100;
/** A longer hole is skipped instead of filled. */
const MAX_FILL_MS = 60_000;
/** How long the end of a stream waits for its encoders, which hold up to half a second on a busy machine. As long as their processes get. */
const FINISH_MS = 2000;

/**
 * Throws if a form of these media needs encoders and there are none.
 * @throws MediaError `TRANSCODING_DISABLED`
 */
export function requireTranscoders(
  form: OutputForm,
  media: ExpectedMedia,
  transcoders: SessionTranscoders | undefined,
): void {
  const missing = missingEncoder(form, media, transcoders);
  if (missing === undefined) return;
  const message = `${missing} needs encoding, and transcoding is off`;
  throw new MediaError('TRANSCODING_DISABLED', message);
}

/** What of these media a form cannot have without an encoder that there is not; undefined: nothing. */
export function missingEncoder(
  form: OutputForm,
  { audio, video }: ExpectedMedia,
  transcoders: SessionTranscoders | undefined,
): string | undefined {
  if (audio !== undefined && !passesAudio(form, audio) && !transcoders?.openAudio)
    return `${audio} audio`;
  if (video !== undefined && !passesVideo(form, video) && !transcoders?.openVideo)
    return `${video} video`;
  return undefined;
}

/** One rendition. Encoders run from the first `hold` to the last release; the latest group of pictures is always kept. */
export class Rendition {
  readonly form: OutputForm;
  readonly #options: RenditionOptions;
  readonly #handler: RenditionHandler;
  // In order: each holds the next.
  readonly #muxer: FlvMuxer;
  readonly #freeze: PictureFreeze;
  readonly #outputs: OutputSet;
  #expected: ExpectedMedia = {};
  /** The pictures in its tags are VP8. */
  #isVp8 = false;
  #holders = 0;
  readonly #failureListeners = new Set<(error: unknown) => void>();
  #audioEncoder: AudioTranscoder | undefined;
  #videoEncoder: VideoTranscoder | undefined;
  #videoEncoderSource: VideoCodec | undefined;
  #aacFormat: AacFormat = monoAacFormat(44_100);
  /** End of the AAC sent so far; NaN before the first. */
  #aacEndMs = Number.NaN;
  #silenceMs = 0;
  /** Stream time at which the audio encoder was started. */
  #encoderSinceMs = 0;
  #streamNowMs = 0;

  constructor(options: RenditionOptions, handler: RenditionHandler) {
    this.form = options.form;
    this.#options = options;
    this.#handler = handler;
    this.#outputs = new OutputSet(
      () => this.#muxer.preamble,
      (error) => handler.onOutputFailed(error),
    );
    this.#freeze = new PictureFreeze(this.#outputs.push, options, () => handler.onFrozen());
    this.#muxer = new FlvMuxer({ audioCodec: null, hasVideo: false }, this.#freeze.push);
  }

  /** Size and profile, from the first sequence header on. */
  get video(): VideoFormat | undefined {
    return this.#muxer.video;
  }

  /** Which media its outputs receive. */
  get contents(): OutputContents {
    return this.#muxer.contents;
  }

  /** Pictures dropped because their parameter sets are missing. */
  get framesWithoutParameterSets(): number {
    return this.#muxer.framesWithoutParameterSets;
  }

  /** The media expected last. */
  get expected(): ExpectedMedia {
    return this.#expected;
  }

  get stats(): RenditionStats {
    return {
      audio: this.#audioEncoder?.stats ?? null,
      video: this.#videoEncoder?.stats ?? null,
      frozenFrames: this.#freeze.frozenFrames,
      silenceMs: this.#silenceMs,
    };
  }

  /**
   * Sets the expected media; call it again when they change.
   * @throws MediaError `TRANSCODING_DISABLED`, and errors from opening encoders; the previous media are still expected
   * then
   */
  expect(media: ExpectedMedia): void {
    requireTranscoders(this.form, media, this.#options.transcoders);
    if (this.#holders > 0) this.#useEncoders(media);
    this.#expected = media;
    const { audio, video } = media;
    const silent = audio === undefined && video !== undefined && this.#options.silentAudio;
    const passes = audio === undefined || passesAudio(this.form, audio);
    this.#muxer.expect({
      audioCodec: flvAudioCodec(audio, silent || !passes),
      hasVideo: video !== undefined,
      videoCodec: video !== undefined && passesVideo(this.form, video) ? video : 'h264',
    });
    if (silent) this.#muxer.setAacFormat(this.#aacFormat);
    // The AAC sent so far ends here; if it returns, it starts over.
    else if (passes) this.#aacEndMs = Number.NaN;
    this.#outputs.expectVideo(video !== undefined);
    const isVp8 = video === 'vp8' && passesVideo(this.form, video);
    if (isVp8 === this.#isVp8) return;
    // No output can start with pictures of the other codec.
    this.#isVp8 = isVp8;
    this.#forgetPictures();
  }

  /**
   * Tags will be needed soon: starts the encoders, if any are needed.
   * @param onFailed - An encoder has failed: this form is no longer available.
   * @returns an idempotent release function.
   * @throws errors from opening encoders, e.g. when none is free
   */
  hold(onFailed?: (error: unknown) => void): () => void {
    this.#holders++;
    try {
      this.#useEncoders(this.#expected);
    } catch (error) {
      this.#release();
      throw error;
    }
    // A wrapper, so that the same function can be added twice.
    const listener = (error: unknown): void => onFailed?.(error);
    this.#failureListeners.add(listener);
    let held = true;
    return () => {
      this.#failureListeners.delete(listener);
      if (held) this.#release();
      held = false;
    };
  }

  /** Attached outputs. */
  get outputCount(): number {
    return this.#outputs.size;
  }

  /** See {@link OutputSet.add}. */
  add(output: Output, options?: OutputOptions): void {
    this.#outputs.add(output, options);
  }

  remove(output: Output): void {
    this.#outputs.remove(output);
  }

  /** Takes parameter sets from outside access units. */
  setParameterSets(nalus: readonly Uint8Array[]): void {
    if (!this.#encodesVideo('h264')) this.#muxer.setParameterSets(nalus);
  }

  /** Takes audio as from an `AudioTimeline`: back to back; AAC may have holes. */
  pushAudio(frame: AudioFrame | AacFrame, timeMs: number): void {
    if (this.#expected.audio === undefined) return; // The silent track replaces it.
    if (frame.codec === 'aac') {
      this.#muxer.setAacFormat(frame.format);
      this.#muxer.pushAac(frame.payload, timeMs);
    } else if (passesAudio(this.form, frame.codec)) this.#muxer.push(frame, timeMs);
    else this.#audioEncoder?.push(frame, timeMs);
  }

  /** Takes pictures in decoding order; `compositionMs`: how long after decoding one is shown. */
  pushVideo(frame: VideoFrame, timeMs: number, compositionMs: number): void {
    if (this.#encodesVideo(frame.codec)) {
      if (this.#videoEncoderSource === frame.codec)
        this.#videoEncoder?.push(frame, timeMs + compositionMs);
    } else this.#muxer.push(frame, timeMs, compositionMs);
  }

  /** Call it about every 20 ms: inserts silence and frozen pictures if media are missing. */
  tick(streamNowMs: number): void {
    this.#streamNowMs = streamNowMs;
    const { audio, video } = this.#expected;
    if (audio === undefined && video !== undefined && this.#options.silentAudio) {
      this.#fillAac(streamNowMs - SILENT_TRACK_LAG_MS);
    } else if (this.#audioEncoder && streamNowMs - this.#aacDueMs > MAX_AAC_LAG_MS) {
      this.#aacEndMs = this.#aacDueMs;
      this.#fillAac(streamNowMs - SILENCE_LAG_MS);
    }
    this.#freeze.tick(streamNowMs);
  }

  /** Time of the next AAC frame; before the first, when its encoder was started. */
  get #aacDueMs(): number {
    return Number.isNaN(this.#aacEndMs) ? this.#encoderSinceMs : this.#aacEndMs;
  }

  /** Drains the encoders to the outputs. Resolves when that is done, or takes too long. */
  async finish(): Promise<void> {
    const finishing = [this.#audioEncoder, this.#videoEncoder].filter((one) => one?.finish);
    if (finishing.length === 0) return;
    let timer: NodeJS.Timeout | undefined;
    const patience = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, FINISH_MS);
    });
    const done = finishing.map((encoder) => new Promise<void>((all) => encoder!.finish!(all)));
    await Promise.race([Promise.all(done), patience]);
    clearTimeout(timer);
  }

  /** Closes the encoders; removes outputs and pictures. */
  close(): void {
    this.#holders = 0;
    this.#rest();
    this.#outputs.clear();
    this.#freeze.forget();
  }

  #onEncoderFailed(error: unknown): void {
    this.#handler.onFailure(error);
    for (const listener of this.#failureListeners) listener(error);
  }

  #release(): void {
    if (this.#holders > 0 && --this.#holders === 0) this.#rest();
  }

  /** The encoders are no longer needed: their output ends here, and later holders start over. */
  #rest(): void {
    this.#closeAudioEncoder();
    if (this.#expected.audio !== undefined) this.#aacEndMs = Number.NaN;
    if (this.#videoEncoderSource === undefined) return;
    this.#closeVideoEncoder();
    // Those pictures would freeze from now on, and be outdated for later outputs.
    this.#forgetPictures();
  }

  #forgetPictures(): void {
    this.#freeze.forget();
    this.#outputs.forget();
  }

  #encodesVideo(codec: VideoCodec): boolean {
    return !passesVideo(this.form, codec);
  }

  /** Opens the encoders that these media need, and closes the others. Throws before it closes any. */
  #useEncoders({ audio, video }: ExpectedMedia): void {
    const needsAudio = audio !== undefined && !passesAudio(this.form, audio);
    const source = video !== undefined && this.#encodesVideo(video) ? video : undefined;
    const opened = needsAudio && !this.#audioEncoder;
    if (opened) this.#openAudioEncoder();
    try {
      if (source !== undefined && source !== this.#videoEncoderSource)
        this.#openVideoEncoder(source);
    } catch (error) {
      if (opened) this.#closeAudioEncoder();
      throw error;
    }
    if (!needsAudio) this.#closeAudioEncoder();
    if (source === undefined) this.#closeVideoEncoder();
  }

  #openAudioEncoder(): void {
    this.#encoderSinceMs = this.#streamNowMs;
    this.#audioEncoder = this.#options.transcoders?.openAudio?.({
      onFormat: (format) => {
        this.#aacFormat = format;
        this.#muxer.setAacFormat(format);
      },
      onFrame: (frame, timeMs) => this.#onAac(frame, timeMs),
      onFailed: (error) => this.#onEncoderFailed(error),
    });
  }

  /** Replaces the encoder of another source, whose slot becomes free. */
  #openVideoEncoder(source: VideoCodec): void {
    this.#closeVideoEncoder();
    this.#videoEncoder = this.#options.transcoders?.openVideo?.(
      { codec: source },
      {
        onFrame: (unit, timeMs) => this.#muxer.push(unit, timeMs),
        onKeyFrameWanted: () => this.#handler.onKeyFrameWanted(),
        onFailed: (error) => this.#onEncoderFailed(error),
      },
    );
    this.#videoEncoderSource = source;
    this.#freeze.isEncoded = true;
    // Encoders start with a key frame of their source.
    this.#handler.onKeyFrameWanted();
  }

  #closeAudioEncoder(): void {
    this.#audioEncoder?.close();
    this.#audioEncoder = undefined;
  }

  #closeVideoEncoder(): void {
    this.#videoEncoder?.close();
    this.#videoEncoder = undefined;
    this.#videoEncoderSource = undefined;
    this.#freeze.isEncoded = false;
  }

  /** Frames are sent back to back, each in the place nearest to its time. */
  #onAac(frame: Uint8Array, timeMs: number): void {
    if (Number.isNaN(this.#aacEndMs)) this.#aacEndMs = timeMs;
    const halfMs = aacFrameMs(this.#aacFormat) / 2;
    // Input of an encoder that has ended, and input before the next one ran, is lost.
    this.#fillAac(timeMs + halfMs);
    // Its time is already filled with silence.
    if (timeMs < this.#aacEndMs - halfMs) return;
    this.#sendAac(frame, this.#aacEndMs);
  }

  #sendAac(frame: Uint8Array, timeMs: number): void {
    this.#aacEndMs = timeMs + aacFrameMs(this.#aacFormat);
    this.#muxer.pushAac(frame, timeMs);
  }

  #fillAac(untilMs: number): void {
    if (Number.isNaN(this.#aacEndMs)) this.#aacEndMs = Math.max(0, untilMs);
    this.#muxer.setAacFormat(this.#aacFormat);
    const frameMs = aacFrameMs(this.#aacFormat);
    // After a long stall of the process, the time is not filled.
    if (untilMs - this.#aacEndMs > MAX_FILL_MS) this.#aacEndMs = untilMs - frameMs;
    while (this.#aacEndMs + frameMs <= untilMs) {
      this.#silenceMs += frameMs;
      this.#sendAac(AAC_SILENCE, this.#aacEndMs);
    }
  }
}

function flvAudioCodec(
  codec: AudioCodec | 'aac' | undefined,
  isAac: boolean,
): FlvAudioCodec | null {
  if (isAac) return 'aac';
  return codec === 'g722' || codec === 'speex-nb' ? null : (codec ?? null);
}

function aacFrameMs({ sampleRateHz }: AacFormat): number {
  return (AAC_FRAME_SAMPLES * 1000) / sampleRateHz;
}
