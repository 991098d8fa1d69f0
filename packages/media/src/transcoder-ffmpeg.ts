// G.711 to AAC by an ffmpeg child process, over pipes only. It is started again when it crashes or hangs.

import { execFile, spawn } from 'node:child_process';
import type { ChildProcessByStdio } from 'node:child_process';
import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { promisify } from 'node:util';
import { AAC_FRAME_SAMPLES, AdtsReader } from './aac.ts';
import { MediaError } from './errors.ts';
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
/** With input and without any output for this long the child hangs. */
const HANG_MS = 3000;
const RESTART_DELAY_MS = 250;
const MAX_RESTARTS_PER_MINUTE = 3;
const KILL_AFTER_MS = 500;
const STDERR_KEPT = 2000;
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

type Child = ChildProcessByStdio<Writable, Readable, Readable>;

class FfmpegAudioTranscoder implements AudioTranscoder {
  readonly #path: string;
  readonly #args: readonly string[];
  readonly #handler: AudioTranscoderHandler;
  #child: Child | undefined;
  #retry: NodeJS.Timeout | undefined;
  #watch: NodeJS.Timeout | undefined;
  #closed = false;
  #stderr = '';
  readonly #restartTimes: number[] = [];
  #framesIn = 0;
  #framesOut = 0;
  #framesDropped = 0;
  #restarts = 0;

  /** Media time of sample 0 of this child's input, and what was fed since. */
  #anchorMs = Number.NaN;
  #samplesIn = 0;
  /** Jumps of the input's media time that the output has not reached yet. */
  #steps: { readonly sample: number; readonly anchorMs: number }[] = [];
  #outAnchorMs = 0;
  #sampleRateHz = 44_100;
  #samplesOut = 0;
  #lastOutMs = Number.NEGATIVE_INFINITY;
  #fedSinceOutputMs = Number.NaN;

  constructor(path: string, args: readonly string[], handler: AudioTranscoderHandler) {
    this.#path = path;
    this.#args = args;
    this.#handler = handler;
    this.#start();
    this.#watch = setInterval(() => this.#checkHang(), 500);
  }

  get stats(): AudioTranscoderStats {
    return {
      framesIn: this.#framesIn,
      framesOut: this.#framesOut,
      framesDropped: this.#framesDropped,
      restarts: this.#restarts,
    };
  }

  push(frame: AudioFrame, mediaTimeMs: number): void {
    if (this.#closed) return;
    this.#framesIn++;
    const stdin = this.#child?.stdin;
    if (!stdin?.writable || stdin.writableLength > MAX_WAITING_BYTES) {
      this.#framesDropped++;
      return;
    }
    this.#noteTime(mediaTimeMs);
    this.#samplesIn += frame.payload.length;
    if (Number.isNaN(this.#fedSinceOutputMs)) this.#fedSinceOutputMs = performance.now();
    stdin.write(decodeG711(frame.codec, frame.payload));
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#retry);
    clearInterval(this.#watch);
    const child = this.#child;
    this.#child = undefined;
    if (!child || (child.stdin as Writable | undefined) === undefined) return;
    // It ends with its input; one that does not is killed.
    child.stdin.end();
    const kill = setTimeout(() => child.kill('SIGKILL'), KILL_AFTER_MS);
    child.once('exit', () => clearTimeout(kill));
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

  #start(): void {
    this.#anchorMs = Number.NaN;
    this.#samplesIn = 0;
    this.#steps = [];
    this.#samplesOut = 0;
    this.#fedSinceOutputMs = Number.NaN;
    this.#stderr = '';
    let child: Child;
    try {
      child = spawn(this.#path, this.#args, { stdio: ['pipe', 'pipe', 'pipe'] });
    } catch (error) {
      // Some shortages of the system are thrown, others told by 'error'.
      this.#restartLater(error instanceof Error ? error.message : String(error));
      return;
    }
    this.#child = child;
    child.once('error', (error) => this.#onExit(child, error.message));
    child.once('exit', (code, signal) => this.#onExit(child, `ended with ${signal ?? code}`));
    // Without a free file descriptor there are no pipes, whatever the types say, and 'error' follows.
    if ((child.stdin as Writable | undefined) === undefined) return;
    const reader = new AdtsReader({
      onFormat: (format) => {
        this.#sampleRateHz = format.sampleRateHz;
        this.#handler.onFormat(format);
      },
      onFrame: (frame) => this.#onFrame(frame),
    });
    child.stdout.on('data', (octets: Buffer) => {
      if (this.#child !== child) return;
      this.#fedSinceOutputMs = Number.NaN;
      reader.push(octets);
    });
    child.stderr.on('data', (octets: Buffer) => {
      this.#stderr = (this.#stderr + octets.toString('latin1')).slice(-STDERR_KEPT);
    });
    child.stdin.on('error', () => {}); // 'exit' follows.
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

  #checkHang(): void {
    if (performance.now() - this.#fedSinceOutputMs < HANG_MS) return;
    if (Number.isNaN(this.#fedSinceOutputMs)) return;
    this.#fedSinceOutputMs = Number.NaN;
    this.#child?.kill('SIGKILL');
  }

  #onExit(child: Child, how: string): void {
    if (this.#closed || this.#child !== child) return;
    this.#child = undefined;
    this.#restartLater(how);
  }

  #restartLater(how: string): void {
    const nowMs = performance.now();
    while (this.#restartTimes[0] !== undefined && nowMs - this.#restartTimes[0] > 60_000)
      this.#restartTimes.shift();
    if (this.#restartTimes.length >= MAX_RESTARTS_PER_MINUTE) {
      const words = this.#stderr.trim().split('\n').at(-1) ?? '';
      this.close();
      this.#handler.onFailed(
        new MediaError('TRANSCODER_FAILED', `ffmpeg ${how}${words === '' ? '' : `: ${words}`}`),
      );
      return;
    }
    this.#restartTimes.push(nowMs);
    this.#restarts++;
    this.#retry = setTimeout(() => this.#start(), RESTART_DELAY_MS);
  }
}
