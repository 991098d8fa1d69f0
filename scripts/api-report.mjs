// Writes the public API of each package, with all its entry points, as one declaration file to docs/api-report
// (--write), or checks the built packages against it, so that API changes show up in review.
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const write = process.argv.includes('--write');
const folder = join(root, 'docs/api-report');
if (write) mkdirSync(folder, { recursive: true });

/** All entry points of a package and their shared chunks, without the meaningless hashes in file names. */
function declarationsOf(dist) {
  const files = readdirSync(dist).filter((file) => file.endsWith('.d.ts'));
  const texts = files.map((file) => `// ${file}\n${readFileSync(join(dist, file), 'utf8')}`);
  return texts
    .toSorted()
    .join('\n')
    .replace(/-[\w-]{8}(?=\.(?:d\.ts|js)\b)/g, '');
}

let stale = 0;
for (const name of readdirSync(join(root, 'packages'))) {
  const dist = join(root, 'packages', name, 'dist');
  if (!existsSync(join(dist, 'index.d.ts'))) {
    console.error(`${name} is not built: npm run build`);
    process.exit(1);
  }
  const text = declarationsOf(dist);
  const report = join(folder, `${name}.d.ts.txt`);
  if (write) writeFileSync(report, text);
  else if (!existsSync(report) || readFileSync(report, 'utf8') !== text) {
    console.error(`The public API of ${name} has changed: review it, then npm run api`);
    stale += 1;
  }
}
process.exit(stale === 0 ? 0 : 1);
