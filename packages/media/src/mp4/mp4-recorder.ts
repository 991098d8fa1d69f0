// Records a stream to MP4 files while it runs: fragmented, so that what a crash leaves plays up to its last fragment, with an
// index at the end. Another size or codec, or a medium that joins, begins another file.

import { close, write } from 'node:fs';
import { promisify } from 'node:util';
import type { FlvTag } from '../codec/frame.ts';
import { promisedBy } from '../flv/metadata.ts';
import type {
  FlvRecorderHandler,
  FlvRecorderOptions,
  FlvRecording,
} from '../output/flv-recorder.ts';
import { openNew } from '../output/new-file.ts';
import type { Output } from '../output/output.ts';
import { PacketMuxer } from './packet-muxer.ts';

/** How long the headers of promised media may take. */
const HEADERS_WAIT_MS = 2000;
/** Tags of the time until there are all headers. */
const MAX_HELD = 1000;
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
  #videoHeader: Uint8Array | undefined;
  #audioHeader: Uint8Array | undefined;
  #promised: ReadonlySet<8 | 9> = new Set();
  #waitingSinceMs: number | undefined;
  #held: FlvTag[] = [];
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
    if (tag.role === 'metadata') this.#promised = promisedBy(tag.body);
    else if (tag.role === 'sequence-header') this.#describe(tag);
    else if (!this.#file || this.#isFull(this.#file, tag)) this.#hold(tag);
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
    if (!this.#file && this.#held.length > 0) this.#next();
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

  #describe(tag: FlvTag): void {
    const before = tag.type === 9 ? this.#videoHeader : this.#audioHeader;
    if (tag.type === 9) this.#videoHeader = tag.body;
    else this.#audioHeader = tag.body;
    if (before && Buffer.compare(before, tag.body) === 0) return;
    this.#complete();
    // What waits has the former parameters.
    if (before) this.#held = [];
  }

  #isFull(file: OpenFile, tag: FlvTag): boolean {
    if (file.hasVideo && file.keyFrames > 0 && tag.role !== 'key-frame') return false;
    const { maxBytes = Number.POSITIVE_INFINITY, maxMs = Number.POSITIVE_INFINITY } = this.#options;
    const isFull = file.bytes >= maxBytes || tag.timestampMs - file.startMs >= maxMs;
    if (isFull) this.#complete();
    return isFull;
  }

  /** Until there are the headers of all that is promised: from the last key frame on, where there are pictures. */
  #hold(tag: FlvTag): void {
    this.#waitingSinceMs ??= tag.timestampMs;
    if (tag.role === 'key-frame' || this.#held.length >= MAX_HELD) this.#held = [];
    const hasPictures = this.#videoHeader !== undefined;
    if (!hasPictures || tag.role === 'key-frame' || this.#held[0]?.role === 'key-frame')
      this.#held.push(tag);
    const lacks =
      (this.#promised.has(9) && !hasPictures) || (this.#promised.has(8) && !this.#audioHeader);
    if (lacks && tag.timestampMs - this.#waitingSinceMs < HEADERS_WAIT_MS) return;
    if (hasPictures ? this.#held[0]?.role === 'key-frame' : this.#audioHeader) this.#next();
  }

  #next(): void {
    const held = this.#held.splice(0);
    const startMs = Math.min(...held.map(({ timestampMs }) => timestampMs));
    if (!this.#videoHeader && !this.#audioHeader) return;
    try {
      this.#file = new OpenFile(
        this.#options.pathOf(this.#files++),
        startMs,
        {
          ...(this.#videoHeader && { videoHeader: this.#videoHeader }),
          ...(this.#audioHeader && { audioHeader: this.#audioHeader }),
        },
        (error) => this.#fail(error),
      );
    } catch (error) {
      return this.#fail(error);
    }
    this.#waitingSinceMs = undefined;
    for (const tag of held) this.#file.push(tag);
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
