// What is left of an ffmpeg when the process that started it exits without a word.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';

let dir: string | undefined;
let stopped: number | undefined;
afterEach(async () => {
  if (stopped !== undefined && isThere(stopped)) process.kill(stopped, 'SIGKILL');
  if (dir !== undefined) await rm(dir, { recursive: true });
});

/** In place of ffmpeg: tells its number, and is stopped, as by a debugger. It cannot see that its input ends. */
const STOPPED = 'echo $$ > "$0.new" && mv "$0.new" "$0"; kill -STOP $$; sleep 60';

it('is gone at once, also when it is stopped', async () => {
  dir = await mkdtemp(join(tmpdir(), 'sipcast-exit-'));
  const file = join(dir, 'pid');
  const program = `
    import { existsSync } from 'node:fs';
    import { spawnFfmpeg } from './packages/media/src/ffmpeg/spawn.ts';
    spawnFfmpeg('/bin/sh', ['-c', ${JSON.stringify(STOPPED)}, ${JSON.stringify(file)}]);
    setInterval(() => existsSync(${JSON.stringify(file)}) && setTimeout(() => process.exit(1), 50), 10);
  `;
  const args = ['--conditions=source', '--import', 'tsx', '--input-type=module', '--eval', program];
  const parent = spawn(process.execPath, args, { stdio: ['ignore', 'inherit', 'inherit'] });
  expect(await once(parent, 'exit')).toEqual([1, null]);
  const found = Number(await readFile(file, 'utf8'));
  stopped = found;
  // Whoever inherits it collects it a moment later.
  await expect.poll(() => isThere(found)).toBe(false);
});

function isThere(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
