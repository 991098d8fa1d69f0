// What ends a command of the program.

/**
 * The first one ends it in order, the second at once. SIGHUP is that of a terminal that is closed: calls end with their BYE then,
 * too.
 */
export const STOP_SIGNALS = [
  'SIGINT',
  'SIGTERM',
  'SIGHUP',
] as const satisfies readonly NodeJS.Signals[];

/** @returns Stops listening. */
export function onStopSignal(listener: () => void): () => void {
  for (const signal of STOP_SIGNALS) process.on(signal, listener);
  return () => {
    for (const signal of STOP_SIGNALS) process.off(signal, listener);
  };
}
