// SIP URIs (RFC 3261 §19.1, §25.1), and CSeq (§20.16).

import { SipError } from '../errors.ts';
import { NO_PARAMETERS, type Parameters } from './parameters.ts';
import { decimal, isHexCode, isHostCode, skipSpace, skipToken, syntaxError } from './scan.ts';

/** A `sip:` or `sips:` URI (RFC 3261 §19.1.1). */
export interface SipUri {
  readonly scheme: 'sip' | 'sips';
  /** Unescaped; absent when the URI has no user part. */
  readonly user?: string;
  /** Unescaped. */
  readonly password?: string;
  /** Lower-case; an IPv6 address without its brackets. */
  readonly host: string;
  /** 0–65535; absent if the URI has no port. */
  readonly port?: number;
  readonly parameters: Parameters;
  /** The part after `?`; names lower-case. */
  readonly headers: Parameters;
}

/** Value of CSeq (RFC 3261 §20.16). */
export interface CSeq {
  /** 0 … 2^32−1; ours stay below 2^31 (RFC 3261 §8.1.1.5). */
  readonly sequence: number;
  readonly method: string;
}

/** Offsets of the parts of a URI in its text. -1: absent. */
interface UriLayout {
  readonly secure: boolean;
  readonly userFrom: number;
  readonly userTo: number;
  readonly passwordTo: number;
  readonly hostFrom: number;
  readonly hostTo: number;
  readonly port: number;
  readonly parametersFrom: number;
  readonly headersFrom: number;
}

/** RFC 3261 §8.1.1.5 allows 2^31 − 1; phones that draw 32 random bits go beyond it. */
const MAX_CSEQ = 2 ** 32 - 1;

/** Index after `sip:` or `sips:`, or -1 if the text at `from` has another scheme. */
function skipSipScheme(text: string, from: number): number {
  if ((text.charCodeAt(from) | 0x20) !== 0x73) return -1;
  if ((text.charCodeAt(from + 1) | 0x20) !== 0x69) return -1;
  if ((text.charCodeAt(from + 2) | 0x20) !== 0x70) return -1;
  if (text.charCodeAt(from + 3) === 0x3a) return from + 4;
  if ((text.charCodeAt(from + 3) | 0x20) !== 0x73) return -1;
  return text.charCodeAt(from + 4) === 0x3a ? from + 5 : -1;
}

/** Whether `[from, to)` matches `scheme ":" opaque` of RFC 3986, without white space and delimiters. */
function isAbsoluteUri(text: string, from: number, to: number): boolean {
  let i = from;
  for (; i < to; i++) {
    const code = text.charCodeAt(i);
    const letter = code | 0x20;
    if (letter >= 0x61 && letter <= 0x7a) continue;
    const laterOnly =
      (code >= 0x30 && code <= 0x39) || code === 0x2b || code === 0x2d || code === 0x2e;
    if (i === from || !laterOnly) break;
  }
  if (i === from || text.charCodeAt(i) !== 0x3a || i + 1 >= to) return false;
  return skipUriCharacters(text, i + 1, to, 0) === to;
}

/**
 * Skips characters that are legal in a URI, up to `to` or the stop code. Returns -1 at white space, a control
 * character, a delimiter (`<`, `>`, `"`) or an incomplete escape.
 */
function skipUriCharacters(text: string, from: number, to: number, stop: number): number {
  for (let i = from; i < to; i++) {
    const code = text.charCodeAt(i);
    if (code === stop) return i;
    if (code <= 0x20 || code === 0x7f || code === 0x22 || code === 0x3c || code === 0x3e) return -1;
    if (code === 0x25) {
      if (i + 2 >= to || !isHexCode(text.charCodeAt(i + 1)) || !isHexCode(text.charCodeAt(i + 2)))
        return -1;
      i += 2;
    }
  }
  return to;
}

/** Index after a host name, IPv4 address or bracketed IPv6 reference. -1 if there is none. */
export function skipHost(text: string, from: number, to: number): number {
  let i = from;
  if (text.charCodeAt(from) === 0x5b) {
    for (i = from + 1; i < to; i++) {
      const code = text.charCodeAt(i);
      if (code === 0x5d) return i > from + 1 ? i + 1 : -1;
      if (!isHexCode(code) && code !== 0x3a && code !== 0x2e) return -1;
    }
    return -1;
  }
  while (i < to && isHostCode(text.charCodeAt(i))) i++;
  return i > from ? i : -1;
}

/** Locates the parts of the SIP URI in `[from, to)`; the scheme is already known. @throws SipError `SYNTAX` */
function locateUri(text: string, from: number, to: number, field: string): UriLayout {
  let at = skipSipScheme(text, from);
  const secure = at === from + 5;
  let userFrom = -1;
  let userTo = -1;
  let passwordTo = -1;
  const atSign = text.indexOf('@', at);
  if (atSign >= 0 && atSign < to) {
    userFrom = at;
    userTo = skipUriCharacters(text, at, atSign, 0x3a);
    if (userTo <= userFrom) throw syntaxError(field, 'Bad user part in a URI');
    if (userTo < atSign) {
      passwordTo = skipUriCharacters(text, userTo + 1, atSign, 0);
      if (passwordTo < 0) throw syntaxError(field, 'Bad password in a URI');
    }
    at = atSign + 1;
  }
  const hostFrom = at;
  const hostTo = skipHost(text, at, to);
  if (hostTo < 0) throw syntaxError(field, 'Bad host in a URI');
  at = hostTo;
  let port = -1;
  if (at < to && text.charCodeAt(at) === 0x3a) {
    let end = at + 1;
    while (end < to && text.charCodeAt(end) !== 0x3b && text.charCodeAt(end) !== 0x3f) end++;
    port = decimal(text, at + 1, end, 65535);
    if (port < 0) throw syntaxError(field, 'Bad port in a URI');
    at = end;
  }
  let parametersFrom = -1;
  if (at < to && text.charCodeAt(at) === 0x3b) {
    parametersFrom = at;
    at = skipUriCharacters(text, at, to, 0x3f);
    if (at < 0) throw syntaxError(field, 'Bad parameter in a URI');
  }
  let headersFrom = -1;
  if (at < to && text.charCodeAt(at) === 0x3f) {
    headersFrom = at + 1;
    if (skipUriCharacters(text, headersFrom, to, 0) < 0)
      throw syntaxError(field, 'Bad header in a URI');
    at = to;
  }
  if (at !== to) throw syntaxError(field, 'Unexpected character in a URI');
  return {
    secure,
    userFrom,
    userTo,
    passwordTo,
    hostFrom,
    hostTo,
    port,
    parametersFrom,
    headersFrom,
  };
}

/**
 * Throws `SYNTAX` (naming `field`) unless `[from, to)` is a SIP URI or an absolute URI with another scheme. Allocates
 * no strings. Returns whether the URI is `sip:`/`sips:` and has a `?` part.
 */
export function checkUri(text: string, from: number, to: number, field: string): boolean {
  if (skipSipScheme(text, from) >= 0) return locateUri(text, from, to, field).headersFrom >= 0;
  if (!isAbsoluteUri(text, from, to)) throw syntaxError(field, 'Bad URI');
  return false;
}

/** `%41` → `A`, with octets decoded as UTF-8. Decodes once: `%2541` gives `%41`. */
function unescape(text: string): string {
  if (!text.includes('%')) return text;
  const octets = Buffer.from(text, 'utf8');
  let length = 0;
  for (let i = 0; i < octets.length; i++) {
    let octet = octets[i] ?? 0;
    if (octet === 0x25) {
      octet = Number.parseInt(octets.toString('latin1', i + 1, i + 3), 16);
      i += 2;
    }
    octets[length++] = octet;
  }
  return octets.toString('utf8', 0, length);
}

/** Reads the `name=value` pairs of a part that has already been checked. */
function readPairs(text: string, separator: string): Map<string, string> {
  const pairs = new Map<string, string>();
  for (const part of text.split(separator)) {
    // Accept empty parameters (`;;`, a trailing `;`) inside a URI.
    if (part === '') continue;
    const equals = part.indexOf('=');
    const name = unescape(equals < 0 ? part : part.slice(0, equals)).toLowerCase();
    if (!pairs.has(name)) pairs.set(name, equals < 0 ? '' : unescape(part.slice(equals + 1)));
  }
  return pairs;
}

/** The host as stored: lower-case, an IPv6 reference without its brackets. */
export function hostText(text: string, from: number, to: number): string {
  const bracketed = text.charCodeAt(from) === 0x5b;
  return (bracketed ? text.slice(from + 1, to - 1) : text.slice(from, to)).toLowerCase();
}

/**
 * Parses a SIP or SIPS URI.
 *
 * @throws SipError `SYNTAX` if it is not a URI, `UNSUPPORTED_SCHEME` (416) if it has another scheme.
 */
export function parseUri(text: string): SipUri {
  if (skipSipScheme(text, 0) < 0) {
    if (!isAbsoluteUri(text, 0, text.length)) throw syntaxError('uri', 'Bad URI');
    throw new SipError('UNSUPPORTED_SCHEME', 'URI scheme is neither sip nor sips', {
      field: 'uri',
      statusCode: 416,
    });
  }
  const at = locateUri(text, 0, text.length, 'uri');
  const parametersTo = at.headersFrom < 0 ? text.length : at.headersFrom - 1;
  return {
    scheme: at.secure ? 'sips' : 'sip',
    ...(at.userFrom >= 0 && { user: unescape(text.slice(at.userFrom, at.userTo)) }),
    ...(at.passwordTo >= 0 && { password: unescape(text.slice(at.userTo + 1, at.passwordTo)) }),
    host: hostText(text, at.hostFrom, at.hostTo),
    ...(at.port >= 0 && { port: at.port }),
    parameters:
      at.parametersFrom < 0
        ? NO_PARAMETERS
        : readPairs(text.slice(at.parametersFrom + 1, parametersTo), ';'),
    headers: at.headersFrom < 0 ? NO_PARAMETERS : readPairs(text.slice(at.headersFrom), '&'),
  };
}

const UNRESERVED = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.!~*'()";
const USER_CHARACTERS: ReadonlySet<string> = new Set(`${UNRESERVED}&=+$,;?/`);
const PASSWORD_CHARACTERS: ReadonlySet<string> = new Set(`${UNRESERVED}&=+$,`);
const PARAMETER_CHARACTERS: ReadonlySet<string> = new Set(`${UNRESERVED}[]/:&+$`);
const HEADER_CHARACTERS: ReadonlySet<string> = new Set(`${UNRESERVED}[]/?:+$`);

/** Percent-escapes every octet of the UTF-8 form whose character is not in `allowed`. */
function escape(text: string, allowed: ReadonlySet<string>): string {
  let escaped = '';
  for (const character of text) {
    if (allowed.has(character)) {
      escaped += character;
      continue;
    }
    for (const octet of Buffer.from(character, 'utf8')) {
      escaped += `%${octet.toString(16).toUpperCase().padStart(2, '0')}`;
    }
  }
  return escaped;
}

function formatPairs(pairs: Parameters, separator: string, allowed: ReadonlySet<string>): string {
  const parts: string[] = [];
  for (const [name, value] of pairs) {
    parts.push(
      value === '' ? escape(name, allowed) : `${escape(name, allowed)}=${escape(value, allowed)}`,
    );
  }
  return parts.join(separator);
}

/**
 * `host` or `host:port`, with an IPv6 address in brackets.
 *
 * @throws SipError `SYNTAX` if `host` is neither a host name nor an address.
 */
export function formatHostPort(host: string, port?: number): string {
  const text = host.includes(':') && !host.startsWith('[') ? `[${host}]` : host;
  if (skipHost(text, 0, text.length) !== text.length) throw syntaxError('host', 'Bad host');
  return port === undefined ? text : `${text}:${port}`;
}

/**
 * The URI as text. User, password, parameters and headers are escaped where necessary, and IPv6 is in brackets.
 *
 * @throws SipError `SYNTAX` for an invalid host or an empty user.
 */
export function formatUri(uri: SipUri): string {
  let text = `${uri.scheme}:`;
  if (uri.user !== undefined) {
    if (uri.user === '') throw syntaxError('user', 'Empty user part');
    text += escape(uri.user, USER_CHARACTERS);
    if (uri.password !== undefined) text += `:${escape(uri.password, PASSWORD_CHARACTERS)}`;
    text += '@';
  }
  text += formatHostPort(uri.host, uri.port);
  if (uri.parameters.size > 0) text += `;${formatPairs(uri.parameters, ';', PARAMETER_CHARACTERS)}`;
  if (uri.headers.size > 0) {
    const parts: string[] = [];
    for (const [name, value] of uri.headers) {
      parts.push(`${escape(name, HEADER_CHARACTERS)}=${escape(value, HEADER_CHARACTERS)}`);
    }
    text += `?${parts.join('&')}`;
  }
  return text;
}

/** Parameters that make two URIs differ if only one of them has it (RFC 3261 §19.1.4). */
const NEVER_IGNORED = ['user', 'ttl', 'method', 'maddr', 'transport'] as const;

/**
 * Whether two URIs are equivalent (RFC 3261 §19.1.4). User and password are case-sensitive, the rest is not. No default
 * port is assumed. An escaped reserved character equals the bare one. Not transitive, as the RFC notes.
 */
export function equalUris(a: SipUri, b: SipUri): boolean {
  if (a.scheme !== b.scheme || a.user !== b.user || a.password !== b.password) return false;
  if (a.host.toLowerCase() !== b.host.toLowerCase() || a.port !== b.port) return false;
  for (const name of NEVER_IGNORED)
    if (a.parameters.has(name) !== b.parameters.has(name)) return false;
  for (const [name, value] of a.parameters) {
    const other = b.parameters.get(name);
    if (other !== undefined && other.toLowerCase() !== value.toLowerCase()) return false;
  }
  if (a.headers.size !== b.headers.size) return false;
  for (const [name, value] of a.headers) if (b.headers.get(name) !== value) return false;
  return true;
}

/**
 * Parses `4711 INVITE`.
 *
 * @throws SipError `SYNTAX` if it is not `1*DIGIT LWS token`, or the number is 2^32 or more.
 */
export function parseCSeq(text: string): CSeq {
  const numberFrom = skipSpace(text, 0);
  const numberTo = skipToken(text, numberFrom);
  const sequence = decimal(text, numberFrom, numberTo, MAX_CSEQ);
  if (sequence < 0) throw syntaxError('CSeq', 'Bad sequence number');
  const methodFrom = skipSpace(text, numberTo);
  const methodTo = skipToken(text, methodFrom);
  if (methodTo === methodFrom || skipSpace(text, methodTo) !== text.length) {
    throw syntaxError('CSeq', 'Bad method');
  }
  return { sequence, method: text.slice(methodFrom, methodTo) };
}
