// All checks except tests: lint, types, import order, builds, generated pages, packages, documentation. Independent
// steps run in parallel. `npm run check`, or `node scripts/check.mjs types pack` for some.
import { spawn } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const source = ['node_modules/.bin/tsx', '--conditions=source'];

/** Longest steps first. A step starts once its dependencies have succeeded. */
const STEPS = {
  build: {
    command: ['node', 'scripts/pnpm.mjs', '-r', '--filter', './packages/*', 'run', 'build'],
  },
  docs: { command: ['npm', 'run', '-s', 'docs'] },
  types: { command: ['npm', 'run', '-s', 'typecheck'] },
  pack: { command: ['node', 'scripts/check-pack.mjs'], needs: 'build' },
  lint: { command: ['npm', 'run', '-s', 'lint'] },
  imports: { command: ['node', 'scripts/check-imports.mjs'] },
  catches: { command: ['node', 'scripts/check-catches.mjs'] },
  states: { command: [...source, 'scripts/states.ts'] },
  openapi: { command: [...source, 'scripts/openapi.ts'] },
  configuration: { command: [...source, 'scripts/configuration.ts'] },
  api: { command: ['node', 'scripts/api-report.mjs'], needs: 'build' },
};

/** Runs a step to its end and prints its output. Resolves with whether it succeeded. */
function run(name) {
  const beganMs = performance.now();
  const [program, ...args] = STEPS[name].command;
  return new Promise((resolve) => {
    const child = spawn(program, args, { cwd: root, shell: process.platform === 'win32' });
    const printed = [];
    child.stdout.on('data', (piece) => printed.push(piece));
    child.stderr.on('data', (piece) => printed.push(piece));
    child.once('error', (error) => printed.push(Buffer.from(`${error.message}\n`)));
    child.once('close', (code) => {
      const seconds = ((performance.now() - beganMs) / 1000).toFixed(1);
      console.log(`== ${name}: ${code === 0 ? 'passed' : 'failed'} after ${seconds} s`);
      process.stdout.write(Buffer.concat(printed));
      resolve(code === 0);
    });
  });
}

const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => !(name in STEPS));
if (unknown.length > 0) {
  console.error(`Unknown: ${unknown.join(', ')}. Available: ${Object.keys(STEPS).join(', ')}`);
  process.exit(2);
}
const waiting = new Set(wanted.length > 0 ? wanted : Object.keys(STEPS));
const running = new Map();
const passed = new Set();
const failed = [];
while (waiting.size > 0 || running.size > 0) {
  for (const name of waiting) {
    const { needs } = STEPS[name];
    if (running.size >= availableParallelism()) break;
    if (needs !== undefined && (waiting.has(needs) || running.has(needs))) continue;
    waiting.delete(name);
    if (failed.includes(needs)) {
      console.log(`== ${name}: not run, because ${needs} failed`);
      failed.push(name);
    } else
      running.set(
        name,
        run(name).then((ok) => [name, ok]),
      );
  }
  if (running.size === 0) continue;
  const [name, ok] = await Promise.race(running.values());
  running.delete(name);
  if (ok) passed.add(name);
  else failed.push(name);
}
console.log(
  `${passed.size} steps passed, ${failed.length} failed${failed.length > 0 ? `: ${failed.join(', ')}` : ''}`,
);
process.exit(failed.length === 0 ? 0 : 1);
