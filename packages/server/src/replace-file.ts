// Files of the state folder: a crash or a full disk must leave the old one.

import { rename, writeFile } from 'node:fs/promises';

/** Writes a file whole or not at all, and for nobody else to read. @throws what `node:fs` does (rejection) */
export async function replaceFile(path: string, text: string): Promise<void> {
  const temporary = `${path}.new`;
  await writeFile(temporary, text, { mode: 0o600, flush: true });
  await rename(temporary, path);
}
