// A key frame that is sent again has another idr_pic_id, and decodes to the same picture: CAVLC and CABAC, fields, slices,
// all orders of pictures, by x264 and by ffmpeg's reading of the headers.

import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { annexB } from '@sipcast/media';
import { splitAnnexB } from '@sipcast/media/wire';
import { describe, expect, it } from 'vitest';
import {
  idrPicIdOf,
  sliceFormOf,
  withIdrPicId,
} from '../../../packages/media/src/codec/idr-pic-id.ts';
import { makeFolder } from '../../support/folder.ts';
import { run } from '../../support/programs.ts';

const ENCODERS: readonly (readonly [name: string, options: string])[] = [
  ['Baseline, CAVLC', '-profile:v baseline'],
  ['Main, CABAC', '-profile:v main'],
  ['High, 8x8, four slices', '-profile:v high -x264-params slices=4'],
  ['Main with fields', '-profile:v main -flags +ildct+ilme -x264-params interlaced=1:tff=1'],
  ['CAVLC without deblocking, eight slices', '-x264-params cabac=0:no-deblock=1:slices=8'],
  ['order type 0 with B-pictures', '-profile:v main -bf 3'],
  ['noise, with many emulation prevention octets', '-profile:v main -qp 1'],
  ['4:4:4', '-profile:v high444 -pix_fmt yuv444p'],
];

async function pictureOf(path: string): Promise<string> {
  const words = `-v error -i ${path} -frames:v 1 -f framemd5 -`;
  const { stdout, stderr } = await run('ffmpeg', words.split(' '));
  expect(stderr).toBe('');
  return stdout.toString().trim().split('\n').at(-1) ?? '';
}

describe('a key frame with another idr_pic_id', () => {
  it.each(ENCODERS)('decodes to the same picture: %s', async (_, options) => {
    const dir = await makeFolder();
    const source = join(dir, 'in.h264');
    const input = '-v error -f lavfi -i nullsrc=s=320x240:r=5,geq=random(1)*255:128:128';
    const encoder = `-frames:v 3 -c:v libx264 -g 1 ${options}`;
    await run('ffmpeg', `${input} ${encoder} ${source}`.split(' '));
    const nalus = splitAnnexB(await readFile(source));
    const sets = nalus.filter((nal) => [7, 8].includes(nal[0]! & 0x1f));
    const form = sliceFormOf(sets)!;
    const slices = nalus.filter((nal) => (nal[0]! & 0x1f) === 5);
    const firstId = idrPicIdOf(slices[0]!, form)!;
    const picture = slices.filter((nal) => idrPicIdOf(nal, form) === firstId);
    for (const id of [0, 1, 300, 65_535]) {
      const changed = picture.map((nal) => withIdrPicId(nal, form, id)!);
      expect(changed.map((nal) => idrPicIdOf(nal, form))).toEqual(picture.map(() => id));
      const [before, after] = [join(dir, 'before.h264'), join(dir, `after-${id}.h264`)];
      await writeFile(before, annexB([...sets, ...picture]));
      await writeFile(after, annexB([...sets, ...changed]));
      expect(await pictureOf(after)).toBe(await pictureOf(before));
      const words = `-v info -i ${after} -c copy -bsf:v trace_headers -f null -`.split(' ');
      const { stderr } = await run('ffmpeg', ['-nostdin', ...words]);
      const read = [...stderr.matchAll(/idr_pic_id\s+[01]+ = (\d+)/g)].map(([, value]) => value);
      expect(new Set(read)).toEqual(new Set([String(id)]));
    }
  });
});
