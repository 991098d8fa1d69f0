// Starts every ffmpeg of this process, and kills it on exit: one that is stopped, or stuck in a system call, would not
// notice that its input ends.

import { spawn } from 'node:child_process';
import type { ChildProcessWithoutNullStreams } from 'node:child_process';

const running = new Set<ChildProcessWithoutNullStreams>();

/**
 * Runs ffmpeg with three pipes. If this process exits first, ffmpeg is killed.
 *
 * @throws errors of `spawn` for some shortages of the system; others are emitted as `error`
 */
export function spawnFfmpeg(path: string, args: readonly string[]): ChildProcessWithoutNullStreams {
  const child = spawn(path, args, { stdio: ['pipe', 'pipe', 'pipe'] });
  // It has not started; `error` has the reason.
  if (child.pid === undefined) return child;
  if (running.size === 0) process.on('exit', killAll);
  running.add(child);
  child.once('exit', () => {
    running.delete(child);
    if (running.size === 0) process.off('exit', killAll);
  });
  return child;
}

function killAll(): void {
  for (const child of running) child.kill('SIGKILL');
}
