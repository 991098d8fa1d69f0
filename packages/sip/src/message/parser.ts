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
  SIP_LIMITS,
} from './message-head.ts';
import { syntaxError } from './scan.ts';

/**
 * Parses one datagram. Without Content-Length its rest is the body; with it, octets beyond are ignored, and too few are a
 * `BAD_CONTENT_LENGTH` (RFC 3261 §18.3). CRLFs before the start line are skipped; a datagram of nothing else is a fault
 * without `partial`. The body of the message is a view of the datagram.
 */
export function parseDatagram(datagram: Uint8Array): ParseOutcome {
  const octets = Buffer.isBuffer(datagram)
    ? datagram
    : Buffer.from(datagram.buffer, datagram.byteOffset, datagram.byteLength);
  let start = 0;
  while (octets[start] === CR && octets[start + 1] === LF) start += 2;
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
  if (length > present) head.refuse(badContentLength('Content-Length is larger than the datagram'));
  else if (length > SIP_LIMITS.bodyBytes) head.refuse(bodyTooLarge());
  return head.outcome(length === 0 ? EMPTY_BODY : octets.subarray(bodyFrom, bodyFrom + length));
}
