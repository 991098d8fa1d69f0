// Long runs that are too slow for each change: ordinary tests with larger counts that print their figures. `npm run
// nightly`, or `node scripts/nightly.mjs mutations rtmp-restarts` for some of them.
import { spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';

/** Unit tests that use fast-check. */
function propertyTests() {
  return readdirSync('packages').flatMap((name) =>
    readdirSync(`packages/${name}/src`, { recursive: true })
      .filter((path) => path.endsWith('.test.ts'))
      .map((path) => `packages/${name}/src/${path}`)
      .filter((path) => readFileSync(path, 'utf8').includes("from 'fast-check'")),
  );
}

const RUNS = {
  /** Damaged RTP and RTCP, a million of each. */
  mutations: {
    environment: { MUTATIONS: '1000000' },
    files: ['packages/media/src/rtp/mutations.test.ts'],
  },
  /** A million damaged RTMP server conversations. */
  'rtmp-mutations': {
    environment: { MUTATIONS: '1000000' },
    files: ['packages/media/src/rtmp/mutations.test.ts'],
  },
  /** Ten million damaged SIP messages, and a million descriptions. */
  'sip-mutations': {
    environment: { MUTATIONS: '10000000' },
    files: ['packages/sip/src/message/mutations.test.ts'],
  },
  /** Five thousand idle TCP connections to the SIP port. */
  'sip-connections': {
    project: 'loopback',
    environment: { CONNECTIONS: '5000' },
    files: ['test/loopback/sip/sip-idle-connections.test.ts'],
  },
  /** nginx-rtmp killed fifty times in one call. */
  'rtmp-restarts': {
    project: 'interop',
    environment: { KILLS: '50' },
    files: ['test/interop/media/rtmp-restarts.test.ts'],
  },
  /** All property tests, with ten thousand runs per property. */
  properties: {
    environment: { PROPERTY_RUNS: '10000' },
    files: propertyTests(),
  },
  /** Ten thousand calls with media, twenty at a time: no socket, timer, port or listener remains. */
  leaks: {
    project: 'loopback',
    environment: { CALLS: '10000' },
    files: ['test/loopback/core/gateway-leaks.test.ts'],
  },
  /** Half an hour of calls that come and go while the RTMP server is killed each minute: measures memory growth. */
  soak: { program: ['bench/soak.ts', '--minutes', '30'] },
};

function run({ environment, files, program, project = 'unit' }) {
  const command = program
    ? ['tsx', '--conditions=source', ...program]
    : ['vitest', 'run', '--project', project, '--testTimeout', '600000', ...files];
  return new Promise((resolve) => {
    const child = spawn('npx', command, {
      stdio: 'inherit',
      env: { ...process.env, ...environment },
    });
    child.once('exit', (code) => resolve(code ?? 1));
  });
}

const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => !(name in RUNS));
if (unknown.length > 0) {
  console.error(`Unknown: ${unknown.join(', ')}. Available: ${Object.keys(RUNS).join(', ')}`);
  process.exit(2);
}
let failed = 0;
for (const name of wanted.length > 0 ? wanted : Object.keys(RUNS)) {
  console.log(`\n== ${name}`);
  if ((await run(RUNS[name])) !== 0) failed++;
}
process.exit(failed === 0 ? 0 : 1);
