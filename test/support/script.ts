// Runs a TypeScript program of this repository as a user would, and reads what it prints.

import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** A running program. */
export class Script {
  readonly lines: string[] = [];
  /** Resolves with the exit code, or the name of the signal that ended it. */
  readonly exited: Promise<number | string>;
  readonly #process: ChildProcess;
  readonly #waiting = new Set<() => void>();
  #ended = false;

  /** @param path - From the root of the repository. */
  constructor(path: string, args: readonly string[] = [], environment: NodeJS.ProcessEnv = {}) {
    this.#process = spawn(process.execPath, ['--import', 'tsx', path, ...args], {
      cwd: root,
      env: { ...process.env, ...environment },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#read(this.#process.stdout);
    this.#read(this.#process.stderr);
    this.exited = new Promise((resolve) => {
      this.#process.on('close', (code, signal) => {
        this.#ended = true;
        this.#wake();
        resolve(code ?? signal ?? 0);
      });
    });
  }

  /** Everything printed so far, errors included. */
  get output(): string {
    return this.lines.join('\n');
  }

  /** The first line that matches, printed already or later. */
  async line(pattern: RegExp, timeoutMs = 20_000): Promise<RegExpExecArray> {
    const endMs = Date.now() + timeoutMs;
    for (;;) {
      for (const line of this.lines) {
        const match = pattern.exec(line);
        if (match) return match;
      }
      const restMs = endMs - Date.now();
      if (this.#ended || restMs <= 0) throw new Error(`No ${String(pattern)} in:\n${this.output}`);
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

  signal(name: NodeJS.Signals): void {
    this.#process.kill(name);
  }

  /** Ends it in any case. */
  async kill(): Promise<void> {
    this.#process.kill('SIGKILL');
    await this.exited;
  }

  #read(stream: NodeJS.ReadableStream | null): void {
    let rest = '';
    stream?.setEncoding('utf8');
    stream?.on('data', (text: string) => {
      const lines = (rest + text).split('\n');
      rest = lines.pop() ?? '';
      this.lines.push(...lines);
      this.#wake();
    });
    stream?.on('end', () => {
      if (rest !== '') this.lines.push(rest);
    });
  }

  #wake(): void {
    for (const wake of this.#waiting) wake();
  }
}
