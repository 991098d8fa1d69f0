// The server's log: levels and children by pino, areas with levels of their own, and on the way out of it the one place where
// secrets are masked and control characters escaped.

import type { LogArea, LogFields, Logger, LogLevel } from '@sipcast/core';
import { pino } from 'pino';
import type { Logger as PinoLogger } from 'pino';
import { printable } from '../printable.ts';
import type { Redaction } from './redaction.ts';

/** From the least to nothing. */
export const LOG_LEVELS = ['debug', 'info', 'warn', 'error', 'silent'] as const;
/** What lines are about: those of the gateway, and the server's own. */
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

/** What is logged, and how. All have defaults. */
export interface LogOptions {
  /** Lines below are left out. Default `info`. */
  readonly level?: (typeof LOG_LEVELS)[number] | undefined;
  /** `json`: an object a line. `line`: for reading. Default: `json` in production, else `line`. */
  readonly format?: 'json' | 'line' | undefined;
  /** Areas with a level of their own. */
  readonly areas?:
    | { readonly [area in (typeof LOG_AREAS)[number]]?: (typeof LOG_LEVELS)[number] | undefined }
    | undefined;
}

/** Longest message, in characters; what stands in other fields is cut at 256. */
const MAX_MESSAGE_LENGTH = 1024;
/** They hold no secret, and a held one may be a part of them. */
const IDS: ReadonlySet<string> = new Set(['callId', 'mediaSessionId', 'area', 'level', 'time']);

/** A log of the server: takes fields that the gateway's loggers do not know of, too. */
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
 * @param write - Gets whole lines with their ends.
 * @param withTime - False: `line` does not begin with the time.
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

/** Children are made from the root: a field that is given again replaces the one before. */
function wrap(
  root: PinoLogger,
  fields: ServerLogFields,
  levelOf: (area: ServerLogFields['area']) => string,
): ServerLogger {
  const own = root.child({ ...fields }, { level: levelOf(fields.area) });
  // As the only argument a text is no format: what a peer says may hold `%s`.
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
