import { link, mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { saveUser } from './access.ts';

const HASH = `scrypt$16384$8$5$${'A'.repeat(22)}$${'A'.repeat(43)}`;

const folders: string[] = [];
afterEach(async () => {
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true, force: true });
});

it('replaces the users file atomically: a crash or a full disk leaves the old one', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'sipcast-'));
  folders.push(folder);
  const [users, before] = [join(folder, 'users.json'), join(folder, 'before.json')];
  await saveUser(folder, { name: 'alice', password: HASH });
  await link(users, before);
  const text = await readFile(users, 'utf8');
  await saveUser(folder, { name: 'bob', password: HASH });
  // Another handle on the old file, as a crash would leave it, sees it unchanged.
  expect(await readFile(before, 'utf8')).toBe(text);
  expect((await stat(users)).mode & 0o777).toBe(0o600);
  expect(await readdir(folder)).toEqual(['before.json', 'users.json']);
});
