// The recording of a call: FLV files in a folder, remuxed to MP4 on request.

import { mkdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { FlvRecorder, remuxToMp4 } from '@sipcast/media';
import type { FfmpegBinary, FlvRecording, FlvTag, Output, OutputContents } from '@sipcast/media';
import { GatewayError } from '../errors.ts';
import type { Logger } from '../logger.ts';

/** How calls are recorded. */
export interface RecordingOptions {
  /** Folder for the files; created if missing. */
  readonly dir: string;
  /** A new file starts after this many octets, at a key frame. Default: never. */
  readonly maxBytes?: number;
  /** A new file starts after this many milliseconds, at a key frame. Default: never. */
  readonly maxMs?: number;
  /** Also remux each complete file with H.264 and AAC to MP4. Default false. */
  readonly mp4?: boolean;
}

/** What a recording needs. */
export interface RecordingDeps {
  /** Undefined: no MP4. */
  readonly ffmpeg: FfmpegBinary | undefined;
  readonly logger: Logger;
  /** Wall clock in milliseconds. */
  readonly wallClock: () => number;
}

/** Creates the folder. @throws GatewayError (rejection) `INVALID_ARGUMENT` naming `record`. */
export async function prepareFolder(dir: string): Promise<void> {
  try {
    await mkdir(dir, { recursive: true });
  } catch (cause) {
    const problem = `record: the folder cannot be created: ${cause instanceof Error ? cause.message : String(cause)}`;
    throw new GatewayError('INVALID_ARGUMENT', problem, { field: 'record', cause });
  }
}

/** An output of a stream that writes files. */
export class Recording implements Output {
  readonly #options: RecordingOptions;
  readonly #deps: RecordingDeps;
  readonly #recorder: FlvRecorder;
  readonly #onFile: (file: FlvRecording) => void;
  /** Of its files, and for the log. */
  readonly #stem: string;
  readonly #remuxes: Promise<void>[] = [];

  /**
   * @param name - Of the call or its stream: what it has beside letters, digits and `_.-` becomes `_`.
   * @param onFile - A file, FLV or MP4, is complete.
   */
  constructor(
    name: string,
    options: RecordingOptions,
    onFile: (file: FlvRecording) => void,
    deps: RecordingDeps,
  ) {
    this.#options = options;
    this.#deps = deps;
    this.#onFile = onFile;
    const stem = name
      .replaceAll(/[^A-Za-z0-9_.-]/g, '_')
      .replace(/^\.+/, '_')
      .slice(0, 100);
    this.#stem = stem;
    const began = new Date(deps.wallClock()).toISOString().replaceAll(/[-:]|\.\d+/g, '');
    const { dir, maxBytes, maxMs } = options;
    this.#recorder = new FlvRecorder(
      {
        pathOf: (index) => join(dir, `${stem}-${began}${index === 0 ? '' : `-${index}`}.flv`),
        ...(maxBytes !== undefined && { maxBytes }),
        ...(maxMs !== undefined && { maxMs }),
      },
      {
        onFile: (file) => this.#take(file),
        onFailed: (error) => deps.logger.error(`recording ${stem}: ${error.message}`),
      },
    );
  }

  onLive(contents: OutputContents): void {
    this.#recorder.onLive(contents);
  }

  push(tag: FlvTag): void {
    this.#recorder.push(tag);
  }

  async onEnded(problem?: unknown): Promise<void> {
    if (problem instanceof Error)
      this.#deps.logger.error(`recording ${this.#stem}: ${problem.message}`);
    await this.#recorder.close();
    await Promise.all(this.#remuxes);
  }

  #take(file: FlvRecording): void {
    this.#onFile(file);
    const { ffmpeg, logger } = this.#deps;
    if (!this.#options.mp4 || !ffmpeg) return;
    const path = file.path.replace(/\.flv$/, '.mp4');
    this.#remuxes.push(
      remuxToMp4(ffmpeg, file.path, path).then(
        async () => this.#onFile({ ...file, path, bytes: (await stat(path)).size }),
        (error: unknown) => logger.warn(error instanceof Error ? error.message : String(error)),
      ),
    );
  }
}
