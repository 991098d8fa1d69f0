// What a session reports to whoever placed or took its call.

import type { SipError } from '../errors.ts';
import type { MessageSource, SipMessage, SipRequest, SipResponse } from '../message/message.ts';
import type { TransportAddress } from '../transport/transport.ts';
import type { ReferRequest } from './transfers.ts';

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

/** A session description of the peer's, and where the message that carried it came from. */
export interface PeerDescription {
  readonly sdp: string;
  /** Undefined only where a transport of the application's own does not say. */
  readonly source: MessageSource | undefined;
}

/** What a call reports. Called synchronously from the socket's or a timer's turn; must not throw. */
export interface InviteSessionHandler {
  /** Each 1xx, 100 too, until the final response. Not after `terminate`. */
  onProvisional(response: SipResponse): void;
  /**
   * Once, with the first 2xx. A call that was placed: the peer's, its ACK is already sent. A call that was taken: ours, when
   * its ACK has come; `answer`: the peer's answer in the ACK, where the 2xx was the offer. `source`: where the 2xx of the peer,
   * or its ACK, came from.
   */
  onAnswered(response: SipResponse, answer?: string, source?: MessageSource): void;
  /** The peer offers anew (re-INVITE or UPDATE with a body): the answer, or a final status that leaves the session as it is. */
  onReoffer(
    sdp: string,
    source?: MessageSource,
  ):
    | { readonly answer: string }
    | {
        readonly statusCode: number;
        readonly reasonPhrase: string;
        readonly headers?: readonly (readonly [string, string])[];
      };
  /** An offerless re-INVITE asks for an offer. Absent: the description that stands is offered again. */
  onOfferWanted?(): string;
  /** The answer, in the ACK, to our description that an offerless re-INVITE asked for; or that to a refresh of ours. */
  onReanswer?(sdp: string, source?: MessageSource): void;
  /**
   * Whether an answer of the peer's is not in use yet, e.g. because a name in it is being looked up: until what this returns
   * resolves, offers of the peer's are answered 491, and ours wait. Must not reject. `undefined`, or absent: none.
   */
  answerInUse?(): Promise<void> | undefined;
  /** The peer asks us to call somebody else: true to take that on. Absent: 603. */
  onRefer?(refer: ReferRequest): boolean;
  /** INFO, MESSAGE, NOTIFY and others in the dialog. Absent: INFO without body 200, with body 415, others 405 or 501. */
  onDialogRequest?(request: SipRequest): { statusCode: number; reasonPhrase?: string };
  /** For display: every message of this call, retransmissions included, as sent or received. Nothing else depends on it. */
  onMessage?(direction: 'in' | 'out', message: SipMessage, remote: TransportAddress): void;
  /** Exactly once, and the last call to this handler. */
  onEnded(ending: SessionEnding): void;
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
