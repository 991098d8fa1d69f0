// `npm run faults`: attacks and faults against the server as a process of its own, each with a figure and a bound. The table
// goes to docs/security.md.

import { readFileSync, writeFileSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { seededRandom } from '@sipcast/testkit';
import { commit } from './commit.ts';
import { formatTable } from './faults/figure.ts';
import type { Figure, Measurement } from './faults/figure.ts';
import { inParallel, pause } from './faults/pace.ts';
import { dependencies } from './faults/dependencies.ts';
import { injection } from './faults/injection.ts';
import { draining, kills } from './faults/kills.ts';
import { secrets } from './faults/secrets.ts';
import { sipFlood } from './faults/sip-flood.ts';
import { slowClients } from './faults/slow-clients.ts';
import { ssrf } from './faults/ssrf.ts';
import { stalls } from './faults/stalls.ts';
import { Workshop } from './faults/workshop.ts';

const USAGE = `npm run faults -- [--quick] [--seed n] [--only name,…] [--write | --no-write]
  --quick   a minute: smaller counts; bounds of time and memory are told and not judged; writes nothing
  --only    some of the figures; writes nothing
  --write   writes the table to docs/security.md whatever was run; --no-write: does not`;
const PAGE = fileURLToPath(new URL('../docs/security.md', import.meta.url));
const BEGIN = '<!-- npm run faults: begin -->';
const END = '<!-- npm run faults: end -->';

const FIGURES: readonly Figure[] = [
  injection,
  ssrf,
  slowClients,
  sipFlood,
  stalls,
  dependencies,
  secrets,
  kills,
  draining,
];

const { values } = parseArgs({
  allowNegative: true,
  options: {
    quick: { type: 'boolean', default: false },
    seed: { type: 'string', default: '1' },
    only: { type: 'string' },
    write: { type: 'boolean' },
    help: { type: 'boolean', default: false },
  },
});
if (values.help) {
  console.log(USAGE);
  process.exit();
}
const wanted = values.only?.split(',');
const unknown = wanted?.filter((name) => FIGURES.every((figure) => figure.name !== name)) ?? [];
if (unknown.length > 0) {
  console.error(
    `Unknown: ${unknown.join(', ')}. There are: ${FIGURES.map(({ name }) => name).join(', ')}`,
  );
  process.exit(2);
}
const seed = Number(values.seed);
if (!Number.isSafeInteger(seed)) {
  console.error('--seed must be an integer');
  process.exit(2);
}

/** Where figures are being taken. */
const branches = new Set<Workshop>();
const startMs = performance.now();
const workshop = await Workshop.open();
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => {
    void Promise.all([...branches].map((one) => one.tidy()))
      .then(() => workshop.close())
      .finally(() => process.exit(1));
  });
const rows: { figure: Figure; measurement: Measurement }[] = [];
try {
  const figures = FIGURES.filter(({ name }) => wanted?.includes(name) !== false);
  // What takes time says little when something else runs: only the quick form, which does not judge it, does several at once.
  await inParallel(values.quick ? 3 : 1, figures, async (figure) => {
    const found = await measure(figure, workshop);
    rows.push(...found.map((measurement) => ({ figure, measurement })));
  });
} finally {
  await workshop.close();
}
const order = (figure: Figure): number => FIGURES.indexOf(figure);
const table = formatTable(rows.toSorted((a, b) => order(a.figure) - order(b.figure)));
const command = [
  'npm run faults',
  ...(process.argv.length > 2 ? ['--', ...process.argv.slice(2)] : []),
].join(' ');
const minutes = ((performance.now() - startMs) / 60_000).toFixed(1);
const header =
  `\`${command}\`, seed ${seed}, ${new Date().toISOString().slice(0, 10)}, commit ${commit()}, ${cpus().length} × ` +
  `${cpus()[0]?.model.trim()}, Node ${process.version}, ${minutes} minutes, load of the machine ${loadavg()[2]?.toFixed(1)}.`;
console.log(`${header}\n\n${table}`);
if (values.write ?? (!values.quick && wanted === undefined)) {
  const page = readFileSync(PAGE, 'utf8');
  const [before, rest] = page.split(BEGIN);
  const after = rest?.split(END)[1];
  if (after === undefined) throw new Error(`docs/security.md has no ${BEGIN} … ${END}`);
  writeFileSync(PAGE, `${before}${BEGIN}\n\n${header}\n\n${table}\n\n${END}${after}`);
}
process.exit(rows.some(({ measurement }) => measurement.holds === false) ? 1 : 0);

async function measure(figure: Figure, shop: Workshop): Promise<readonly Measurement[]> {
  const beganMs = performance.now();
  const own = shop.branch();
  branches.add(own);
  const min = 24_500 + FIGURES.indexOf(figure) * 400;
  const rtpPorts = { min, max: min + 399 };
  let found: readonly Measurement[];
  try {
    // Each begins with the seed: what it finds does not hang on what ran before.
    found = await figure.measure({
      random: seededRandom(seed),
      quick: values.quick,
      workshop: own,
      rtpPorts,
    });
  } catch (error) {
    const problem = error instanceof Error ? (error.stack ?? error.message) : String(error);
    // A server that has gone says so a moment later.
    await pause(500);
    console.error(`${figure.name}: ${problem}\n${own.lastWords()}`);
    const [first = ''] = problem.split('\n');
    found = [
      { what: 'the run of this figure', bound: 'comes to its end', found: first, holds: false },
    ];
  } finally {
    await own.tidy();
    branches.delete(own);
  }
  const told = found.map(({ what, bound, found: came, holds }) => {
    const verdict = holds === undefined ? 'not judged' : holds ? 'holds' : 'MISSED';
    return `${figure.name}: ${what}\n  bound: ${bound}\n  found: ${came}\n  ${verdict}`;
  });
  const seconds = ((performance.now() - beganMs) / 1000).toFixed(1);
  console.log([...told, `${figure.name}: ${seconds} s\n`].join('\n'));
  return found;
}
