// A process that stands still, and for how long it did.

import { afterTest } from './cleanup.ts';

const STALL_PERIOD_MS = 10;

/** Blocks the event loop, as a collection of garbage, or a machine with too much to do, makes it. */
export function standStill(ms: number): void {
  const endMs = performance.now() + ms;
  while (performance.now() < endMs);
}

/**
 * Watches for how long the machine keeps this process from its timers, until the test ends. Time in which the process
 * itself computed does not count.
 */
export function watchStalls(): { readonly longestMs: () => number } {
  let lastMs = performance.now();
  let lastCpu = process.cpuUsage();
  let longestMs = 0;
  const timer = setInterval(() => {
    const nowMs = performance.now();
    const used = process.cpuUsage(lastCpu);
    const usedMs = (used.user + used.system) / 1000;
    longestMs = Math.max(longestMs, nowMs - lastMs - STALL_PERIOD_MS - usedMs);
    lastMs = nowMs;
    lastCpu = process.cpuUsage();
  }, STALL_PERIOD_MS);
  afterTest(() => clearInterval(timer));
  return { longestMs: () => longestMs };
}
