// Any audio codec to AAC by ffmpeg: the input is counted in media time, from which the output gets its time.

import { AAC_FRAME_SAMPLES, AdtsReader } from '../codec/aac.ts';
import type { AacFormat } from '../codec/aac.ts';
import type { AudioCodec } from '../codec/codec.ts';
import type { MediaError } from '../errors.ts';
import { CODEC_DELAY_MS, FFMPEG_START, FfmpegAudioInput, inputArguments } from './audio-pipes.ts';
import type { FfmpegBinary } from './binary.ts';
import { FfmpegChild } from './child.ts';
import type { AudioFrame } from '../codec/frame.ts';
import type { AudioTranscoder, AudioTranscoderHandler, TranscoderStats } from './transcoder.ts';

/** Parameters of the AAC. */
export interface AacEncoding {
  readonly bitrateBps: number;
  readonly sampleRateHz: number;
}

/** Input waiting for the child: some seconds of sound. More is dropped. */
const MAX_WAITING_BYTES = 64 * 1024;
/** The encoder puts one frame in front of the first sample (ffmpeg's `initial_padding`). */
const PADDING_SAMPLES = 1024;
/** A step in the input's media time larger than this moves the output's time, too. */
const STEP_MS = 60;

/** See {@link AudioTranscoder}. Another codec in mid-stream gets another child process; the previous one is drained first. */
export class FfmpegAudioTranscoder implements AudioTranscoder {
  readonly #binary: FfmpegBinary;
  readonly #encoding: AacEncoding;
  readonly #handler: AudioTranscoderHandler;
  #run: AacRun | undefined;
  /** The run of the previous codec, until the first frame of the new one. */
  #ending: AacRun | undefined;
  #restartsBefore = 0;
  #closed = false;
  #framesIn = 0;
  #framesOut = 0;
  #framesDropped = 0;
  #lastOutMs = Number.NEGATIVE_INFINITY;

  constructor(binary: FfmpegBinary, encoding: AacEncoding, handler: AudioTranscoderHandler) {
    this.#binary = binary;
    this.#encoding = encoding;
    this.#handler = handler;
  }

  get stats(): TranscoderStats {
    return {
      framesIn: this.#framesIn,
      framesOut: this.#framesOut,
      framesDropped: this.#framesDropped,
      restarts: this.#restartsBefore + (this.#run?.child.restarts ?? 0),
      load: this.#run?.child.load ?? null,
    };
  }

  push(frame: AudioFrame, mediaTimeMs: number): void {
    if (this.#closed) return;
    this.#framesIn++;
    if (this.#run?.codec !== frame.codec) this.#startRun(frame.codec, mediaTimeMs);
    if (!this.#run!.push(frame, mediaTimeMs)) this.#framesDropped++;
  }

  finish(onDone: () => void): void {
    if (this.#run) this.#run.finish(onDone);
    else onDone();
  }

  close(): void {
    this.#closed = true;
    this.#ending?.child.close();
    this.#run?.child.close();
  }

  #startRun(codec: AudioCodec, mediaTimeMs: number): void {
    this.#ending?.child.close();
    this.#ending = this.#run;
    this.#ending?.endAt(mediaTimeMs - CODEC_DELAY_MS[codec]);
    this.#restartsBefore += this.#ending?.child.restarts ?? 0;
    this.#run = new AacRun(codec, this.#binary, this.#encoding, {
      onFormat: (format) => this.#handler.onFormat(format),
      onFrame: (run, frame, timeMs) => this.#onFrame(run, frame, timeMs),
      onFailed: (error) => {
        this.close();
        this.#handler.onFailed(error);
      },
    });
  }

  #onFrame(run: AacRun, frame: Uint8Array, timeMs: number): void {
    if (this.#closed) return;
    if (run === this.#run) this.#ending = undefined;
    else if (run !== this.#ending) return;
    this.#framesOut++;
    this.#lastOutMs = Math.max(this.#lastOutMs, timeMs);
    this.#handler.onFrame(frame, this.#lastOutMs);
  }
}

interface AacRunHandler {
  onFormat(format: AacFormat): void;
  onFrame(run: AacRun, frame: Uint8Array, mediaTimeMs: number): void;
  onFailed(error: MediaError): void;
}

/** One codec's child process, and the media time of its input and output. */
class AacRun {
  readonly codec: AudioCodec;
  readonly child: FfmpegChild;
  readonly #handler: AacRunHandler;
  #input: FfmpegAudioInput;
  /** Media time at the beginning of this process's input, and the input since then. */
  #anchorMs = Number.NaN;
  #fedMs = 0;
  /** Jumps of the input's media time that the output has yet to reach. */
  #steps: { readonly fedMs: number; readonly anchorMs: number }[] = [];
  #outAnchorMs = 0;
  #endMs = Number.POSITIVE_INFINITY;
  #sampleRateHz: number;
  #samplesOut = 0;

  constructor(
    codec: AudioCodec,
    binary: FfmpegBinary,
    encoding: AacEncoding,
    handler: AacRunHandler,
  ) {
    this.codec = codec;
    this.#handler = handler;
    this.#input = new FfmpegAudioInput(codec);
    this.#sampleRateHz = encoding.sampleRateHz;
    this.child = new FfmpegChild(
      {
        path: binary.path,
        args: aacArguments(codec, binary, encoding),
        maxWaitingBytes: MAX_WAITING_BYTES,
      },
      {
        onStart: () => this.#onStart(),
        onFailed: (error) => handler.onFailed(error),
      },
    );
  }

  /** @returns false when the frame was dropped. */
  push(frame: AudioFrame, mediaTimeMs: number): boolean {
    if (!this.child.writable) return false;
    this.#noteTime(mediaTimeMs);
    this.#fedMs += frame.durationMs;
    this.child.write(this.#input.encode(frame));
    return true;
  }

  /** Ends the input; output continues to this media time, to the nearest frame. */
  endAt(mediaTimeMs: number): void {
    this.#endMs = mediaTimeMs;
    this.child.finish();
  }

  /** Ends the input; output continues to the end of the input. */
  finish(onDone: () => void): void {
    const fedUntilMs = this.#anchorMs + this.#fedMs - CODEC_DELAY_MS[this.codec];
    if (!Number.isNaN(fedUntilMs)) this.#endMs = fedUntilMs;
    this.child.finish(onDone);
  }

  #noteTime(mediaTimeMs: number): void {
    if (Number.isNaN(this.#anchorMs)) {
      this.#anchorMs = mediaTimeMs;
      this.#outAnchorMs = mediaTimeMs;
      return;
    }
    if (Math.abs(mediaTimeMs - this.#anchorMs - this.#fedMs) <= STEP_MS) return;
    this.#anchorMs = mediaTimeMs - this.#fedMs;
    this.#steps.push({ fedMs: this.#fedMs, anchorMs: this.#anchorMs });
  }

  #onStart(): (octets: Uint8Array) => void {
    this.#input = new FfmpegAudioInput(this.codec);
    this.#anchorMs = Number.NaN;
    this.#fedMs = 0;
    this.#steps = [];
    this.#samplesOut = 0;
    const reader = new AdtsReader({
      onFormat: (format) => {
        this.#sampleRateHz = format.sampleRateHz;
        this.#handler.onFormat(format);
      },
      onFrame: (frame) => this.#onFrame(frame),
    });
    return (octets) => reader.push(octets);
  }

  #onFrame(frame: Uint8Array): void {
    const atMs = ((this.#samplesOut - PADDING_SAMPLES) * 1000) / this.#sampleRateHz;
    this.#samplesOut += AAC_FRAME_SAMPLES;
    if (atMs < 0) return; // The encoder's own padding.
    const step = this.#steps[0];
    if (step && atMs >= step.fedMs) {
      this.#outAnchorMs = step.anchorMs;
      this.#steps.shift();
    }
    const mediaTimeMs = this.#outAnchorMs + atMs - CODEC_DELAY_MS[this.codec];
    const halfMs = (AAC_FRAME_SAMPLES * 500) / this.#sampleRateHz;
    if (mediaTimeMs + halfMs <= this.#endMs) this.#handler.onFrame(this, frame, mediaTimeMs);
  }
}

/** Fixed words and numbers only: nothing from a caller or a peer may appear here. */
function aacArguments(
  codec: AudioCodec,
  { capabilities }: FfmpegBinary,
  { bitrateBps, sampleRateHz }: AacEncoding,
): readonly string[] {
  const encoder = ['-vn', '-threads', '1', '-c:a', 'aac', '-b:a', String(bitrateBps)];
  const output = ['-ar', String(sampleRateHz), '-ac', '1', '-flush_packets', '1', '-f', 'adts'];
  const input = inputArguments(codec, capabilities);
  return [...FFMPEG_START, ...input, ...encoder, ...output, 'pipe:1'];
}
