// What a call reports, and what it needs from its phone.

import type { SipMessage, SipRequest, SipResponse } from '@sipcast/sip';
import type { ReinviteChange } from './call-script.ts';
import type { Origin } from './sip-wire.ts';

/** How a call ended. */
export interface PeerCallEnding {
  readonly by: 'caller' | 'phone' | 'nobody';
  /** `no-ack`: the 200 was never acknowledged. `closed`: the phone was closed during the call. */
  readonly how: 'bye' | 'cancel' | 'rejected' | 'no-ack' | 'closed';
  /** `performance.now()`. */
  readonly atMs: number;
}

/** State of a call. */
export type PeerCallStatus =
  | 'challenged'
  | 'proceeding'
  | 'ringing'
  | 'answered'
  | 'confirmed'
  | 'ended';

/** A sent or received SIP message, and when. */
export interface LoggedMessage {
  readonly direction: 'in' | 'out';
  /** `performance.now()`. */
  readonly atMs: number;
  readonly message: SipMessage;
}

/** A re-INVITE sent by the phone. */
export interface SentReinvite {
  readonly change: ReinviteChange;
  readonly offer: string;
  /** The final response; undefined if there is none. */
  readonly response: SipResponse | undefined;
  /** SDP of a 2xx. */
  readonly answer: string | undefined;
}

/** A call for whose log the phone records messages. */
export interface LoggedCall {
  readonly callId: string;
  readonly messages: LoggedMessage[];
}

/** What a call needs from its phone. */
export interface PeerCallDeps {
  readonly host: string;
  readonly t1Ms: number;
  /** The phone's Contact on this transport. */
  contactFor(protocol: 'udp' | 'tcp'): string;
  /** Responds, and repeats the response for retransmissions of the request. */
  respond(request: SipRequest, response: SipResponse, origin: Origin): void;
  /** Sends a request, with retransmissions; undefined: no final response. */
  request(request: SipRequest, origin: Origin, call: LoggedCall): Promise<SipResponse | undefined>;
  /** Sends a message once. */
  send(message: SipMessage, origin: Origin, call: LoggedCall): void;
  /** A Via with a fresh branch. */
  via(protocol: 'udp' | 'tcp'): string;
  /** The caller broke a rule. */
  violation(rule: string, callId: string | undefined): void;
}
