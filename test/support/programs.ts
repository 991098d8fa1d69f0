// Programs that we did not write: found on this machine or, for a run that must not skip, missed loudly.

import { execFile, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { describe, it } from 'vitest';

const FOLDERS = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/sbin'];

/** The path of a program, or `undefined`. */
export function findProgram(name: string): string | undefined {
  for (const folder of FOLDERS) {
    const path = join(folder, name);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // Not here.
    }
  }
  return undefined;
}

/** A suite that needs programs. Missing: a skip that says so, and a failure in CI. */
export function describeWith(programs: readonly string[], name: string, suite: () => void): void {
  const missing = programs.filter((program) => findProgram(program) === undefined);
  if (missing.length === 0) {
    describe(name, suite);
    return;
  }
  describe(`${name} (needs ${missing.join(', ')})`, () => {
    if (process.env['CI'] === undefined)
      it.skip(`skipped: ${missing.join(', ')} not found`, () => {});
    else {
      it('has what it needs', () => {
        throw new Error(`Not installed: ${missing.join(', ')}`);
      });
    }
  });
}

/** Runs a program to its end. @throws with its standard error when it fails. */
export async function run(
  program: string,
  args: readonly string[],
  options: { readonly cwd?: string; readonly timeoutMs?: number } = {},
): Promise<{ stdout: Buffer; stderr: string }> {
  const result = await promisify(execFile)(findProgram(program) ?? program, args, {
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    timeout: options.timeoutMs ?? 60_000,
    encoding: 'buffer',
    maxBuffer: 256 * 1024 * 1024,
  });
  return { stdout: result.stdout, stderr: result.stderr.toString() };
}

/** A program that runs until it is stopped. */
export interface Running {
  readonly child: ChildProcess;
  /** What it has printed so far, on both channels. */
  output(): string;
  /** Ends it and waits for that. Idempotent. */
  stop(signal?: NodeJS.Signals): Promise<void>;
  /** Resolves with the exit code. */
  readonly exited: Promise<number | null>;
}

/** Starts a program. Stop it when done. */
export function start(
  program: string,
  args: readonly string[],
  options: { readonly cwd?: string; readonly env?: NodeJS.ProcessEnv } = {},
): Running {
  const child = spawn(findProgram(program) ?? program, args, {
    stdio: ['pipe', 'pipe', 'pipe'],
    ...options,
  });
  let output = '';
  const take = (piece: Buffer): void => {
    output = (output + piece.toString()).slice(-200_000);
  };
  child.stdout.on('data', take);
  child.stderr.on('data', take);
  child.stdin.on('error', () => {});
  const exited = new Promise<number | null>((resolve) => {
    child.once('exit', (code) => resolve(code));
    child.once('error', () => resolve(null));
  });
  return {
    child,
    output: () => output,
    stop: async (signal = 'SIGKILL') => {
      if (child.exitCode === null && child.signalCode === null) child.kill(signal);
      await exited;
    },
    exited,
  };
}
