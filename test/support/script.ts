// Runs a TypeScript program of this repository as a user would, and reads what it prints.

import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { PrintedLines } from './printed-lines.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** A running program. */
export class Script {
  readonly #process: ChildProcess;
  readonly #printed: PrintedLines;

  /** @param path - From the root of the repository. */
  constructor(path: string, args: readonly string[] = [], environment: NodeJS.ProcessEnv = {}) {
    this.#process = spawn(
      process.execPath,
      ['--conditions=source', '--import', 'tsx', path, ...args],
      {
        cwd: root,
        env: { ...process.env, ...environment },
        stdio: ['ignore', 'pipe', 'pipe'],
      },
    );
    this.#printed = new PrintedLines(this.#process);
  }

  /** Resolves with the exit code, or the name of the signal that ended it. */
  get exited(): Promise<number | string> {
    return this.#printed.exited;
  }

  get lines(): readonly string[] {
    return this.#printed.all;
  }

  /** Everything printed so far, errors included. */
  get output(): string {
    return this.#printed.text;
  }

  /** The first line that matches, printed already or later. */
  line(pattern: RegExp, timeoutMs = 20_000): Promise<RegExpExecArray> {
    return this.#printed.first(pattern, timeoutMs);
  }

  signal(name: NodeJS.Signals): void {
    this.#process.kill(name);
  }

  /** Ends it in any case. */
  async kill(): Promise<void> {
    this.#process.kill('SIGKILL');
    await this.exited;
  }
}
