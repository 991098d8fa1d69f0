// The encoders of a gateway: found when it opens, and limited to what the machine can carry.

import { availableParallelism } from 'node:os';
import type {
  FfmpegBinary,
  FfmpegOptions,
  FfmpegTranscoders,
  OpenAudioTranscoder,
  openFfmpegTranscoders,
  OpenVideoTranscoder,
  OutputForm,
  SessionTranscoders,
} from '@sipcast/media';
import { GatewayError, invalidArgument } from '../errors.ts';
import type { Logger } from '../logger.ts';
import type { OutputFormOptions } from '../stream/output-form.ts';

/** How media are encoded. */
export interface TranscodingOptions extends FfmpegOptions {
  /** Audio encoders that may run at once; further work is refused (HTTP 503). Default: 32 for each processor core. */
  readonly maxAudioEncoders?: number;
  /** Video encoders that may run at once. Default: 4 for each processor core. */
  readonly maxVideoEncoders?: number;
  /** Your own audio encoder instead of ffmpeg. */
  readonly openAudio?: OpenAudioTranscoder;
  /** Your own video encoder instead of ffmpeg. */
  readonly openVideo?: OpenVideoTranscoder;
}

/** The gateway's options about encoding. */
export interface EncodingOptions extends OutputFormOptions {
  readonly transcoding?: false | TranscodingOptions;
}

/** What the last check of ffmpeg found missing. */
interface Lost {
  readonly audio: boolean;
  readonly video: boolean;
}

const NOTHING_LOST: Lost = { audio: false, video: false };

/** Measured: 0.007–0.019 of a core for an audio encoder, 0.11–0.14 for VP8 to H.264 at 640×480. */
const AUDIO_ENCODERS_PER_CORE = 32;
const VIDEO_ENCODERS_PER_CORE = 4;

/** A limited number of places for encoders. */
export class EncoderSlots {
  readonly #size: number;
  #taken = 0;

  constructor(size: number) {
    this.#size = size;
  }

  get taken(): number {
    return this.#taken;
  }

  /** @returns an idempotent release function; undefined when all places are taken. */
  take(): (() => void) | undefined {
    if (this.#taken >= this.#size) return undefined;
    this.#taken++;
    let held = true;
    return () => {
      if (held) this.#taken--;
      held = false;
    };
  }
}

/** A call's right to encode. */
export interface CallEncoders {
  /** For its media session; undefined where transcoding is off. */
  readonly transcoders: SessionTranscoders | undefined;
  /** Releases what was reserved. Idempotent. */
  release(): void;
}

/** The encoders of one gateway. */
export class Encoders {
  readonly #found: FfmpegTranscoders | undefined;
  readonly #find: typeof openFfmpegTranscoders;
  readonly #options: TranscodingOptions | undefined;
  readonly #audioSlots: EncoderSlots;
  readonly #videoSlots: EncoderSlots;
  readonly #form: OutputForm;
  #lost = NOTHING_LOST;

  private constructor(
    options: EncodingOptions,
    find: typeof openFfmpegTranscoders,
    found: FfmpegTranscoders | undefined,
  ) {
    const { transcoding = {} } = options;
    this.#find = find;
    this.#found = found;
    this.#options = transcoding === false ? undefined : transcoding;
    const cores = availableParallelism();
    const { maxAudioEncoders, maxVideoEncoders } = this.#options ?? {};
    this.#audioSlots = new EncoderSlots(maxAudioEncoders ?? cores * AUDIO_ENCODERS_PER_CORE);
    this.#videoSlots = new EncoderSlots(maxVideoEncoders ?? cores * VIDEO_ENCODERS_PER_CORE);
    this.#form = {
      audio: options.audio ?? (transcoding === false ? 'passthrough' : 'aac'),
      video: options.video ?? 'passthrough',
    };
  }

  /**
   * Finds ffmpeg, unless transcoding is off.
   *
   * @throws GatewayError `INVALID_ARGUMENT` naming the option. Rejects with MediaError `NO_TRANSCODER`.
   */
  static async open(
    options: EncodingOptions,
    find: typeof openFfmpegTranscoders,
    logger: Logger,
  ): Promise<Encoders> {
    const { transcoding = {} } = options;
    checkForm(options, transcoding !== false, true);
    if (transcoding === false) return new Encoders(options, find, undefined);
    const encoders = new Encoders(options, find, await findOrNone(transcoding, find, logger));
    checkForm(options, true, encoders.#openVideo !== undefined);
    return encoders;
  }

  /** Encoders that run or are reserved, by what they encode. */
  get taken(): { readonly audio: number; readonly video: number } {
    return { audio: this.#audioSlots.taken, video: this.#videoSlots.taken };
  }

  get #openVideo(): OpenVideoTranscoder | undefined {
    return this.#options?.openVideo ?? this.#found?.openVideo;
  }

  /**
   * The gateway's form, with what a call or push asks for instead.
   * @throws GatewayError `INVALID_ARGUMENT` naming `audio` or `video`.
   */
  formOf(wanted: OutputFormOptions): OutputForm {
    checkForm(wanted, this.#options !== undefined, this.#openVideo !== undefined);
    return {
      audio: wanted.audio ?? this.#form.audio,
      video: wanted.video ?? this.#form.video,
    };
  }

  /** The ffmpeg that was found; undefined when transcoding is off. */
  get ffmpeg(): FfmpegBinary | undefined {
    return this.#found;
  }

  /**
   * Checks the ffmpeg that was found again. Runs programs, so not for every request. If it no longer works, requests that need a
   * new encoder are refused (`TRANSCODER_LOST`) until a later check succeeds; what is running continues.
   * @returns what is wrong; undefined if all is well or no ffmpeg is needed
   */
  async checkFfmpeg(): Promise<string | undefined> {
    const [options, found] = [this.#options, this.#found];
    if (!options || !found || bringsBoth(options)) return undefined;
    try {
      const { openVideo } = await this.#find({ ...options, ffmpegPath: found.path });
      const isPoorer = found.openVideo !== undefined && openVideo === undefined;
      this.#lost = { audio: false, video: isPoorer };
      return isPoorer ? `${found.path} no longer encodes video` : undefined;
    } catch (error) {
      this.#lost = { audio: true, video: true };
      return error instanceof Error ? error.message : String(error);
    }
  }

  /** A medium with an encoder of the application's own is never lost. @throws GatewayError `TRANSCODER_LOST` */
  #require(medium: keyof Lost): void {
    const own = medium === 'audio' ? this.#options?.openAudio : this.#options?.openVideo;
    if (this.#lost[medium] && !own) throw lost(medium);
  }

  /** Sample rate of AAC. */
  get aacRateHz(): number {
    return this.#options?.sampleRateHz ?? 44_100;
  }

  /** Takes a place for an ffmpeg that plays a sound. @returns releases it. @throws GatewayError `TRANSCODERS_BUSY`, `TRANSCODER_LOST` */
  takeSoundSlot(): () => void {
    if (this.#lost.audio) throw lost('audio');
    const free = this.#audioSlots.take();
    if (!free) throw busy();
    return free;
  }

  /** Codecs that only Enhanced RTMP can carry and that cannot be transcoded here. */
  get cannot(): { readonly vp8: boolean; readonly opus: boolean } {
    const opus =
      this.#options === undefined || !(this.#options.openAudio ?? this.#found?.openAudio);
    return { vp8: this.#options === undefined || !this.#openVideo, opus };
  }

  /** What browsers play: AAC, if it can be encoded. */
  get viewerForm(): OutputForm {
    return { audio: this.#options ? 'aac' : 'passthrough', video: this.#form.video };
  }

  /**
   * Reserves the encoders that a call in this form certainly needs. `publishes`: it will have an output.
   * @throws GatewayError `TRANSCODERS_BUSY`, `TRANSCODER_LOST`.
   */
  reserve(form: OutputForm, publishes: boolean): CallEncoders {
    if (this.#options === undefined) return { transcoders: undefined, release: () => {} };
    const reserve = (medium: keyof Lost, slots: EncoderSlots, needed: boolean): Reserve =>
      new Reserve(slots, needed, () => this.#require(medium));
    const audio = reserve('audio', this.#audioSlots, publishes && form.audio === 'aac');
    let video: Reserve;
    try {
      video = reserve('video', this.#videoSlots, publishes && form.video === 'reencode');
    } catch (error) {
      audio.release();
      throw error;
    }
    const openAudio = this.#options.openAudio ?? this.#found?.openAudio;
    const openVideo = this.#openVideo;
    return {
      transcoders: {
        ...(openAudio && { openAudio: limited(openAudio, audio) }),
        ...(openVideo && { openVideo: limited(openVideo, video) }),
        ...(this.#found && { ffmpeg: this.#found, takeSoundSlot: () => this.takeSoundSlot() }),
      },
      release: () => {
        audio.release();
        video.release();
      },
    };
  }
}

/** One place kept for a call and used by its first encoder; each further encoder takes another. */
class Reserve {
  readonly #slots: EncoderSlots;
  readonly #check: () => void;
  #kept: (() => void) | undefined;
  #inUse = false;

  /** @param check - Throws while nothing can be encoded. */
  constructor(slots: EncoderSlots, needed: boolean, check: () => void) {
    this.#slots = slots;
    this.#check = check;
    if (!needed) return;
    check();
    this.#kept = slots.take();
    if (!this.#kept) throw busy();
  }

  /** @returns releases the place. @throws GatewayError `TRANSCODERS_BUSY`, `TRANSCODER_LOST` */
  take(): () => void {
    // A reserved place is used even if ffmpeg is lost: it may be back before the next check.
    if (this.#kept && !this.#inUse) {
      this.#inUse = true;
      return () => {
        this.#inUse = false;
      };
    }
    this.#check();
    const free = this.#slots.take();
    if (!free) throw busy();
    return free;
  }

  release(): void {
    this.#kept?.();
    this.#kept = undefined;
  }
}

function limited<Args extends unknown[], Transcoder extends { close(): void }>(
  open: (...args: Args) => Transcoder,
  reserve: Reserve,
): (...args: Args) => Transcoder {
  return (...args) => {
    const free = reserve.take();
    let transcoder: Transcoder;
    try {
      transcoder = open(...args);
    } catch (error) {
      free();
      throw error;
    }
    const close = transcoder.close.bind(transcoder);
    // An encoder that gives up closes itself, and its owner closes it again: by then another may have its place.
    let closed = false;
    transcoder.close = () => {
      close();
      if (!closed) free();
      closed = true;
    };
    return transcoder;
  };
}

function busy(): GatewayError {
  return new GatewayError('TRANSCODERS_BUSY', 'As many encoders are running as are allowed');
}

function lost(medium: keyof Lost): GatewayError {
  const problem = `ffmpeg, which encodes the ${medium}, is gone or does not work`;
  return new GatewayError('TRANSCODER_LOST', problem);
}

async function findOrNone(
  transcoding: TranscodingOptions,
  find: typeof openFfmpegTranscoders,
  logger: Logger,
): Promise<FfmpegTranscoders | undefined> {
  try {
    const found = await find(transcoding);
    logger.debug(`media are encoded by ffmpeg ${found.version} (${found.path})`);
    return found;
  } catch (error) {
    const { code, field, message } = error as { code?: string; field?: string; message: string };
    if (code === 'NO_TRANSCODER' && bringsBoth(transcoding)) return undefined;
    if (code === 'INVALID_ARGUMENT')
      throw invalidOption(`transcoding.${field ?? 'ffmpegPath'}`, message, error);
    throw error;
  }
}

/** With both encoders supplied, ffmpeg is only needed for sounds. */
function bringsBoth({ openAudio, openVideo }: TranscodingOptions): boolean {
  return openAudio !== undefined && openVideo !== undefined;
}

function checkForm(
  { audio, video }: OutputFormOptions,
  transcodes: boolean,
  encodesVideo: boolean,
): void {
  if (audio !== undefined && audio !== 'aac' && audio !== 'passthrough')
    throw invalidArgument('audio', 'must be aac or passthrough');
  if (video !== undefined && video !== 'reencode' && video !== 'passthrough')
    throw invalidArgument('video', 'must be reencode or passthrough');
  if (transcodes && video === 'reencode' && !encodesVideo)
    throw invalidArgument('video', 'cannot be reencode: this ffmpeg lacks x264 or a decoder');
  if (transcodes) return;
  if (audio === 'aac') throw invalidArgument('audio', 'cannot be aac while transcoding is off');
  if (video === 'reencode')
    throw invalidArgument('video', 'cannot be reencode while transcoding is off');
}

function invalidOption(field: string, message: string, cause: unknown): GatewayError {
  return new GatewayError('INVALID_ARGUMENT', message, { field, cause });
}
