// One form of a stream: which of its media pass as they come and which are encoded, the tags made of them, and the
// outputs that take these. A stream has as many renditions as its outputs want forms.

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
import type { Output, OutputContents } from './output.ts';
import { PictureFreeze } from './picture-freeze.ts';
import type { PictureFreezeOptions } from './picture-freeze.ts';
import type {
  AudioTranscoder,
  OpenAudioTranscoder,
  OpenVideoTranscoder,
  TranscoderStats,
  VideoTranscoder,
} from '../ffmpeg/transcoder.ts';

/** What encodes and decodes for a session. What is absent cannot be done. */
export interface SessionTranscoders {
  readonly openAudio?: OpenAudioTranscoder;
  readonly openVideo?: OpenVideoTranscoder;
  /** For sounds towards the peer. */
  readonly ffmpeg?: FfmpegBinary;
  /** Takes the place of one such ffmpeg process; returns what frees it. Throws when there is none. Default: as many as wanted. */
  readonly takeSoundSlot?: () => () => void;
}

/** One frame of AAC-LC without header, as it comes from a stream of one's own. */
export interface AacFrame {
  readonly codec: 'aac';
  readonly payload: Uint8Array;
  readonly format: AacFormat;
  readonly durationMs: number;
}

/** The media of a stream at present; an absent one was not agreed on. */
export interface ExpectedMedia {
  readonly audio?: AudioCodec | 'aac';
  readonly video?: VideoCodec;
}

/** Options of a {@link Rendition}. */
export interface RenditionOptions extends PictureFreezeOptions {
  readonly form: OutputForm;
  /** Undefined: transcoding is off. */
  readonly transcoders: SessionTranscoders | undefined;
  /** A silent AAC track where there is only video. */
  readonly silentAudio: boolean;
}

/** What a rendition tells the session. */
export interface RenditionHandler {
  /** An encoder can only go on with a key frame. */
  onKeyFrameWanted(): void;
  /** The last key frame was sent again: pictures that refer to others than it are no use from now on. */
  onFrozen(): void;
  /** An encoder has given up. Those that hold the rendition are told, too. */
  onFailure(error: unknown): void;
}

/** What the encoders of a rendition do. */
export interface RenditionStats {
  readonly audio: TranscoderStats | null;
  readonly video: TranscoderStats | null;
  /** Times that the last key frame was sent again. */
  readonly frozenFrames: number;
  /** Silence put in for an encoder that hung or was started again, or for audio that was not agreed on. Milliseconds. */
  readonly silenceMs: number;
}

/** AAC may be this far behind the stream before silence takes its place, which then ends so far behind it. */
const MAX_AAC_LAG_MS = 1000;
const SILENCE_LAG_MS = 300;
/** Where there is no audio at all, silence follows this closely. */
const SILENT_TRACK_LAG_MS = 100;
/** A longer hole is not filled but jumped over. */
const MAX_FILL_MS = 60_000;
/** So long the end of a stream waits for its encoders. */
const FINISH_MS = 500;

/**
 * Throws when a form of these media cannot be made without encoders, and there are none.
 * @throws MediaError `TRANSCODING_DISABLED`
 */
export function requireTranscoders(
  form: OutputForm,
  { audio, video }: ExpectedMedia,
  transcoders: SessionTranscoders | undefined,
): void {
  if (audio !== undefined && !passesAudio(form, audio) && !transcoders?.openAudio) {
    throw disabled(`${audio} audio`);
  }
  if (video === undefined || transcoders?.openVideo) return;
  if (!passesVideo(form, video)) throw disabled(`${video} video`);
}

function disabled(what: string): MediaError {
  return new MediaError('TRANSCODING_DISABLED', `${what} would have to be encoded anew`);
}

/** See above. Encoders run from the first `hold` to the last release; the newest group of pictures is always kept. */
export class Rendition {
  readonly form: OutputForm;
  readonly #options: RenditionOptions;
  readonly #handler: RenditionHandler;
  // Each holds the next: the muxer the freeze, the freeze the outputs.
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
  /** Where the AAC that was sent ends; NaN before the first. */
  #aacEndMs = Number.NaN;
  #silenceMs = 0;
  /** Stream's time when the encoder of the audio was started. */
  #encoderSinceMs = 0;
  #streamNowMs = 0;

  constructor(options: RenditionOptions, handler: RenditionHandler) {
    this.form = options.form;
    this.#options = options;
    this.#handler = handler;
    this.#outputs = new OutputSet(() => this.#muxer.preamble);
    this.#freeze = new PictureFreeze(this.#outputs.push, options, () => handler.onFrozen());
    this.#muxer = new FlvMuxer({ audioCodec: null, hasVideo: false }, this.#freeze.push);
  }

  /** Size and profile, from the first sequence header on. */
  get video(): VideoFormat | undefined {
    return this.#muxer.video;
  }

  /** Which media its outputs get. */
  get contents(): OutputContents {
    return this.#muxer.contents;
  }

  /** Pictures that nobody could decode, since their parameter sets have not come. */
  get framesWithoutParameterSets(): number {
    return this.#muxer.framesWithoutParameterSets;
  }

  /** What was expected last. */
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
   * What comes from now on; again when it changes.
   * @throws MediaError `TRANSCODING_DISABLED`, and what the encoders throw when they are opened; what was expected before
   * is expected still then
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
    // What was sent of it ends here; should it come back, it begins anew.
    else if (passes) this.#aacEndMs = Number.NaN;
    this.#outputs.expectVideo(video !== undefined);
    const isVp8 = video === 'vp8' && passesVideo(this.form, video);
    if (isVp8 === this.#isVp8) return;
    // Pictures of the other codec are no beginning for anybody.
    this.#isVp8 = isVp8;
    this.#forgetPictures();
  }

  /**
   * Somebody will want tags soon: the encoders start, where they are needed.
   * @param onFailed - An encoder has given up: this form is not to be had any more.
   * @returns what lets go of it, once.
   * @throws what the encoders throw when they are opened, e.g. for want of a free one
   */
  hold(onFailed?: (error: unknown) => void): () => void {
    this.#holders++;
    try {
      this.#useEncoders(this.#expected);
    } catch (error) {
      this.#letGo();
      throw error;
    }
    // A wrapper, so that the same function may be there twice.
    const listener = (error: unknown): void => onFailed?.(error);
    this.#failureListeners.add(listener);
    let held = true;
    return () => {
      this.#failureListeners.delete(listener);
      if (held) this.#letGo();
      held = false;
    };
  }

  /** See {@link OutputSet.add}. */
  add(output: Output): void {
    this.#outputs.add(output);
  }

  remove(output: Output): void {
    this.#outputs.remove(output);
  }

  /** Parameter sets that came outside of access units. */
  setParameterSets(nalus: readonly Uint8Array[]): void {
    if (!this.#encodesVideo('h264')) this.#muxer.setParameterSets(nalus);
  }

  /** Takes audio as from an `AudioTimeline`: back to back; AAC may have holes. */
  pushAudio(frame: AudioFrame | AacFrame, timeMs: number): void {
    if (this.#expected.audio === undefined) return; // The silent track stands in its place.
    if (frame.codec === 'aac') {
      this.#muxer.setAacFormat(frame.format);
      this.#muxer.pushAac(frame.payload, timeMs);
    } else if (passesAudio(this.form, frame.codec)) this.#muxer.push(frame, timeMs);
    else this.#audioEncoder?.push(frame, timeMs);
  }

  /** Takes pictures in decoding order; `compositionMs`: how much later one is shown. */
  pushVideo(frame: VideoFrame, timeMs: number, compositionMs: number): void {
    if (this.#encodesVideo(frame.codec)) {
      if (this.#videoEncoderSource === frame.codec)
        this.#videoEncoder?.push(frame, timeMs + compositionMs);
    } else this.#muxer.push(frame, timeMs, compositionMs);
  }

  /** About every 20 ms: silence and frozen pictures, where something is missing. */
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

  /** Where the next frame of AAC belongs; before the first, when its encoder was started. */
  get #aacDueMs(): number {
    return Number.isNaN(this.#aacEndMs) ? this.#encoderSinceMs : this.#aacEndMs;
  }

  /** What the encoders still hold goes to the outputs. Resolves when it has, or takes too long. */
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

  /** Ends the encoders and forgets outputs and pictures. */
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

  #letGo(): void {
    if (this.#holders > 0 && --this.#holders === 0) this.#rest();
  }

  /** Nobody wants what the encoders make: what they made ends here, and whoever comes later begins anew. */
  #rest(): void {
    this.#closeAudioEncoder();
    if (this.#expected.audio !== undefined) this.#aacEndMs = Number.NaN;
    if (this.#videoEncoderSource === undefined) return;
    this.#closeVideoEncoder();
    // Those pictures would stand still from now on, and be those of long ago for who comes next.
    this.#forgetPictures();
  }

  #forgetPictures(): void {
    this.#freeze.forget();
    this.#outputs.forget();
  }

  #encodesVideo(codec: VideoCodec): boolean {
    return !passesVideo(this.form, codec);
  }

  /** Opens the encoders that these media need, and closes those that they do not need. Throws before it closes any. */
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

  /** In place of one for another source, whose place it can have. */
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
    // Encoders begin with a key frame of their source.
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

  /** Frames go out back to back, each in the place that is nearest to its time. */
  #onAac(frame: Uint8Array, timeMs: number): void {
    if (Number.isNaN(this.#aacEndMs)) this.#aacEndMs = timeMs;
    const halfMs = aacFrameMs(this.#aacFormat) / 2;
    // What went into an encoder that has ended, or came before the next one ran, is lost.
    this.#fillAac(timeMs + halfMs);
    // Silence stands there already.
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
    // A process that stood still for long does not make up for it.
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
