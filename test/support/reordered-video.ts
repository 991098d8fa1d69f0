// Real H.264 with B-pictures, by x264: what a phone with a good encoder sends.

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createClip } from '@sipcast/testkit';
import type { Clip } from '@sipcast/testkit';
import { run } from './programs.ts';

/** 320×240, 25 pictures a second, an IDR each 30 pictures. */
export interface ReorderedVideo {
  readonly clip: Clip;
  /** The same as a file. */
  readonly mp4: string;
  /** For each picture of the clip, which is in decoding order, its place in the order of presentation. */
  readonly places: readonly number[];
}

/** Makes `frames` pictures with up to three B-pictures in a row, some of which others refer to. */
export async function makeReorderedVideo(dir: string, frames: number): Promise<ReorderedVideo> {
  const mp4 = join(dir, 'reordered.mp4');
  const annexB = join(dir, 'reordered.h264');
  const input = ['-f', 'lavfi', '-i', 'testsrc2=s=320x240:r=25', '-frames:v', String(frames)];
  const x264 = [
    '-c:v',
    'libx264',
    '-profile:v',
    'main',
    '-preset',
    'medium',
    '-bf',
    '3',
    '-g',
    '30',
  ];
  await run('ffmpeg', ['-v', 'error', ...input, ...x264, mp4]);
  const copy = ['-c', 'copy', '-bsf:v', 'h264_mp4toannexb', '-f', 'h264', annexB];
  await run('ffmpeg', ['-v', 'error', '-i', mp4, ...copy]);
  const fields = ['-show_entries', 'packet=pts', '-of', 'csv=p=0'];
  const { stdout } = await run('ffprobe', ['-v', 'error', ...fields, mp4]);
  const times = stdout
    .toString()
    .trim()
    .split('\n')
    .map((line) => Number.parseInt(line, 10));
  const sorted = times.toSorted((a, b) => a - b);
  const h264 = await readFile(annexB);
  return {
    clip: createClip({ name: 'reordered', fps: 25, h264, aLaw: new Uint8Array(0) }),
    mp4,
    places: times.map((time) => sorted.indexOf(time)),
  };
}
