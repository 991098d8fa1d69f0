// What a call of the phone reports, and what it needs of the phone.

import type { SipMessage, SipRequest, SipResponse } from '@sipcast/sip';
import type { ReinviteChange } from './call-script.ts';
import type { Origin } from './sip-wire.ts';

/** How a call came to its end. */
export interface PeerCallEnding {
  readonly by: 'caller' | 'phone' | 'nobody';
  /** `no-ack`: the 200 was never acknowledged. `closed`: the phone was closed in mid-call. */
  readonly how: 'bye' | 'cancel' | 'rejected' | 'no-ack' | 'closed';
  /** `performance.now()`. */
  readonly atMs: number;
}

/** Where a call stands. */
export type PeerCallStatus =
  | 'challenged'
  | 'proceeding'
  | 'ringing'
  | 'answered'
  | 'confirmed'
  | 'ended';

/** A SIP message that passed, and when. */
export interface LoggedMessage {
  readonly direction: 'in' | 'out';
  /** `performance.now()`. */
  readonly atMs: number;
  readonly message: SipMessage;
}

/** A re-INVITE of the phone. */
export interface SentReinvite {
  readonly change: ReinviteChange;
  readonly offer: string;
  /** Final response; undefined when there was none. */
  readonly response: SipResponse | undefined;
  /** SDP of a 2xx. */
  readonly answer: string | undefined;
}

/** What the phone sees of a call: where its messages are logged. */
export interface LoggedCall {
  readonly callId: string;
  readonly messages: LoggedMessage[];
}

/** What a call needs of its phone. */
export interface PeerCallDeps {
  readonly host: string;
  readonly t1Ms: number;
  /** Contact of the phone on this transport. */
  contactFor(protocol: 'udp' | 'tcp'): string;
  /** Answers, and answers retransmissions of the request alike. */
  respond(request: SipRequest, response: SipResponse, origin: Origin): void;
  /** Sends a request of the phone, with retransmissions; undefined: no final response. */
  request(request: SipRequest, origin: Origin, call: LoggedCall): Promise<SipResponse | undefined>;
  /** Sends once. */
  send(message: SipMessage, origin: Origin, call: LoggedCall): void;
  /** A Via with a fresh branch. */
  via(protocol: 'udp' | 'tcp'): string;
  /** The caller broke a rule. */
  violation(rule: string, callId: string | undefined): void;
}
