// Questions and answers between the bench and its child processes, over the channel of `fork`.

import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** What a child answers to: one argument, one result, both plain data. */
// oxlint-disable-next-line typescript/no-explicit-any -- each child names its own argument types
export type Methods = Record<string, (...argument: any[]) => unknown>;

interface Question {
  readonly id: number;
  readonly method: string;
  readonly argument: unknown;
}

interface Answer {
  readonly id: number;
  readonly result?: unknown;
  readonly error?: string;
}

/** For a child: answers until the parent goes away, and then ends. */
export function answer(methods: Methods): void {
  process.on('message', (question: Question) => {
    void (async () => {
      const { id, method, argument } = question;
      let reply: Answer;
      try {
        const result: unknown = await methods[method]!(argument);
        reply = { id, result };
      } catch (error) {
        reply = {
          id,
          error: error instanceof Error ? (error.stack ?? error.message) : String(error),
        };
      }
      process.send?.(reply);
    })();
  });
  process.on('disconnect', () => process.exit());
}

/** A child process that answers to `Known`. */
export class Child<Known extends Methods> {
  readonly name: string;
  readonly #process: ChildProcess;
  readonly #waiting = new Map<number, { resolve(result: unknown): void; reject(e: Error): void }>();
  readonly #exited: Promise<void>;
  #questions = 0;

  /**
   * @param script - TypeScript of this folder, or the URL of compiled code.
   * @param execArgv - For Node.js.
   */
  constructor(script: string | URL, execArgv: readonly string[] = []) {
    this.name = String(script);
    // What is compiled needs nothing of what runs TypeScript.
    const inherited = typeof script === 'string' ? process.execArgv : [];
    this.#process = fork(fileURLToPath(new URL(script, import.meta.url)), [], {
      execArgv: [...inherited, ...execArgv],
    });
    this.#process.on('message', (reply: Answer) => {
      const waiting = this.#waiting.get(reply.id);
      this.#waiting.delete(reply.id);
      if (reply.error === undefined) waiting?.resolve(reply.result);
      else waiting?.reject(new Error(`${this.name}: ${reply.error}`));
    });
    this.#exited = new Promise((resolve) => {
      this.#process.on('exit', (code, signal) => {
        const error = new Error(`${this.name} ended (${signal ?? code})`);
        for (const waiting of this.#waiting.values()) waiting.reject(error);
        this.#waiting.clear();
        resolve();
      });
    });
  }

  get pid(): number {
    return this.#process.pid!;
  }

  /** Asks, and waits for the answer. */
  ask<Name extends keyof Known & string>(
    method: Name,
    ...[argument]: Parameters<Known[Name]>
  ): Promise<Awaited<ReturnType<Known[Name]>>> {
    return new Promise((resolve, reject) => {
      const id = ++this.#questions;
      this.#waiting.set(id, {
        resolve: (result) => resolve(result as Awaited<ReturnType<Known[Name]>>),
        reject,
      });
      const question: Question = { id, method, argument };
      this.#process.send(question);
    });
  }

  /** Ends it: it sees the channel close. Resolves when it is gone. */
  async stop(): Promise<void> {
    if (this.#process.connected) this.#process.disconnect();
    const late = setTimeout(() => this.#process.kill('SIGKILL'), 5000);
    await this.#exited;
    clearTimeout(late);
  }
}
