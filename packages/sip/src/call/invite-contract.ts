// What a call and its user agent owe each other and the caller: options, handlers, endings.

import {
  checkCallId,
  checkHeaders,
  checkInteger,
  checkProxy,
  checkText,
  checkTransport,
  checkUriArgument,
  invalidArgument,
} from '../message/arguments.ts';
import type { DigestCredentials } from '../auth/digest.ts';
import { SipError } from '../errors.ts';
import type { SipMessage, SipRequest, SipResponse } from '../message/message.ts';
import type { SessionOffer } from '../dialog/session-changes.ts';
import type { SessionTimerOptions } from '../dialog/session-timer.ts';
import type { NextHop } from '../transport/next-hop.ts';
import type { Clock, SipTimers } from '../timers.ts';
import type { Hop, ServerTransaction, TransactionLayer } from '../transaction/transaction-layer.ts';
import type { ReferRequest, TransferOutcome } from '../dialog/transfers.ts';
import { type TransportAddress, transportError } from '../transport/transport.ts';
import { formatHostPort, type SipUri } from '../message/uri.ts';

/**
 * How requests travel: `udp`, `tcp` and `tls` always so; `auto` is what the domain's NAPTR and SRV records prefer, else UDP,
 * but TCP above 1,300 bytes where it connects in 500 ms. A SIPS URI goes over TLS whatever this says.
 */
export type TransportPreference = 'udp' | 'tcp' | 'tls' | 'auto';

/** Next hop of all requests outside a dialog. No Route is added for it. */
export interface OutboundProxy {
  /** Host name or IP literal, IPv6 without brackets. */
  readonly host: string;
  /** 1–65535. Default: what the host's SRV records say, else 5060, or 5061 for TLS. */
  readonly port?: number;
}

/** A call to place. */
export interface InviteOptions {
  /** Call-ID, unique in this user agent. */
  readonly callId: string;
  /** SIP URI: Request-URI and To. */
  readonly target: string;
  readonly from: { readonly uri: string; readonly displayName?: string };
  /** For 401 and 407, to the INVITE and to our requests in its dialog. */
  readonly credentials?: DigestCredentials;
  readonly outboundProxy?: OutboundProxy;
  readonly transport: TransportPreference;
  /** Extra headers of the INVITE. */
  readonly headers?: readonly (readonly [string, string])[];
  /** Session description offered. */
  readonly offer: string;
  /** Without a final answer for so long, the call is cancelled and ends with `TIMEOUT`. Default 180,000. */
  readonly inviteTimeoutMs?: number;
  /** Redirections that are followed in all, 0–10; no address is asked twice. Default 3. */
  readonly maxRedirects?: number;
  /** May the call go where a redirection points? Default: yes. */
  readonly mayRedirect?: (target: string) => boolean;
}

/** Why and how a call ended. */
export interface SessionEnding {
  /** `network`: nobody answered, or the transport failed. */
  readonly endedBy: 'local' | 'remote' | 'network';
  /** `onAnswered` was called. */
  readonly answered: boolean;
  /** `terminate` was called before the answer. */
  readonly cancelled: boolean;
  /** Last final SIP code; 408 for a time-out, 503 for a failed transport. */
  readonly statusCode?: number;
  readonly reasonPhrase?: string;
  /** Absent for an orderly end: BYE from either side, or cancelled by us. */
  readonly error?: SipError;
}

/** What a call reports. Called synchronously from the socket's or a timer's turn; must not throw. */
export interface InviteSessionHandler {
  /** Each 1xx, 100 too, until the final response. Not after `terminate`. */
  onProvisional(response: SipResponse): void;
  /**
   * Once, with the first 2xx. A call that was placed: the peer's, its ACK is already sent. A call that was taken: ours, when
   * its ACK has come; `answer`: the peer's answer in the ACK, where the 2xx was the offer.
   */
  onAnswered(response: SipResponse, answer?: string): void;
  /** The peer offers anew (re-INVITE or UPDATE with a body): the answer, or a final status that leaves the session as it is. */
  onReoffer(sdp: string):
    | { readonly answer: string }
    | {
        readonly statusCode: number;
        readonly reasonPhrase: string;
        readonly headers?: readonly (readonly [string, string])[];
      };
  /** An offerless re-INVITE asks for an offer. Absent: the description that stands is offered again. */
  onOfferWanted?(): string;
  /** The answer, in the ACK, to our description that an offerless re-INVITE asked for; or that to a refresh of ours. */
  onReanswer?(sdp: string): void;
  /**
   * Whether an answer of the peer's is not in use yet, e.g. because a name in it is being looked up: until what this returns
   * resolves, offers of the peer's are answered 491, and ours wait. Must not reject. `undefined`, or absent: none.
   */
  answerInUse?(): Promise<void> | undefined;
  /** The peer asks us to call somebody else: true to take that on. Absent: 603. */
  onRefer?(refer: ReferRequest): boolean;
  /** INFO, MESSAGE, NOTIFY and others in the dialog. Absent: INFO without body 200, with body 415, others 405 or 501. */
  onDialogRequest?(request: SipRequest): { statusCode: number; reasonPhrase?: string };
  /** Every message of this call, retransmissions included, as sent or received. */
  onMessage?(direction: 'in' | 'out', message: SipMessage, remote: TransportAddress): void;
  /** Exactly once, and the last call to this handler. */
  onEnded(ending: SessionEnding): void;
}

/** `starting` until the INVITE leaves; `calling` until a provisional; `terminating` from `terminate` on. */
export type InviteSessionState =
  | 'starting'
  | 'calling'
  | 'proceeding'
  | 'established'
  | 'terminating'
  | 'ended';

/** A call: placed, or taken. */
export interface InviteSession {
  readonly callId: string;
  readonly state: InviteSessionState;
  /**
   * Sends INFO in the established dialog; resolves with the final status code.
   * Rejects with SipError `CLOSED` when there is no established dialog, `TIMEOUT`, `TRANSPORT`, or `ILLEGAL_CHARACTER`.
   */
  sendInfo(contentType: string, body: string): Promise<number>;
  /**
   * Offers anew by re-INVITE, after the changes before it; a peer that does so at the same time is waited for (491).
   * Resolves with the peer's answer, after its ACK. A function is asked for the offer at each attempt.
   *
   * Rejects with SipError `REJECTED` with `statusCode` (the session goes on as it was), `BAD_SDP`, `AUTH_FAILED`,
   * `TIMEOUT`, `TRANSPORT`, or `CLOSED` when there is no established dialog, or not any more.
   */
  reoffer(sdp: SessionOffer, method?: 'INVITE' | 'UPDATE'): Promise<string>;
  /**
   * Offers again, by re-INVITE, what stands, unchanged; after the changes before it. Resolves with its end; a description in
   * the answer goes to `onReanswer`. Rejects as `reoffer`, but that a peer that does not answer (`TIMEOUT`, 408) keeps its call.
   */
  refresh(): Promise<void>;
  /**
   * Asks the peer to call `target` in place of us (REFER). Resolves with the final status of that call; the session goes
   * on until one of the two says BYE.
   *
   * Rejects with SipError `REJECTED` with `statusCode`, `INVALID_ARGUMENT`, `AUTH_FAILED`, `TIMEOUT`, `TRANSPORT`, `CLOSED`.
   */
  refer(target: string): Promise<TransferOutcome>;
  /** BYE, CANCEL, or giving up, as the state demands. Resolves when `onEnded` was called; idempotent. `reason`: a Reason header value (RFC 3326). */
  terminate(options?: { readonly reason?: string }): Promise<void>;
}

/** An INVITE outside of any dialog that is acceptable: who takes it? */
export interface IncomingInvite {
  /** As received, with `received` and `rport` written into its top Via. */
  readonly request: SipRequest;
  readonly source: TransportAddress;
  /** The session description offered; absent: the caller wants our offer. */
  readonly offer: string | undefined;
  /** Takes the call: it is told 100 and stays open until `answer` or `reject`. Once, before `onInvite` returns. */
  take(handler: InviteSessionHandler): IncomingSession;
}

/** A call that was taken, `proceeding` until it is answered. */
export interface IncomingSession extends InviteSession {
  /**
   * 180, or with a session description 183; reliably where the caller requires it, or supports it and there is a description
   * (RFC 3262). Said again every minute. Ignored after the answer.
   */
  ring(sdp?: string): void;
  /** 200 with the answer, or with our offer where there was none. `onAnswered` follows with the ACK. @throws SipError `INVALID_ARGUMENT` */
  answer(sdp: string): void;
  /** Refuses the call. Ignored after the answer. @throws SipError `INVALID_ARGUMENT` unless 300–699 */
  reject(
    statusCode: number,
    reasonPhrase: string,
    headers?: readonly (readonly [string, string])[],
  ): void;
}

/** Who gets the messages of a dialog. */
export interface DialogOwner {
  /** A message of this call was received or sent. */
  trace(direction: 'in' | 'out', message: SipMessage, remote: TransportAddress): void;
  /** True when the peer's tag is that of a dialog of this session. */
  owns(remoteTag: string): boolean;
  /** This dialog's messages went to, or came from, this address before. */
  knows(address: string): boolean;
  /** An ACK for one of our 2xx. Returns false when it is none of this session's. */
  onAck(request: SipRequest): boolean;
  /** A request with our tag in To. Answers it. */
  onRequest(transaction: ServerTransaction): void;
  /** A 2xx to the INVITE after its transaction is gone. Returns false when it is none of this session's. */
  onLateAccepted(response: SipResponse): boolean;
  terminate(): Promise<void>;
  /** Ends at once, without a word to the peer: the user agent closes and its time is over. */
  abort(): void;
}

/** What a session needs of its user agent. */
export interface SessionAgent {
  readonly layer: TransactionLayer;
  readonly timers: SipTimers;
  readonly clock: Clock;
  readonly userAgentName: string;
  readonly sessionTimer: SessionTimerOptions;
  /** 0 ≤ n < 1. */
  readonly random: () => number;
  /** Whether a request may go to this address. */
  mayConnect(address: string): boolean;
  /** Whether a request may go to this port of a host. */
  allowsPort(host: string, port: number): boolean;
  /** A peer has named what may not be connected to, as `problem` says; `hop`: where requests go instead. */
  onForbidden(problem: string, hop: Hop): void;
  /** A fresh random token. */
  token(): string;
  /**
   * Finds the servers of a next hop, in the order to try them, and our address towards each. Rejects with SipError `TRANSPORT`,
   * or `CONNECT_FORBIDDEN`.
   */
  locate(next: NextHop): Promise<readonly [Hop, ...Hop[]]>;
  /** A peer whose address is known, with our address towards it. Rejects with SipError `TRANSPORT`. */
  hopTo(address: TransportAddress): Promise<Hop>;
  /** Keeps the way to a peer open until the function returned is called. */
  keepAlive(hop: Hop): () => void;
  /** Takes note of how the peer of a hop sees us: what `hopTo` says from now on. False when that is no news, or not wanted. */
  learn(hop: Hop, address: string, port: number): boolean;
  /** True when a connection to the hop is open within the time. */
  connect(hop: Hop, timeoutMs: number): Promise<boolean>;
  /** Routes requests and messages of this dialog to its owner until `detach`. */
  attach(key: string, owner: DialogOwner): void;
  detach(key: string): void;
}

/** The target, parsed. @throws SipError `INVALID_ARGUMENT`, `ILLEGAL_CHARACTER` naming the field */
export function checkInviteOptions(options: InviteOptions): SipUri {
  checkCallId(options.callId);
  const target = checkUriArgument('target', options.target);
  checkUriArgument('from.uri', options.from?.uri);
  if (options.from.displayName !== undefined) {
    checkText('from.displayName', options.from.displayName);
  }
  checkProxy(options.outboundProxy);
  checkTransport(options.transport);
  checkHeaders(options.headers);
  if (typeof options.offer !== 'string' || options.offer === '') {
    throw invalidArgument('offer', 'must not be empty');
  }
  if (options.inviteTimeoutMs !== undefined) {
    checkInteger('inviteTimeoutMs', options.inviteTimeoutMs, 1, 0x7fff_ffff);
  }
  checkInteger('maxRedirects', options.maxRedirects ?? 0, 0, 10);
  return target;
}

/** Our Contact: the user of `uri` at the address that the hop's peer reaches. */
export function contactFor(uri: string, hop: Hop): string {
  const at = uri.indexOf('@');
  const user = at < 0 ? '' : (uri.slice(uri.indexOf(':') + 1, at).split(':')[0] ?? '');
  const secure = /^sips:/i.test(uri);
  // RFC 5630 §3.1.3: a SIPS URI says TLS by itself.
  const named = hop.protocol !== 'UDP' && !secure;
  const transport = named ? `;transport=${hop.protocol.toLowerCase()}` : '';
  const host = formatHostPort(hop.localHost, hop.localPort);
  return `<${secure ? 'sips' : 'sip'}:${user === '' ? '' : `${user}@`}${host}${transport}>`;
}

/** How an answered session ends whose peer is gone, or has lost the dialog. */
export function lostSession(error: SipError): SessionEnding {
  const { code, statusCode } = error;
  return {
    endedBy: code === 'REJECTED' ? 'remote' : code === 'SESSION_EXPIRED' ? 'local' : 'network',
    answered: true,
    cancelled: false,
    ...(statusCode !== undefined && { statusCode, reasonPhrase: error.message }),
    error,
  };
}

/** Failures of our own sending are SipErrors; anything else is a mistake in this package and keeps its stack as cause. */
export function asSipError(error: unknown): SipError {
  return error instanceof SipError ? error : transportError('Sending failed', error);
}
