// A call that is placed or taken: its options and what can be done with it.

import type { DigestCredentials } from '../auth/digest.ts';
import type { SessionOffer } from '../dialog/session-changes.ts';
import type { InviteSessionHandler, PeerDescription } from '../dialog/session-handler.ts';
import type { TransferOutcome } from '../dialog/transfers.ts';
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
import type { SipRequest } from '../message/message.ts';
import type { SipUri } from '../message/uri.ts';
import type { OutboundProxy, TransportPreference } from '../transport/next-hop.ts';
import type { TransportAddress } from '../transport/transport.ts';

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
  /**
   * Session description offered, or what makes it when the way to the target is known: once, before the INVITE is sent.
   * `localAddress`: ours, as the target reaches it.
   */
  readonly offer: string | ((localAddress: string) => string);
  /** Without a final answer for so long, the call is cancelled and ends with `TIMEOUT`. Default 180,000. */
  readonly inviteTimeoutMs?: number;
  /** Redirections that are followed in all, 0–10; no address is asked twice. Default 3. */
  readonly maxRedirects?: number;
  /** May the call go where a redirection points? Default: yes. */
  readonly mayRedirect?: (target: string) => boolean;
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
  reoffer(sdp: SessionOffer, method?: 'INVITE' | 'UPDATE'): Promise<PeerDescription>;
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
  if (
    typeof options.offer !== 'function' &&
    (typeof options.offer !== 'string' || options.offer === '')
  ) {
    throw invalidArgument('offer', 'must not be empty');
  }
  if (options.inviteTimeoutMs !== undefined) {
    checkInteger('inviteTimeoutMs', options.inviteTimeoutMs, 1, 0x7fff_ffff);
  }
  checkInteger('maxRedirects', options.maxRedirects ?? 0, 0, 10);
  return target;
}
