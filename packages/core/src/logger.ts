// The contract for log output. The package itself writes nowhere.

/** What a line is about: a call, its SIP, its RTP, a push, or recording and encoding. */
export type LogArea = 'call' | 'sip' | 'rtp' | 'rtmp' | 'media';

/** Structured fields of a log line. */
export interface LogFields {
  readonly area?: LogArea;
  /** Call-ID of the call. */
  readonly callId?: string;
  /** Id of the push. */
  readonly mediaSessionId?: string;
  readonly [field: string]: string | number | boolean | null | undefined;
}

/** Takes log lines; pino and console fit. Must not throw. */
export interface Logger {
  /** For developers. */
  debug(message: string): void;
  /** A status changed. */
  info(message: string): void;
  /** Bad input, or a problem that the call survives. */
  warn(message: string): void;
  /** Something that should not happen. */
  error(message: string): void;
  /**
   * A logger that adds these fields to each line: every call and every push has its own. Without `child`, lines start with the id
   * of their call or push.
   */
  child?(fields: LogFields): Logger;
  /** False: lines of this level are dropped and need not be formatted. Without it, all lines are formatted. */
  isLevelEnabled?(level: LogLevel): boolean;
}

/** Severity of a line. */
export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

/** Drops everything: the default. */
export const silentLogger: Logger = {
  debug() {},
  info() {},
  warn() {},
  error() {},
  isLevelEnabled: () => false,
};

/** A logger that never throws: a broken log must not end a call. */
export function guardLogger(logger: Logger): Logger {
  const guarded =
    (level: LogLevel) =>
    (message: string): void => {
      try {
        logger[level](message);
      } catch {
        // Ignored: there is no other place to report it.
      }
    };
  return {
    debug: guarded('debug'),
    info: guarded('info'),
    warn: guarded('warn'),
    error: guarded('error'),
    ...(logger.child && {
      child: (fields) => {
        try {
          return guardLogger(logger.child?.(fields) ?? logger);
        } catch {
          return guardLogger(logger);
        }
      },
    }),
    ...(logger.isLevelEnabled && {
      isLevelEnabled: (level) => {
        try {
          return isEnabled(logger, level);
        } catch {
          return false;
        }
      },
    }),
  };
}

/** A logger with these fields. If the given one has no `child`, lines start with the id instead. */
export function childLogger(logger: Logger, fields: LogFields): Logger {
  if (logger.child) return logger.child(fields);
  const id = fields.mediaSessionId ?? fields.callId;
  if (id === undefined) return logger;
  return {
    debug: (message) => logger.debug(`${id}: ${message}`),
    info: (message) => logger.info(`${id}: ${message}`),
    warn: (message) => logger.warn(`${id}: ${message}`),
    error: (message) => logger.error(`${id}: ${message}`),
    ...(logger.isLevelEnabled && { isLevelEnabled: (level) => isEnabled(logger, level) }),
  };
}

/** Whether lines of this level are written. */
export function isEnabled(logger: Logger, level: LogLevel): boolean {
  return logger.isLevelEnabled?.(level) ?? true;
}
