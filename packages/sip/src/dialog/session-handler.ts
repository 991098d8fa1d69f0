// What a session reports to the application that placed or accepted the call.

import type { SipError } from '../errors.ts';
import type { MessageSource, SipMessage, SipRequest, SipResponse } from '../message/message.ts';
import type { TransportAddress } from '../transport/transport.ts';
import type { ReferRequest } from './transfers.ts';

/** Why and how a call ended. */
export interface SessionEnding {
  /** `network`: no response, or the transport failed. */
  readonly endedBy: 'local' | 'remote' | 'network';
  /** `onAnswered` was called. */
  readonly answered: boolean;
  /** `terminate` was called before the answer. */
  readonly cancelled: boolean;
  /** Last final SIP status; 408 for a timeout, 503 for a failed transport. */
  readonly statusCode?: number;
  readonly reasonPhrase?: string;
  /** Absent for an orderly end: a BYE from either side, or our cancellation. */
  readonly error?: SipError;
}

/** The peer's session description, and the source of the message that carried it. */
export interface PeerDescription {
  readonly sdp: string;
  /** Undefined only if an application-supplied transport does not report it. */
  readonly source: MessageSource | undefined;
}

/** Receives the events of a call. Called synchronously from a socket or timer callback. Must not throw. */
export interface InviteSessionHandler {
  /** Each 1xx including 100, until the final response. Not called after `terminate`. */
  onProvisional(response: SipResponse): void;
  /**
   * Called once, with the first 2xx. Outgoing call: the peer's 2xx, which has already been acknowledged. Incoming call:
   * our 2xx, after its ACK. `answer`: the peer's answer in the ACK, if the 2xx contained the offer. `source`: where the
   * peer's 2xx, or its ACK, came from.
   */
  onAnswered(response: SipResponse, answer?: string, source?: MessageSource): void;
  /**
   * The peer sends a new offer (re-INVITE or UPDATE). Reply with the answer, or with a final status that leaves the
   * session unchanged.
   * @param earlyTag - Tag of the peer, in an UPDATE before the final response to the INVITE
   */
  onReoffer(
    sdp: string,
    source?: MessageSource,
    earlyTag?: string,
  ):
    | { readonly answer: string }
    | {
        readonly statusCode: number;
        readonly reasonPhrase: string;
        readonly headers?: readonly (readonly [string, string])[];
      };
  /** A re-INVITE without an offer requests ours. Absent: the current description is offered again. */
  onOfferWanted?(): string;
  /** The answer in the ACK to an offer that the peer's re-INVITE requested, or the answer to our refresh. */
  onReanswer?(sdp: string, source?: MessageSource): void;
  /**
   * Returns a promise while the peer's latest answer is not yet applied, e.g. during a name lookup. Until it resolves,
   * the peer's offers get 491 and ours wait. Must not reject. `undefined`, or absent: nothing is pending.
   */
  answerInUse?(): Promise<void> | undefined;
  /** The peer asks us to call a third party; return true to accept. Absent: 603. */
  onRefer?(refer: ReferRequest): boolean;
  /**
   * INFO, MESSAGE, NOTIFY and other requests in the dialog. Absent: INFO gets 200, or 415 with a body; others get 405
   * or 501.
   */
  onDialogRequest?(request: SipRequest): { statusCode: number; reasonPhrase?: string };
  /** For display only: every message of this call as sent or received, including retransmissions. */
  onMessage?(direction: 'in' | 'out', message: SipMessage, remote: TransportAddress): void;
  /** Called exactly once, as the last call to this handler. */
  onEnded(ending: SessionEnding): void;
}

/** The ending of an answered session whose peer is gone or has lost the dialog. */
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
