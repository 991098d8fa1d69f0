// What a session needs from its user agent, and what the user agent calls on its sessions.

import type { SipMessage, SipRequest, SipResponse } from '../message/message.ts';
import { formatHostPort } from '../message/uri.ts';
import type { Clock, SipTimers } from '../timers.ts';
import type { Hop, ServerTransaction, TransactionLayer } from '../transaction/transaction-layer.ts';
import type { NextHop } from '../transport/next-hop.ts';
import type { TransportAddress } from '../transport/transport.ts';
import type { SessionTimerOptions } from './session-timer.ts';

/** Receives the messages of a dialog. */
export interface DialogHandler {
  /** A message of this call was received or sent. */
  trace(direction: 'in' | 'out', message: SipMessage, remote: TransportAddress): void;
  /** Whether the peer's tag belongs to a dialog of this session. */
  owns(remoteTag: string): boolean;
  /** Whether this dialog has sent to, or received from, this address. */
  knows(address: string): boolean;
  /** An ACK for one of our 2xx. Returns false if it does not belong to this session. */
  onAck(request: SipRequest): boolean;
  /** A request with our tag in To, to be answered. */
  onRequest(transaction: ServerTransaction): void;
  /** A 2xx to the INVITE after its transaction has ended. Returns false if it does not belong to this session. */
  onLateAccepted(response: SipResponse): boolean;
  terminate(): Promise<void>;
  /** Ends at once without notifying the peer: the grace period of a closing user agent is over. */
  abort(): void;
}

/** What a session needs from its user agent. */
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
  /** A peer named a forbidden destination, described by `problem`. Requests go to `hop` instead. */
  onForbidden(problem: string, hop: Hop): void;
  /** A fresh random token. */
  token(): string;
  /**
   * Resolves a next hop to its servers in order of preference, with our address towards each. Rejects with SipError
   * `TRANSPORT` or `CONNECT_FORBIDDEN`.
   */
  locate(next: NextHop): Promise<readonly [Hop, ...Hop[]]>;
  /** The hop for a known peer address, with our address towards it. Rejects with SipError `TRANSPORT`. */
  hopTo(address: TransportAddress): Promise<Hop>;
  /** Keeps the path to a peer open. @returns a release function */
  keepAlive(hop: Hop): () => void;
  /** Records how the hop's peer sees us, for later `hopTo` results. False if nothing changed, or learning is off. */
  learn(hop: Hop, address: string, port: number): boolean;
  /** Whether a connection to the hop opens in time. */
  connect(hop: Hop, timeoutMs: number): Promise<boolean>;
  /** Routes messages of this dialog to `owner` until `detach`. */
  attach(key: string, owner: DialogHandler): void;
  detach(key: string): void;
}

/** Our Contact: the user of `uri` at our address as the hop's peer sees it. */
export function contactFor(uri: string, hop: Hop): string {
  const at = uri.indexOf('@');
  const user = at < 0 ? '' : (uri.slice(uri.indexOf(':') + 1, at).split(':')[0] ?? '');
  const secure = /^sips:/i.test(uri);
  // RFC 5630 §3.1.3: a SIPS URI implies TLS.
  const named = hop.protocol !== 'UDP' && !secure;
  const transport = named ? `;transport=${hop.protocol.toLowerCase()}` : '';
  const host = formatHostPort(hop.localHost, hop.localPort);
  return `<${secure ? 'sips' : 'sip'}:${user === '' ? '' : `${user}@`}${host}${transport}>`;
}
