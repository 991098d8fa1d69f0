// What a user agent can be told, and what it tells: options, handlers, figures.

import type { PortRange } from '../transport/destination-ports.ts';
import type { IncomingInvite } from '../call/call-session.ts';
import type { SipMessage, SipRequest } from '../message/message.ts';
import type { PingOptions, ServerState } from './server-pings.ts';
import type { SessionTimerOptions } from '../dialog/session-timer.ts';
import type { SipDns } from '../transport/sip-dns.ts';
import type { SourceGuardOptions } from '../transaction/source-guard.ts';
import type { Clock, SipTimers } from '../timers.ts';
import type { SipFaultName } from '../transaction/transaction-layer.ts';
import type { LocalAddress, TransportAddress, TransportFactory } from '../transport/transport.ts';
import type { SipTlsOptions } from '../transport/tls-transport.ts';

/** How ways through NATs are kept open, in milliseconds; 0: not at all. */
export interface KeepAliveIntervals {
  /** Longest time between two CRLFs to a registrar over UDP. Default 25,000. */
  readonly udpMs?: number;
  /**
   * Time between two double CRLFs on connections that we opened (RFC 5626 §4.4.1). A peer that has answered one must answer
   * the others within 10 s. Default 100,000.
   */
  readonly streamMs?: number;
}

/** Settings of a user agent. All have defaults. */
export interface SipUserAgentOptions {
  /** IP literal to bind to; `::` is IPv6 and IPv4. Default `0.0.0.0`, which is IPv4 only. */
  readonly bindAddress?: string;
  /** Port of all transports; 0 (the default) lets the system choose one number for all. */
  readonly port?: number;
  /** Written into Via and Contact instead of the local address: the public side of a NAT. One for each family at most. */
  readonly publicAddress?: string | readonly string[];
  /**
   * Without `publicAddress`: believe the registrar over UDP how it sees us (RFC 3581), and give that address to it. Default
   * true.
   */
  readonly learnsAddress?: boolean;
  /** Value of User-Agent and Server. Default `sipcast`. */
  readonly userAgentName?: string;
  readonly timers?: Partial<SipTimers>;
  /** Default: the UDP, TCP and TLS transports of this package. */
  readonly transports?: readonly TransportFactory[];
  /** Default: the process's monotonic clock. */
  readonly clock?: Clock;
  /** A fresh unpredictable token (letters, digits) for tags, branches and nonces. Default: 96 random bits. */
  readonly token?: () => string;
  /** Session timers (RFC 4028). Default: one where the peer wants it. */
  readonly sessionTimer?: SessionTimerOptions;
  /** 0 ≤ n < 1, for waiting times. Default `Math.random`. */
  readonly random?: () => number;
  /** Default: the system's. */
  readonly dns?: SipDns;
  /** May a request go to this address? `host`: the name that led there, or the address. Default: to all. */
  readonly mayConnect?: (address: string, host: string) => boolean;
  /**
   * Ports that requests may go to where a caller, DNS or a peer names them; in a dialog, and for answers, also where the peer
   * was met. Servers of `ping` that are named with a port may be asked there. Default: all.
   */
  readonly destinationPorts?: readonly PortRange[];
  readonly keepAlive?: KeepAliveIntervals;
  /** Servers that are asked by OPTIONS whether they are there; one that is silent is tried last. Default: none. */
  readonly ping?: PingOptions;
  /** Limits, bans and silence for those who ask for something outside of our calls. Default: none, all are answered. */
  readonly guard?: SourceGuardOptions;
  /** How TLS is spoken. Connections from peers are accepted where there is a certificate. */
  readonly tls?: SipTlsOptions;
  /** Server transactions above which requests outside our dialogs are answered 503 without state. Default 10,000. */
  readonly maxTransactions?: number;
  /** Limit for opening a TCP connection. Default 5,000 ms. */
  readonly connectTimeoutMs?: number;
  /** How long `close` waits for answers to its BYEs and CANCELs. Default 2,000 ms. */
  readonly closeGraceMs?: number;
}

/** What a user agent reports. All optional; must not throw. */
export interface SipUserAgentHandler {
  /** Bad input from the wire, to be counted; never more than one per message. */
  onFault?(
    fault: SipFaultName,
    example: { readonly source: string; readonly excerpt: string },
  ): void;
  /** Each well-formed message received, and each handed to a transport; retransmissions, too. For traces. */
  onTraffic?(traffic: SipTraffic): void;
  /** A server of `ping` has answered, or has not: at first, and with each change. */
  onServer?(state: ServerState): void;
  /**
   * False: an INVITE of somebody that nobody here waits for. Where strangers meet silence, its faults are then not told to
   * its sender either. Absent: all are answered.
   */
  recognizes?(request: SipRequest, source: TransportAddress): boolean;
  /**
   * Decides about an acceptable INVITE outside a dialog: `taken` when `invite.take` was called, its final response, 300–699,
   * or `drop` for silence. Default 403.
   */
  onInvite?(invite: IncomingInvite): InviteDecision;
}

/** One message on the wire. */
export interface SipTraffic {
  readonly direction: 'in' | 'out';
  readonly message: SipMessage;
  /** As it came or went, secrets and all: see `maskSecrets`. */
  readonly octets: Uint8Array;
  /** Our end: of the connection on stream transports. */
  readonly local: LocalAddress;
  readonly remote: TransportAddress;
}
/** What becomes of an INVITE. */
export type InviteDecision =
  | 'taken'
  | 'drop'
  | {
      /** 300–699. */
      readonly statusCode: number;
      readonly reasonPhrase: string;
      readonly headers?: readonly (readonly [string, string])[];
    };

/** What is open right now; all zero when nothing is going on. */
export interface SipUserAgentStats {
  readonly sessions: number;
  readonly clientTransactions: number;
  readonly serverTransactions: number;
  readonly connections: number;
}
