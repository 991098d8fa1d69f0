// Parses one datagram into a SIP message (RFC 3261 §18.3).

import { EMPTY_BODY } from './message.ts';
import {
  badContentLength,
  bodyTooLarge,
  CR,
  HEAD_END,
  LF,
  type ParseOutcome,
  readHead,
  readLooseHead,
  SIP_LIMITS,
} from './message-head.ts';
import { syntaxError } from './scan.ts';

/**
 * Parses one datagram. Without Content-Length, the rest of the datagram is the body. With it, extra octets are ignored,
 * and too few give `BAD_CONTENT_LENGTH` (RFC 3261 §18.3). CRLFs before the start line are skipped; a datagram of CRLFs
 * alone is a fault without `partial`. The body is a view of the datagram.
 *
 * Responses are parsed liberally: lines may end in a bare LF, and a Content-Length beyond the datagram counts as its
 * rest.
 */
export function parseDatagram(datagram: Uint8Array): ParseOutcome {
  const octets = Buffer.isBuffer(datagram)
    ? datagram
    : Buffer.from(datagram.buffer, datagram.byteOffset, datagram.byteLength);
  let start = 0;
  while (octets[start] === CR && octets[start + 1] === LF) start += 2;
  const loose = looseResponse(octets, start);
  if (loose !== undefined) return loose;
  const end = octets.indexOf(HEAD_END, start);
  if (end < 0) {
    // Without the empty line, the last CRLF only ends what arrived; it does not end a header line.
    const length =
      octets.length -
      (octets[octets.length - 1] === LF && octets[octets.length - 2] === CR ? 2 : 0);
    const head = readHead(octets, start, Math.max(length, start));
    head.refuse(syntaxError('headers', 'No empty line after the header'));
    return head.outcome(EMPTY_BODY);
  }
  const head = readHead(octets, start, end);
  const bodyFrom = end + 4;
  const present = octets.length - bodyFrom;
  const length = head.contentLength < 0 ? present : head.contentLength;
  if (length > present && !head.isResponse)
    head.refuse(badContentLength('Content-Length is larger than the datagram'));
  else if (length > SIP_LIMITS.bodyBytes) head.refuse(bodyTooLarge());
  return head.outcome(length === 0 ? EMPTY_BODY : octets.subarray(bodyFrom, bodyFrom + length));
}

/** Parses a response with a bare LF in its head; undefined for any other message. */
function looseResponse(octets: Buffer, start: number): ParseOutcome | undefined {
  if (octets.toString('latin1', start, start + 4).toUpperCase() !== 'SIP/') return undefined;
  const text = octets.toString('latin1', start);
  const end = /\r?\n\r?\n/.exec(text);
  const headText = end === null ? text : text.slice(0, end.index);
  if (!/(?:^|[^\r])\n/.test(headText + (end?.[0] ?? ''))) return undefined;
  const head = readLooseHead(headText);
  const body = end === null ? EMPTY_BODY : octets.subarray(start + end.index + end[0].length);
  const length = head.contentLength < 0 ? body.length : Math.min(head.contentLength, body.length);
  if (length > SIP_LIMITS.bodyBytes) head.refuse(bodyTooLarge());
  return head.outcome(body.subarray(0, length));
}
