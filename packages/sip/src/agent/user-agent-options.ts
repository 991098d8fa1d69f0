// Options, handlers and figures of a user agent.

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

/** How often paths through NATs are kept open, in milliseconds. 0: off. */
export interface KeepAliveIntervals {
  /** Longest interval between two CRLFs to a registrar over UDP. Default 25,000. */
  readonly udpMs?: number;
  /**
   * Interval between two double CRLFs on connections that we opened (RFC 5626 §4.4.1). A peer that has answered one
   * must answer the others within 10 s. Default 100,000.
   */
  readonly streamMs?: number;
}

/** Settings of a user agent. All have defaults. */
export interface SipUserAgentOptions {
  /** IP literal to bind to; `::` binds IPv6 and IPv4. Default `0.0.0.0`, which is IPv4 only. */
  readonly bindAddress?: string;
  /** Port of all transports. 0, the default: the system chooses one number for all. */
  readonly port?: number;
  /**
   * Advertised in Via and Contact instead of the local address, e.g. the public side of a NAT. At most one per family.
   */
  readonly publicAddress?: string | readonly string[];
  /**
   * Without `publicAddress`: trust the address at which the registrar sees us over UDP (RFC 3581), and advertise it to
   * that registrar. Default true.
   */
  readonly learnsAddress?: boolean;
  /** Value of the User-Agent and Server headers. Default `sipcast`. */
  readonly userAgentName?: string;
  readonly timers?: Partial<SipTimers>;
  /** Default: the UDP, TCP and TLS transports of this package. */
  readonly transports?: readonly TransportFactory[];
  /** Default: the process's monotonic clock. */
  readonly clock?: Clock;
  /** Returns a fresh unpredictable token (letters, digits) for tags, branches and nonces. Default: 96 random bits. */
  readonly token?: () => string;
  /** Session timers (RFC 4028). Default: used if the peer requests one. */
  readonly sessionTimer?: SessionTimerOptions;
  /** Random source for delays, 0 ≤ n < 1. Default `Math.random`. */
  readonly random?: () => number;
  /** DNS client. Default: the system resolver. */
  readonly dns?: SipDns;
  /**
   * Whether a request may go to this address. `host`: the name that resolved to it, or the address. Default: always.
   */
  readonly mayConnect?: (address: string, host: string) => boolean;
  /**
   * Ports that requests may go to when a caller, DNS or a peer names them. Requests in a dialog, and responses, may
   * also go where the peer sent from. Servers of `ping` with an explicit port may be reached there. Default: all ports.
   */
  readonly destinationPorts?: readonly PortRange[];
  readonly keepAlive?: KeepAliveIntervals;
  /** Servers to ping by OPTIONS; silent ones are tried last. Default: none. */
  readonly ping?: PingOptions;
  /** Rate limits, bans and silence for requests outside our calls. Default: none; all are answered. */
  readonly guard?: SourceGuardOptions;
  /** TLS settings. Incoming connections are accepted only with a certificate. */
  readonly tls?: SipTlsOptions;
  /** Requests outside our dialogs get a stateless 503 above this number of server transactions. Default 10,000. */
  readonly maxTransactions?: number;
  /** Time limit for opening a TCP connection. Default 5,000 ms. */
  readonly connectTimeoutMs?: number;
  /** How long `close` waits for responses to its BYEs and CANCELs. Default 2,000 ms. */
  readonly closeGraceMs?: number;
}

/** Receives what a user agent reports. All methods are optional and must not throw. */
export interface SipUserAgentHandler {
  /** Invalid input from the wire, for counting; at most one per message. */
  onFault?(
    fault: SipFaultName,
    example: { readonly source: string; readonly excerpt: string },
  ): void;
  /**
   * Each well-formed message received, and each message handed to a transport, including retransmissions. For traces.
   */
  onTraffic?(traffic: SipTraffic): void;
  /** A server of `ping` started or stopped answering; called with the first result and each change. */
  onServer?(state: ServerState): void;
  /**
   * Returns false for an INVITE that does not concern us. If strangers are not answered, its faults are not reported to
   * the sender either. Absent: all INVITEs are answered.
   */
  recognizes?(request: SipRequest, source: TransportAddress): boolean;
  /**
   * Decides about an acceptable INVITE outside a dialog: `taken` if `invite.take` was called, a final response 300–699,
   * or `drop` for silence. Default 403.
   */
  onInvite?(invite: IncomingInvite): InviteDecision;
}

/** One message on the wire. */
export interface SipTraffic {
  readonly direction: 'in' | 'out';
  readonly message: SipMessage;
  /** The octets as sent or received, including secrets; see `maskSecrets`. */
  readonly octets: Uint8Array;
  /** Our end; on stream transports, of the connection. */
  readonly local: LocalAddress;
  readonly remote: TransportAddress;
}
/** The decision about an INVITE. */
export type InviteDecision =
  | 'taken'
  | 'drop'
  | {
      /** 300–699. */
      readonly statusCode: number;
      readonly reasonPhrase: string;
      readonly headers?: readonly (readonly [string, string])[];
    };

/** What is currently open. All zero when idle. */
export interface SipUserAgentStats {
  readonly sessions: number;
  readonly clientTransactions: number;
  readonly serverTransactions: number;
  readonly connections: number;
}
