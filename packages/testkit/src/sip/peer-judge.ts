// Checks the caller against RFC 3261 from the phone's side. Each function returns the violations that it finds.

import { equalUris, parseCSeq, parseNameAddress, parseUri, parseVia } from '@sipcast/sip';
import type { SipMessage, SipRequest, SipResponse } from '@sipcast/sip';
import { parseSdp } from './peer-sdp.ts';
import type { Sdp } from './peer-sdp.ts';
import type { Origin } from './sip-wire.ts';

/** A violation by the caller. */
export interface Violation {
  readonly rule: string;
  readonly callId: string | undefined;
  /** `performance.now()`. */
  readonly atMs: number;
}

/** The tag of a From or To value. */
export function tagOf(value: string | undefined): string | undefined {
  return value === undefined ? undefined : parseNameAddress(value).parameters.get('tag');
}

/** Branch of the topmost Via; empty if there is none. */
export function branchOf(message: SipMessage): string {
  return parseVia(message.headers.get('via') ?? 'SIP/2.0/UDP none').parameters.get('branch') ?? '';
}

/** CSeq number; -1 if there is none. */
export function sequenceOf(message: SipMessage): number {
  const value = message.headers.get('cseq');
  return value === undefined ? -1 : parseCSeq(value).sequence;
}

function sameUri(a: string, b: string): boolean {
  try {
    return equalUris(parseUri(a), parseUri(b));
  } catch {
    return a === b;
  }
}

/** Checks any request (RFC 3261 §8.1.1, §18.1.1, §20.14). */
export function judgeRequest(
  request: SipRequest,
  octets: Uint8Array | undefined,
  origin: Origin,
): string[] {
  const { method, headers } = request;
  const wrong: string[] = [];
  for (const name of ['via', 'from', 'to', 'call-id', 'cseq', 'max-forwards']) {
    const count = headers.getAll(name).length;
    if (count === 0) wrong.push(`${method} without ${name}`);
    else if (count > 1 && name !== 'via') wrong.push(`${method} with ${count} ${name}`);
  }
  if (!/^\d{1,3}$/.test(headers.get('max-forwards') ?? '0'))
    wrong.push(`${method} bad max-forwards`);
  if (headers.has('via')) {
    const via = parseVia(headers.get('via')!);
    if (!branchOf(request).startsWith('z9hG4bK'))
      wrong.push(`${method} branch without magic cookie`);
    if (via.transport !== origin.protocol.toUpperCase()) {
      wrong.push(`${method} via says ${via.transport}, came by ${origin.protocol}`);
    }
  }
  if (tagOf(headers.get('from')) === undefined) wrong.push(`${method} From without tag`);
  const cseq = headers.get('cseq');
  if (cseq !== undefined && parseCSeq(cseq).method !== method) wrong.push(`${method} CSeq method`);
  const length = headers.get('content-length');
  if (length === undefined && origin.protocol === 'tcp') {
    wrong.push(`${method} over TCP without Content-Length`);
  }
  if (octets !== undefined && length !== undefined) {
    const head = Buffer.from(octets.buffer, octets.byteOffset, octets.length).indexOf('\r\n\r\n');
    if (octets.length - head - 4 !== Number(length)) wrong.push(`${method} wrong Content-Length`);
  }
  if (request.body.length > 0 && !headers.has('content-type')) {
    wrong.push(`${method} body without Content-Type`);
  }
  if (method === 'INVITE' && headers.getAll('contact').length !== 1) {
    wrong.push('INVITE needs exactly one Contact');
  }
  return wrong;
}

/** Checks requests outside a dialog. */
export function judgeInitial(request: SipRequest): string[] {
  const wrong: string[] = [];
  if (tagOf(request.headers.get('to')) !== undefined) {
    wrong.push(`${request.method} outside of a dialog has a To tag`);
  }
  return wrong;
}

/** The phone's view of a dialog (RFC 3261 §12.1.1). */
export interface JudgedDialog {
  readonly callId: string;
  readonly callerTag: string | undefined;
  readonly phoneTag: string;
  /** Contact of the phone. */
  readonly contact: string;
  /** Record-Route values that the phone sent, in the order of its responses. */
  readonly recordRoute: readonly string[];
}

/** Checks tags, Request-URI and Route of a request in a dialog (RFC 3261 §12.2.1.1). */
export function judgeInDialog(request: SipRequest, dialog: JudgedDialog): string[] {
  const { method, headers } = request;
  const wrong: string[] = [];
  if (tagOf(headers.get('from')) !== dialog.callerTag) wrong.push(`${method} wrong From tag`);
  const toTag = tagOf(headers.get('to'));
  if (toTag !== dialog.phoneTag) wrong.push(`${method} wrong To tag ${toTag ?? '(none)'}`);
  if (!sameUri(request.uri, dialog.contact)) {
    wrong.push(`${method} to ${request.uri} instead of the Contact ${dialog.contact}`);
  }
  const routes = headers.getAll('route');
  const expected = dialog.recordRoute.toReversed();
  if (routes.join() !== expected.join()) {
    wrong.push(
      `${method} Route is ${routes.join() || '(none)'}, not ${expected.join() || '(none)'}`,
    );
  }
  return wrong;
}

/** Checks the ACK of a 2xx, a separate transaction in the dialog (RFC 3261 §13.2.2.4; §22.1 for credentials). */
export function judgeAckOfSuccess(
  ack: SipRequest,
  invite: SipRequest,
  dialog: JudgedDialog,
): string[] {
  const wrong = judgeInDialog(ack, dialog);
  if (sequenceOf(ack) !== sequenceOf(invite)) wrong.push('ACK CSeq is not that of the INVITE');
  if (branchOf(ack) === branchOf(invite)) wrong.push('ACK of 2xx has the branch of the INVITE');
  for (const name of ['authorization', 'proxy-authorization']) {
    if (ack.headers.getAll(name).join() !== invite.headers.getAll(name).join()) {
      wrong.push(`ACK of 2xx does not repeat ${name}`);
    }
  }
  return wrong;
}

/** Checks the ACK of 300–699, which is part of the INVITE's transaction (RFC 3261 §17.1.1.3). */
export function judgeAckOfFailure(
  ack: SipRequest,
  invite: SipRequest,
  response: SipResponse,
): string[] {
  const wrong = judgeSameTransaction(ack, invite);
  if (ack.headers.get('to') !== response.headers.get('to')) {
    wrong.push('ACK To is not that of the response');
  }
  if (ack.body.length > 0) wrong.push('ACK of a failure has a body');
  return wrong;
}

/** Checks a CANCEL (RFC 3261 §9.1). */
export function judgeCancel(
  cancel: SipRequest,
  invite: SipRequest,
  provisional: boolean,
): string[] {
  const wrong = judgeSameTransaction(cancel, invite);
  if (cancel.headers.get('to') !== invite.headers.get('to'))
    wrong.push('CANCEL To is not the INVITE’s');
  if (!provisional) wrong.push('CANCEL before a provisional response');
  for (const name of ['require', 'proxy-require']) {
    if (cancel.headers.has(name)) wrong.push(`CANCEL with ${name}`);
  }
  return wrong;
}

function judgeSameTransaction(request: SipRequest, invite: SipRequest): string[] {
  const { method, headers } = request;
  const wrong: string[] = [];
  if (request.uri !== invite.uri) wrong.push(`${method} Request-URI is not the INVITE’s`);
  if (branchOf(request) !== branchOf(invite)) wrong.push(`${method} branch is not the INVITE’s`);
  if (headers.getAll('via').length !== 1) wrong.push(`${method} needs exactly one Via`);
  if (headers.get('from') !== invite.headers.get('from'))
    wrong.push(`${method} From is not the INVITE’s`);
  if (sequenceOf(request) !== sequenceOf(invite)) wrong.push(`${method} CSeq is not the INVITE’s`);
  if (headers.getAll('route').join() !== invite.headers.getAll('route').join()) {
    wrong.push(`${method} Route is not the INVITE’s`);
  }
  return wrong;
}

/** Checks an INVITE after a challenge (RFC 3261 §22.2, §8.1.3.5). */
export function judgeRetriedInvite(next: SipRequest, before: SipRequest): string[] {
  const wrong: string[] = [];
  if (sequenceOf(next) !== sequenceOf(before) + 1)
    wrong.push('INVITE after a challenge: CSeq not one more');
  if (branchOf(next) === branchOf(before)) wrong.push('INVITE after a challenge: same branch');
  if (next.headers.get('from') !== before.headers.get('from')) {
    wrong.push('INVITE after a challenge: another From');
  }
  if (tagOf(next.headers.get('to')) !== undefined)
    wrong.push('INVITE after a challenge: To has a tag');
  return wrong;
}

/** Checks a response to a request of the phone (RFC 3261 §8.2.6.2, §12.1.1). */
export function judgeResponse(response: SipResponse, request: SipRequest): string[] {
  const { method } = request;
  const what = `${response.statusCode} to ${method}`;
  const wrong: string[] = [];
  for (const name of ['from', 'to', 'call-id', 'cseq']) {
    if (response.headers.get(name) !== request.headers.get(name))
      wrong.push(`${what}: ${name} differs`);
  }
  const ours = parseVia(request.headers.get('via')!);
  const vias = response.headers.getAll('via');
  if (vias.length !== 1) wrong.push(`${what}: ${vias.length} Via`);
  else {
    const theirs = parseVia(vias[0]!);
    const same =
      theirs.host === ours.host &&
      theirs.port === ours.port &&
      theirs.parameters.get('branch') === ours.parameters.get('branch');
    if (!same) wrong.push(`${what}: Via differs`);
    // RFC 3581 §4.
    if (ours.parameters.has('rport') && !theirs.parameters.get('rport')) {
      wrong.push(`${what}: rport not filled in`);
    }
  }
  if (method === 'INVITE' && response.statusCode >= 200 && response.statusCode < 300) {
    if (!response.headers.has('contact')) wrong.push(`${what}: no Contact`);
    if (response.body.length === 0) wrong.push(`${what}: no SDP answer`);
  }
  return wrong;
}

/**
 * Checks the answer to a re-INVITE: the same m-lines in order with matching directions (RFC 3264 §8, §6.1), and the
 * session of `before` in no older version (§5).
 */
export function judgeReanswer(text: string, offer: Sdp, before: Sdp | undefined): string[] {
  let answer: Sdp;
  try {
    answer = parseSdp(text);
  } catch (error) {
    return [`answer to re-INVITE: ${String(error)}`];
  }
  const kinds = (sdp: Sdp): string => sdp.media.map(({ kind }) => kind).join();
  if (kinds(answer) !== kinds(offer)) return ['answer to re-INVITE has other m-lines'];
  const wrong: string[] = [];
  for (const [index, { port, direction }] of answer.media.entries()) {
    const offered = offer.media[index]!;
    if (offered.port === 0 && port !== 0) wrong.push('answer to re-INVITE revives a medium');
    const sends = direction === 'sendrecv' || direction === 'sendonly';
    const receives = direction === 'sendrecv' || direction === 'recvonly';
    const maySend = offered.direction === 'sendrecv' || offered.direction === 'recvonly';
    const mayReceive = offered.direction === 'sendrecv' || offered.direction === 'sendonly';
    if (port !== 0 && ((sends && !maySend) || (receives && !mayReceive))) {
      wrong.push(`answer to re-INVITE says ${direction} to ${offered.direction}`);
    }
  }
  if (before !== undefined && answer.sessionId !== before.sessionId) {
    wrong.push('answer to re-INVITE has another o= id');
  } else if (before !== undefined && answer.sessionVersion < before.sessionVersion) {
    wrong.push('answer to re-INVITE has an older o= version');
  }
  return wrong;
}
