// Watches whether the ffmpeg that calls need still exists and works, for `/ready`.

import { stat } from 'node:fs/promises';
import type { CallGateway, Logger } from '@sipcast/core';

/** Interval for checking the file by `stat`. */
const LOOK_MS = 2000;
/** Interval for running it even if the file is unchanged: a library that it needs may be gone. */
const RUN_MS = 60_000;
/** The same while it does not work. */
const RUN_BROKEN_MS = 10_000;

/** Checks ffmpeg in the background, so that requests do not have to. */
export class FfmpegWatch {
  readonly #gateway: Pick<CallGateway, 'ffmpeg' | 'checkFfmpeg'>;
  readonly #logger: Logger;
  #timer: NodeJS.Timeout | undefined;
  #looking = false;
  #file = '';
  #ranMs = Number.NEGATIVE_INFINITY;
  #problem: string | undefined;

  constructor(gateway: Pick<CallGateway, 'ffmpeg' | 'checkFfmpeg'>, logger: Logger) {
    this.#gateway = gateway;
    this.#logger = logger;
  }

  /**
   * The problem found by the last check, for the log only because it contains the path. Undefined: no problem, or not
   * needed.
   */
  get problem(): string | undefined {
    return this.#problem;
  }

  /** Checks every two seconds from now on. */
  start(): void {
    if (!this.#gateway.ffmpeg) return;
    this.#timer ??= setInterval(() => void this.look(performance.now()), LOOK_MS).unref();
  }

  close(): void {
    clearInterval(this.#timer);
  }

  /** Checks once. Runs ffmpeg if its file has changed or a run is due. Not while another check is running. */
  async look(nowMs: number): Promise<void> {
    const { ffmpeg } = this.#gateway;
    if (!ffmpeg || this.#looking) return;
    this.#looking = true;
    try {
      const file = await identityOf(ffmpeg.path);
      const isDue = nowMs - this.#ranMs >= (this.#problem === undefined ? RUN_MS : RUN_BROKEN_MS);
      if (file === this.#file && !isDue) return;
      this.#file = file;
      this.#ranMs = nowMs;
      this.#tell(await this.#gateway.checkFfmpeg());
    } finally {
      this.#looking = false;
    }
  }

  #tell(problem: string | undefined): void {
    const before = this.#problem;
    this.#problem = problem;
    if (problem === before) return;
    if (problem === undefined) this.#logger.info('ffmpeg works again');
    else this.#logger.warn(`not ready: ${problem}`);
  }
}

/** A text that identifies the file and its contents; distinct if there is none. */
async function identityOf(path: string): Promise<string> {
  try {
    const { dev, ino, size, mtimeMs, ctimeMs } = await stat(path);
    return [dev, ino, size, mtimeMs, ctimeMs].join(' ');
  } catch {
    return 'none';
  }
}
