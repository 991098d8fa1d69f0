import { onTestFinished } from 'vitest';

/**
 * Releases what a test opened, when that test ends, whether it passed or failed. The last to be registered is the first
 * to be released, and all are released even if one of them throws, which fails the test.
 *
 * Call it in a test, a `beforeEach`, or a function that these call.
 */
export function afterTest(...releases: readonly (() => unknown)[]): void {
  for (const release of releases) {
    onTestFinished(async () => {
      await release();
    });
  }
}
