// The contract for log output. The package itself writes nowhere.

/** What a line is about: a call, its SIP, its RTP, a push, or what records and encodes. */
export type LogArea = 'call' | 'sip' | 'rtp' | 'rtmp' | 'media';

/** What is known of a line beside its words. */
export interface LogFields {
  readonly area?: LogArea;
  /** Of the call. */
  readonly callId?: string;
  /** Of the push. */
  readonly mediaSessionId?: string;
  readonly [field: string]: string | number | boolean | null | undefined;
}

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
  /**
   * A logger whose lines all have these fields: each call and each push has one of its own. Without it, lines begin with the
   * id of what they are about.
   */
  child?(fields: LogFields): Logger;
  /** False: lines of this level go nowhere and need not be made. Without it, all are made. */
  isLevelEnabled?(level: LogLevel): boolean;
}

/** How much a line matters. */
export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

/** Drops everything: the default. */
export const silentLogger: Logger = {
  debug() {},
  info() {},
  warn() {},
  error() {},
  isLevelEnabled: () => false,
};

/** The same logger, whose failures are nobody's: a broken log must not end a call. */
export function guardLogger(logger: Logger): Logger {
  const guarded =
    (level: LogLevel) =>
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

/** A logger for what these fields say. One without `child` gets their id in front of each line. */
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

/** Whether a line of this level goes anywhere. */
export function isEnabled(logger: Logger, level: LogLevel): boolean {
  return logger.isLevelEnabled?.(level) ?? true;
}
