// Checks imports against docs/architecture.md: packages, the folders of each package from bottom to top, and no cycles
// between files. Type imports count. Prints each violation, and exits 1 if there is one. `--list` prints the order.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));

/** Package → packages that it may import. `types`: only by `import type`. */
const packages = {
  sip: {},
  media: {},
  core: { '@sipcast/sip': 'values', '@sipcast/media': 'values', '@sipcast/media/wire': 'values' },
  rest: { '@sipcast/core': 'types', '@sipcast/core/options': 'values' },
  server: {
    '@sipcast/core': 'values',
    '@sipcast/core/options': 'values',
    '@sipcast/rest': 'values',
    '@sipcast/rest/client': 'values',
  },
  testkit: {
    '@sipcast/sip': 'values',
    '@sipcast/media': 'values',
    '@sipcast/media/wire': 'values',
  },
};
/** Source folders beside `src`: the console uses the gateway only through the HTTP client and its types. */
const beside = {
  'server/console': { '@sipcast/core': 'types', '@sipcast/rest/client': 'values' },
};

/**
 * Folders of a package, bottom to top; a folder may import those before it. Files outside the folders are at the
 * bottom, except `index.ts` and the other entry points, which are at the top.
 */
const rooms = {
  media: [
    'codec',
    'flv',
    'rtp',
    'sync',
    'rtmp',
    'ffmpeg',
    'srt',
    'snapshot',
    'output',
    'mp4',
    'hls',
    'session',
  ],
  sip: ['message', 'sdp', 'auth', 'transport', 'transaction', 'dialog', 'call', 'agent'],
  core: [
    'negotiation',
    'stream',
    'bfcp',
    'slides',
    'snapshot',
    'hls',
    'registration',
    'trace',
    'call',
    'incoming',
    'gateway',
  ],
  server: ['log', 'access', 'http', 'config', 'serve', 'command'],
  testkit: ['relay', 'media', 'rtmp', 'sip'],
};
const doors = new Set(['index.ts', 'wire.ts', 'options.ts', 'client.ts', 'cli.ts']);

const problems = [];
/** File → imported files, both relative to the root. */
const graph = new Map();

const isTest = (path) => /\.test\.ts$|[/\\]test-[^/\\]*\.ts$/.test(path);

function importsOf(text) {
  const pattern =
    /^(?:import|export)\s+(type\s+)?[^'";]*?\s*from\s+'([^']+)'|^import\s+'([^']+)'|\bimport\('([^']+)'\)/gm;
  return [...text.matchAll(pattern)].map((match) => ({
    statement: match[0].replace(/\s+/g, ' '),
    typeOnly: match[1] !== undefined,
    specifier: match[2] ?? match[3] ?? match[4],
  }));
}

/** Position of a file in its package, from 0 at the bottom; undefined if its folder is not listed. */
function floorOf(name, path) {
  const [first, second] = path.split(sep);
  if (second === undefined || name === '') return doors.has(first) ? Number.POSITIVE_INFINITY : -1;
  const floor = (rooms[name] ?? []).indexOf(first);
  return floor === -1 ? undefined : floor;
}

function checkFile(name, src, file, mayImport) {
  const path = relative(root, file);
  const text = readFileSync(file, 'utf8');
  const own = floorOf(name, relative(src, file));
  if (own === undefined)
    problems.push(`${path}: its folder is not in the list of scripts/check-imports.mjs`);
  const targets = [];
  for (const { statement, typeOnly, specifier } of importsOf(text)) {
    if (specifier.startsWith('.')) {
      const target = resolve(dirname(file), specifier);
      if (!target.startsWith(src + sep)) problems.push(`${path}: leaves its package: ${statement}`);
      if (!/\.(ts|json)$/.test(specifier))
        problems.push(`${path}: no file extension: ${statement}`);
      else if (!existsSync(target)) problems.push(`${path}: no such file: ${statement}`);
      targets.push(relative(root, target));
      const other = floorOf(name, relative(src, target));
      if (!isTest(path) && own !== undefined && other !== undefined && other > own)
        problems.push(`${path}: imports a folder above its own: ${statement}`);
      continue;
    }
    if (!specifier.startsWith('@sipcast/') && specifier !== 'sipcast') continue;
    const grant = mayImport[specifier];
    if (grant === undefined) problems.push(`${path}: must not import ${specifier}`);
    else if (grant === 'types' && !typeOnly && !isTest(path))
      problems.push(`${path}: may only import types from ${specifier}: ${statement}`);
  }
  graph.set(path, targets);
  if (/\bexport \*/.test(text)) problems.push(`${path}: export *`);
  if (/\bexport default\b/.test(text) && !path.includes('vite'))
    problems.push(`${path}: default export`);
}

function findCycles() {
  const state = new Map();
  let count = 0;
  const visit = (file, trail) => {
    if (state.get(file) === 'done') return;
    if (state.get(file) === 'open') {
      count++;
      problems.push(`cycle: ${[...trail.slice(trail.indexOf(file)), file].join(' → ')}`);
      return;
    }
    state.set(file, 'open');
    for (const target of graph.get(file) ?? []) visit(target, [...trail, file]);
    state.set(file, 'done');
  };
  for (const file of graph.keys()) visit(file, []);
  return count;
}

const folders = [
  ...Object.entries(packages).map(([name, mayImport]) => [name, join(name, 'src'), mayImport]),
  ...Object.entries(beside).map(([folder, mayImport]) => [undefined, folder, mayImport]),
];
for (const [name, folder, mayImport] of folders) {
  const src = join(root, 'packages', folder);
  for (const entry of readdirSync(src, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || !entry.name.endsWith('.ts')) continue;
    const file = join(entry.parentPath ?? entry.path, entry.name);
    if (name === undefined) checkFile('', src, file, mayImport);
    else checkFile(name, src, file, mayImport);
  }
}
const cycles = findCycles();

if (process.argv.includes('--list'))
  for (const [name, list] of Object.entries(rooms)) console.log(`${name}: ${list.join(' < ')}`);
for (const problem of problems) console.error(problem);
console.log(
  problems.length === 0
    ? `Imports go in the right direction: ${graph.size} files, 0 cycles`
    : `${problems.length} import problems, ${cycles} cycles`,
);
process.exit(problems.length === 0 ? 0 : 1);
