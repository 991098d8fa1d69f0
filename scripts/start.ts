// `npm start`: bundles the console, then serves from the sources, without a build of the packages.
import { fileURLToPath } from 'node:url';
import { buildConsole } from '../packages/server/console-build.ts';

await buildConsole(fileURLToPath(new URL('../packages/server/dist/console', import.meta.url)));
await import('../packages/server/src/cli.ts');
