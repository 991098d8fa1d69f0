import type { TestProjectConfiguration } from 'vitest/config';

const project = (
  name: string,
  include: string[],
  testTimeout: number,
  { fileParallelism = true, retry = 0 } = {},
): TestProjectConfiguration => ({
  extends: true,
  test: {
    name,
    include,
    testTimeout,
    hookTimeout: testTimeout,
    fileParallelism,
    retry,
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

/** unit: no socket, no sleep. loopback: our own peers on 127.0.0.1. interop: programs we did not write. */
const projects: TestProjectConfiguration[] = [
  project(
    'unit',
    ['packages/*/src/**/*.test.ts', 'packages/server/console/*.test.ts', 'scripts/*.test.ts'],
    10_000,
  ),
  project('loopback', ['test/loopback/**/*.test.ts', 'test/examples/**/*.test.ts'], 60_000, {
    retry,
  }),
  project('interop', ['test/interop/**/*.test.ts'], 120_000, { fileParallelism: false, retry }),
];
export default projects;
