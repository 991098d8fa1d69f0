// Checks that the security page names a proof for each fault, and that the proof exists.

import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const PAGE = readFileSync(`${ROOT}docs/security.md`, 'utf8');
/** Number of faults of each kind. */
const COUNTS = { S: 31, R: 17, M: 15, A: 18, T: 9, O: 11, F: 22 };

/** Cells of the rows that begin with a number like `S12`. */
const rows = new Map<string, readonly string[]>();
for (const line of PAGE.split('\n')) {
  const [first = '', ...rest] = line
    .replace(/^\||\|$/g, '')
    .split(/(?<!\\)\|/)
    .map((cell) => cell.trim());
  const id = /^([SRMATOF]\d{1,2}) /.exec(first)?.[1];
  if (id === undefined || !line.startsWith('|')) continue;
  if (rows.has(id)) throw new Error(`${id} is there twice`);
  rows.set(id, rest);
}

const files: string[] = [];
const packages = readdirSync(`${ROOT}packages`).map((name) => `packages/${name}/src`);
for (const folder of [...packages, 'test/loopback', 'test/interop'])
  for (const path of readdirSync(ROOT + folder, { recursive: true, encoding: 'utf8' }))
    if (path.endsWith('.test.ts')) files.push(`${folder}/${path}`);

/** Pairs of a file and part of the name of a test in it. */
const named = [...rows].flatMap(([id, cells]) =>
  [...cells.join(' ').matchAll(/`([\w/-]+\.test\.ts)`((?:,? \*[^*]+\*)*)/g)].flatMap(
    ([, file = '', names = '']) => {
      const found = [...names.matchAll(/\*([^*]+)\*/g)].map(([, name = '']) => name);
      return (found.length > 0 ? found : [undefined]).map((name) => ({ id, file, name }));
    },
  ),
);

describe('the page on security', () => {
  it.each(Object.entries(COUNTS))('has a row for each fault of the kind %s', (kind, count) => {
    const wanted = Array.from({ length: count }, (_, n) => `${kind}${n + 1}`);
    expect([...rows.keys()].filter((id) => id.startsWith(kind))).toEqual(wanted);
  });

  it('names a proof in each row, or says that there is none', () => {
    const silent = [...rows].filter(
      ([, cells]) => !/\.test\.ts`|the run|npm run|[Nn]o test/.test(cells.join(' ')),
    );
    expect(silent.map(([id]) => id)).toEqual([]);
  });

  it('names existing tests', () => {
    expect(named.length).toBeGreaterThan(150);
    const missing = named.filter(({ file, name }) => {
      const paths = files.filter((path) => path.endsWith(`/${file}`));
      const texts = paths.map((path) => readFileSync(`${ROOT}${path}`, 'utf8'));
      return name === undefined || !texts.some((text) => text.includes(name));
    });
    expect(missing).toEqual([]);
  });
});
