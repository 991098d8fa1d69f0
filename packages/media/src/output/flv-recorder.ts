// Records a stream to FLV files: complete up to the last tag after a crash, seekable after a clean end.

import { createWriteStream } from 'node:fs';
import type { WriteStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { amf0Object, decodeAmf0, EcmaArray, encodeAmf0 } from '../flv/amf0.ts';
import type { Amf0Value } from '../flv/amf0.ts';
import { formatFlvHeader, formatFlvTag } from '../flv/flv-file.ts';
import type { FlvTag } from '../codec/frame.ts';
import { openNew } from './new-file.ts';
import type { Output, OutputContents } from './output.ts';

/** Options of an {@link FlvRecorder}. */
export interface FlvRecorderOptions {
  /** Path of the n-th file, from 0. Its folder must exist; an existing file is overwritten. */
  readonly pathOf: (index: number) => string;
  /** Start a new file with the first key frame after this many octets. Default: never. */
  readonly maxBytes?: number;
  /** Start a new file with the first key frame after this many milliseconds. Default: never. */
  readonly maxMs?: number;
}

/** A completed file. */
export interface FlvRecording {
  readonly path: string;
  readonly bytes: number;
  readonly durationMs: number;
  readonly keyFrames: number;
}

/** What a recorder reports. */
export interface FlvRecorderHandler {
  /** A file is complete and closed. */
  onFile?(recording: FlvRecording): void;
  /** Recording has stopped: the disk is too slow or full, or the folder is gone. Once. */
  onFailed?(error: Error): void;
}

/** Room in the first tag for the index that is known only at the end: as many key frames as fit into 64 KiB. */
const MAX_KEY_FRAMES = 3000;
/** Two numbers, each with its AMF marker. */
const BYTES_PER_KEY_FRAME = 18;
const RESERVED_BYTES = MAX_KEY_FRAMES * BYTES_PER_KEY_FRAME + 1024;
/** Readers have small buffers for strings: ffmpeg drops the whole tag if one has 1,024 octets. */
const MAX_BLANK_BYTES = 900;
/** Length and three octets of the key, type and length of the value. */
const BLANK_OVERHEAD_BYTES = 8;
/** Limit of octets waiting for the disk; more is an error. */
const MAX_WAITING_BYTES = 32 * 1024 * 1024;
const FLV_HEAD_BYTES = 13;

/** The file being written. */
class OpenFile {
  readonly path: string;
  readonly stream: WriteStream;
  /** Stream time that is 0 of the file. */
  readonly startMs: number;
  bytes = 0;
  lastMs = 0;
  /** Octets of the first tag's body. */
  metadataBytes = 0;
  metadata: ReadonlyMap<string, Amf0Value> = new Map();
  keyFrames: { atMs: number; position: number }[] = [];
  /** Index every n-th key frame; doubles when the index is full. */
  keyFrameStep = 1;
  keyFramesSeen = 0;
  /** Its pictures have another size or profile from the next one on. */
  isOutdated = false;

  /** @throws the error of the file system */
  constructor(wantedPath: string, startMs: number) {
    const { path, fd } = openNew(wantedPath);
    this.path = path;
    this.startMs = startMs;
    this.stream = createWriteStream(path, { fd });
  }

  write(octets: Uint8Array): void {
    this.bytes += octets.length;
    this.stream.write(octets);
  }

  noteKeyFrame(atMs: number): void {
    if (this.keyFramesSeen++ % this.keyFrameStep !== 0) return;
    this.keyFrames.push({ atMs, position: this.bytes });
    if (this.keyFrames.length < MAX_KEY_FRAMES) return;
    this.keyFrames = this.keyFrames.filter((_, index) => index % 2 === 0);
    this.keyFrameStep *= 2;
  }
}

/** An output. Nothing is written before the first tag; `close` completes the last file. */
export class FlvRecorder implements Output {
  readonly #options: FlvRecorderOptions;
  readonly #handler: FlvRecorderHandler;
  #contents = { hasAudio: true, hasVideo: true };
  /** Headers that a new file needs first. */
  #metadata: FlvTag | undefined;
  #videoHeader: FlvTag | undefined;
  #audioHeader: FlvTag | undefined;
  #file: OpenFile | undefined;
  #files = 0;
  #failed = false;
  #closing: Promise<void> | undefined;
  /** Files are completed one after the other. */
  #completing: Promise<void> = Promise.resolve();

  constructor(options: FlvRecorderOptions, handler: FlvRecorderHandler = {}) {
    this.#options = options;
    this.#handler = handler;
  }

  /** Which media will come. Before the first tag. */
  onLive(contents: OutputContents): void {
    this.#contents = contents;
  }

  push(tag: FlvTag): void {
    if (this.#failed || this.#closing) return;
    if (tag.role === 'metadata') {
      this.#metadata = tag;
      return;
    }
    if (tag.role === 'sequence-header') {
      const isVideo = tag.type === 9;
      const isNew = isVideo && this.#videoHeader && !sameOctets(this.#videoHeader, tag);
      if (isVideo) this.#videoHeader = tag;
      else this.#audioHeader = tag;
      // Before the file starts, it is kept, to be written with the others.
      if (!this.#file) return;
      // MP4 has one description for its pictures, and players rarely follow a change: it goes into a file of its own.
      if (isNew && this.#file.keyFramesSeen > 0) this.#file.isOutdated = true;
      else this.#write(this.#file, tag);
      return;
    }
    const file = this.#file && !this.#isFull(this.#file, tag) ? this.#file : this.#next(tag);
    if (!file) return;
    if (tag.role === 'key-frame') file.noteKeyFrame(tag.timestampMs - file.startMs);
    this.#write(file, tag);
    if (file.stream.writableLength > MAX_WAITING_BYTES)
      this.#fail(new Error('The disk is too slow'));
  }

  /** The stream has ended. */
  onEnded(): Promise<void> {
    return this.close();
  }

  /** Completes the last file; resolves when it is on disk. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#complete();
    await this.#completing;
  }

  #isFull(file: OpenFile, tag: FlvTag): boolean {
    // Without video, and before its first picture, a file can end anywhere.
    const needsKeyFrame = this.#contents.hasVideo && file.keyFramesSeen > 0;
    if (needsKeyFrame && tag.role !== 'key-frame') return false;
    if (file.isOutdated) return true;
    const { maxBytes = Number.POSITIVE_INFINITY, maxMs = Number.POSITIVE_INFINITY } = this.#options;
    return file.bytes >= maxBytes || tag.timestampMs - file.startMs >= maxMs;
  }

  /** The next file; undefined when it cannot be opened. */
  #next(first: FlvTag): OpenFile | undefined {
    this.#complete();
    let file: OpenFile;
    try {
      file = new OpenFile(this.#options.pathOf(this.#files++), first.timestampMs);
    } catch (error) {
      this.#fail(error instanceof Error ? error : new Error(String(error)));
      return undefined;
    }
    file.stream.on('error', (error) => this.#fail(error));
    this.#file = file;
    file.write(formatFlvHeader(this.#contents));
    file.metadata = entriesOf(this.#metadata);
    const body = this.#metadataBody(file, RESERVED_BYTES);
    file.metadataBytes = body.length;
    file.write(formatFlvTag({ type: 18, timestampMs: 0, body }));
    for (const header of [this.#videoHeader, this.#audioHeader])
      if (header) file.write(formatFlvTag({ ...header, timestampMs: 0 }));
    return file;
  }

  #write(file: OpenFile, tag: FlvTag): void {
    const timestampMs = Math.max(0, tag.timestampMs - file.startMs);
    file.lastMs = Math.max(file.lastMs, timestampMs);
    file.write(formatFlvTag({ ...tag, timestampMs }));
  }

  /** `reserve`: total octets; the rest is filled with blanks, which readers ignore. */
  #metadataBody(file: OpenFile, reserve: number): Buffer {
    const bare = formatMetadata(file, []);
    let restBytes = reserve - bare.length;
    // Too little for an empty blank: drop an entry of the index.
    if (restBytes > 0 && restBytes < BLANK_OVERHEAD_BYTES && file.keyFrames.length > 0) {
      file.keyFrames.pop();
      restBytes += BYTES_PER_KEY_FRAME;
    }
    const blanks: number[] = [];
    while (restBytes >= BLANK_OVERHEAD_BYTES) {
      // The rest after a full blank must be enough for another one, or nothing.
      const full = BLANK_OVERHEAD_BYTES + MAX_BLANK_BYTES;
      const takes =
        restBytes - full >= BLANK_OVERHEAD_BYTES
          ? full
          : Math.min(restBytes, full - BLANK_OVERHEAD_BYTES);
      blanks.push(takes - BLANK_OVERHEAD_BYTES);
      restBytes -= takes;
    }
    return formatMetadata(file, blanks);
  }

  #complete(): void {
    const file = this.#file;
    this.#file = undefined;
    if (!file) return;
    this.#completing = this.#completing.then(() => this.#finish(file));
  }

  async #finish(file: OpenFile): Promise<void> {
    try {
      await new Promise<void>((resolve, reject) => {
        file.stream.once('error', reject);
        file.stream.end(resolve);
      });
      const body = this.#metadataBody(file, file.metadataBytes);
      // A body larger than the reserved space would overwrite the stream.
      if (body.length === file.metadataBytes) {
        const handle = await open(file.path, 'r+');
        try {
          await handle.write(body, 0, body.length, FLV_HEAD_BYTES + 11);
        } finally {
          await handle.close();
        }
      }
      const { path, bytes, lastMs: durationMs, keyFramesSeen: keyFrames } = file;
      this.#handler.onFile?.({ path, bytes, durationMs, keyFrames });
    } catch (error) {
      this.#fail(error instanceof Error ? error : new Error(String(error)));
    }
  }

  #fail(error: Error): void {
    if (this.#failed) return;
    this.#failed = true;
    this.#file?.stream.destroy();
    this.#file = undefined;
    this.#handler.onFailed?.(error);
  }
}

function sameOctets(a: FlvTag, b: FlvTag): boolean {
  return Buffer.compare(a.body, b.body) === 0;
}

function entriesOf(metadata: FlvTag | undefined): ReadonlyMap<string, Amf0Value> {
  if (!metadata) return new Map();
  const values = decodeAmf0(metadata.body);
  const array = typeof values === 'string' ? undefined : values[1];
  return array instanceof EcmaArray ? array.entries : new Map();
}

/** `blanks`: lengths of the values that fill the tag. */
function formatMetadata(file: OpenFile, blanks: readonly number[]): Buffer {
  const { keyFrames } = file;
  const index =
    keyFrames.length === 0
      ? {}
      : {
          keyframes: amf0Object({
            times: keyFrames.map(({ atMs }) => atMs / 1000),
            filepositions: keyFrames.map(({ position }) => position),
          }),
        };
  const filler = blanks.map((length, at) => [
    `_${String(at).padStart(2, '0')}`,
    ' '.repeat(length),
  ]);
  return encodeAmf0(
    'onMetaData',
    new EcmaArray(
      amf0Object({
        ...Object.fromEntries(file.metadata),
        duration: file.lastMs / 1000,
        filesize: file.bytes,
        hasKeyframes: keyFrames.length > 0,
        ...index,
        ...(Object.fromEntries(filler) as Record<string, string>),
      }),
    ),
  );
}
