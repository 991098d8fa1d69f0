// Request bodies: reading them within limits, and the schema of each method. Existing clients send numbers and booleans as
// strings, and empty strings for absent fields; unknown fields are ignored.

import { option, RTMP_ROWS, STARTUP_ROWS } from '@sipcast/core/options';
import type { OptionRow, OptionRows, ValueOf } from '@sipcast/core/options';
import { z } from 'zod';
import { RestError } from './errors.ts';

/** Largest request body, in octets. */
export const MAX_BODY_BYTES: number = 64 * 1024;
/** Deepest nesting of arrays and objects in a body. */
export const MAX_BODY_DEPTH = 20;

/**
 * Reads a body: absent or empty is `{}`.
 * @throws RestError 400, 413, 415.
 */
export async function readBody(request: Request): Promise<Record<string, unknown>> {
  const bytes = await readBytes(request);
  if (bytes.length === 0) return {};
  const type = (request.headers.get('content-type') ?? '').trim();
  const charset = /;\s*charset\s*=\s*"?([^\s;"]+)/i.exec(type)?.[1] ?? 'utf-8';
  // RFC 8259 §8.1: JSON is UTF-8; ASCII is a part of it.
  if (!/^application\/json\s*(;|$)/i.test(type) || !/^(utf-?8|us-ascii)$/i.test(charset)) {
    throw new RestError(
      415,
      'UNSUPPORTED_MEDIA_TYPE',
      'The body must be application/json in UTF-8',
      'content-type',
    );
  }
  if ((request.headers.get('content-encoding') ?? 'identity') !== 'identity') {
    throw new RestError(
      415,
      'UNSUPPORTED_MEDIA_TYPE',
      'The body must not be compressed',
      'content-encoding',
    );
  }
  const body = parseJson(decodeUtf8(bytes));
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw new RestError(400, 'INVALID_ARGUMENT', 'The body must be a JSON object', 'body');
  }
  return body as Record<string, unknown>;
}

async function readBytes(request: Request): Promise<Uint8Array> {
  const tooLarge = (): RestError =>
    new RestError(413, 'BODY_TOO_LARGE', `The body is longer than ${MAX_BODY_BYTES} bytes`, 'body');
  if (Number(request.headers.get('content-length') ?? 0) > MAX_BODY_BYTES) throw tooLarge();
  if (!request.body) return new Uint8Array(0);
  const parts: Uint8Array[] = [];
  let length = 0;
  try {
    for await (const part of request.body) {
      length += part.length;
      if (length > MAX_BODY_BYTES) throw tooLarge();
      parts.push(part);
    }
  } catch (error) {
    if (error instanceof RestError) throw error;
    // The client disconnected: not our failure, and no one reads the answer.
    throw new RestError(400, 'INVALID_ARGUMENT', 'The body ended early', 'body');
  }
  return parts.length === 1 ? (parts[0] as Uint8Array) : Buffer.concat(parts, length);
}

function decodeUtf8(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new RestError(400, 'INVALID_ARGUMENT', 'The body is not UTF-8', 'body');
  }
}

function parseJson(text: string): unknown {
  // Depth is counted before parsing: JSON.parse itself would recurse.
  if (depthOf(text) > MAX_BODY_DEPTH)
    throw new RestError(400, 'INVALID_ARGUMENT', 'The JSON is nested too deeply', 'body');
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw new RestError(400, 'INVALID_ARGUMENT', 'The body is not JSON', 'body');
  }
}

function depthOf(text: string): number {
  let depth = 0;
  let deepest = 0;
  let inString = false;
  for (let at = 0; at < text.length; at++) {
    const character = text.charCodeAt(at);
    if (inString) {
      if (character === 0x5c) at++;
      else if (character === 0x22) inString = false;
    } else if (character === 0x22) inString = true;
    else if (character === 0x7b || character === 0x5b) deepest = Math.max(deepest, ++depth);
    else if (character === 0x7d || character === 0x5d) depth--;
  }
  return deepest;
}

/** `""` and `null` mean absent. */
const absent = (value: unknown): unknown => (value === '' || value === null ? undefined : value);

/** Clients also send extensions, logins and digits as numbers. */
const asText = (value: unknown): unknown =>
  Number.isSafeInteger(value) ? String(value) : absent(value);

const text = z.preprocess(asText, z.string().optional());
const requiredText = z.preprocess(asText, z.string());
const flag = z.preprocess(
  (value) => (value === 'true' ? true : value === 'false' ? false : absent(value)),
  z.boolean().optional(),
);
const toNumber = (value: unknown): unknown =>
  typeof value === 'string' && /^\d{1,9}$/.test(value) ? Number(value) : absent(value);
const integer = z.preprocess(toNumber, z.number().int().optional());
const integerOr = (word: string): z.ZodType =>
  z.preprocess(toNumber, z.union([z.number().int(), z.literal(word)]).optional());
const wordOf = (words: readonly (string | number)[]): z.ZodType =>
  z.preprocess(absent, z.enum(words.map(String)).optional());

/** A field as clients send it. The gateway checks bounds and what fields mean together. */
function fieldOf(row: OptionRow): z.ZodType {
  switch (row.kind) {
    case 'text':
      return row.isRequired === true ? requiredText : text;
    case 'count':
      return row.orWord === undefined ? integer : integerOr(row.orWord);
    case 'flag':
      return flag;
    case 'word':
      return wordOf(row.words);
    case 'section':
      return z.preprocess(absent, z.object(fieldsOf(row.rows)).optional());
    case 'record': {
      const values = row.of === 'text' ? z.string() : z.unknown();
      return z.preprocess(absent, z.record(z.string(), values).optional());
    }
    case 'texts': {
      const list = z.array(z.string());
      return z.preprocess(
        absent,
        (row.orOne === true ? z.union([z.string(), list]) : list).optional(),
      );
    }
    case 'list':
    case 'checked':
      break;
  }
  throw new TypeError(`A field cannot be a ${row.kind}`);
}

type Fields<Rows> = {
  readonly [Name in keyof Rows]: z.ZodType<ValueOf<Rows[Name]> | undefined>;
};

/** The schema of each field, by its row. */
function fieldsOf<const Rows extends object>(rows: Rows): Fields<Rows> {
  const fields = Object.entries(rows as OptionRows).map(([name, row]) => {
    const { about, fallback } = row;
    const words = fallback === undefined ? about : `${about} Default: ${fallback}.`;
    return [name, fieldOf(row).describe(words)];
  });
  return Object.fromEntries(fields) as Fields<Rows>;
}

/** The options of a push that clients may set: neither certificates nor where it may be redirected. */
const {
  firstConnectTimeoutMs,
  giveUp,
  maxReconnects,
  reconnectMinMs,
  reconnectMaxMs,
  reconnectLateMaxMs,
  enhanced,
} = RTMP_ROWS;
const rtmp = option.section('How the push connects, where that differs from the gateway.', {
  firstConnectTimeoutMs,
  giveUp,
  maxReconnects,
  reconnectMinMs,
  reconnectMaxMs,
  reconnectLateMaxMs,
  enhanced,
});
const { audio, video, ...startupRows } = STARTUP_ROWS;
const { keyFrameIntervalMs } = STARTUP_ROWS;

/** Schemas of the request bodies, by method. */
export const BODIES = {
  callStartup: z.object(
    fieldsOf({
      ...startupRows,
      audio,
      video,
      rtmp,
      // The operator chooses the folder.
      record: option.flag('Record the call.', 'false'),
    }),
  ),
  callFind: z.object({
    callId: text,
    callee: text,
    caller: text,
    rtmpUrl: text,
    rtmpStream: text,
    status: text,
    sipStatus: integer,
    rtmpStreamStatus: text,
    hasAudio: flag,
    hasVideo: flag,
    streamName: text,
  }),
  callHistory: z.object({
    limit: z.preprocess(toNumber, z.number().int().min(1).optional()),
  }),
  callId: z.object({ callId: requiredText }),
  transfer: z.object({ callId: requiredText, target: requiredText }),
  sendDtmf: z.object({
    callId: requiredText,
    dtmf: requiredText,
    type: z.preprocess(absent, z.enum(['RFC2833', 'INFO', 'INFO_RELAY']).default('RFC2833')),
  }),
  injectStream: z.object({ callId: requiredText, streamName: requiredText }),
  injectSound: z.object({ callId: requiredText, fileName: requiredText }),
  pushStartup: z.object({
    streamName: requiredText,
    rtmpUrl: requiredText,
    rtmpTransponderFullUrl: flag,
    ...fieldsOf({ rtmp, audio, video, keyFrameIntervalMs }),
    options: z.preprocess(
      absent,
      z.object({ action: z.preprocess(absent, z.enum(['mute']).optional()) }).optional(),
    ),
  }),
  pushFind: z.object({ streamName: text, rtmpUrl: text }),
  streamFind: z.object({ streamName: text }),
  streamToken: z.object({
    streamName: requiredText,
    ttlSeconds: z
      .preprocess(toNumber, z.number().int().min(1).max(604_800).optional())
      .default(3600),
  }),
  streamName: z.object({ streamName: requiredText }),
  mediaSessionId: z.object({ mediaSessionId: requiredText }),
  soundOn: z.object({ mediaSessionId: requiredText, soundFile: requiredText, loop: flag }),
  none: z.object({}),
} as const;

/**
 * The body as its schema has it; fields that are absent have no key.
 * @throws RestError 400 naming the first field at fault.
 */
export function parseBody<Schema extends z.ZodType>(
  schema: Schema,
  body: Record<string, unknown>,
): z.output<Schema> {
  const result = schema.safeParse(body);
  if (result.success) return withoutUndefined(result.data);
  const issue = result.error.issues[0];
  const field = String(issue?.path[0] ?? 'body');
  const place = issue?.path.join('.') ?? field;
  const problem =
    absent(body[field]) === undefined
      ? `${field} is required`
      : `${place}: ${issue?.message ?? 'invalid'}`;
  throw new RestError(400, 'INVALID_ARGUMENT', problem, field);
}

/** Removes keys without a value, at every depth: schemas leave them behind. */
function withoutUndefined<T>(value: T): T {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(
    Object.entries(value as Record<string, unknown>)
      .filter(([, one]) => one !== undefined)
      .map(([name, one]) => [name, withoutUndefined(one)]),
  ) as T;
}
