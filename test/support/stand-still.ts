// A process that stands still.

/** Blocks the event loop, as a collection of garbage, or a machine with too much to do, makes it. */
export function standStill(ms: number): void {
  const endMs = performance.now() + ms;
  while (performance.now() < endMs);
}
