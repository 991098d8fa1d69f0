// G.711 to AAC by an ffmpeg child process, over pipes only.

import { execFile } from 'node:child_process';
import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { AAC_FRAME_SAMPLES, AdtsReader } from './aac.ts';
import { MediaError } from './errors.ts';
import { FfmpegChild } from './ffmpeg-child.ts';
import type { AudioFrame } from './frame.ts';
import { decodeG711 } from './g711.ts';
import type {
  AudioTranscoder,
  AudioTranscoderHandler,
  AudioTranscoderStats,
  OpenAudioTranscoder,
} from './transcoder.ts';

/** Options of {@link openFfmpegTranscoders}. */
export interface FfmpegOptions {
  /** Path of the binary. Default: the environment's `FFMPEG_PATH`, else `ffmpeg` on the `PATH`. */
  readonly ffmpegPath?: string;
  /** AAC bitrate, 16,000–320,000. Default 64,000. */
  readonly audioBitrateBps?: number;
  /** 44,100 (default) or 48,000. */
  readonly sampleRateHz?: 44_100 | 48_000;
}

/** A binary that was found and asked. */
export interface FfmpegTranscoders {
  readonly path: string;
  /** As ffmpeg tells it, e.g. `5.1.9-0+deb12u1`. */
  readonly version: string;
  /** Makes one transcoder, that is, one child process, for one call. */
  readonly openAudio: OpenAudioTranscoder;
}

const PROBE_TIMEOUT_MS = 5000;
/** Input waiting for the child: some seconds of sound. More is dropped. */
const MAX_WAITING_BYTES = 64 * 1024;
/** The encoder puts one frame in front of the first sample (ffmpeg's `initial_padding`). */
const PADDING_SAMPLES = 1024;
/** A step in the input's media time larger than this moves the output's time, too. */
const STEP_MS = 60;

/**
 * Finds ffmpeg and asks it for its version and its AAC encoder.
 *
 * @throws MediaError (rejection) `INVALID_ARGUMENT` naming the option; `NO_TRANSCODER` when there is no ffmpeg, or none
 * that can encode AAC.
 */
export async function openFfmpegTranscoders(
  options: FfmpegOptions = {},
): Promise<FfmpegTranscoders> {
  const { audioBitrateBps = 64_000, sampleRateHz = 44_100 } = options;
  if (
    !(Number.isInteger(audioBitrateBps) && audioBitrateBps >= 16_000 && audioBitrateBps <= 320_000)
  ) {
    throw new MediaError('INVALID_ARGUMENT', 'audioBitrateBps must be 16,000–320,000', {
      field: 'audioBitrateBps',
    });
  }
  if (sampleRateHz !== 44_100 && sampleRateHz !== 48_000) {
    throw new MediaError('INVALID_ARGUMENT', 'sampleRateHz must be 44,100 or 48,000', {
      field: 'sampleRateHz',
    });
  }
  const path = await findFfmpeg(options.ffmpegPath);
  const version = await probe(path);
  const args = audioArguments(audioBitrateBps, sampleRateHz);
  return { path, version, openAudio: (handler) => new FfmpegAudioTranscoder(path, args, handler) };
}

async function findFfmpeg(given: string | undefined): Promise<string> {
  const named = given ?? process.env['FFMPEG_PATH'];
  const folders = (process.env['PATH'] ?? '').split(delimiter).filter((folder) => folder !== '');
  const candidates =
    named === undefined ? folders.map((folder) => join(folder, 'ffmpeg')) : [named];
  for (const candidate of candidates) {
    try {
      await access(candidate, constants.X_OK);
      return candidate;
    } catch {
      // Not this one.
    }
  }
  const where = named ?? 'on the PATH';
  throw new MediaError('NO_TRANSCODER', `No ffmpeg found: ${where}`, { field: 'ffmpegPath' });
}

async function probe(path: string): Promise<string> {
  try {
    const ask = (...args: string[]) =>
      promisify(execFile)(path, args, { timeout: PROBE_TIMEOUT_MS });
    const [version, encoders] = await Promise.all([
      ask('-version'),
      ask('-hide_banner', '-encoders'),
    ]);
    if (!/^\s*A\S*\s+aac\s/m.test(encoders.stdout)) {
      throw new MediaError('NO_TRANSCODER', `${path} has no AAC encoder`, { field: 'ffmpegPath' });
    }
    return /^ffmpeg version (\S+)/.exec(version.stdout)?.[1] ?? 'unknown';
  } catch (cause) {
    if (cause instanceof MediaError) throw cause;
    throw new MediaError('NO_TRANSCODER', `${path} does not run`, { field: 'ffmpegPath', cause });
  }
}

/** Fixed words and numbers only: nothing that a caller or a peer said ever stands here. */
function audioArguments(bitrateBps: number, sampleRateHz: number): readonly string[] {
  const input = ['-f', 's16le', '-ar', '8000', '-ac', '1', '-i', 'pipe:0'];
  const encoder = [
    '-c:a',
    'aac',
    '-b:a',
    String(bitrateBps),
    '-ar',
    String(sampleRateHz),
    '-ac',
    '1',
  ];
  const quick = ['-probesize', '32', '-analyzeduration', '0'];
  return ['-hide_banner', '-nostdin', '-loglevel', 'error', '-protocol_whitelist', 'pipe', ...quick]
    .concat(input, ['-vn', '-threads', '1'], encoder)
    .concat(['-flush_packets', '1', '-f', 'adts', 'pipe:1']);
}

class FfmpegAudioTranscoder implements AudioTranscoder {
  readonly #handler: AudioTranscoderHandler;
  readonly #child: FfmpegChild;
  #closed = false;
  #framesIn = 0;
  #framesOut = 0;
  #framesDropped = 0;

  /** Media time of sample 0 of this child's input, and what was fed since. */
  #anchorMs = Number.NaN;
  #samplesIn = 0;
  /** Jumps of the input's media time that the output has not reached yet. */
  #steps: { readonly sample: number; readonly anchorMs: number }[] = [];
  #outAnchorMs = 0;
  #sampleRateHz = 44_100;
  #samplesOut = 0;
  #lastOutMs = Number.NEGATIVE_INFINITY;

  constructor(path: string, args: readonly string[], handler: AudioTranscoderHandler) {
    this.#handler = handler;
    this.#child = new FfmpegChild(
      { path, args, maxWaitingBytes: MAX_WAITING_BYTES },
      { onStart: () => this.#onStart(), onFailed: (error) => this.#onFailed(error) },
    );
  }

  get stats(): AudioTranscoderStats {
    return {
      framesIn: this.#framesIn,
      framesOut: this.#framesOut,
      framesDropped: this.#framesDropped,
      restarts: this.#child.restarts,
      load: this.#child.load,
    };
  }

  push(frame: AudioFrame, mediaTimeMs: number): void {
    if (this.#closed) return;
    this.#framesIn++;
    if (!this.#child.writable) {
      this.#framesDropped++;
      return;
    }
    this.#noteTime(mediaTimeMs);
    this.#samplesIn += frame.payload.length;
    this.#child.write(decodeG711(frame.codec, frame.payload));
  }

  close(): void {
    this.#closed = true;
    this.#child.close();
  }

  #noteTime(mediaTimeMs: number): void {
    if (Number.isNaN(this.#anchorMs)) {
      this.#anchorMs = mediaTimeMs;
      this.#outAnchorMs = mediaTimeMs;
      return;
    }
    const expectedMs = this.#anchorMs + this.#samplesIn / 8;
    if (Math.abs(mediaTimeMs - expectedMs) <= STEP_MS) return;
    this.#anchorMs = mediaTimeMs - this.#samplesIn / 8;
    this.#steps.push({ sample: this.#samplesIn, anchorMs: this.#anchorMs });
  }

  #onStart(): (octets: Uint8Array) => void {
    this.#anchorMs = Number.NaN;
    this.#samplesIn = 0;
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
    const sample = ((this.#samplesOut - PADDING_SAMPLES) * 8000) / this.#sampleRateHz;
    this.#samplesOut += AAC_FRAME_SAMPLES;
    if (sample < 0) return; // The encoder's own padding.
    const step = this.#steps[0];
    if (step && sample >= step.sample) {
      this.#outAnchorMs = step.anchorMs;
      this.#steps.shift();
    }
    this.#framesOut++;
    this.#lastOutMs = Math.max(this.#lastOutMs, this.#outAnchorMs + sample / 8);
    this.#handler.onFrame(frame, this.#lastOutMs);
  }

  #onFailed(error: MediaError): void {
    this.#closed = true;
    this.#handler.onFailed(error);
  }
}
