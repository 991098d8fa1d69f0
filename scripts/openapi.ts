// Writes docs/reference/openapi.json from the API schemas (--write), or checks that it is up to date.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openApiDocument } from '../packages/rest/src/openapi.ts';
import { API_VERSION } from '../packages/rest/src/router.ts';

const path = fileURLToPath(new URL('../docs/reference/openapi.json', import.meta.url));
const text = `${JSON.stringify(openApiDocument('/rest-api', API_VERSION), null, 2)}\n`;

if (process.argv.includes('--write')) {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
} else {
  let current = '';
  try {
    current = readFileSync(path, 'utf8');
  } catch {
    // A missing file is out of date as well.
  }
  if (current !== text) {
    console.error('docs/reference/openapi.json is out of date: npm run openapi');
    process.exit(1);
  }
}
