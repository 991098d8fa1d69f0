// The gateway as it ships: compiled. `tsx`, which runs the bench itself, would add a loader and source maps to what is
// measured, some 35 MiB.

import { fileURLToPath, pathToFileURL } from 'node:url';
import { build } from 'tsup';

/** @returns the URL of `gateway.ts` and all that it imports as one file of JavaScript. */
export async function compileGateway(): Promise<URL> {
  const folder = fileURLToPath(new URL('./', import.meta.url));
  await build({
    entry: { gateway: `${folder}gateway.ts` },
    outDir: `${folder}dist`,
    outExtension: () => ({ js: '.mjs' }),
    format: 'esm',
    platform: 'node',
    target: 'node20',
    config: false,
    silent: true,
    clean: true,
    noExternal: [/./],
    // For dependencies that are CommonJS.
    banner: {
      js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);",
    },
  });
  return pathToFileURL(`${folder}dist/gateway.mjs`);
}
