// Validates what callers pass in. Each error names the field and is thrown before anything is sent.

import { isIP } from 'node:net';
import { SipError } from '../errors.ts';
import { canonicalHeaderName } from './message.ts';
import { parseUri, type SipUri } from './uri.ts';

// oxlint-disable-next-line no-control-regex -- finding control characters is the point
const CONTROL = /[\u0000-\u0008\u000a-\u001f\u007f]/;
const TOKEN = /^[A-Za-z0-9\-.!%*_+`'~]+$/;
/** RFC 3261 §25.1: callid = word [ "@" word ]. */
const CALL_ID = /^[\w\-.!%*+`'~()<>:\\"/[\]?{}]+(?:@[\w\-.!%*+`'~()<>:\\"/[\]?{}]+)?$/;
const HOST = /^[A-Za-z0-9](?:[A-Za-z0-9.\-_]*[A-Za-z0-9.])?$/;

/** Headers that the user agent writes itself. */
const RESERVED: ReadonlySet<string> = new Set([
  'authorization',
  'call-id',
  'contact',
  'content-length',
  'content-type',
  'cseq',
  'from',
  'max-forwards',
  'proxy-authorization',
  'record-route',
  'route',
  'to',
  'via',
]);

/** The error for an invalid argument. */
export function invalidArgument(field: string, message: string, cause?: unknown): SipError {
  return new SipError('INVALID_ARGUMENT', `${field}: ${message}`, { field, cause });
}

/** @throws SipError `ILLEGAL_CHARACTER` for control characters other than a tab. */
export function checkText(field: string, value: unknown): asserts value is string {
  if (typeof value !== 'string') throw invalidArgument(field, 'must be a string');
  if (CONTROL.test(value)) {
    throw new SipError('ILLEGAL_CHARACTER', `${field}: control character`, { field });
  }
}

/** Accepts a SIP URI that we can call. @throws SipError `INVALID_ARGUMENT`, `ILLEGAL_CHARACTER` */
export function checkUriArgument(field: string, value: unknown): SipUri {
  checkText(field, value);
  try {
    return parseUri(value);
  } catch (cause) {
    throw invalidArgument(field, 'not a SIP URI', cause);
  }
}

/** @throws SipError `INVALID_ARGUMENT`, `ILLEGAL_CHARACTER` */
export function checkCallId(value: unknown): void {
  checkText('callId', value);
  if (!CALL_ID.test(value)) throw invalidArgument('callId', 'not a Call-ID');
}

/** @throws SipError `INVALID_ARGUMENT` */
export function checkTransport(value: unknown): void {
  if (value !== 'udp' && value !== 'tcp' && value !== 'tls' && value !== 'auto') {
    throw invalidArgument('transport', "must be 'udp', 'tcp', 'tls' or 'auto'");
  }
}

/** @throws SipError `INVALID_ARGUMENT` */
export function checkProxy(proxy: { host: string; port?: number } | undefined): void {
  if (proxy === undefined) return;
  if (typeof proxy.host !== 'string' || (isIP(proxy.host) === 0 && !HOST.test(proxy.host))) {
    throw invalidArgument('outboundProxy.host', 'not a host name or address');
  }
  if (proxy.port !== undefined) checkInteger('outboundProxy.port', proxy.port, 1, 65_535);
}

/** @throws SipError `INVALID_ARGUMENT` */
export function checkInteger(field: string, value: unknown, least: number, most: number): void {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < least || value > most) {
    throw invalidArgument(field, `must be an integer from ${least} to ${most}`);
  }
}

/** Extra headers of a request. @throws SipError `INVALID_ARGUMENT`, `ILLEGAL_CHARACTER`; `field` is the header's name. */
export function checkHeaders(headers: readonly (readonly [string, string])[] | undefined): void {
  for (const [name, value] of headers ?? []) {
    if (typeof name !== 'string' || !TOKEN.test(name)) {
      throw invalidArgument('headers', 'header name is not a token');
    }
    checkText(name, value);
    if (RESERVED.has(canonicalHeaderName(name))) {
      throw invalidArgument('headers', `the user agent writes ${name} itself`);
    }
  }
}
