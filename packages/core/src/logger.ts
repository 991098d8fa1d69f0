// The contract for log output. The package itself writes nowhere.

/** Takes log lines; pino and console fit. Must not throw. */
export interface Logger {
  /** Of use to a developer only. */
  debug(message: string): void;
  /** A status moved. */
  info(message: string): void;
  /** Bad input, or something that a call survives. */
  warn(message: string): void;
  /** Something that should not happen. */
  error(message: string): void;
}

/** Drops everything: the default. */
export const silentLogger: Logger = {
  debug() {},
  info() {},
  warn() {},
  error() {},
};

/** The same logger, whose failures are nobody's: a broken log must not end a call. */
export function guardLogger(logger: Logger): Logger {
  const guarded =
    (level: keyof Logger) =>
    (message: string): void => {
      try {
        logger[level](message);
      } catch {
        // There is nowhere left to say it.
      }
    };
  return {
    debug: guarded('debug'),
    info: guarded('info'),
    warn: guarded('warn'),
    error: guarded('error'),
  };
}
