// Checks who imports whom, as docs/architecture.md draws it. Prints each violation; exits 1 if there is one.
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));

/** Package → packages it may import values from; `types` → only `import type`. */
const allowed = {
  sip: {},
  media: {},
  core: { '@sipcast/sip': 'types', '@sipcast/media': 'types' },
  rest: { '@sipcast/core': 'types' },
  server: {
    '@sipcast/core': 'values',
    '@sipcast/rest': 'values',
    '@sipcast/rest/client': 'values',
  },
  testkit: { '@sipcast/sip': 'values', '@sipcast/media': 'values' },
};
/** Folders of sources beside `src`: the page knows the gateway by the client of its HTTP API, and by the types of its answers. */
const beside = {
  'server/console': { '@sipcast/core': 'types', '@sipcast/rest/client': 'values' },
};
/** The one file of core that composes the leaves. */
const composer = join('packages', 'core', 'src', 'call-gateway.ts');

const problems = [];
const folders = [
  ...Object.entries(allowed).map(([name, mayImport]) => [join(name, 'src'), mayImport]),
  ...Object.entries(beside),
];
for (const [folder, mayImport] of folders) {
  const src = join(root, 'packages', folder);
  for (const entry of readdirSync(src, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || !entry.name.endsWith('.ts')) continue;
    const file = join(entry.parentPath ?? entry.path, entry.name);
    const path = relative(root, file);
    const isTest = /\.test\.ts$|[/\\]test-[^/\\]*\.ts$/.test(path);
    const text = readFileSync(file, 'utf8');
    for (const [statement, typeOnly, specifier] of importsOf(text)) {
      if (specifier.startsWith('.')) {
        const target = resolve(dirname(file), specifier);
        if (!target.startsWith(src + sep))
          problems.push(`${path}: leaves its package: ${statement}`);
        if (!/\.(ts|json)$/.test(specifier))
          problems.push(`${path}: no file extension: ${statement}`);
        continue;
      }
      if (!specifier.startsWith('@sipcast/') && specifier !== 'sipcast') continue;
      const grant = mayImport[specifier];
      if (grant === undefined) problems.push(`${path}: must not import ${specifier}`);
      else if (grant === 'types' && !typeOnly && path !== composer && !isTest) {
        problems.push(`${path}: may only import types from ${specifier}: ${statement}`);
      }
    }
    if (/\bexport \*/.test(text)) problems.push(`${path}: export *`);
    if (/\bexport default\b/.test(text) && !path.includes('vite'))
      problems.push(`${path}: default export`);
  }
}

function importsOf(text) {
  const found = [];
  const pattern =
    /^(?:import|export)\s+(type\s+)?[^'";]*?\s*from\s+'([^']+)'|^import\s+'([^']+)'/gm;
  for (const match of text.matchAll(pattern)) {
    found.push([match[0].replace(/\s+/g, ' '), match[1] !== undefined, match[2] ?? match[3]]);
  }
  return found;
}

for (const problem of problems) console.error(problem);
console.log(
  problems.length === 0
    ? 'Imports go in the right direction'
    : `${problems.length} import problems`,
);
process.exit(problems.length === 0 ? 0 : 1);
