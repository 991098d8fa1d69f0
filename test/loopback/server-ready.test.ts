// `/ready` while the ffmpeg that calls need comes and goes.

import { access, chmod, constants, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { serve } from 'sipcast';
import { afterEach, expect, it } from 'vitest';

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

/** The machine's own. */
async function realFfmpeg(): Promise<string> {
  for (const folder of (process.env['PATH'] ?? '').split(delimiter)) {
    const path = join(folder, 'ffmpeg');
    const isThere = await access(path, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (isThere) return path;
  }
  throw new Error('No ffmpeg on the PATH');
}

async function script(path: string, text: string): Promise<void> {
  await writeFile(`${path}.new`, `#!/bin/sh\n${text}\n`);
  await chmod(`${path}.new`, 0o755);
  await rename(`${path}.new`, path);
}

it('tells that ffmpeg is gone or broken, and that it is back', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'sipcast-ffmpeg-'));
  cleanups.push(() => rm(dir, { recursive: true }));
  const path = join(dir, 'ffmpeg');
  const works = `exec '${await realFfmpeg()}' "$@"`;
  await script(path, works);
  const lines: string[] = [];
  const server = await serve({
    port: 0,
    console: false,
    ffmpegPath: path,
    log: (line) => void lines.push(line),
  });
  cleanups.push(() => server.close(100));
  const ready = async (): Promise<readonly [number, unknown]> => {
    const response = await fetch(new URL('/ready', server.url));
    return [response.status, await response.json()];
  };
  const lost = { status: 'not ready', reason: expect.stringContaining('ffmpeg is gone') as string };
  expect(await ready()).toEqual([200, { status: 'ready' }]);

  await rm(path);
  await expect.poll(ready).toEqual([503, lost]);
  expect(JSON.stringify(await ready())).not.toContain(dir);
  expect(lines.join('\n')).toContain(`not ready: No ffmpeg: ${path} is not there`);
  await script(path, works);
  await expect.poll(ready).toEqual([200, { status: 'ready' }]);

  await script(path, 'exit 127');
  await expect.poll(ready).toEqual([503, lost]);
  expect(lines.join('\n')).toContain(`${path} does not run`);
  // It runs, but lacks what was there at the start.
  await script(path, `${works} | sed '/libx264/d'`.replace('exec ', ''));
  await expect.poll(() => lines.join('\n')).toContain('encodes video no more');
  expect((await ready())[0]).toBe(503);
  await script(path, works);
  await expect.poll(ready).toEqual([200, { status: 'ready' }]);
  expect(lines.filter((line) => line.includes('ffmpeg works again'))).toHaveLength(2);
});

it('does not ask for an ffmpeg that nobody needs', async () => {
  const server = await serve({ port: 0, console: false, transcoding: false, log: () => {} });
  cleanups.push(() => server.close(100));
  expect(server.gateway.ffmpeg).toBeUndefined();
  expect(await server.gateway.checkFfmpeg()).toBeUndefined();
  expect((await fetch(new URL('/ready', server.url))).status).toBe(200);
});
