// Keeps the public API of each package as one declaration file under docs/api-report (--write), or checks that the
// built packages still have it, so that a change of the API is seen in review.
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const write = process.argv.includes('--write');
const folder = join(root, 'docs/api-report');
if (write) mkdirSync(folder, { recursive: true });

let stale = 0;
for (const name of readdirSync(join(root, 'packages'))) {
  const declarations = join(root, 'packages', name, 'dist/index.d.ts');
  if (!existsSync(declarations)) {
    console.error(`${name} is not built: npm run build`);
    process.exit(1);
  }
  const text = readFileSync(declarations, 'utf8');
  const report = join(folder, `${name}.d.ts.txt`);
  if (write) writeFileSync(report, text);
  else if (!existsSync(report) || readFileSync(report, 'utf8') !== text) {
    console.error(`The public API of ${name} has changed: look at it, then npm run api`);
    stale += 1;
  }
}
process.exit(stale === 0 ? 0 : 1);
