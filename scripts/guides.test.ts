// Checks that every guide is linked from the entry pages.

import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const guides = readdirSync(`${ROOT}docs/guides`).map((file) => file.replace(/\.md$/, ''));

it.each([
  ['README.md', (name: string) => `](docs/guides/${name}.md)`],
  ['docs/index.md', (name: string) => `](guides/${name}.md)`],
  ['docs/.vitepress/config.ts', (name: string) => `'/guides/${name}'`],
])('%s links to each guide', (path, linkTo) => {
  const text = readFileSync(ROOT + path, 'utf8');
  expect(guides.filter((name) => !text.includes(linkTo(name)))).toEqual([]);
  expect(guides.length).toBeGreaterThan(10);
});
