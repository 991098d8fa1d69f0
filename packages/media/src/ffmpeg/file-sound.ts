// A sound file as a source of 20 ms frames: read by us, decoded and encoded by an ffmpeg child process.

import type { ChildProcessByStdio } from 'node:child_process';
import { createReadStream } from 'node:fs';
import type { ReadStream } from 'node:fs';
import type { Readable, Writable } from 'node:stream';
import type { AudioCodec } from '../codec/codec.ts';
import { MediaError } from '../errors.ts';
import { FFMPEG_SAFE, FfmpegAudioOutput, outputArguments } from './audio-pipes.ts';
import type { FfmpegBinary } from './binary.ts';
import { lowerPriority } from './child.ts';
import type { SoundSource } from '../codec/sound-source.ts';
import { spawnFfmpeg } from './spawn.ts';

/** Options of {@link openFileSound}. */
export interface FileSoundOptions {
  readonly ffmpeg: FfmpegBinary;
  /** A WAV, MP3, FLV or Ogg file; its first audio stream is played. */
  readonly path: string;
  /** Codec of the line that plays it; `aac`: raw frames of 1,024 samples, for a stream. */
  readonly codec: AudioCodec | 'aac';
  /** Sampling rate of AAC. Default 44,100. */
  readonly aacRateHz?: number;
  /** Repeat until it is closed. Default false: once. */
  readonly loop?: boolean;
}

/** What a file's sound reports. Never after `close()`. */
export interface FileSoundHandler {
  /** The file cannot be read or decoded (`SOUND_FAILED`): the sound has ended. At most once. */
  onFailed?(error: MediaError): void;
  /** The last frame was read. At most once; not for a loop, and not after `onFailed`. */
  onEnded?(): void;
}

/** Frames decoded ahead: above the first limit the child is paused by its pipe, below the second it resumes. */
const QUEUE_HIGH = 50;
const QUEUE_LOW = 25;
/** A loop as short as this (half a minute) is kept encoded; a longer one is decoded again for each turn. */
const MAX_KEPT_FRAMES = 1500;
/** After this many reads in a row without a frame, although it has input, the child hangs. Three seconds. */
const MAX_EMPTY_READS = 150;
const MAX_STDERR = 2000;
/** Demuxers that need neither seeking nor other files. */
const FORMATS = 'wav,mp3,flv,ogg';

/** Starts to read the file at once, some hundred milliseconds ahead of playback. Failures are reported later. */
export function openFileSound(
  options: FileSoundOptions,
  handler: FileSoundHandler = {},
): SoundSource {
  return new FileSound(options, handler);
}

type Child = ChildProcessByStdio<Writable, Readable, Readable>;

class FileSound implements SoundSource {
  readonly #options: FileSoundOptions;
  readonly #handler: FileSoundHandler;
  #queue: Uint8Array[] = [];
  /** All frames of a short loop; undefined once it is known to be too long, or for a single play. */
  #kept: Uint8Array[] | undefined;
  #file: ReadStream | undefined;
  #child: Child | undefined;
  #stderr = '';
  #framesOfTurn = 0;
  #emptyReads = 0;
  /** The queue gets no more frames. */
  #complete = false;
  #closed = false;

  constructor(options: FileSoundOptions, handler: FileSoundHandler) {
    this.#options = options;
    this.#handler = handler;
    if (options.loop) this.#kept = [];
    this.#start();
  }

  get ended(): boolean {
    return this.#closed || (this.#complete && this.#queue.length === 0);
  }

  read(): Uint8Array | undefined {
    const frame = this.#queue.shift();
    if (frame === undefined) {
      if (!this.ended && ++this.#emptyReads >= MAX_EMPTY_READS) this.#fail('hangs');
      return undefined;
    }
    this.#emptyReads = 0;
    if (this.#queue.length < QUEUE_LOW) this.#child?.stdout.resume();
    if (this.#queue.length === 0 && this.#complete) this.#turn();
    return frame;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#queue = [];
    this.#kept = undefined;
    this.#release();
  }

  /** All frames of one turn have been read, and there is no child. */
  #turn(): void {
    if (this.#kept === undefined) this.#handler.onEnded?.();
    else this.#queue = [...this.#kept];
  }

  #start(): void {
    const { ffmpeg, path, codec, aacRateHz } = this.#options;
    const args = [
      ...FFMPEG_SAFE,
      '-format_whitelist',
      FORMATS,
      '-i',
      'pipe:0',
      '-map',
      '0:a:0',
      '-threads',
      '1',
      ...outputArguments(codec, ffmpeg.capabilities, aacRateHz),
    ];
    this.#framesOfTurn = 0;
    this.#emptyReads = 0;
    this.#stderr = '';
    let child: Child;
    try {
      child = spawnFfmpeg(ffmpeg.path, args);
    } catch (error) {
      // The caller does not have the source yet.
      queueMicrotask(() => this.#fail(error instanceof Error ? error.message : String(error)));
      return;
    }
    this.#child = child;
    child.once('error', (error) => this.#fail(error.message));
    // Without a free file descriptor there are no pipes, whatever the types say, and 'error' follows.
    if ((child.stdin as Writable | undefined) === undefined) return;
    lowerPriority(child.pid);
    const file = createReadStream(path);
    this.#file = file;
    file.once('error', (error: NodeJS.ErrnoException) => this.#fail(error.code ?? error.message));
    // Back-pressure of the pipe stops the reading of the file. ffmpeg may end before its input does.
    child.stdin.on('error', () => file.destroy());
    file.pipe(child.stdin);
    const output = new FfmpegAudioOutput(codec, (frame) => this.#take(frame));
    child.stdout.on('data', (octets: Buffer) => {
      if (this.#child !== child) return;
      output.push(octets);
      if (this.#queue.length > QUEUE_HIGH) child.stdout.pause();
    });
    child.stderr.on('data', (octets: Buffer) => {
      this.#stderr = (this.#stderr + octets.toString('latin1')).slice(-MAX_STDERR);
    });
    for (const pipe of [child.stdout, child.stderr]) pipe.on('error', () => {});
    // 'close' follows when all output has been read.
    child.once('close', (code, signal) => {
      if (this.#child !== child) return;
      output.end();
      this.#onTurnDecoded(code, signal);
    });
  }

  #take(frame: Uint8Array): void {
    this.#framesOfTurn++;
    this.#emptyReads = 0;
    this.#queue.push(frame);
    if (this.#kept === undefined) return;
    this.#kept.push(frame);
    if (this.#kept.length > MAX_KEPT_FRAMES) this.#kept = undefined;
  }

  #onTurnDecoded(code: number | null, signal: NodeJS.Signals | null): void {
    this.#file?.destroy();
    this.#child = undefined;
    if (code !== 0 || this.#framesOfTurn === 0) {
      const lastWords = this.#stderr.trim().split('\n').at(-1) ?? '';
      this.#fail(lastWords === '' ? `ended with ${signal ?? code} and no sound` : lastWords);
    } else if (this.#options.loop && this.#kept === undefined) {
      this.#start();
    } else {
      this.#complete = true;
      if (this.#queue.length === 0) this.#turn();
    }
  }

  #fail(reason: string): void {
    if (this.#closed) return;
    this.close();
    this.#handler.onFailed?.(
      new MediaError('SOUND_FAILED', `The sound cannot be played: ${reason}`),
    );
  }

  #release(): void {
    this.#file?.destroy();
    const child = this.#child;
    this.#child = undefined;
    child?.kill('SIGKILL');
  }
}
