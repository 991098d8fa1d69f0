import { availableParallelism } from 'node:os';
import type { TestProjectConfiguration } from 'vitest/config';

interface ProjectOptions {
  readonly include: string[];
  readonly exclude?: string[];
  readonly testTimeoutMs: number;
  /** Projects run one after the other, in this order. */
  readonly order: number;
  /** Test files at once. Default: one per processor. */
  readonly workers?: number;
  readonly retry?: number;
}

const project = (name: string, options: ProjectOptions): TestProjectConfiguration => ({
  extends: true,
  test: {
    name,
    include: options.include,
    exclude: options.exclude ?? [],
    testTimeout: options.testTimeoutMs,
    hookTimeout: options.testTimeoutMs,
    retry: options.retry ?? 0,
    maxWorkers: options.workers ?? availableParallelism(),
    sequence: { groupOrder: options.order },
    // Patience, not a bound: what must be quick is measured where it is tested.
    expect: { poll: { timeout: 10_000 } },
    setupFiles: ['scripts/property-runs.ts'],
  },
});

/**
 * A busy machine may take the processor from a test of real sockets and programs for longer than the peer waits. In
 * CI, and only there, such a test is tried once more, and named in the closing lines: one to look at, not one to forget.
 */
const retry = process.env['CI'] === undefined ? 0 : 1;

/** These tests mostly wait for the network and for other programs, so more of them run than there are processors. */
const waitingWorkers = Math.min(8, 2 * availableParallelism());

/**
 * Files that measure latency, or that take a processor away on purpose. Whatever runs beside them would be measured, or
 * disturbed, so they run one at a time, after the rest.
 */
const MEASURED = [
  // How long sound takes through decoders and encoders of each codec.
  'test/interop/media/audio-codecs.test.ts',
  // Drift between sound and pictures, and how soon the first key frame comes.
  'test/interop/media/media-figures.test.ts',
  // How soon every output begins; its encoders would keep the processor from others.
  'test/interop/media/output-matrix.test.ts',
  // How many lost packets come again in time.
  'test/interop/media/rtp-loss.test.ts',
  // Fills one processor with busy loops, to starve an encoder.
  'test/interop/media/transcoder.test.ts',
  // Delay and processor time of the H.264 encoder.
  'test/interop/media/transcoder-video.test.ts',
];

/** unit: no socket, no sleep. loopback: our own peers on 127.0.0.1. interop: programs we did not write. */
const projects: TestProjectConfiguration[] = [
  project('unit', {
    include: [
      'packages/*/src/**/*.test.ts',
      'packages/server/console/*.test.ts',
      'scripts/*.test.ts',
    ],
    testTimeoutMs: 10_000,
    order: 0,
  }),
  project('loopback', {
    include: ['test/loopback/**/*.test.ts', 'test/examples/**/*.test.ts'],
    testTimeoutMs: 60_000,
    order: 1,
    workers: waitingWorkers,
    retry,
  }),
  project('interop', {
    include: ['test/interop/**/*.test.ts'],
    exclude: MEASURED,
    testTimeoutMs: 120_000,
    order: 2,
    workers: waitingWorkers,
    retry,
  }),
  project('interop-measured', {
    include: MEASURED,
    testTimeoutMs: 120_000,
    order: 3,
    workers: 1,
    retry,
  }),
];
export default projects;
