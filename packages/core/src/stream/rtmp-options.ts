// How pushes connect and reconnect.

import type { LookupFunction } from 'node:net';
import type { RtmpEnhancedMode, RtmpTlsOptions } from '@sipcast/media';
import { checkOptions, option } from '../option-rows.ts';

const { checked, count, flag, section, text, time, timer, word } = option;

/** How pushes connect. Times in milliseconds. */
export interface RtmpOptions {
  /** Put before every stream name on the wire. Default none. */
  readonly streamPrefix?: string;
  /** A push that never came up counts as failed after this time; it goes on trying (`giveUp`). Default 10,000. */
  readonly firstConnectTimeoutMs?: number;
  /**
   * How long a push that failed or was lost goes on trying: `never` gives up while the stream lives. Refused credentials and
   * addresses that are not allowed are final in any case, until `retry`. Default `never`.
   */
  readonly giveUp?: 'never' | number;
  /** A push is given up after this many connections in a row that failed or lasted less than 5 s. Default: no limit. */
  readonly maxReconnects?: number;
  /** First delay before connecting again. Default 250. */
  readonly reconnectMinMs?: number;
  /** Longest delay in the first five minutes of an outage, give or take a fifth. Default 600. */
  readonly reconnectMaxMs?: number;
  /** Longest delay after that. Default 5,000. */
  readonly reconnectLateMaxMs?: number;
  /** A connection without progress for this long is lost. Default 8,000. */
  readonly stallTimeoutMs?: number;
  /** Media outstanding before video is dropped. Default 2,000. */
  readonly highWaterMs?: number;
  /** Longest time that audio waits for a picture, to be written together; 0: no wait. Default 40. */
  readonly coalesceMs?: number;
  /** How the servers of `rtmps:` addresses are checked. Default: by the system's authorities, and by name. */
  readonly tls?: RtmpTlsOptions;
  /** Enhanced RTMP: not offered, offered and used as the server answers, or assumed. Default: what is known of the server. */
  readonly enhanced?: RtmpEnhancedMode;
  /**
   * Whether a push may follow a redirect or ReconnectRequest to another host. `url` has neither user nor stream name. Not called
   * for an address that would give up TLS. Default: no.
   */
  readonly mayRedirect?: (url: string) => boolean;
  /** Whether a connection may go to this address. `host`: the name that resolved to it, or the address. Default: `mayConnect` of the gateway. */
  readonly mayConnect?: (address: string, host: string) => boolean;
  /** Used instead of the system's resolver. */
  readonly lookup?: LookupFunction;
  /** Pings servers that acknowledge nothing, to see whether they still read. Default true. */
  readonly probe?: boolean;
}

/** Options that one push may set differently from the gateway. */
export type PushRtmpOptions = Omit<RtmpOptions, 'streamPrefix'>;

/** The table of these options. */
export const RTMP_ROWS = {
  streamPrefix: text('Put before every stream name on the wire.', 'none', {
    pattern: /^[A-Za-z0-9._~+-]{0,64}$/,
    problem: 'hold only letters, digits and . _ ~ + -',
  }),
  firstConnectTimeoutMs: timer(
    'A push that never came up counts as failed after this time.',
    '10000',
  ),
  giveUp: time('A push that failed or was lost stops trying after this time.', 'never', {
    orWord: 'never',
  }),
  maxReconnects: count('A push is given up after this many failures in a row.', 'no limit', {
    most: 1_000_000,
  }),
  reconnectMinMs: timer('First delay before connecting again.', '250'),
  reconnectMaxMs: timer('Longest delay in the first five minutes.', '600'),
  reconnectLateMaxMs: timer('Longest delay after five minutes.', '5000'),
  stallTimeoutMs: timer('A connection without progress for this long is lost.', '8000'),
  highWaterMs: timer('Media outstanding before video is dropped.', '2000'),
  coalesceMs: count('Longest time that audio waits for a picture.', '40', { most: 1000 }),
  enhanced: word(['off', 'auto', 'force'], 'Enhanced RTMP.', 'as the server is known'),
  probe: flag('Ping servers that acknowledge nothing, to see whether they still read.', 'true'),
  mayRedirect: checked('Whether a redirection may be followed.', functionProblem, { only: 'code' }),
  tls: section('How servers of `rtmps:` URLs are verified.', {
    caFile: text('PEM file: trusted authorities.', "the system's", { only: 'file' }),
    ca: checked('Trusted authorities in PEM.', pemProblem, { only: 'code' }),
    fingerprint256: text('SHA-256 fingerprint; when given, it alone decides.', 'none', {
      pattern: /^(?:[0-9a-f]{2}:?){31}[0-9a-f]{2}$/i,
      problem: 'be 64 hexadecimal digits',
    }),
    insecure: flag('Verify nothing.', 'false'),
  }),
};

/** Checks the options of a call or a push. @throws GatewayError `INVALID_ARGUMENT` naming the option. */
export function validateRtmpOptions(rtmp: RtmpOptions): void {
  checkOptions({ rtmp: option.section('How a push connects.', RTMP_ROWS) }, { rtmp });
}

function functionProblem(value: unknown): string | undefined {
  return typeof value === 'function' ? undefined : 'be a function';
}

function pemProblem(value: unknown): string | undefined {
  const all: readonly unknown[] = Array.isArray(value) ? value : [value];
  return all.length > 0 && all.every(isPem) ? undefined : 'be one or several certificates in PEM';
}

function isPem(value: unknown): boolean {
  const isBytes = typeof value === 'string' || value instanceof Uint8Array;
  return isBytes && Buffer.from(value).includes('-----BEGIN CERTIFICATE-----');
}
