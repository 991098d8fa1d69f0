import type { TestProjectConfiguration } from 'vitest/config';

const project = (
  name: string,
  include: string[],
  testTimeout: number,
  fileParallelism = true,
): TestProjectConfiguration => ({
  extends: true,
  test: {
    name,
    include,
    testTimeout,
    hookTimeout: testTimeout,
    fileParallelism,
    setupFiles: ['scripts/property-runs.ts'],
  },
});

/** unit: no socket, no sleep. loopback: our own peers on 127.0.0.1. interop: programs we did not write. */
const projects: TestProjectConfiguration[] = [
  project(
    'unit',
    ['packages/*/src/**/*.test.ts', 'packages/server/console/*.test.ts', 'scripts/*.test.ts'],
    10_000,
  ),
  project('loopback', ['test/loopback/**/*.test.ts', 'test/examples/**/*.test.ts'], 60_000),
  project('interop', ['test/interop/**/*.test.ts'], 120_000, false),
];
export default projects;
