// Whether the ffmpeg that calls need is still there and works: what `/ready` says of it.

import { stat } from 'node:fs/promises';
import type { CallGateway, Logger } from '@sipcast/core';

/** The file is looked at so often: one `stat`. */
const LOOK_MS = 2000;
/** It is run so often, file changed or not: a library that it needs may be gone. */
const RUN_MS = 60_000;
/** And so often while it does not work. */
const RUN_BROKEN_MS = 10_000;

/** Looks at ffmpeg now and then, so that nobody who asks has to. */
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

  /** What was wrong at the last look; with the path, thus for the log alone. Undefined: nothing, or none is needed. */
  get problem(): string | undefined {
    return this.#problem;
  }

  /** Looks from now on, every two seconds. */
  start(): void {
    if (!this.#gateway.ffmpeg) return;
    this.#timer ??= setInterval(() => void this.look(performance.now()), LOOK_MS).unref();
  }

  close(): void {
    clearInterval(this.#timer);
  }

  /** Looks once; runs ffmpeg where its file is another one, or it is time. Not while another look is under way. */
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

/** Another text for another file, for another content, and for none. */
async function identityOf(path: string): Promise<string> {
  try {
    const { dev, ino, size, mtimeMs, ctimeMs } = await stat(path);
    return [dev, ino, size, mtimeMs, ctimeMs].join(' ');
  } catch {
    return 'none';
  }
}
