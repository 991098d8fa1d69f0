import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Waits until a condition holds, asking every 5 ms. The limit is patience, not a bound.
 *
 * @throws when it does not hold within `limitMs`
 */
export async function until(
  condition: () => boolean,
  what = 'condition',
  limitMs = 10_000,
): Promise<void> {
  const endMs = performance.now() + limitMs;
  while (!condition()) {
    if (performance.now() > endMs) throw new Error(`Not within ${limitMs} ms: ${what}`);
    await sleep(5);
  }
}
