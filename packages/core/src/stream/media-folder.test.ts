import { mkdir, mkdtemp, realpath, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { findSound } from './media-folder.ts';

let root = '';
let folder = '';
beforeAll(async () => {
  root = await realpath(await mkdtemp(join(tmpdir(), 'sounds-')));
  folder = join(root, 'sounds');
  await mkdir(join(folder, 'de'), { recursive: true });
  await mkdir(join(folder, 'folder.wav'));
  for (const path of ['sounds/a b.WAV', 'sounds/de/ding.mp3', 'secret.wav'])
    await writeFile(join(root, path), 'x');
  await symlink(join(root, 'secret.wav'), join(folder, 'link.wav'));
  await symlink(join(folder, 'de/ding.mp3'), join(folder, 'inside.mp3'));
});
afterAll(() => rm(root, { recursive: true }));

it('finds sounds of the folder and below it, and links within it', async () => {
  expect(await findSound(folder, 'a b.WAV')).toBe(join(folder, 'a b.WAV'));
  expect(await findSound(folder, 'de/ding.mp3')).toBe(join(folder, 'de/ding.mp3'));
  expect(await findSound(folder, 'inside.mp3')).toBe(join(folder, 'de/ding.mp3'));
});

it('takes no name that leads anywhere else', async () => {
  const names = [
    '',
    '../secret.wav',
    'de/../../secret.wav',
    '/etc/passwd',
    `${folder}/a b.WAV`,
    'de//ding.mp3',
    './a b.WAV',
    '.hidden.wav',
    'de\\ding.mp3',
    'a b.WAV\0.txt',
    'x.wav\n',
    '-i.txt',
    'concat:a.wav|b.wav',
    'http://127.0.0.1/a.wav',
    'ding.sh',
    `${'x'.repeat(300)}.wav`,
    undefined as unknown as string,
  ];
  for (const name of names)
    await expect(findSound(folder, name), name).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      field: 'fileName',
    });
});

it('finds no folder, no link that leads out, and nothing without a media folder', async () => {
  for (const name of ['none.wav', 'folder.wav', 'link.wav'])
    await expect(findSound(folder, name), name).rejects.toMatchObject({ code: 'FILE_NOT_FOUND' });
  await expect(findSound(undefined, 'a.wav', 'soundFile')).rejects.toMatchObject({
    code: 'FILE_NOT_FOUND',
    field: 'soundFile',
  });
});
