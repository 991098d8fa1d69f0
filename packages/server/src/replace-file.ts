// Atomic replacement of files in the state folder: a crash or a full disk leaves the old one.

import { rename, writeFile } from 'node:fs/promises';

/** Writes a file completely or not at all, readable only by its owner. @throws the errors of `node:fs` (rejection) */
export async function replaceFile(path: string, text: string): Promise<void> {
  const temporary = `${path}.new`;
  await writeFile(temporary, text, { mode: 0o600, flush: true });
  await rename(temporary, path);
}
