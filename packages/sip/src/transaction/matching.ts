// Matches messages to transactions (RFC 3261 §17.1.3, §17.2.3), and derives messages from others: responses, CANCEL,
// the ACK of a non-2xx.

import { EMPTY_BODY, SipHeaders, type SipRequest, type SipResponse } from '../message/message.ts';
import type { TransportAddress } from '../transport/transport.ts';
import { parseNameAddress } from '../message/name-address.ts';
import { parseCSeq } from '../message/uri.ts';
import { formatVia, type Via } from '../message/via.ts';

/** Prefix of every RFC 3261 branch. A peer without it follows RFC 2543. */
export const MAGIC_COOKIE = 'z9hG4bK';

/** Reason phrases of the responses that this package writes. */
export const REASONS: ReadonlyMap<number, string> = new Map([
  [400, 'Bad Request'],
  [413, 'Request Entity Too Large'],
  [414, 'Request-URI Too Long'],
  [416, 'Unsupported URI Scheme'],
  [505, 'Version Not Supported'],
  [513, 'Message Too Large'],
]);

/**
 * A response with the request's Via, From, To, Call-ID and CSeq (RFC 3261 §8.2.6.2), adding `toTag` if To has no tag.
 */
export function createResponse(
  request: SipRequest,
  statusCode: number,
  reasonPhrase: string,
  toTag: string,
): SipResponse {
  const headers = new SipHeaders();
  for (const via of request.headers.getAll('via')) headers.append('via', via);
  const to = request.headers.get('to');
  for (const [name, value] of [
    ['from', request.headers.get('from')],
    ['to', to === undefined || tagOf(to) !== undefined ? to : `${to};tag=${toTag}`],
    ['call-id', request.headers.get('call-id')],
    ['cseq', request.headers.get('cseq')],
  ] as const) {
    if (value !== undefined) headers.append(name, value);
  }
  return { kind: 'response', statusCode, reasonPhrase, headers, body: EMPTY_BODY };
}

/** The tag of a From or To value. `undefined` if it is absent or the value is malformed. */
export function tagOf(nameAddress: string | undefined): string | undefined {
  if (nameAddress === undefined) return undefined;
  try {
    const tag = parseNameAddress(nameAddress).parameters.get('tag');
    return tag === '' ? undefined : tag;
  } catch {
    return undefined;
  }
}

/**
 * A CANCEL, or the ACK of a non-2xx: it takes Request-URI, top Via, Route, From, Call-ID and CSeq number from the
 * request.
 */
export function followUp(invite: SipRequest, method: string, toValue: string): SipRequest {
  const source = invite.headers;
  const headers = new SipHeaders();
  headers.append('via', source.get('via') ?? '');
  for (const route of source.getAll('route')) headers.append('route', route);
  headers
    .append('max-forwards', '70')
    .append('from', source.get('from') ?? '')
    .append('to', toValue)
    .append('call-id', source.get('call-id') ?? '')
    .append('cseq', `${parseCSeq(source.get('cseq') ?? '').sequence} ${method}`);
  const userAgent = source.get('user-agent');
  if (userAgent !== undefined) headers.append('user-agent', userAgent);
  return { kind: 'request', method, uri: invite.uri, headers, body: EMPTY_BODY };
}

/** Adds the actual source to the top Via (RFC 3261 §18.2.1, RFC 3581 §4). */
export function withSource(request: SipRequest, via: Via, source: TransportAddress): SipRequest {
  const { protocol, address, port } = source;
  const received = { ...request, source: { protocol, address, port } };
  const asksPort = via.parameters.has('rport');
  if (!asksPort && via.host === address) return received;
  const parameters = new Map(via.parameters);
  parameters.set('received', address);
  if (asksPort) parameters.set('rport', String(port));
  const headers = request.headers.clone().setFirst('via', formatVia({ ...via, parameters }));
  return { ...received, headers };
}

/** Key of a client transaction (RFC 3261 §17.1.3): branch and method. For a response, the method comes from CSeq. */
export function clientKey(branch: string, method: string): string {
  return `${branch} ${method}`;
}

/** Key of a server transaction (RFC 3261 §17.2.3). `method` is `INVITE` for its ACK as well. */
export function serverKey(request: SipRequest, via: Via, method: string): string {
  const branch = via.parameters.get('branch') ?? '';
  if (branch.startsWith(MAGIC_COOKIE) && branch.length > MAGIC_COOKIE.length) {
    return `${branch} ${via.host}:${via.port ?? 5060} ${method}`;
  }
  // RFC 2543 peer: compare Request-URI, From tag, Call-ID, CSeq number and top Via. The To tag differs between a
  // request and its ACK, and is compared in `acknowledges`.
  const { headers } = request;
  const cseq = parseCSeq(headers.get('cseq') ?? '').sequence;
  const from = tagOf(headers.get('from')) ?? '';
  const sentBy = `${via.host}:${via.port ?? 5060};${branch}`;
  return ['2543', request.uri, from, headers.get('call-id'), cseq, sentBy, method].join(' ');
}

/** RFC 2543 matching cannot tell which response an ACK belongs to; the To tag can. */
export function acknowledges(
  ack: SipRequest,
  response: SipResponse | undefined,
  via: Via,
): boolean {
  if (via.parameters.get('branch')?.startsWith(MAGIC_COOKIE)) return true;
  const tag = tagOf(ack.headers.get('to'));
  return tag === undefined || tag === tagOf(response?.headers.get('to'));
}

/** Detects merged requests (RFC 3261 §8.2.2.2). `undefined` for requests inside dialogs. */
export function mergeKey(request: SipRequest): string | undefined {
  const { headers } = request;
  if (request.method === 'CANCEL' || tagOf(headers.get('to')) !== undefined) return undefined;
  const from = tagOf(headers.get('from')) ?? '';
  return `${from} ${headers.get('call-id') ?? ''} ${headers.get('cseq') ?? ''}`;
}
