// The server's log: levels and child loggers by pino, and a level per area. Every line is redacted and escaped in a
// single place on its way out.

import type { LogArea, LogFields, Logger, LogLevel } from '@sipcast/core';
import { pino } from 'pino';
import type { Logger as PinoLogger } from 'pino';
import { printable } from '../printable.ts';
import type { Redaction } from './redaction.ts';

/** From the most detailed to none. */
export const LOG_LEVELS = ['debug', 'info', 'warn', 'error', 'silent'] as const;
/** The areas of the gateway and of the server. */
export const LOG_AREAS = [
  'call',
  'sip',
  'rtp',
  'rtmp',
  'media',
  'rest',
  'events',
  'server',
] as const satisfies readonly (LogArea | 'rest' | 'events' | 'server')[];

/** Log settings. All have defaults. */
export interface LogOptions {
  /** Lowest level to write. Default `info`. */
  readonly level?: (typeof LOG_LEVELS)[number] | undefined;
  /** `json`: one object per line. `line`: human-readable. Default: `json` in production, else `line`. */
  readonly format?: 'json' | 'line' | undefined;
  /** Areas with their own level. */
  readonly areas?:
    | { readonly [area in (typeof LOG_AREAS)[number]]?: (typeof LOG_LEVELS)[number] | undefined }
    | undefined;
}

/** Maximum message length in characters. Other fields are cut at 256. */
const MAX_MESSAGE_LENGTH = 1024;
/** These contain no secrets, but may contain text that equals a held secret. */
const IDS: ReadonlySet<string> = new Set(['callId', 'mediaSessionId', 'area', 'level', 'time']);

/** A logger of the server. It also accepts fields that the gateway's loggers do not have. */
export interface ServerLogger extends Logger {
  child(fields: ServerLogFields): ServerLogger;
  isLevelEnabled(level: LogLevel): boolean;
}

/** As `LogFields`, with the server's own areas. */
type ServerLogFields = Omit<LogFields, 'area'> & {
  readonly area?: (typeof LOG_AREAS)[number];
};

/**
 * Opens a log.
 * @param write - Receives complete lines with their line ends.
 * @param withTime - False: no time at the beginning of a `line`.
 */
export function openLog(
  { level = 'info', format = 'line', areas = {} }: LogOptions,
  redaction: Redaction,
  write: (line: string) => void,
  { withTime = true }: { readonly withTime?: boolean } = {},
): ServerLogger {
  const root = pino(
    {
      base: null,
      level,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    {
      write: (text) => {
        const record = clean(JSON.parse(text) as Record<string, unknown>, redaction);
        write(`${format === 'json' ? JSON.stringify(record) : lineOf(record, withTime)}\n`);
      },
    },
  );
  const levelOf = (area: ServerLogFields['area']): string =>
    (area !== undefined && areas[area]) || level;
  return wrap(root, { area: 'server' }, levelOf);
}

/** Children are created from the root, so that a field that is set again replaces the earlier one. */
function wrap(
  root: PinoLogger,
  fields: ServerLogFields,
  levelOf: (area: ServerLogFields['area']) => string,
): ServerLogger {
  const own = root.child({ ...fields }, { level: levelOf(fields.area) });
  // As the only argument, a text is not a format string: peers may send `%s`.
  return {
    debug: (message) => own.debug(message),
    info: (message) => own.info(message),
    warn: (message) => own.warn(message),
    error: (message) => own.error(message),
    child: (more) => wrap(root, { ...fields, ...more }, levelOf),
    isLevelEnabled: (level) => own.isLevelEnabled(level),
  };
}

function clean(
  record: Readonly<Record<string, unknown>>,
  redaction: Redaction,
): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(record).map(([name, value]) => {
      if (typeof value !== 'string') return [name, value];
      const text = IDS.has(name) ? redaction.redactForms(value) : redaction.redact(value);
      return [name, name === 'msg' ? printable(text, MAX_MESSAGE_LENGTH) : printable(text)];
    }),
  );
}

/** `<time> [warning: |error: |debug: ]<id> <message>` */
function lineOf(record: Readonly<Record<string, unknown>>, withTime: boolean): string {
  const text = (field: string): string => {
    const value = record[field];
    return typeof value === 'string' ? value : '';
  };
  const [time, level, id] = [text('time'), text('level'), text('mediaSessionId') || text('callId')];
  const mark = level === 'info' ? '' : `${level === 'warn' ? 'warning' : level}: `;
  const words = `${mark}${id === '' ? '' : `${id} `}${text('msg')}`;
  return withTime ? `${time} ${words}` : words;
}
