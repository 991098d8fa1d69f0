// Where log lines go: a file descriptor that is never waited for. A full disk or a reader that has stopped costs lines, which
// are counted, and nothing else: media go on.

import { write, writeSync } from 'node:fs';

/** What waits to be written; lines beyond it are lost. */
const MAX_WAITING_BYTES = 1 << 20;
/** One write. */
const MAX_BATCH_BYTES = 64 * 1024;
/** The other end takes nothing at present. */
const RETRY_MS = 50;

/** Writes lines to a file descriptor, one after the other. */
export class LogOutput {
  readonly #fd: number;
  readonly #write: typeof write;
  readonly #lines: Buffer[] = [];
  #waitingBytes = 0;
  #isWriting = false;
  #retry: NodeJS.Timeout | undefined;
  #lost = 0;
  /** Of those, what the log does not yet tell. */
  #untold = 0;
  readonly #idle: (() => void)[] = [];

  readonly #onRecovered: (lost: number) => void;

  /**
   * @param onRecovered - Lines are taken again, and so many were not.
   * @param writeToFile - For tests. Default: that of `node:fs`.
   */
  constructor(fd: number, onRecovered: (lost: number) => void, writeToFile: typeof write = write) {
    this.#fd = fd;
    this.#onRecovered = onRecovered;
    this.#write = writeToFile;
  }

  /** Lines that were lost, since the beginning. */
  get lost(): number {
    return this.#lost;
  }

  /** Takes a line, with its end. */
  write(line: string): void {
    const octets = Buffer.from(line);
    if (this.#waitingBytes + octets.length > MAX_WAITING_BYTES) {
      this.#lose(1);
      return;
    }
    this.#lines.push(octets);
    this.#waitingBytes += octets.length;
    this.#next();
  }

  /** Resolves when all is written, or after `limitMs`. */
  async flush(limitMs: number): Promise<void> {
    if (!this.#isBusy) return;
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      this.#idle.push(resolve);
      timer = setTimeout(resolve, limitMs);
    });
    clearTimeout(timer);
  }

  /** For the last moment of a process: writes what waits at once, unless the other end takes nothing. */
  flushNow(): void {
    if (this.#isWriting) return;
    clearTimeout(this.#retry);
    for (const line of this.#lines.splice(0)) {
      try {
        writeSync(this.#fd, line);
      } catch {
        return;
      }
    }
    this.#waitingBytes = 0;
  }

  get #isBusy(): boolean {
    return this.#isWriting || this.#lines.length > 0;
  }

  #next(): void {
    if (this.#isWriting || this.#retry !== undefined) return;
    if (this.#lines.length === 0) {
      for (const resolve of this.#idle.splice(0)) resolve();
      return;
    }
    let [count, bytes] = [0, 0];
    for (const line of this.#lines) {
      if (count > 0 && bytes + line.length > MAX_BATCH_BYTES) break;
      count++;
      bytes += line.length;
    }
    const batch = Buffer.concat(this.#lines.slice(0, count), bytes);
    this.#isWriting = true;
    this.#write(this.#fd, batch, 0, bytes, null, (error, written) => {
      this.#isWriting = false;
      if (error?.code === 'EAGAIN') return this.#later();
      // A reader that is gone, a full disk: these lines are lost, and the next may not be.
      if (error) this.#lose(this.#drop(count));
      else this.#took(written);
      if (!error) this.#tell();
      this.#next();
    });
  }

  /** So much of what waits is written. The rest of a line comes first next time. */
  #took(written: number): void {
    let left = written;
    while (left > 0) {
      const [line] = this.#lines;
      if (line === undefined) break;
      const part = Math.min(left, line.length);
      left -= part;
      this.#waitingBytes -= part;
      if (part === line.length) this.#lines.shift();
      else this.#lines[0] = line.subarray(part);
    }
  }

  #tell(): void {
    // What is told takes a line itself.
    if (this.#untold === 0 || this.#waitingBytes > MAX_WAITING_BYTES / 2) return;
    const untold = this.#untold;
    this.#untold = 0;
    this.#onRecovered(untold);
  }

  #drop(count: number): number {
    for (const line of this.#lines.splice(0, count)) this.#waitingBytes -= line.length;
    return count;
  }

  #later(): void {
    this.#retry = setTimeout(() => {
      this.#retry = undefined;
      this.#next();
    }, RETRY_MS);
    // What keeps a process alive are its calls.
    this.#retry.unref();
  }

  #lose(count: number): void {
    this.#lost += count;
    this.#untold += count;
  }
}
