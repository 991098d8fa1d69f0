// Writes log lines to a file descriptor without ever blocking. A full disk or a stalled reader costs log lines, which
// are counted, and never affects media.

import { write, writeSync } from 'node:fs';

/** Limit on queued lines; further lines are dropped. */
const MAX_WAITING_BYTES = 1 << 20;
/** Maximum size of one write. */
const MAX_BATCH_BYTES = 64 * 1024;
/** Retry interval while the other end accepts nothing. */
const RETRY_MS = 50;

/** Writes lines to a file descriptor in order. */
export class LogOutput {
  readonly #fd: number;
  readonly #write: typeof write;
  readonly #lines: Buffer[] = [];
  #waitingBytes = 0;
  #isWriting = false;
  #retry: NodeJS.Timeout | undefined;
  #lost = 0;
  /** Dropped lines not yet reported in the log. */
  #untold = 0;
  readonly #idle: (() => void)[] = [];

  readonly #onRecovered: (lost: number) => void;

  /**
   * @param onRecovered - Lines are accepted again; called with the number of dropped lines.
   * @param writeToFile - For tests. Default: `write` of `node:fs`.
   */
  constructor(fd: number, onRecovered: (lost: number) => void, writeToFile: typeof write = write) {
    this.#fd = fd;
    this.#onRecovered = onRecovered;
    this.#write = writeToFile;
  }

  /** Lines dropped since the start. */
  get lost(): number {
    return this.#lost;
  }

  /** Queues a line, including its line end. */
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

  /** Resolves when everything is written, or after `limitMs`. */
  async flush(limitMs: number): Promise<void> {
    if (!this.#isBusy) return;
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      this.#idle.push(resolve);
      timer = setTimeout(resolve, limitMs);
    });
    clearTimeout(timer);
  }

  /** For the last moment of a process: writes all queued lines synchronously, unless the other end accepts nothing. */
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
      // The reader is gone or the disk is full: these lines are lost, but the next may not be.
      if (error) this.#lose(this.#drop(count));
      else this.#took(written);
      if (!error) this.#tell();
      this.#next();
    });
  }

  /** Removes written octets from the queue. The rest of a line is written first next time. */
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
    // The report itself needs room for a line.
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
    // Only calls keep the process alive.
    this.#retry.unref();
  }

  #lose(count: number): void {
    this.#lost += count;
    this.#untold += count;
  }
}
