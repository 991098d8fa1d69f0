// Options and operations of outgoing and incoming calls.

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

/** An outgoing call. */
export interface InviteOptions {
  /** Call-ID, unique within this user agent. */
  readonly callId: string;
  /** SIP URI for Request-URI and To. */
  readonly target: string;
  readonly from: { readonly uri: string; readonly displayName?: string };
  /** Answers 401 and 407 to the INVITE and to our requests in its dialog. */
  readonly credentials?: DigestCredentials;
  readonly outboundProxy?: OutboundProxy;
  readonly transport: TransportPreference;
  /** Extra headers of the INVITE. */
  readonly headers?: readonly (readonly [string, string])[];
  /**
   * The session description to offer, or a function that creates it. The function is called once, before the INVITE is
   * sent, with `localAddress`: our address as the target sees it.
   */
  readonly offer: string | ((localAddress: string) => string);
  /** Without a final response within this time, the call is cancelled and ends with `TIMEOUT`. Default 180,000. */
  readonly inviteTimeoutMs?: number;
  /** Maximum number of redirections to follow, 0–10. No address is tried twice. Default 3. */
  readonly maxRedirects?: number;
  /** Whether the call may follow a redirection to this target. Default: yes. */
  readonly mayRedirect?: (target: string) => boolean;
}

/** `starting` until the INVITE is sent, `calling` until a provisional response, `terminating` after `terminate`. */
export type InviteSessionState =
  | 'starting'
  | 'calling'
  | 'proceeding'
  | 'established'
  | 'terminating'
  | 'ended';

/** An outgoing or incoming call. */
export interface InviteSession {
  readonly callId: string;
  readonly state: InviteSessionState;
  /**
   * Sends INFO in the established dialog. Resolves with the final status code. Rejects with SipError `CLOSED` if there
   * is no established dialog, `TIMEOUT`, `TRANSPORT` or `ILLEGAL_CHARACTER`.
   */
  sendInfo(contentType: string, body: string): Promise<number>;
  /**
   * Sends a new offer by re-INVITE, after all earlier changes. Retries if it collides with the peer's offer (491).
   * Resolves with the peer's answer, after its ACK. An offer function is called for each attempt.
   *
   * Rejects with SipError `REJECTED` with `statusCode` (the session continues unchanged), `BAD_SDP`, `AUTH_FAILED`,
   * `TIMEOUT`, `TRANSPORT`, or `CLOSED` if there is no established dialog, or it ends first.
   */
  reoffer(sdp: SessionOffer, method?: 'INVITE' | 'UPDATE'): Promise<PeerDescription>;
  /**
   * Repeats the current offer by re-INVITE, after all earlier changes. Resolves when it is done; a description in the
   * answer goes to `onReanswer`. Rejects as `reoffer` does, except that a peer that does not respond (`TIMEOUT`, 408)
   * keeps its call.
   */
  refresh(): Promise<void>;
  /**
   * Asks the peer to call `target` in place of us (REFER). Resolves with the final status of that call. The session
   * continues until one side sends BYE.
   *
   * Rejects with SipError `REJECTED` with `statusCode`, `INVALID_ARGUMENT`, `AUTH_FAILED`, `TIMEOUT`, `TRANSPORT`,
   * `CLOSED`.
   */
  refer(target: string): Promise<TransferOutcome>;
  /**
   * Ends the call by BYE, by CANCEL or without a message, depending on its state. Resolves after `onEnded`. Idempotent.
   * `reason`: a Reason header value (RFC 3326).
   */
  terminate(options?: { readonly reason?: string }): Promise<void>;
}

/** An acceptable INVITE outside a dialog, waiting for a decision. */
export interface IncomingInvite {
  /** As received, with `received` and `rport` written into its top Via. */
  readonly request: SipRequest;
  readonly source: TransportAddress;
  /** The offered session description. Absent: the caller wants our offer. */
  readonly offer: string | undefined;
  /**
   * Takes the call: sends 100 and keeps the INVITE open until `answer` or `reject`. Call it once, before `onInvite`
   * returns.
   */
  take(handler: InviteSessionHandler): IncomingSession;
}

/** An incoming call that was taken; `proceeding` until it is answered. */
export interface IncomingSession extends InviteSession {
  /**
   * Sends 180, or 183 with a session description. Sent reliably if the caller requires it, or supports it and there is
   * a description (RFC 3262). Repeated every minute. Ignored after the answer.
   */
  ring(sdp?: string): void;
  /**
   * Sends 200 with the answer, or with our offer if the INVITE had none. `onAnswered` follows with the ACK. @throws
   * SipError `INVALID_ARGUMENT`
   */
  answer(sdp: string): void;
  /** Refuses the call. Ignored after the answer. @throws SipError `INVALID_ARGUMENT` unless the status is 300–699 */
  reject(
    statusCode: number,
    reasonPhrase: string,
    headers?: readonly (readonly [string, string])[],
  ): void;
}

/**
 * Validates the options and returns the parsed target. @throws SipError `INVALID_ARGUMENT`, `ILLEGAL_CHARACTER` naming
 * the field
 */
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
