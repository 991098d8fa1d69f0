// Dialogs (RFC 3261 §12): identity, route set, remote target, sequence numbers.

import { EMPTY_BODY, SipHeaders, type SipRequest, type SipResponse } from '../message/message.ts';
import { tagOf } from '../transaction/matching.ts';
import { parseNameAddress } from '../message/name-address.ts';
import { parseCSeq, parseUri } from '../message/uri.ts';

/** Key under which the user agent finds the session of a dialog: its Call-ID and our tag. */
export function dialogKey(callId: string, localTag: string): string {
  return `${callId} ${localTag}`;
}

/** A dialog created by an INVITE, ours or the peer's. */
export class Dialog {
  readonly callId: string;
  readonly localTag: string;
  readonly remoteTag: string;
  /** From of our requests, including the tag. */
  readonly #local: string;
  /** To of our requests, including the peer's tag if it sent one. */
  readonly #remote: string;
  #routeSet: readonly string[];
  #remoteTarget: string;
  #localSequence: number;
  #remoteSequence: number | undefined;

  private constructor(parts: {
    readonly callId: string;
    readonly local: string;
    readonly remote: string;
    readonly localSequence: number;
    readonly remoteSequence?: number;
    readonly routeSet: readonly string[];
    readonly remoteTarget: string;
  }) {
    this.callId = parts.callId;
    this.#local = parts.local;
    this.#remote = parts.remote;
    this.localTag = tagOf(parts.local) ?? '';
    this.remoteTag = tagOf(parts.remote) ?? '';
    this.#localSequence = parts.localSequence;
    this.#remoteSequence = parts.remoteSequence;
    this.#routeSet = parts.routeSet;
    this.#remoteTarget = parts.remoteTarget;
  }

  /**
   * From a response 101–299 to our INVITE (RFC 3261 §12.1.2). Without a Contact, the Request-URI stays the remote
   * target. Without a To tag (RFC 2543), the remote tag is empty.
   */
  static asCaller(invite: SipRequest, response: SipResponse): Dialog {
    return new Dialog({
      callId: invite.headers.get('call-id') ?? '',
      local: invite.headers.get('from') ?? '',
      remote: response.headers.get('to') ?? '',
      localSequence: parseCSeq(invite.headers.get('cseq') ?? '').sequence,
      routeSet: response.headers.getAll('record-route').toReversed(),
      remoteTarget: contactOf(response.headers) ?? invite.uri,
    });
  }

  /**
   * From the peer's INVITE that we answer with this tag (RFC 3261 §12.1.1). Without a Contact, its From is the remote
   * target.
   */
  static asCallee(invite: SipRequest, localTag: string): Dialog {
    const { headers } = invite;
    const remote = headers.get('from') ?? '';
    return new Dialog({
      callId: headers.get('call-id') ?? '',
      local: `${headers.get('to') ?? ''};tag=${localTag}`,
      remote,
      localSequence: 0,
      remoteSequence: parseCSeq(headers.get('cseq') ?? '').sequence,
      routeSet: headers.getAll('record-route'),
      remoteTarget: contactOf(headers) ?? parseNameAddress(remote).uri,
    });
  }

  /** The address of our requests: the peer's latest Contact. */
  get remoteTarget(): string {
    return this.#remoteTarget;
  }

  /** Route header values of our requests, first hop first. */
  get routeSet(): readonly string[] {
    return this.#routeSet;
  }

  /**
   * Takes the route set and target of the 2xx, which replace those of an earlier provisional response (RFC 3261
   * §13.2.2.4).
   */
  confirm(response: SipResponse): void {
    this.#routeSet = response.headers.getAll('record-route').toReversed();
    this.refreshTarget(response.headers);
  }

  /** Takes the Contact of a re-INVITE, an UPDATE or a response to one. The route set is fixed (RFC 3261 §12.2). */
  refreshTarget(headers: SipHeaders): void {
    this.#remoteTarget = contactOf(headers) ?? this.#remoteTarget;
  }

  /** URI whose host, port and transport determine where the next request is sent (RFC 3261 §8.1.2, §12.2.1.1). */
  get nextHop(): string {
    const first = this.#routeSet[0];
    return first === undefined ? this.#remoteTarget : parseNameAddress(first).uri;
  }

  /** A request inside the dialog with the next CSeq, still without Via and Contact. */
  createRequest(method: string, body: Uint8Array = EMPTY_BODY): SipRequest {
    this.#localSequence += 1;
    return this.#request(method, this.#localSequence, body);
  }

  /** The ACK of a 2xx to the INVITE with this CSeq number (RFC 3261 §13.2.2.4). */
  createAck(sequence: number): SipRequest {
    return this.#request('ACK', sequence, EMPTY_BODY);
  }

  /** False if the request is older than one already seen; answer 500 then (RFC 3261 §12.2.2). */
  acceptSequence(request: SipRequest): boolean {
    const { sequence } = parseCSeq(request.headers.get('cseq') ?? '');
    if (this.#remoteSequence !== undefined && sequence <= this.#remoteSequence) return false;
    this.#remoteSequence = sequence;
    return true;
  }

  #request(method: string, sequence: number, body: Uint8Array): SipRequest {
    const headers = new SipHeaders();
    let uri = requestUri(this.#remoteTarget);
    const first = this.#routeSet[0];
    if (first === undefined || isLoose(first)) {
      for (const route of this.#routeSet) headers.append('route', route);
    } else {
      // RFC 3261 §12.2.1.1, strict routing: the first route becomes the Request-URI, and the target the last route.
      uri = requestUri(parseNameAddress(first).uri);
      for (const route of this.#routeSet.slice(1)) headers.append('route', route);
      headers.append('route', `<${this.#remoteTarget}>`);
    }
    headers
      .append('max-forwards', '70')
      .append('from', this.#local)
      .append('to', this.#remote)
      .append('call-id', this.callId)
      .append('cseq', `${sequence} ${method}`);
    return { kind: 'request', method, uri, headers, body };
  }
}

function isLoose(route: string): boolean {
  return parseUri(parseNameAddress(route).uri).parameters.has('lr');
}

/** URI of the first usable Contact, or `undefined`. */
function contactOf(headers: SipHeaders): string | undefined {
  const contact = headers.get('contact');
  if (contact === undefined || contact === '*') return undefined;
  try {
    const { uri } = parseNameAddress(contact);
    parseUri(uri);
    return uri;
  } catch {
    return undefined;
  }
}

/** RFC 3261 §19.1.1: a Request-URI has no headers and no method parameter. A user part may contain similar text. */
export function requestUri(uri: string): string {
  const host = uri.indexOf('@') + 1;
  const question = uri.indexOf('?', host);
  const end = question < 0 ? uri.length : question;
  return uri.slice(0, host) + uri.slice(host, end).replace(/;method=[^;]*/i, '');
}
