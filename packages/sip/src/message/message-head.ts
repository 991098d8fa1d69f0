// Parses the start line and headers of a SIP message (RFC 3261 §7, §25) in one pass, by index. Whatever arrives ends as
// a `ParseOutcome`; nothing is thrown.

import { isAscii } from 'node:buffer';
import { SipError } from '../errors.ts';
import { knownHeader, splitList } from './header-grammar.ts';
import type { KnownHeader } from './header-grammar.ts';
import { EMPTY_BODY, SipHeaders } from './message.ts';
import type { SipMessage, SipRequest } from './message.ts';
import { checkNameAddress } from './name-address.ts';
import { salvageNameAddress, withBrackets } from './salvage.ts';
import { decimal, isSpace, skipSpace, skipToken, syntaxError } from './scan.ts';
import { checkUri, parseCSeq } from './uri.ts';
import { checkVia, formatVia, salvageVia } from './via.ts';

/** Limits for one message. Exceeding one gives its own {@link SipError} code. */
export const SIP_LIMITS = {
  /** Octets of the start line without its CRLF. Error `START_LINE_TOO_LONG` (513). */
  startLineBytes: 8192,
  /** Octets of one header field including its name and folded lines. Error `HEADER_TOO_LONG` (513). */
  headerBytes: 8192,
  /** Header fields. Error `TOO_MANY_HEADERS` (513). */
  headers: 200,
  /** Header field values once comma lists are split. Error `TOO_MANY_HEADERS` (513). */
  headerValues: 1024,
  /** Octets of the body. Error `BODY_TOO_LARGE` (413). */
  bodyBytes: 65536,
  /** Octets before the empty line on a stream. Error `HEADER_TOO_LONG`, which ends the stream. */
  headBytes: 65536,
} as const;

/**
 * The result of parsing: a `message` whose Via, From, To, Contact, Route, Record-Route and CSeq values all parse with
 * `parseVia`, `parseNameAddress` and `parseCSeq`, or a `fault`.
 */
export type ParseOutcome =
  | {
      readonly message: SipMessage;
      /**
       * Everything before the empty line, octet for octet as Latin-1, for traces. Optional for application-supplied
       * transports.
       */
      readonly head?: string;
    }
  | {
      readonly message?: undefined;
      /** The reason. `field` names the header; `statusCode` is set for requests. */
      readonly fault: SipError;
      /**
       * A request that can be answered with `fault.statusCode` (never answer an ACK). Its method is known, it has at
       * least one Via, and every Via parses. Other headers are as received: From, To, Call-ID or CSeq may be missing or
       * malformed, and `uri` may be empty. It has no body. If absent, drop the message silently.
       */
      readonly partial?: SipRequest;
    };

/** The end of the last header line and the empty line. */
export const HEAD_END = Buffer.from('\r\n\r\n');
export const CR = 0x0d;
export const LF = 0x0a;

/** The parsed head of a message: everything before the empty line. With the body it becomes a {@link ParseOutcome}. */
export class MessageHead {
  readonly headers = new SipHeaders();
  /** The first fault. */
  fault: SipError | undefined;
  /** The header lines could not be separated, so the Content-Length that was read cannot be trusted. */
  unframed = false;
  /** Content-Length. -1: absent. -2: malformed or repeated. */
  contentLength = -1;
  method = '';
  uri = '';
  statusCode = 0;
  reasonPhrase = '';
  isResponse = false;
  readonly #text: string;
  readonly #ascii: boolean;
  readonly #hasNul: boolean;
  #hasVia = false;
  #hasFrom = false;
  #hasTo = false;
  #hasCallId = false;
  #hasMaxForwards = false;
  #cseqMethod: string | undefined;

  /** @param text the octets before the empty line as Latin-1, so that a string index equals an octet offset */
  constructor(text: string, ascii: boolean) {
    this.#text = text;
    this.#ascii = ascii;
    this.#hasNul = text.includes('\0');
    let lineEnd = text.indexOf('\r\n');
    if (lineEnd < 0) lineEnd = text.length;
    this.#readStartLine(lineEnd);
    this.#readHeaders(lineEnd + 2);
    if (this.fault === undefined) this.#checkCompleteness();
  }

  #fail(error: unknown): void {
    if (this.fault !== undefined) return;
    this.fault =
      error instanceof SipError
        ? error
        : new SipError('SYNTAX', String(error), { statusCode: 400 });
  }

  /** The text in `[from, to)`, with octets above 127 decoded as UTF-8. */
  #decode(from: number, to: number): string {
    const text = this.#text.slice(from, to);
    return this.#ascii ? text : decodeUtf8(text);
  }

  #readStartLine(end: number): void {
    const text = this.#text;
    const first = text.indexOf(' ');
    const second = first < 0 ? -1 : text.indexOf(' ', first + 1);
    this.isResponse = text.charCodeAt(3) === 0x2f && text.slice(0, 4).toUpperCase() === 'SIP/';
    if (end > SIP_LIMITS.startLineBytes) {
      this.#fail(
        new SipError('START_LINE_TOO_LONG', 'Start line is too long', {
          field: 'start-line',
          statusCode: 513,
        }),
      );
    } else if (hasStrayBreak(text, 0, end)) {
      this.unframed = true;
      this.#fail(syntaxError('start-line', 'CR or LF alone'));
    }
    if (this.isResponse) {
      this.#readStatusLine(end, first, second);
      return;
    }
    const methodTo = skipToken(text, 0);
    if (methodTo === 0 || methodTo !== first || first > end) {
      this.#fail(syntaxError('start-line', 'Neither a request line nor a status line'));
      return;
    }
    this.method = text.slice(0, methodTo);
    if (second < 0 || second > end) {
      this.#fail(syntaxError('start-line', 'Request line without a version'));
      return;
    }
    if (second - first - 1 > 0) this.uri = this.#decode(first + 1, second);
    if (this.fault !== undefined) return;
    const version = text.slice(second + 1, end);
    if (version !== 'SIP/2.0' && version.toUpperCase() !== 'SIP/2.0') {
      const ofSip = /^SIP\/\d{1,9}\.\d{1,9}$/i.test(version);
      this.#fail(
        ofSip
          ? new SipError('UNSUPPORTED_VERSION', 'Not SIP/2.0', {
              field: 'start-line',
              statusCode: 505,
            })
          : syntaxError('start-line', 'Malformed request line'),
      );
      return;
    }
    try {
      // RFC 3261 §19.1.5: a Request-URI has no headers part. RFC 4475 §3.1.2.11: it must not become header fields.
      if (checkUri(this.uri, 0, this.uri.length, 'uri')) {
        this.#fail(syntaxError('uri', 'Headers in the Request-URI'));
      }
    } catch (error) {
      this.#fail(error);
    }
  }

  #readStatusLine(end: number, first: number, second: number): void {
    const text = this.#text;
    const versionTo = first < 0 || first > end ? end : first;
    if (text.slice(0, versionTo).toUpperCase() !== 'SIP/2.0') {
      this.#fail(new SipError('UNSUPPORTED_VERSION', 'Not SIP/2.0', { field: 'start-line' }));
      return;
    }
    // Accept a missing SP before an empty reason phrase.
    const codeTo = second < 0 || second > end ? end : second;
    const code = codeTo - first - 1 === 3 ? decimal(text, first + 1, codeTo, 699) : -1;
    if (code < 100) {
      this.#fail(new SipError('SYNTAX', 'Status code is not 100–699', { field: 'start-line' }));
      return;
    }
    this.statusCode = code;
    this.reasonPhrase = codeTo < end ? this.#decode(codeTo + 1, end) : '';
  }

  #readHeaders(from: number): void {
    const text = this.#text;
    let at = from;
    let count = 0;
    while (at < text.length) {
      if (++count > SIP_LIMITS.headers || this.headers.size > SIP_LIMITS.headerValues) {
        this.unframed = true;
        this.#fail(
          new SipError('TOO_MANY_HEADERS', 'Too many header fields', {
            field: 'headers',
            statusCode: 513,
          }),
        );
        return;
      }
      let lineEnd = endOfLine(text, at);
      const firstLineEnd = lineEnd;
      // A line that begins with SP or HT continues the one before (§7.3.1).
      while (lineEnd >= 0 && isSpace(text.charCodeAt(lineEnd + 2)))
        lineEnd = endOfLine(text, lineEnd + 2);
      if (lineEnd < 0) {
        // A different parser could see other lines here, so stop.
        this.unframed = true;
        this.#fail(syntaxError('headers', 'CR or LF alone in the header'));
        return;
      }
      const nameTo = skipToken(text, at);
      const colon = skipSpace(text, nameTo);
      if (nameTo === at || text.charCodeAt(colon) !== 0x3a) {
        // Answers to our requests are too precious: the line is left out. It changes nothing about where the message ends.
        if (this.isResponse) {
          at = lineEnd + 2;
          continue;
        }
        this.unframed = true;
        this.#fail(syntaxError('headers', 'Header line without a name and a colon'));
      } else if (lineEnd - at > SIP_LIMITS.headerBytes) {
        const field = nameTo - at <= 64 ? text.slice(at, nameTo) : 'headers';
        this.#fail(
          new SipError('HEADER_TOO_LONG', 'Header field is too long', { field, statusCode: 513 }),
        );
      } else {
        const value =
          lineEnd === firstLineEnd
            ? this.#value(colon + 1, lineEnd)
            : this.#unfold(colon + 1, lineEnd);
        this.#store(knownHeader(text.slice(at, nameTo)), value);
      }
      at = lineEnd + 2;
    }
  }

  /** The value in `[from, to)`, trimmed of SP and HT. */
  #value(from: number, to: number): string {
    let start = from;
    let end = to;
    while (start < end && isSpace(this.#text.charCodeAt(start))) start++;
    while (end > start && isSpace(this.#text.charCodeAt(end - 1))) end--;
    return this.#decode(start, end);
  }

  /** A value over several lines: each fold becomes one SP. */
  #unfold(from: number, to: number): string {
    const parts: string[] = [];
    let at = from;
    while (at <= to) {
      let end = this.#text.indexOf('\r\n', at);
      if (end < 0 || end > to) end = to;
      const part = this.#value(at, end);
      if (part !== '') parts.push(part);
      at = end + 2;
    }
    return parts.join(' ');
  }

  #store({ name, rule }: KnownHeader, rawValue: string): void {
    const headers = this.headers;
    let value = rawValue;
    if (this.#hasNul && hasBareNul(rawValue)) {
      // NUL is legal only in a quoted pair (§25.1). Replace it so that the response can be written.
      value = rawValue.replaceAll('\0', '\ufffd');
      this.#fail(syntaxError(name, 'NUL in a header value'));
    }
    try {
      switch (rule) {
        case 'text':
          headers.append(name, value);
          break;
        case 'via':
          for (const via of splitList(value)) this.#storeVia(via);
          break;
        case 'list':
          this.#storeList(name, value);
          break;
        case 'address-list':
          for (const address of splitList(value)) this.#storeAddress(name, address);
          break;
        case 'from-to':
          if (name === 'from') {
            if (this.#hasFrom) throw repeated(name);
            this.#hasFrom = true;
          } else {
            if (this.#hasTo) throw repeated(name);
            this.#hasTo = true;
          }
          this.#storeAddress(name, value);
          break;
        case 'call-id':
          headers.append(name, value);
          if (this.#hasCallId) throw repeated(name);
          this.#hasCallId = true;
          if (value === '' || value.includes(' ') || value.includes('\t')) {
            throw syntaxError(name, 'Bad Call-ID');
          }
          break;
        case 'cseq':
          headers.append(name, value);
          if (this.#cseqMethod !== undefined) throw repeated(name);
          this.#cseqMethod = '';
          this.#cseqMethod = parseCSeq(value).method;
          break;
        case 'max-forwards':
          headers.append(name, value);
          if (this.#hasMaxForwards) throw repeated(name);
          this.#hasMaxForwards = true;
          if (decimal(value, 0, value.length, 255) < 0) {
            throw syntaxError(name, 'Max-Forwards is not 0–255');
          }
          break;
        case 'content-length':
          this.#storeContentLength(name, value);
          break;
      }
    } catch (error) {
      this.#fail(error);
    }
  }

  #storeList(name: string, value: string): void {
    let stored = false;
    for (const element of splitList(value)) {
      if (element === '') continue;
      this.headers.append(name, element);
      stored = true;
    }
    // `Accept:` and `Supported:` carry meaning even when empty, so keep the header.
    if (!stored) this.headers.append(name, '');
  }

  /** Salvages what it can from an address in a response (see salvage.ts). An unusable Contact is dropped. */
  #storeAddress(name: string, given: string): void {
    const isRoute = name === 'route' || name === 'record-route';
    const value = this.isResponse && isRoute ? withBrackets(given) : given;
    try {
      if (value !== '*' || name !== 'contact') checkNameAddress(value, name);
      this.headers.append(name, value);
    } catch (error) {
      const salvaged = this.isResponse ? salvageNameAddress(value) : undefined;
      if (salvaged !== undefined) this.headers.append(name, salvaged);
      else if (!this.isResponse || name !== 'contact') {
        this.headers.append(name, value);
        throw error;
      }
    }
  }

  #storeVia(value: string): void {
    try {
      checkVia(value);
      this.headers.append('via', value);
      this.#hasVia = true;
    } catch (error) {
      this.#fail(error);
      // Answer the request with 400 along the readable part of the Via (RFC 4475 §3.1.2.1).
      const via = salvageVia(value);
      if (via === undefined) return;
      this.headers.append('via', formatVia(via));
      this.#hasVia = true;
    }
  }

  #storeContentLength(name: string, value: string): void {
    this.headers.append(name, value);
    // In a datagram it says nothing that the datagram does not; a stream needs a number.
    if (this.isResponse && value === '') return;
    const length = decimal(value, 0, value.length, 2 ** 31);
    if (this.isResponse && length >= 0 && length === this.contentLength) return;
    const twice = this.contentLength !== -1;
    this.contentLength = twice || length < 0 ? -2 : length;
    if (this.contentLength === -2) {
      throw badContentLength(
        twice ? 'Content-Length more than once' : 'Content-Length is not a number',
      );
    }
  }

  #checkCompleteness(): void {
    const missing = !this.#hasVia
      ? 'via'
      : !this.#hasFrom
        ? 'from'
        : !this.#hasTo
          ? 'to'
          : !this.#hasCallId
            ? 'call-id'
            : this.#cseqMethod === undefined
              ? 'cseq'
              : undefined;
    if (missing !== undefined) this.#fail(syntaxError(missing, `No ${missing} header`));
    else if (!this.isResponse && this.#cseqMethod !== this.method) {
      this.#fail(syntaxError('cseq', 'CSeq names another method'));
    }
  }

  outcome(body: Uint8Array): ParseOutcome {
    const headers = this.headers;
    if (this.fault === undefined) {
      const { method, uri, statusCode, reasonPhrase } = this;
      const message: SipMessage = this.isResponse
        ? { kind: 'response', statusCode, reasonPhrase, headers, body }
        : { kind: 'request', method, uri, headers, body };
      return { message, head: this.#text };
    }
    if (this.isResponse || this.method === '' || !this.#hasVia) return { fault: this.fault };
    const partial: SipRequest = {
      kind: 'request',
      method: this.method,
      uri: this.uri,
      headers,
      body: EMPTY_BODY,
    };
    return { fault: this.fault, partial };
  }

  /** Records a framing or size fault, unless one is already recorded. */
  refuse(fault: SipError): void {
    this.#fail(fault);
  }
}

function decodeUtf8(latin1: string): string {
  for (let i = 0; i < latin1.length; i++) {
    if (latin1.charCodeAt(i) > 0x7f) return Buffer.from(latin1, 'latin1').toString('utf8');
  }
  return latin1;
}

/** Whether the value contains a NUL that no backslash escapes. */
function hasBareNul(value: string): boolean {
  for (let i = 0; i < value.length; i++) {
    const code = value.charCodeAt(i);
    if (code === 0) return true;
    if (code === 0x5c) i++;
  }
  return false;
}

function hasStrayBreak(text: string, from: number, to: number): boolean {
  for (let i = from; i < to; i++) {
    const code = text.charCodeAt(i);
    if (code === CR || code === LF) return true;
  }
  return false;
}

/** Index of the CRLF that ends the line at `from`, or the end of the text. -1 if a bare CR or LF comes first. */
function endOfLine(text: string, from: number): number {
  const lf = text.indexOf('\n', from);
  const cr = text.indexOf('\r', from);
  if (lf < 0 && cr < 0) return text.length;
  return lf === cr + 1 && cr >= 0 ? cr : -1;
}

function repeated(field: string): SipError {
  return syntaxError(field, `${field} more than once`);
}

/** For a Content-Length that is wrong, or missing where it is required. */
export function badContentLength(message: string): SipError {
  return new SipError('BAD_CONTENT_LENGTH', message, { field: 'content-length', statusCode: 400 });
}

/** For a body over the limit. */
export function bodyTooLarge(): SipError {
  return new SipError('BODY_TOO_LARGE', 'Body is too large', {
    field: 'content-length',
    statusCode: 413,
  });
}

/** Parses the octets in `[from, to)`, which end before the empty line. */
export function readHead(octets: Buffer, from: number, to: number): MessageHead {
  return new MessageHead(octets.toString('latin1', from, to), isAscii(octets.subarray(from, to)));
}

/** The head of a response with bare LF line ends, as some embedded devices write it. */
export function readLooseHead(text: string): MessageHead {
  return new MessageHead(text.replaceAll(/\r?\n/g, '\r\n'), isAscii(Buffer.from(text, 'latin1')));
}
