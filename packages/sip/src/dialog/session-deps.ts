// What a session needs of its user agent, and what the user agent calls on the sessions that it routes messages to.

import type { SipMessage, SipRequest, SipResponse } from '../message/message.ts';
import { formatHostPort } from '../message/uri.ts';
import type { Clock, SipTimers } from '../timers.ts';
import type { Hop, ServerTransaction, TransactionLayer } from '../transaction/transaction-layer.ts';
import type { NextHop } from '../transport/next-hop.ts';
import type { TransportAddress } from '../transport/transport.ts';
import type { SessionTimerOptions } from './session-timer.ts';

/** Who gets the messages of a dialog. */
export interface DialogHandler {
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
export interface SessionDeps {
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
  attach(key: string, owner: DialogHandler): void;
  detach(key: string): void;
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
