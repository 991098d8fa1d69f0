// measureAvSkew against recordings whose skew is known, since we made it.

import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { formatFlvHeader, formatFlvTag } from '@sipcast/media';
import { FlvMuxer } from '@sipcast/media/wire';
import type { FlvTag } from '@sipcast/media';
import { loadClip, measureAvSkew } from '@sipcast/testkit';
import { beforeEach, expect, it } from 'vitest';
import { makeFolder } from '../../support/folder.ts';
import { describeWith, run } from '../../support/programs.ts';

const STEP = 160;

describeWith(['ffmpeg'], 'measureAvSkew', () => {
  let dir: string;
  beforeEach(async () => {
    dir = await makeFolder();
  });

  /** Four seconds of the scene, the sound late by so much. */
  async function record(lateMs: number, startMs = 0): Promise<string> {
    const { video, audio } = loadClip();
    const tags: FlvTag[] = [];
    const muxer = new FlvMuxer({ audioCodec: 'pcma', hasVideo: true }, (tag) => tags.push(tag));
    for (const { nalus, isKeyFrame, index } of video.slice(0, 110)) {
      muxer.push({ codec: 'h264', nalus, isKeyFrame }, startMs + index * 40);
    }
    for (let at = 0; at * 20 < 4400; at++) {
      const payload = audio.subarray(at * STEP, (at + 1) * STEP);
      const atMs = startMs + at * 20 + lateMs;
      if (atMs < 0) continue;
      muxer.push({ codec: 'pcma', payload, durationMs: 20, rtpTimestamp: 0, arrivalMs: 0 }, atMs);
    }
    const sorted = tags.toSorted((a, b) => a.timestampMs - b.timestampMs);
    const file = join(dir, `${lateMs}.flv`);
    const head = formatFlvHeader({ hasAudio: true, hasVideo: true });
    await writeFile(file, Buffer.concat([head, ...sorted.map(formatFlvTag)]));
    return file;
  }

  it.each([
    [0, 0],
    [200, 0],
    [-120, 0],
    [90, 3000],
  ])('finds sound that is %i ms late, from %i ms on', async (lateMs, startMs) => {
    const skew = await measureAvSkew(await record(lateMs, startMs));
    expect(skew.skewsMs.length).toBeGreaterThanOrEqual(4);
    for (const one of skew.skewsMs) expect(Math.abs(one - lateMs)).toBeLessThan(5);
    expect(Math.abs(skew.medianMs - lateMs)).toBeLessThan(5);
    expect(skew.skewsMs).toContain(skew.worstMs);
    expect(skew.flashesMs.at(-1)).toBe(startMs + 4000);
  });

  it('says when there is nothing to measure, and no ffmpeg', async () => {
    const file = join(dir, 'grey.mp4');
    const grey = ['-f', 'lavfi', '-i', 'color=gray:s=640x360:r=25', '-t', '1'];
    const silence = ['-f', 'lavfi', '-i', 'anullsrc=r=8000:cl=mono', '-shortest'];
    await run('ffmpeg', ['-v', 'error', ...grey, ...silence, file]);
    await expect(measureAvSkew(file)).rejects.toThrow(/No flash/);
    await expect(measureAvSkew(join(dir, 'missing.flv'))).rejects.toThrow(/cannot read this file/);
    await expect(measureAvSkew(file, { ffmpegPath: join(dir, 'none') })).rejects.toThrow(
      /does not run/,
    );
  });
});
