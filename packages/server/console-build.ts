// Bundles the console: one script, one style sheet, and what is served as it is.

import { copyFile, mkdir } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const source = fileURLToPath(new URL('console/', import.meta.url));

/** Writes the page into `folder`, which is made where it is missing. */
export async function buildConsole(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  await build({
    entryPoints: [
      { in: join(source, 'main.ts'), out: 'console' },
      { in: join(source, 'console.css'), out: 'console' },
    ],
    outdir: folder,
    bundle: true,
    conditions: ['source'],
    minify: true,
    format: 'iife',
    target: ['es2022', 'chrome123', 'firefox120', 'safari17.5'],
    legalComments: 'none',
    logLevel: 'warning',
  });
  const player = createRequire(import.meta.url).resolve('mpegts.js');
  await Promise.all([
    copyFile(join(source, 'index.html'), join(folder, 'index.html')),
    copyFile(join(source, 'icon.svg'), join(folder, 'icon.svg')),
    copyFile(join(dirname(dirname(player)), 'LICENSE'), join(folder, 'mpegts.js.LICENSE')),
  ]);
}
