// SIP messages as values, and their serializer (RFC 3261 §7, §25). See parser.ts for the parser.

import { SipError } from '../errors.ts';

/** Compact header names (RFC 3261 §7.3.3 and the IANA registry), mapped to the long lower-case name. */
const COMPACT_FORMS: ReadonlyMap<string, string> = new Map([
  ['a', 'accept-contact'],
  ['b', 'referred-by'],
  ['c', 'content-type'],
  ['d', 'request-disposition'],
  ['e', 'content-encoding'],
  ['f', 'from'],
  ['i', 'call-id'],
  ['j', 'reject-contact'],
  ['k', 'supported'],
  ['l', 'content-length'],
  ['m', 'contact'],
  ['n', 'identity-info'],
  ['o', 'event'],
  ['r', 'refer-to'],
  ['s', 'subject'],
  ['t', 'to'],
  ['u', 'allow-events'],
  ['v', 'via'],
  ['x', 'session-expires'],
  ['y', 'identity'],
]);

/** Names that are not spelled `Each-Word-Capitalised`. */
const SPELLINGS: ReadonlyMap<string, string> = new Map([
  ['call-id', 'Call-ID'],
  ['cseq', 'CSeq'],
  ['mime-version', 'MIME-Version'],
  ['rack', 'RAck'],
  ['rseq', 'RSeq'],
  ['www-authenticate', 'WWW-Authenticate'],
]);

const TOKEN = /^[A-Za-z0-9\-.!%*_+`'~]+$/;
// oxlint-disable-next-line no-control-regex -- finding control characters is the point
const FORBIDDEN = /[\r\n\0]/;

/** The lower-case long name under which a header is stored: `via` for `v`, `call-id` for `Call-ID`. */
export function canonicalHeaderName(name: string): string {
  const lower = name.toLowerCase();
  return COMPACT_FORMS.get(lower) ?? lower;
}

/** The spelling used on the wire for a canonical (lower-case) header name. */
function wireHeaderName(canonical: string): string {
  return (
    SPELLINGS.get(canonical) ??
    canonical.replace(
      /(^|-)([a-z])/g,
      (_, dash: string, letter: string) => dash + letter.toUpperCase(),
    )
  );
}

/**
 * Header fields in order of arrival. Names are case-insensitive, and a compact form equals its long form; `__proto__`
 * is an ordinary name. One entry is one header field value: the parser has already split comma-separated lists where
 * the header's grammar allows them.
 */
export class SipHeaders {
  readonly #fields: { name: string; value: string }[] = [];

  /** First value of the header, or `undefined`. */
  get(name: string): string | undefined {
    const key = canonicalHeaderName(name);
    for (const field of this.#fields) if (field.name === key) return field.value;
    return undefined;
  }

  /** All values of the header, in order. Empty if there are none. */
  getAll(name: string): string[] {
    const key = canonicalHeaderName(name);
    const values: string[] = [];
    for (const field of this.#fields) if (field.name === key) values.push(field.value);
    return values;
  }

  /** Whether there is at least one value. */
  has(name: string): boolean {
    return this.get(name) !== undefined;
  }

  /** Adds a value after all others. */
  append(name: string, value: string): this {
    this.#fields.push({ name: canonicalHeaderName(name), value });
    return this;
  }

  /** Adds a value before all others of any name. A new Via goes there (RFC 3261 §18.1.1). */
  prepend(name: string, value: string): this {
    this.#fields.unshift({ name: canonicalHeaderName(name), value });
    return this;
  }

  /** Replaces all values of the header with this one, at the position of the first. */
  set(name: string, value: string): this {
    const key = canonicalHeaderName(name);
    const at = this.#fields.findIndex((field) => field.name === key);
    if (at < 0) return this.append(name, value);
    for (let i = this.#fields.length - 1; i > at; i--) {
      if (this.#fields[i]?.name === key) this.#fields.splice(i, 1);
    }
    this.#fields[at] = { name: key, value };
    return this;
  }

  /** Replaces the first value only, as when the topmost Via is amended. Adds the header if it is absent. */
  setFirst(name: string, value: string): this {
    const key = canonicalHeaderName(name);
    const at = this.#fields.findIndex((field) => field.name === key);
    if (at < 0) return this.append(name, value);
    this.#fields[at] = { name: key, value };
    return this;
  }

  /** Removes all values of the header. */
  delete(name: string): this {
    const key = canonicalHeaderName(name);
    for (let i = this.#fields.length - 1; i >= 0; i--) {
      if (this.#fields[i]?.name === key) this.#fields.splice(i, 1);
    }
    return this;
  }

  /** Number of header field values. */
  get size(): number {
    return this.#fields.length;
  }

  /** `[canonical lower-case name, value]`, in order. */
  *[Symbol.iterator](): IterableIterator<[string, string]> {
    for (const field of this.#fields) yield [field.name, field.value];
  }

  /** An independent copy. */
  clone(): SipHeaders {
    const copy = new SipHeaders();
    for (const field of this.#fields) copy.#fields.push(field);
    return copy;
  }
}

/** Where a message came from. */
export interface MessageSource {
  /** Upper case as in a Via, e.g. `UDP`. */
  readonly protocol: string;
  /** IP literal, IPv6 without brackets. */
  readonly address: string;
  /** 1–65535. */
  readonly port: number;
}

/** A request (RFC 3261 §7.1). */
export interface SipRequest {
  readonly kind: 'request';
  /** Case-sensitive token, e.g. `INVITE`. */
  readonly method: string;
  /** Request-URI, exactly as on the wire. Parse it with `parseUri`. */
  readonly uri: string;
  readonly headers: SipHeaders;
  /** The exact octets of the body. Empty if there is none. */
  readonly body: Uint8Array;
  /** Set by the transaction layer on received requests; absent on ours. */
  readonly source?: MessageSource;
}

/** A response (RFC 3261 §7.2). */
export interface SipResponse {
  readonly kind: 'response';
  /** 100–699. */
  readonly statusCode: number;
  readonly reasonPhrase: string;
  readonly headers: SipHeaders;
  readonly body: Uint8Array;
  /** Set by the transaction layer on received responses; absent on ours. */
  readonly source?: MessageSource;
}

/** Any SIP message. */
export type SipMessage = SipRequest | SipResponse;

/** An empty body. */
export const EMPTY_BODY: Uint8Array = new Uint8Array(0);

/**
 * The octets of a message: start line, headers in order with their usual spelling, `Content-Length` (always written,
 * from the actual body length), empty line, body.
 *
 * @throws SipError `ILLEGAL_CHARACTER` for CR, LF or NUL in the start line, a name or a value (`field` names it);
 * `SYNTAX` for a method or header name that is not a token.
 */
export function formatMessage(message: SipMessage): Buffer {
  let head: string;
  if (message.kind === 'request') {
    if (!TOKEN.test(message.method))
      throw new SipError('SYNTAX', 'Method is not a token', { field: 'method' });
    if (/\s/.test(message.uri))
      throw new SipError('ILLEGAL_CHARACTER', 'White space in the Request-URI', { field: 'uri' });
    head = `${message.method} ${message.uri} SIP/2.0\r\n`;
    refuseForbidden('uri', message.uri);
  } else {
    refuseForbidden('reasonPhrase', message.reasonPhrase);
    head = `SIP/2.0 ${message.statusCode} ${message.reasonPhrase}\r\n`;
  }
  for (const [name, value] of message.headers) {
    if (name === 'content-length') continue;
    if (!TOKEN.test(name))
      throw new SipError('SYNTAX', 'Header name is not a token', { field: name });
    if (!onlyEscapedNul(value)) refuseForbidden(name, value);
    head += `${wireHeaderName(name)}: ${value}\r\n`;
  }
  head += `Content-Length: ${message.body.length}\r\n\r\n`;
  const start = Buffer.from(head, 'utf8');
  return message.body.length === 0 ? start : Buffer.concat([start, message.body]);
}

function refuseForbidden(field: string, value: string): void {
  if (FORBIDDEN.test(value)) {
    throw new SipError('ILLEGAL_CHARACTER', `CR, LF or NUL in ${field}`, { field });
  }
}

/** RFC 3261 §25.1: a quoted pair may contain a NUL (RFC 4475 §3.1.1.2 sends one), and an echoed header keeps it. */
function onlyEscapedNul(value: string): boolean {
  if (!value.includes('\0') || /[\r\n]/.test(value)) return false;
  for (let at = value.indexOf('\0'); at >= 0; at = value.indexOf('\0', at + 1)) {
    let backslashes = 0;
    while (value[at - 1 - backslashes] === '\\') backslashes++;
    if (backslashes % 2 === 0) return false;
  }
  return true;
}
