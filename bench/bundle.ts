// Programs as they ship: compiled. `tsx`, which runs the benches themselves, would add a loader and source maps to what is
// measured, some 35 MiB.

import { build } from 'esbuild';

/** Writes a TypeScript program with all that it imports as one ES module for Node.js. */
export async function bundle(entry: string, outfile: string): Promise<void> {
  await build({
    entryPoints: [entry],
    outfile,
    bundle: true,
    conditions: ['source'],
    platform: 'node',
    format: 'esm',
    target: 'node20',
    logLevel: 'error',
    // For dependencies that are CommonJS.
    banner: {
      js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);",
    },
  });
}
