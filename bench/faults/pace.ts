// Waiting, and doing several things at once.

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}

/** Waits for something to become true, up to a time. @returns whether it did */
export async function until(
  condition: () => Promise<boolean> | boolean,
  timeoutMs = 15_000,
  stepMs = 20,
): Promise<boolean> {
  const endMs = performance.now() + timeoutMs;
  while (!(await condition())) {
    if (performance.now() > endMs) return false;
    await pause(stepMs);
  }
  return true;
}

/** Does work on all items, so many at a time. */
export async function inParallel<T>(
  width: number,
  items: readonly T[],
  work: (item: T, index: number) => Promise<void>,
): Promise<void> {
  const rest = [...items.entries()];
  const worker = async (): Promise<void> => {
    for (let next = rest.shift(); next !== undefined; next = rest.shift())
      await work(next[1], next[0]);
  };
  await Promise.all(Array.from({ length: width }, worker));
}
