// What a child process prints, in lines, and waiting for one of them.

import type { ChildProcess } from 'node:child_process';

/** Lines of both outputs of a process, in the order in which they came. */
export class PrintedLines {
  readonly all: string[] = [];
  /** Resolves with the exit code, or the name of the signal that ended it, when all is read. */
  readonly exited: Promise<number | string>;
  readonly #waiting = new Set<() => void>();
  #exit: number | string | undefined;

  /** @param child - Spawned just now, with pipes for what it prints. */
  constructor(child: ChildProcess) {
    this.#read(child.stdout);
    this.#read(child.stderr);
    this.exited = new Promise((resolve) => {
      child.on('close', (code, signal) => {
        this.#exit = code ?? signal ?? 0;
        this.#wake();
        resolve(this.#exit);
      });
    });
  }

  /** The process has ended, and everything is read. */
  get ended(): boolean {
    return this.#exit !== undefined;
  }

  /** Everything printed so far. */
  get text(): string {
    return this.all.join('\n');
  }

  /** The first line that matches, printed already or later. @throws when it did not come, telling what was printed last */
  async first(pattern: RegExp, timeoutMs: number): Promise<RegExpExecArray> {
    const untilMs = performance.now() + timeoutMs;
    let seen = 0;
    for (;;) {
      for (; seen < this.all.length; seen++) {
        const found = pattern.exec(this.all[seen] ?? '');
        if (found) return found;
      }
      const restMs = untilMs - performance.now();
      if (this.ended || restMs <= 0) {
        const end = this.#exit === undefined ? '' : `(ended: ${this.#exit})`;
        throw new Error(`No ${String(pattern)} in:\n${this.text.slice(-4000)}\n${end}`);
      }
      await new Promise<void>((resolve) => {
        const wake = (): void => {
          clearTimeout(timer);
          this.#waiting.delete(wake);
          resolve();
        };
        const timer = setTimeout(wake, restMs);
        this.#waiting.add(wake);
      });
    }
  }

  #read(stream: NodeJS.ReadableStream | null): void {
    let rest = '';
    stream?.setEncoding('utf8');
    stream?.on('data', (text: string) => {
      const lines = (rest + text).split('\n');
      rest = lines.pop() ?? '';
      this.all.push(...lines);
      this.#wake();
    });
    stream?.on('end', () => {
      if (rest !== '') this.all.push(rest);
    });
  }

  #wake(): void {
    for (const wake of this.#waiting) wake();
  }
}
