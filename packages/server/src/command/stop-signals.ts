// Signals that end a command.

/**
 * The first one ends the command in an orderly way, the second at once. SIGHUP comes from a closed terminal; calls then
 * also end with their BYE.
 */
export const STOP_SIGNALS = [
  'SIGINT',
  'SIGTERM',
  'SIGHUP',
] as const satisfies readonly NodeJS.Signals[];

/** @returns a function that stops listening */
export function onStopSignal(listener: () => void): () => void {
  for (const signal of STOP_SIGNALS) process.on(signal, listener);
  return () => {
    for (const signal of STOP_SIGNALS) process.off(signal, listener);
  };
}
