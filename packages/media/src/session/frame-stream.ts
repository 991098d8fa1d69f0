// An application-supplied stream: coded frames in, FLV tags out to any number of outputs, as for a call.

import { AAC_FRAME_SAMPLES, aacFormatOf } from '../codec/aac.ts';
import type { AacFormat } from '../codec/aac.ts';
import { splitAnnexB } from '../codec/annex-b.ts';
import { AudioTimeline } from '../sync/audio-timeline.ts';
import { AUDIO_CODECS } from '../codec/codec.ts';
import type { AudioCodec } from '../codec/codec.ts';
import { audioDurationMs, MAX_AUDIO_PAYLOAD_BYTES } from '../rtp/audio-depacketizer.ts';
import { MAX_FRAME_BYTES, MAX_NALUS_PER_ACCESS_UNIT } from '../rtp/h264-depacketizer.ts';
import { MediaError } from '../errors.ts';
import type { VideoFrame } from '../codec/frame.ts';
import { isPictureNal, NAL_TYPE, nalType } from '../codec/h264.ts';
import type { OutputForm } from '../output/output-form.ts';
import { Rate } from './media-stats.ts';
import type { SessionTranscoders } from '../output/rendition.ts';
import { StreamHub } from '../output/stream-hub.ts';
import type { StreamFigures, StreamSource } from '../output/stream-source.ts';
import type { TickSource } from '../ticker.ts';
import { isVp8KeyFrame } from '../codec/vp8.ts';

/** The media of a frame stream. At least one of both. */
export interface FrameStreamMedia {
  /** AAC-LC with its AudioSpecificConfig (ISO/IEC 14496-3 §1.6.2.1), or a codec of RTP. */
  readonly audio?:
    | { readonly codec: AudioCodec }
    | { readonly codec: 'aac'; readonly audioSpecificConfig: Uint8Array };
  readonly video?: { readonly codec: 'h264' | 'vp8' };
}

/** Options of a {@link FrameStream}. */
export interface FrameStreamOptions {
  readonly media: FrameStreamMedia;
  /** The default form for outputs. */
  readonly form: OutputForm;
  /** Default: nothing is encoded. */
  readonly transcoders?: SessionTranscoders | undefined;
  /** Add a silent AAC track if there is only video. Default false. */
  readonly silentAudio?: boolean;
  /** Milliseconds without a picture after which the last key frame is sent again; 0: never. Default 2,000. */
  readonly videoFreezeMs?: number;
  /** The 20 ms tick. */
  readonly ticker: TickSource;
  /** Monotonic milliseconds. */
  readonly now: () => number;
}

/** What a frame stream reports. */
export interface FrameStreamHandler {
  /** An output needs a key frame: push one soon. At most once in 500 ms. */
  onKeyFrameWanted?(): void;
  /** An output has thrown, and was removed. The others go on. */
  onOutputFailed?(error: unknown): void;
}

/** When a picture is decoded and shown, in milliseconds on the application's clock. */
export interface PictureTimes {
  /** Default: as `timestampMs`; earlier where pictures are reordered. Must not decrease. */
  readonly decodeMs?: number;
}

/** Sound this late is replaced by silence. Generous, since timers of applications are coarse. */
const LATE_AUDIO_MS = 500;
const KEY_FRAME_INTERVAL_MS = 500;
const SECOND_MS = 1000;
const DEFAULT_FREEZE_MS = 2000;

/**
 * Push frames at the pace of the clock, not faster. Time 0 of the stream is the first frame. Silence fills gaps of sound in
 * the codecs of RTP; AAC passes through unchanged.
 */
export class FrameStream {
  readonly #media: FrameStreamMedia;
  readonly #aac: AacFormat | undefined;
  readonly #options: FrameStreamOptions;
  readonly #handler: FrameStreamHandler;
  readonly #hub: StreamHub;
  readonly #timeline: AudioTimeline | undefined;
  #keyFrameEveryMs = Number.POSITIVE_INFINITY;
  #keyFrameMs = Number.NEGATIVE_INFINITY;
  #askedMs = Number.NEGATIVE_INFINITY;
  /** Application time that is 0 of the stream, and when that was; NaN before the first frame. */
  #zeroMs = Number.NaN;
  #zeroNowMs = 0;
  #audioMs = Number.NEGATIVE_INFINITY;
  #videoMs = Number.NEGATIVE_INFINITY;
  #bits = 0;
  #pictures = 0;
  readonly #bitRate = new Rate();
  readonly #frameRate = new Rate();
  #closed = false;

  /**
   * @throws MediaError `INVALID_ARGUMENT` naming the medium; `TRANSCODING_DISABLED` when the form of these media needs
   * encoding.
   */
  constructor(options: FrameStreamOptions, handler: FrameStreamHandler = {}) {
    const { media, form } = options;
    const { audio, video } = media;
    if (!audio && !video) throw invalid('media', 'has neither audio nor video');
    if (audio && audio.codec !== 'aac' && !Object.hasOwn(AUDIO_CODECS, audio.codec))
      throw invalid('media.audio', 'has an unknown codec');
    if (video && video.codec !== 'h264' && video.codec !== 'vp8')
      throw invalid('media.video', 'must be h264 or vp8');
    this.#media = media;
    this.#options = options;
    this.#handler = handler;
    if (audio?.codec === 'aac') {
      this.#aac = aacFormatOf(audio.audioSpecificConfig);
      if (!this.#aac)
        throw invalid('media.audio', 'has no AudioSpecificConfig of AAC-LC, mono or stereo');
    }
    const { transcoders, silentAudio = false, videoFreezeMs = DEFAULT_FREEZE_MS } = options;
    this.#hub = new StreamHub(
      { form, transcoders, silentAudio, videoFreezeMs, videoLoss: 'wait' },
      {
        requestKeyFrame: () => this.#requestKeyFrame(),
        setKeyFramePeriod: (everyMs) => {
          this.#keyFrameEveryMs = everyMs ?? Number.POSITIVE_INFINITY;
        },
        // Pushed frames have no losses; after a frozen picture the stream continues with the next key frame.
        onFrozen: () => this.#requestKeyFrame(),
        onOutputFailed: (error) => this.#handler.onOutputFailed?.(error),
        // The holders of the form are notified.
        onFailure: () => {},
        figures: () => this.#figures(),
        finish: () => this.#finish(),
      },
    );
    this.#hub.expect({
      ...(audio && { audio: audio.codec }),
      ...(video && { video: video.codec }),
    });
    if (audio && audio.codec !== 'aac')
      this.#timeline = new AudioTimeline((frame, timeMs) => this.#hub.pushAudio(frame, timeMs), {
        codec: audio.codec,
        delayMs: LATE_AUDIO_MS,
        fromZero: false,
      });
    options.ticker.add(this.#onTick);
  }

  /** What outputs are attached to. */
  get stream(): StreamSource {
    return this.#hub;
  }

  /**
   * One packet of sound: any length of G.711 and G.722, one packet of Opus and Speex, one frame of AAC without ADTS header.
   *
   * @param payload - Kept: do not modify it afterwards.
   * @param timestampMs - Time of its first sample, on the application's clock, common to both media. Must not decrease.
   * @throws MediaError `INVALID_ARGUMENT`, `CLOSED`
   */
  pushAudio(payload: Uint8Array, timestampMs: number): void {
    const { audio } = this.#media;
    if (this.#closed) throw new MediaError('CLOSED', 'The stream is closed');
    if (!audio) throw invalid('payload', 'is of a medium that was not announced');
    checkTime('timestampMs', timestampMs);
    if (!(timestampMs >= this.#audioMs)) throw invalid('timestampMs', 'must not decrease');
    if (!(payload instanceof Uint8Array)) throw invalid('payload', 'must be a Uint8Array');
    if (payload.length === 0 || payload.length > MAX_AUDIO_PAYLOAD_BYTES)
      throw invalid('payload', `must have 1 to ${MAX_AUDIO_PAYLOAD_BYTES} octets`);
    const durationMs =
      audio.codec === 'aac' ? this.#aacFrameMs : audioDurationMs(audio.codec, payload);
    if (durationMs === undefined || durationMs <= 0)
      throw invalid('payload', `is not a packet of ${audio.codec}`);
    this.#audioMs = timestampMs;
    this.#bits += payload.length * 8;
    const timeMs = this.#streamTime(timestampMs);
    const { codec } = audio;
    if (codec === 'aac') {
      this.#hub.pushAudio({ codec, payload, format: this.#aac!, durationMs }, timeMs);
    } else {
      const arrivalMs = this.#options.now();
      this.#timeline?.push({ codec, payload, durationMs, rtpTimestamp: 0, arrivalMs }, timeMs);
    }
  }

  /**
   * One picture in decoding order: H.264 in annex B or as NAL units without start codes, with SPS and PPS in or before key frames;
   * VP8 as it is.
   *
   * @param picture - Kept: do not modify it afterwards.
   * @param timestampMs - When it is shown, on the application's clock, common to both media.
   * @throws MediaError `INVALID_ARGUMENT`, `CLOSED`
   */
  pushVideo(
    picture: Uint8Array | readonly Uint8Array[],
    timestampMs: number,
    { decodeMs = timestampMs }: PictureTimes = {},
  ): void {
    if (this.#closed) throw new MediaError('CLOSED', 'The stream is closed');
    if (!this.#media.video) throw invalid('picture', 'is of a medium that was not announced');
    checkTime('timestampMs', timestampMs);
    checkTime('decodeMs', decodeMs);
    if (!(decodeMs >= this.#videoMs)) throw invalid('decodeMs', 'must not decrease');
    if (!(timestampMs >= decodeMs)) throw invalid('timestampMs', 'must not be before decodeMs');
    const frame = this.#media.video.codec === 'vp8' ? vp8Frame(picture) : h264Unit(picture);
    this.#videoMs = decodeMs;
    this.#pictures++;
    this.#bits += octetsOf(picture) * 8;
    if (frame.isKeyFrame) this.#keyFrameMs = this.#options.now();
    const timeMs = this.#streamTime(decodeMs);
    if (frame.codec === 'h264') {
      const sets = frame.nalus.filter((nalu) => isParameterSet(nalu));
      if (sets.length > 0) this.#hub.setParameterSets(sets);
    }
    this.#hub.pushVideo(frame, timeMs, timestampMs - decodeMs);
  }

  /** Closes the encoders and removes the outputs. Idempotent. */
  close(): void {
    this.#closed = true;
    this.#options.ticker.remove(this.#onTick);
    this.#hub.close();
  }

  #requestKeyFrame(): void {
    const nowMs = this.#options.now();
    if (!this.#media.video || this.#closed || nowMs - this.#askedMs < KEY_FRAME_INTERVAL_MS) return;
    this.#askedMs = nowMs;
    this.#handler.onKeyFrameWanted?.();
  }

  #figures(): Omit<StreamFigures, 'width' | 'height'> {
    const { audio, video } = this.#media;
    return {
      audioCodec: audio?.codec ?? null,
      videoCodec: video?.codec ?? null,
      fps: video ? this.#frameRate.perSecond : null,
      bitrateBps: this.#bitRate.perSecond,
    };
  }

  #finish(): Promise<void> {
    this.#closed = true;
    this.#options.ticker.remove(this.#onTick);
    return Promise.resolve();
  }

  get #aacFrameMs(): number {
    return (AAC_FRAME_SAMPLES * 1000) / this.#aac!.sampleRateHz;
  }

  #streamTime(pushedMs: number): number {
    if (Number.isNaN(this.#zeroMs)) {
      this.#zeroMs = pushedMs;
      this.#zeroNowMs = this.#options.now();
    }
    return Math.max(0, pushedMs - this.#zeroMs);
  }

  readonly #onTick = (nowMs: number): void => {
    if (Number.isNaN(this.#zeroMs)) return;
    const streamNowMs = nowMs - this.#zeroNowMs;
    this.#timeline?.tick(streamNowMs, nowMs);
    this.#hub.tick(streamNowMs);
    if (nowMs - this.#keyFrameMs >= this.#keyFrameEveryMs) this.#requestKeyFrame();
    if (nowMs - this.#bitRate.sinceMs < SECOND_MS) return;
    this.#bitRate.note(this.#bits, nowMs);
    this.#frameRate.note(this.#pictures, nowMs);
  };
}

/** Larger numbers lose whole milliseconds. */
function checkTime(field: string, timeMs: number): void {
  // For callers without types: a string compares like a number, but adds up as text.
  if (typeof timeMs !== 'number' || !(Math.abs(timeMs) <= Number.MAX_SAFE_INTEGER))
    throw invalid(field, 'must be a number of milliseconds');
}

function isParameterSet(nalu: Uint8Array): boolean {
  const type = nalType(nalu);
  return type === NAL_TYPE.sps || type === NAL_TYPE.pps;
}

function octetsOf(picture: Uint8Array | readonly Uint8Array[]): number {
  return picture instanceof Uint8Array
    ? picture.length
    : picture.reduce((sum, nalu) => sum + nalu.length, 0);
}

function h264Unit(picture: Uint8Array | readonly Uint8Array[]): VideoFrame {
  const isOctets = picture instanceof Uint8Array;
  if (!isOctets && !(Array.isArray(picture) && picture.every((one) => one instanceof Uint8Array)))
    throw invalid('picture', 'must be a Uint8Array, or an array of them');
  if (octetsOf(picture) > MAX_FRAME_BYTES)
    throw invalid('picture', `has more than ${MAX_FRAME_BYTES} octets`);
  const nalus = isOctets ? splitAnnexB(picture) : picture;
  if (nalus.length === 0 || nalus.length > MAX_NALUS_PER_ACCESS_UNIT)
    throw invalid('picture', `must have 1 to ${MAX_NALUS_PER_ACCESS_UNIT} NAL units`);
  if (nalus.some((nalu) => nalu.length === 0)) throw invalid('picture', 'has an empty NAL unit');
  if (!nalus.some((nalu) => isPictureNal(nalu) || isParameterSet(nalu)))
    throw invalid('picture', 'has no NAL unit of a picture');
  const isKeyFrame = nalus.some((nalu) => nalType(nalu) === NAL_TYPE.idrSlice);
  return { codec: 'h264', nalus, isKeyFrame, rtpTimestamp: 0, arrivalMs: 0 };
}

function vp8Frame(picture: Uint8Array | readonly Uint8Array[]): VideoFrame {
  if (!(picture instanceof Uint8Array)) throw invalid('picture', 'must be the octets of one frame');
  if (picture.length === 0 || picture.length > MAX_FRAME_BYTES)
    throw invalid('picture', `must have 1 to ${MAX_FRAME_BYTES} octets`);
  const isKeyFrame = isVp8KeyFrame(picture);
  return { codec: 'vp8', payload: picture, isKeyFrame, rtpTimestamp: 0, arrivalMs: 0 };
}

function invalid(field: string, problem: string): MediaError {
  return new MediaError('INVALID_ARGUMENT', `${field} ${problem}`, { field });
}
