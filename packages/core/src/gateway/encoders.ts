// What the calls of a gateway encode with: found when it opens, and never more at once than the machine can bear.

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
  /** Encoders of the audio that may run at once; more work is refused (HTTP 503). Default: 32 for each processor core. */
  readonly maxAudioEncoders?: number;
  /** Encoders of video that may run at once. Default: 4 for each processor core. */
  readonly maxVideoEncoders?: number;
  /** An audio encoder of your own in place of ffmpeg. */
  readonly openAudio?: OpenAudioTranscoder;
  /** A video encoder of your own in place of ffmpeg. */
  readonly openVideo?: OpenVideoTranscoder;
}

/** What of the gateway's options is about encoding. */
export interface EncodingOptions extends OutputFormOptions {
  readonly transcoding?: false | TranscodingOptions;
}

/** What the last look at ffmpeg has found missing. */
interface Lost {
  readonly audio: boolean;
  readonly video: boolean;
}

const NOTHING_LOST: Lost = { audio: false, video: false };

/** Measured: 0.007–0.019 of a core for an audio encoder, 0.11–0.14 for VP8 to H.264 at 640×480. */
const AUDIO_ENCODERS_PER_CORE = 32;
const VIDEO_ENCODERS_PER_CORE = 4;

/** A number of places, and who holds one. */
export class EncoderSlots {
  readonly #size: number;
  #taken = 0;

  constructor(size: number) {
    this.#size = size;
  }

  get taken(): number {
    return this.#taken;
  }

  /** @returns what frees the place, once; undefined when all are taken. */
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
  /** Gives back what was reserved. Idempotent. */
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
   * The gateway's form with what a call or push wants otherwise.
   * @throws GatewayError `INVALID_ARGUMENT` naming `audio` or `video`.
   */
  formOf(wanted: OutputFormOptions): OutputForm {
    checkForm(wanted, this.#options !== undefined, this.#openVideo !== undefined);
    return {
      audio: wanted.audio ?? this.#form.audio,
      video: wanted.video ?? this.#form.video,
    };
  }

  /** What was found; undefined where transcoding is off. */
  get ffmpeg(): FfmpegBinary | undefined {
    return this.#found;
  }

  /**
   * Asks the ffmpeg that was found once more. Runs programs: not for every request. Until the next time nothing is begun that
   * needs a new encoder and cannot have it (`TRANSCODER_LOST`); what runs goes on.
   * @returns what is wrong with it; undefined while all is well, or calls need none
   */
  async checkFfmpeg(): Promise<string | undefined> {
    const [options, found] = [this.#options, this.#found];
    if (!options || !found || bringsBoth(options)) return undefined;
    try {
      const { openVideo } = await this.#find({ ...options, ffmpegPath: found.path });
      const isPoorer = found.openVideo !== undefined && openVideo === undefined;
      this.#lost = { audio: false, video: isPoorer };
      return isPoorer ? `${found.path} encodes video no more` : undefined;
    } catch (error) {
      this.#lost = { audio: true, video: true };
      return error instanceof Error ? error.message : String(error);
    }
  }

  /** A medium whose encoder is one of your own is never lost. @throws GatewayError `TRANSCODER_LOST` */
  #require(medium: keyof Lost): void {
    const own = medium === 'audio' ? this.#options?.openAudio : this.#options?.openVideo;
    if (this.#lost[medium] && !own) throw lost(medium);
  }

  /** Of AAC. */
  get aacRateHz(): number {
    return this.#options?.sampleRateHz ?? 44_100;
  }

  /** For an ffmpeg that plays a sound. @returns what frees it. @throws GatewayError `TRANSCODERS_BUSY`, `TRANSCODER_LOST` */
  takeSoundSlot(): () => void {
    if (this.#lost.audio) throw lost('audio');
    const free = this.#audioSlots.take();
    if (!free) throw busy();
    return free;
  }

  /** Media that only Enhanced RTMP can carry and that cannot be encoded here. */
  get cannot(): { readonly vp8: boolean; readonly opus: boolean } {
    const opus =
      this.#options === undefined || !(this.#options.openAudio ?? this.#found?.openAudio);
    return { vp8: this.#options === undefined || !this.#openVideo, opus };
  }

  /** What browsers play: AAC, where it can be made. */
  get viewerForm(): OutputForm {
    return { audio: this.#options ? 'aac' : 'passthrough', video: this.#form.video };
  }

  /**
   * Reserves what a call in this form needs for sure; `publishes`: it will have an output.
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

/** One place kept for a call, which its first encoder uses; others take one more each. */
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

  /** @returns what frees the place again. @throws GatewayError `TRANSCODERS_BUSY`, `TRANSCODER_LOST` */
  take(): () => void {
    // What was promised is tried, lost or not: ffmpeg may be back before the next look.
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
    // One that gives up closes itself, and is closed by its owner again: its place may be another's by then.
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
  return new GatewayError('TRANSCODERS_BUSY', 'As many encoders run as are allowed');
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

/** Whoever brings both encoders needs no ffmpeg, but for sounds. */
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
