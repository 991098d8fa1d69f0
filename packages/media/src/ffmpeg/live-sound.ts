// Sound of another stream for the peer: frames of any codec in, 20 ms frames of the line's codec out.

import { AUDIO_CODECS } from '../codec/codec.ts';
import type { AudioCodec } from '../codec/codec.ts';
import { MediaError } from '../errors.ts';
import {
  FFMPEG_START,
  FfmpegAudioInput,
  FfmpegAudioOutput,
  inputArguments,
  outputArguments,
} from './audio-pipes.ts';
import type { FfmpegBinary } from './binary.ts';
import { FfmpegChild } from './child.ts';
import type { StreamAudio } from '../codec/frame.ts';
import { convertG711 } from '../codec/g711.ts';
import { AUDIO_STEP_MS } from '../codec/silence.ts';
import type { SoundSource } from '../codec/sound-source.ts';
import { splitSpeexFrames } from '../codec/speex.ts';

/** Options of a {@link LiveSound}. */
export interface LiveSoundOptions {
  /** Codec of the line that plays it. */
  readonly codec: AudioCodec;
  /** For frames that need decoding: all except those of the same codec and G.711. Default: such frames fail. */
  readonly ffmpeg?: FfmpegBinary;
  /** Reserves a slot for one ffmpeg process; returns a release function. Throws if none is free: the sound ends then. */
  readonly takeSlot?: () => () => void;
}

/** What live sound reports. Never after `close()`. */
export interface LiveSoundHandler {
  /**
   * It cannot be converted (`NO_TRANSCODER`, `TRANSCODERS_BUSY`), or ffmpeg kept crashing (`TRANSCODER_FAILED`): the sound has
   * ended. At most once.
   */
  onFailed?(error: MediaError): void;
}

/** Counters of a {@link LiveSound}. */
export interface LiveSoundStats {
  /** Frames of 20 ms that were read. */
  readonly framesOut: number;
  /** Frames of 20 ms dropped because too many were queued. */
  readonly framesDropped: number;
  /** Reads that found nothing: silence was sent. */
  readonly framesMissing: number;
}

/** Frames that must be queued before the first is read, and again after each underrun. 60 ms. */
const START_FRAMES = 3;
/** At most 400 ms are queued; beyond that, the oldest are dropped, so that 100 ms are left. */
const MAX_FRAMES = 20;
const FRAMES_LEFT = 5;
/** If more than three were queued at each of this many reads, the surplus is what ffmpeg held back at its start. */
const WINDOW_READS = 50;
const MAX_WAITING_BYTES = 64 * 1024;
/** Octets of 20 ms at 64 kbit/s. */
const RAW_FRAME_BYTES = 160;

const is64k = (codec: AudioCodec): codec is 'pcma' | 'pcmu' | 'g722' =>
  codec === 'pcma' || codec === 'pcmu' || codec === 'g722';

/** Runs until it is closed: without frames it is silent. */
export class LiveSound implements SoundSource {
  readonly #options: LiveSoundOptions;
  readonly #handler: LiveSoundHandler;
  readonly #queue: Uint8Array[] = [];
  #playing = false;
  #closed = false;
  /** G.711 or G.722 left over, less than a frame. */
  #rest: Uint8Array = new Uint8Array(0);
  #converter: Converter | undefined;
  #freeSlot: (() => void) | undefined;
  /** Reads since the last check, and the fewest frames left after one. */
  #windowReads = 0;
  #fewestLeft = Number.POSITIVE_INFINITY;
  #framesOut = 0;
  #framesDropped = 0;
  #framesMissing = 0;

  constructor(options: LiveSoundOptions, handler: LiveSoundHandler = {}) {
    this.#options = options;
    this.#handler = handler;
  }

  /** Closed, by the caller or after a failure. */
  get ended(): boolean {
    return this.#closed;
  }

  get stats(): LiveSoundStats {
    return {
      framesOut: this.#framesOut,
      framesDropped: this.#framesDropped,
      framesMissing: this.#framesMissing,
    };
  }

  /** Takes the next frame, at the pace of the sound. Its codec may change. Must not be called for late frames. */
  push(frame: Omit<StreamAudio, 'timestampMs'>): void {
    if (this.#closed) return;
    if (this.#converter?.codec === frame.codec) this.#converter.push(frame);
    else if (!this.#pushDirect(frame)) this.#startConverter(frame);
  }

  read(): Uint8Array | undefined {
    if (this.#closed) return undefined;
    if (!this.#playing && this.#queue.length >= START_FRAMES) this.#playing = true;
    const payload = this.#playing ? this.#queue.shift() : undefined;
    if (payload === undefined) {
      this.#playing = false;
      this.#framesMissing++;
    } else this.#framesOut++;
    this.#watchDelay();
    return payload;
  }

  close(): void {
    this.#closed = true;
    this.#queue.length = 0;
    this.#closeConverter();
  }

  #closeConverter(): void {
    this.#converter?.close();
    this.#converter = undefined;
    this.#freeSlot?.();
    this.#freeSlot = undefined;
  }

  #watchDelay(): void {
    this.#fewestLeft = Math.min(this.#fewestLeft, this.#queue.length);
    if (++this.#windowReads < WINDOW_READS) return;
    if (this.#fewestLeft > START_FRAMES) this.#drop(this.#fewestLeft - START_FRAMES);
    this.#windowReads = 0;
    this.#fewestLeft = Number.POSITIVE_INFINITY;
  }

  #drop(frames: number): void {
    this.#framesDropped += frames;
    this.#queue.splice(0, frames);
  }

  /** @returns false when the frame must be decoded. */
  #pushDirect(frame: Omit<StreamAudio, 'timestampMs'>): boolean {
    const { codec } = this.#options;
    if (frame.codec === codec) {
      if (is64k(codec)) this.#cut(frame.payload);
      else if (codec !== 'opus') for (const one of splitSpeexFrames(frame.payload)) this.#add(one);
      else if (frame.durationMs === AUDIO_STEP_MS) this.#add(frame.payload);
      else return false;
    } else if (isG711(frame.codec) && isG711(codec)) {
      this.#cut(convertG711(frame.codec, frame.payload));
    } else return false;
    if (this.#converter) this.#closeConverter();
    return true;
  }

  #cut(payload: Uint8Array): void {
    let octets = payload;
    if (this.#rest.length > 0) octets = Buffer.concat([this.#rest, payload]);
    let at = 0;
    for (; at + RAW_FRAME_BYTES <= octets.length; at += RAW_FRAME_BYTES)
      this.#add(octets.subarray(at, at + RAW_FRAME_BYTES));
    this.#rest = octets.subarray(at);
  }

  #add(payload: Uint8Array): void {
    this.#queue.push(payload);
    if (this.#queue.length > MAX_FRAMES) this.#drop(this.#queue.length - FRAMES_LEFT);
  }

  #startConverter(frame: Omit<StreamAudio, 'timestampMs'>): void {
    const { ffmpeg, codec, takeSlot } = this.#options;
    this.#closeConverter();
    this.#rest = new Uint8Array(0);
    if (ffmpeg === undefined) {
      const from = frame.codec === 'aac' ? 'AAC' : AUDIO_CODECS[frame.codec].encodingName;
      const to = AUDIO_CODECS[codec].encodingName;
      this.#fail(
        new MediaError('NO_TRANSCODER', `${from} cannot become ${to} without ffmpeg`, {
          field: 'ffmpegPath',
        }),
      );
      return;
    }
    try {
      this.#freeSlot = takeSlot?.();
    } catch (cause) {
      this.#fail(
        new MediaError('TRANSCODERS_BUSY', 'The limit of running encoders is reached', { cause }),
      );
      return;
    }
    this.#converter = new Converter(frame.codec, codec, ffmpeg, {
      onFrame: (payload) => this.#add(payload),
      onFailed: (error) => this.#fail(error),
    });
    this.#converter.push(frame);
  }

  #fail(error: MediaError): void {
    if (this.#closed) return;
    this.close();
    this.#handler.onFailed?.(error);
  }
}

function isG711(codec: AudioCodec | 'aac'): codec is 'pcma' | 'pcmu' {
  return codec === 'pcma' || codec === 'pcmu';
}

/** One ffmpeg from one codec to another. */
class Converter {
  readonly codec: AudioCodec | 'aac';
  readonly #child: FfmpegChild;
  #input: FfmpegAudioInput;
  #closed = false;

  constructor(
    from: AudioCodec | 'aac',
    to: AudioCodec,
    { path, capabilities }: FfmpegBinary,
    handler: { onFrame(payload: Uint8Array): void; onFailed(error: MediaError): void },
  ) {
    this.codec = from;
    this.#input = new FfmpegAudioInput(from);
    const args = [
      ...FFMPEG_START,
      ...inputArguments(from, capabilities),
      '-threads',
      '1',
      ...outputArguments(to, capabilities),
    ];
    this.#child = new FfmpegChild(
      { path, args, maxWaitingBytes: MAX_WAITING_BYTES },
      {
        onStart: () => {
          this.#input = new FfmpegAudioInput(from);
          const output = new FfmpegAudioOutput(to, (payload) => {
            if (!this.#closed) handler.onFrame(payload);
          });
          return (octets) => output.push(octets);
        },
        onFailed: (error) => handler.onFailed(error),
      },
    );
  }

  /** Frames that the child cannot take now are lost. */
  push(frame: Omit<StreamAudio, 'timestampMs'>): void {
    if (this.#child.writable) this.#child.write(this.#input.encode(frame));
  }

  close(): void {
    this.#closed = true;
    this.#child.close();
  }
}
