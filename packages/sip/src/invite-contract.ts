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
} from './arguments.ts';
import type { DigestCredentials } from './digest.ts';
import { SipError } from './errors.ts';
import type { SipMessage, SipRequest, SipResponse } from './message.ts';
import type { Clock, SipTimers } from './timers.ts';
import type { Hop, ServerTransaction, TransactionLayer } from './transaction-layer.ts';
import { type TransportAddress, transportError } from './transport.ts';
import { formatHostPort, type SipUri } from './uri.ts';

/** How requests travel: `udp` and `tcp` always so; `auto` is UDP, but TCP above 1,300 bytes where it connects in 500 ms. */
export type TransportPreference = 'udp' | 'tcp' | 'auto';

/** Next hop of all requests outside a dialog. No Route is added for it. */
export interface OutboundProxy {
  /** Host name or IP literal, IPv6 without brackets. */
  readonly host: string;
  /** 1–65535. */
  readonly port: number;
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
  /** Once, with the first 2xx; its ACK is already sent. */
  onAnswered(response: SipResponse): void;
  /** The peer offers anew (re-INVITE or UPDATE with a body): the answer, or a final status that leaves the session as it is. */
  onReoffer(sdp: string): { answer: string } | { statusCode: number; reasonPhrase: string };
  /** The answer, in the ACK, to our description that an offerless re-INVITE asked for. */
  onReanswer?(sdp: string): void;
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

/** A call that was placed. */
export interface InviteSession {
  readonly callId: string;
  readonly state: InviteSessionState;
  /**
   * Sends INFO in the established dialog; resolves with the final status code.
   * Rejects with SipError `CLOSED` when there is no established dialog, `TIMEOUT`, `TRANSPORT`, or `ILLEGAL_CHARACTER`.
   */
  sendInfo(contentType: string, body: string): Promise<number>;
  /** BYE, CANCEL, or giving up, as the state demands. Resolves when `onEnded` was called; idempotent. `reason`: a Reason header value (RFC 3326). */
  terminate(options?: { readonly reason?: string }): Promise<void>;
}

/** Who gets the messages of a dialog. */
export interface DialogOwner {
  /** A message of this call was received or sent. */
  trace(direction: 'in' | 'out', message: SipMessage, remote: TransportAddress): void;
  /** True when the peer's tag is that of a dialog of this session. */
  owns(remoteTag: string): boolean;
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
  /** A fresh random token. */
  token(): string;
  /** Resolves a host name and finds our address towards it. Rejects with SipError `TRANSPORT`. */
  locate(host: string, port: number, protocol: string): Promise<Hop>;
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
  return target;
}

/** Our Contact: the user of `uri` at the address that the hop's peer reaches. */
export function contactFor(uri: string, hop: Hop): string {
  const at = uri.indexOf('@');
  const user = at < 0 ? '' : (uri.slice(uri.indexOf(':') + 1, at).split(':')[0] ?? '');
  const transport = hop.protocol === 'UDP' ? '' : `;transport=${hop.protocol.toLowerCase()}`;
  const host = formatHostPort(hop.localHost, hop.localPort);
  return `<sip:${user === '' ? '' : `${user}@`}${host}${transport}>`;
}

/** Failures of our own sending are SipErrors; anything else is a mistake in this package and keeps its stack as cause. */
export function asSipError(error: unknown): SipError {
  return error instanceof SipError ? error : transportError('Sending failed', error);
}
