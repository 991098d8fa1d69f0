import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { CallGateway, Logger } from '@sipcast/core';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { FfmpegWatch } from './ffmpeg-watch.ts';

let dir: string;
let path: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'ffmpeg-watch-'));
  path = join(dir, 'ffmpeg');
  await writeFile(path, 'one');
});
afterEach(() => rm(dir, { recursive: true }));

/** A gateway that counts the runs of its ffmpeg, and returns the given results. */
function open(): {
  watch: FfmpegWatch;
  asked: { times: number; problem: string | undefined };
  lines: string[];
} {
  const asked = { times: 0, problem: undefined as string | undefined };
  const lines: string[] = [];
  const note = (line: string): void => void lines.push(line);
  const logger: Logger = { debug: note, info: note, warn: note, error: note };
  const watch = new FfmpegWatch(
    {
      ffmpeg: { path } as CallGateway['ffmpeg'],
      checkFfmpeg: () => {
        asked.times++;
        return Promise.resolve(asked.problem);
      },
    },
    logger,
  );
  return { watch, asked, lines };
}

it('runs ffmpeg once a minute, and at once if its file changes', async () => {
  const { watch, asked, lines } = open();
  for (let nowMs = 0; nowMs < 60_000; nowMs += 2000) await watch.look(nowMs);
  expect(asked.times).toBe(1);
  await watch.look(60_000);
  expect(asked.times).toBe(2);
  await writeFile(path, 'other');
  await watch.look(62_000);
  expect(asked.times).toBe(3);
  await rm(path);
  await watch.look(64_000);
  await watch.look(66_000);
  expect(asked.times).toBe(4);
  expect(watch.problem).toBeUndefined();
  expect(lines).toEqual([]);
});

it('runs a broken one every ten seconds, and reports each change once', async () => {
  const { watch, asked, lines } = open();
  asked.problem = '/x/ffmpeg does not run';
  for (let nowMs = 0; nowMs <= 20_000; nowMs += 2000) await watch.look(nowMs);
  expect(asked.times).toBe(3);
  expect(watch.problem).toBe('/x/ffmpeg does not run');
  asked.problem = undefined;
  await watch.look(28_000);
  expect(watch.problem).toBe('/x/ffmpeg does not run');
  await watch.look(30_000);
  expect(watch.problem).toBeUndefined();
  expect(lines).toEqual(['not ready: /x/ffmpeg does not run', 'ffmpeg works again']);
});

it('runs one check at a time', async () => {
  const { watch, asked } = open();
  await Promise.all([watch.look(0), watch.look(1e9)]);
  expect(asked.times).toBe(1);
});
