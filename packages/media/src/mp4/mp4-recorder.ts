// Records a stream to MP4 files while it runs: fragmented, so that what a crash leaves plays up to its last fragment, with an
// index at the end. Another size or codec, or a medium that joins, begins another file.

import { close, write } from 'node:fs';
import { promisify } from 'node:util';
import type { FlvTag } from '../codec/frame.ts';
import { TrackStart } from '../flv/track-start.ts';
import type {
  FlvRecorderHandler,
  FlvRecorderOptions,
  FlvRecording,
} from '../output/flv-recorder.ts';
import { openNew } from '../output/new-file.ts';
import type { Output } from '../output/output.ts';
import { PacketMuxer } from './packet-muxer.ts';

const FRAGMENT_S = 1;

const writeAt = promisify(write);
const closeFile = promisify(close);

/** The file being written. */
class OpenFile {
  readonly path: string;
  readonly startMs: number;
  readonly hasVideo: boolean;
  readonly #fd: number;
  readonly #muxer: PacketMuxer;
  bytes = 0;
  lastMs = 0;
  keyFrames = 0;

  /** @throws errors of the file system */
  constructor(
    wantedPath: string,
    startMs: number,
    headers: { readonly videoHeader?: Uint8Array; readonly audioHeader?: Uint8Array },
    onFailed: (error: unknown) => void,
  ) {
    const { path, fd } = openNew(wantedPath);
    this.path = path;
    this.#fd = fd;
    this.startMs = startMs;
    this.hasVideo = headers.videoHeader !== undefined;
    this.#muxer = new PacketMuxer(
      { ...headers, startMs },
      {
        open: (bunny) => ({
          format: new bunny.Mp4OutputFormat({
            fastStart: 'fragmented',
            minimumFragmentDuration: FRAGMENT_S,
          }),
          target: new bunny.StreamTarget(
            new WritableStream({
              write: async ({ data, position }) => {
                this.bytes = Math.max(this.bytes, position + data.length);
                let done = 0;
                while (done < data.length) {
                  const rest = data.length - done;
                  const { bytesWritten } = await writeAt(fd, data, done, rest, position + done);
                  done += bytesWritten;
                }
              },
            }),
          ),
        }),
        onFailed,
      },
    );
  }

  push(tag: FlvTag): void {
    if (tag.role === 'key-frame') this.keyFrames++;
    this.lastMs = Math.max(this.lastMs, tag.timestampMs - this.startMs);
    this.#muxer.push(tag);
  }

  /** Writes the index and closes the file. @throws errors of the file system */
  async complete(): Promise<FlvRecording> {
    await this.#muxer.end();
    await closeFile(this.#fd);
    const { path, bytes, lastMs: durationMs, keyFrames } = this;
    return { path, bytes, durationMs, keyFrames };
  }
}

/** What a recorder reports. */
export interface Mp4RecorderHandler extends FlvRecorderHandler {
  /** The stream has media that MP4 does not hold: the files go without. Once. */
  onOmitted?(): void;
}

/** An output of tags with H.264 and AAC; other sound is left out. Nothing is written before the first tag. */
export class Mp4Recorder implements Output {
  readonly #options: FlvRecorderOptions;
  readonly #handler: Mp4RecorderHandler;
  #omits = false;
  readonly #start = new TrackStart();
  #file: OpenFile | undefined;
  #files = 0;
  #failed = false;
  #closing: Promise<void> | undefined;
  /** Files are completed one after the other. */
  #completing: Promise<void> = Promise.resolve();

  constructor(options: FlvRecorderOptions, handler: Mp4RecorderHandler = {}) {
    this.#options = options;
    this.#handler = handler;
  }

  push(tag: FlvTag): void {
    if (this.#failed || this.#closing || !this.#holds(tag)) return;
    if (tag.role === 'metadata' || tag.role === 'sequence-header') {
      // Media of another form have a file of their own.
      if (this.#start.describe(tag)) this.#complete();
    } else if (!this.#file || this.#isFull(this.#file, tag)) this.#next(this.#start.hold(tag));
    else this.#file.push(tag);
  }

  onEnded(): Promise<void> {
    return this.close();
  }

  /** Completes the last file; resolves when it is on disk. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    if (!this.#file) this.#next(this.#start.take());
    this.#complete();
    await this.#completing;
  }

  /** H.264 (CodecID 7) and AAC (SoundFormat 10). */
  #holds({ type, body }: FlvTag): boolean {
    const kind = body[0] ?? 0;
    const isHeld = type === 8 ? kind >> 4 === 10 : type === 18 || (kind & 0x8f) === 7;
    if (!isHeld && !this.#omits) this.#handler.onOmitted?.();
    this.#omits ||= !isHeld;
    return isHeld;
  }

  #isFull(file: OpenFile, tag: FlvTag): boolean {
    if (file.hasVideo && file.keyFrames > 0 && tag.role !== 'key-frame') return false;
    const { maxBytes = Number.POSITIVE_INFINITY, maxMs = Number.POSITIVE_INFINITY } = this.#options;
    const isFull = file.bytes >= maxBytes || tag.timestampMs - file.startMs >= maxMs;
    if (isFull) this.#complete();
    return isFull;
  }

  #next(tags: readonly FlvTag[]): void {
    const { videoHeader, audioHeader } = this.#start;
    if (tags.length === 0 || (!videoHeader && !audioHeader)) return;
    const startMs = Math.min(...tags.map(({ timestampMs }) => timestampMs));
    try {
      this.#file = new OpenFile(
        this.#options.pathOf(this.#files++),
        startMs,
        {
          ...(videoHeader && { videoHeader: videoHeader.body }),
          ...(audioHeader && { audioHeader: audioHeader.body }),
        },
        (error) => this.#fail(error),
      );
    } catch (error) {
      return this.#fail(error);
    }
    for (const tag of tags) this.#file.push(tag);
  }

  #complete(): void {
    const file = this.#file;
    this.#file = undefined;
    if (!file) return;
    this.#completing = this.#completing.then(async () => {
      try {
        const recording = await file.complete();
        if (!this.#failed) this.#handler.onFile?.(recording);
      } catch (error) {
        this.#fail(error);
      }
    });
  }

  #fail(error: unknown): void {
    if (this.#failed) return;
    this.#failed = true;
    this.#complete();
    this.#handler.onFailed?.(error instanceof Error ? error : new Error(String(error)));
  }
}
