// One datagram to a SIP message (RFC 3261 §18.3).

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
 * Parses one datagram. Without Content-Length its rest is the body; with it, octets beyond are ignored, and too few are a
 * `BAD_CONTENT_LENGTH` (RFC 3261 §18.3). CRLFs before the start line are skipped; a datagram of nothing else is a fault
 * without `partial`. The body of the message is a view of the datagram.
 *
 * Responses are read liberally: their lines may end in LF alone, and a Content-Length beyond the datagram counts as its rest.
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
    // Without the empty line the last CRLF is not the end of a header line but the end of what arrived.
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

/** A response with LF alone somewhere in its head; undefined for all others. */
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
