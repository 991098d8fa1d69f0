// Writes docs/states.md from the transition tables (--write), or checks that it is up to date.
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { CALL_TRANSITIONS, RTMP_TRANSITIONS } from '../packages/core/src/status.ts';

const path = fileURLToPath(new URL('../docs/states.md', import.meta.url));

function section(title: string, table: Readonly<Record<string, readonly string[]>>): string {
  const rows = Object.entries(table).map(
    ([status, followers]) => `| ${status} | ${followers.join(', ') || '– (final)'} |`,
  );
  const arrows = Object.entries(table).flatMap(([status, followers]) =>
    followers.length === 0
      ? [`  ${status} --> [*]`]
      : followers.map((next) => `  ${status} --> ${next}`),
  );
  const first = Object.keys(table)[0];
  return [
    `## ${title}`,
    '',
    '| status | may be followed by |',
    '|---|---|',
    ...rows,
    '',
    '```mermaid',
    'stateDiagram-v2',
    `  [*] --> ${first}`,
    ...arrows,
    '```',
    '',
  ].join('\n');
}

const text = [
  '# States',
  '',
  'Generated from `packages/core/src/status.ts` by `npm run states`; do not edit.',
  '',
  section('Calls (`status`)', CALL_TRANSITIONS),
  section('RTMP streams (`rtmpStreamStatus`)', RTMP_TRANSITIONS),
].join('\n');

if (process.argv.includes('--write')) writeFileSync(path, text);
else if (readFileSync(path, 'utf8') !== text) {
  console.error('docs/states.md is out of date: npm run states');
  process.exit(1);
}
