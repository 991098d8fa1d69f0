// The recording of a call: FLV files in a folder, and MP4 files beside them on request.

import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { FlvRecorder, Mp4Recorder } from '@sipcast/media';
import type { FlvRecording, FlvTag, Output, OutputContents } from '@sipcast/media';
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
  /** Also record H.264 and AAC to MP4 files, fragmented while the call runs. Default false. */
  readonly mp4?: boolean;
}

/** What a recording needs. */
export interface RecordingDeps {
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
  readonly #deps: RecordingDeps;
  readonly #recorder: FlvRecorder;
  /** Of its files, and for the log. */
  readonly #stem: string;
  readonly #mp4: Mp4Recorder | undefined;

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
    this.#deps = deps;
    const stem = name
      .replaceAll(/[^A-Za-z0-9_.-]/g, '_')
      .replace(/^\.+/, '_')
      .slice(0, 100);
    this.#stem = stem;
    const began = new Date(deps.wallClock()).toISOString().replaceAll(/[-:]|\.\d+/g, '');
    const { dir, maxBytes, maxMs, mp4 = false } = options;
    const recorderOf = (extension: string) => ({
      pathOf: (index: number) =>
        join(dir, `${stem}-${began}${index === 0 ? '' : `-${index}`}.${extension}`),
      ...(maxBytes !== undefined && { maxBytes }),
      ...(maxMs !== undefined && { maxMs }),
    });
    const handler = {
      onFile,
      onFailed: (error: Error) => deps.logger.error(`recording ${stem}: ${error.message}`),
    };
    this.#recorder = new FlvRecorder(recorderOf('flv'), handler);
    this.#mp4 = mp4
      ? new Mp4Recorder(recorderOf('mp4'), {
          ...handler,
          onOmitted: () =>
            deps.logger.warn(
              `recording ${stem}: MP4 holds H.264 and AAC only, and goes without others`,
            ),
        })
      : undefined;
  }

  onLive(contents: OutputContents): void {
    this.#recorder.onLive(contents);
  }

  push(tag: FlvTag): void {
    this.#recorder.push(tag);
    this.#mp4?.push(tag);
  }

  async onEnded(problem?: unknown): Promise<void> {
    if (problem instanceof Error)
      this.#deps.logger.error(`recording ${this.#stem}: ${problem.message}`);
    await Promise.all([this.#recorder.close(), this.#mp4?.close()]);
  }
}
