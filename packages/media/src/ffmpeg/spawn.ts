// Every ffmpeg of this process. None outlives it: one that is stopped, or stuck in a system call, does not see its input end.

import { spawn } from 'node:child_process';
import type { ChildProcessWithoutNullStreams } from 'node:child_process';

const running = new Set<ChildProcessWithoutNullStreams>();

/**
 * Runs ffmpeg with three pipes. Where this process exits before it, it is killed.
 *
 * @throws what `spawn` throws for some shortages of the system; others come as `error`
 */
export function spawnFfmpeg(path: string, args: readonly string[]): ChildProcessWithoutNullStreams {
  const child = spawn(path, args, { stdio: ['pipe', 'pipe', 'pipe'] });
  // It has not begun, and `error` says why.
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
