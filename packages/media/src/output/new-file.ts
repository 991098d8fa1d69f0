// Files that never overwrite others.

import { openSync } from 'node:fs';

/** Files of one name that are looked for before giving up. */
const MAX_SUFFIX = 10_000;

/**
 * Opens a file that did not exist, readable for its owner only: `a.flv`, else `a_2.flv`, `a_3.flv` … Streams whose names
 * differ only in characters that a file cannot have may begin in the same second.
 */
export function openNew(wanted: string): { readonly path: string; readonly fd: number } {
  for (let suffix = 1; ; suffix++) {
    const path = suffix === 1 ? wanted : wanted.replace(/(\.[^./]*)?$/, `_${suffix}$1`);
    try {
      return { path, fd: openSync(path, 'wx', 0o600) };
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code !== 'EEXIST' || suffix >= MAX_SUFFIX) throw error;
    }
  }
}
