// The contract between the transaction layer and its transports (RFC 3261 §18). UDP, TCP and TLS are in
// udp-transport.ts, tcp-transport.ts and tls-transport.ts; applications may supply others.

import type { SipError } from '../errors.ts';
import type { ParseOutcome } from '../message/message-head.ts';
import type { Clock } from '../timers.ts';

/** One end of the wire: the source or destination of a message. */
export interface TransportAddress {
  /** Upper case as in a Via, e.g. `UDP`. */
  readonly protocol: string;
  /** IP literal, IPv6 without brackets. */
  readonly address: string;
  /** 1–65535. */
  readonly port: number;
  /** Stream transports: this connection only. Absent: the connection to that address, opened if necessary. */
  readonly connectionId?: number;
  /**
   * TLS: SIP domains, one of which the peer's certificate must contain; the first is sent as SNI. Absent: the address.
   */
  readonly serverNames?: readonly string[];
}

/** Invalid input that a transport detects itself. */
export type TransportFault =
  /** A connection was refused: too many in total, or from that address. */
  | 'connection-limit'
  /** A connecting peer did not complete the TLS handshake, or failed it. */
  | 'tls-handshake'
  /** A message was not completed in time. The connection was closed. */
  | 'message-time-limit'
  /** Nothing arrived for too long. The connection was closed. */
  | 'idle-time-limit'
  /** The peer does not read what we write. The connection was closed. */
  | 'write-limit'
  /** A peer that used to answer keep-alives stopped. The connection was closed. */
  | 'keep-alive-limit';

/** Receives what a transport reports. Methods must not throw. */
export interface TransportHandler {
  /**
   * Every message or parse fault, in order of arrival per source. On stream transports, `source` names the connection.
   */
  onOutcome(outcome: ParseOutcome, source: TransportAddress): void;
  /** A stream connection is gone; everything waiting for a response on it has failed. Once per connection. */
  onDisconnected(connection: TransportAddress, error: SipError | undefined): void;
  /** Invalid input that is not a message. `source` is `address:port`. */
  onFault(fault: TransportFault, source: string): void;
}

/** Called when a `send` ends. No error: the operating system has accepted the octets. */
export type SendDone = (error: SipError | undefined, connectionId?: number) => void;

/**
 * Carries SIP messages. An implementation must meet these obligations:
 *
 * - `open` resolves when messages can arrive on `localPort`, or rejects with a SipError `TRANSPORT`. It is called once.
 * - Every message, malformed or not, is reported as a `ParseOutcome` (from `parseDatagram` or a `StreamParser`). A
 *   stream whose framing is lost is closed after its fault has been reported.
 * - `send` never throws or blocks. It calls `done` exactly once, synchronously or later. Errors are SipErrors
 *   `TRANSPORT`. Messages to one address keep their order. After `close`, `done` gets an error.
 * - A reliable transport answers double-CRLF keep-alives itself, and reports each lost connection.
 * - `close` is idempotent. Once it resolves, no socket and no timer remains, and no handler method is called any more.
 */
export interface Transport {
  /** Upper case as in a Via, e.g. `TCP`. */
  readonly protocol: string;
  /** True if the transport is reliable; SIP then does not retransmit (RFC 3261 §17). */
  readonly reliable: boolean;
  /** Bound port; 0 before `open`. */
  readonly localPort: number;
  /** Number of open connections; 0 for a connectionless transport. */
  readonly connections: number;
  /** Binds, and passes everything that arrives to the handler. Called once. */
  open(handler: TransportHandler): Promise<void>;
  /** Sends one message and calls `done` exactly once. Must not throw, even after `close`. */
  send(octets: Uint8Array, to: TransportAddress, done: SendDone): void;
  /** Ensures a connection to the address within `timeoutMs`; otherwise `done` gets an error. */
  connect(to: TransportAddress, timeoutMs: number, done: SendDone): void;
  /** Our end of the connection named by `remote`, for traces. Absent, or `undefined`: not known. */
  localOf?(remote: TransportAddress): LocalAddress | undefined;
  /** Closes every socket. Idempotent. */
  close(): Promise<void>;
}

/** Our end of a path that messages take. */
export interface LocalAddress {
  /** IP literal, IPv6 without brackets. */
  readonly address: string;
  readonly port: number;
}

/** Options that a user agent passes to each of its transports. */
export interface TransportOptions {
  /** IP literal to bind to. */
  readonly bindAddress: string;
  /** Port to bind to; 0 lets the system choose. */
  readonly port: number;
  readonly clock: Clock;
  /** Time limit for opening a connection, in milliseconds. */
  readonly connectTimeoutMs: number;
  /** Interval between keep-alives on connections that we opened, in milliseconds. 0: none. Default 0. */
  readonly keepAliveMs?: number;
}

/** Creates a transport without opening anything. */
export type TransportFactory = (options: TransportOptions) => Transport;

/**
 * Whether the address must not be used as a destination just because a header named it: IPv4 broadcast, multicast and
 * "this network", and IPv6 multicast and unspecified (RFC 4475 §3.3.10).
 */
export function isForbiddenDestination(address: string): boolean {
  const bare = address.toLowerCase().replace(/^::ffff:(?=\d+\.)/, '');
  const dot = bare.indexOf('.');
  if (dot > 0 && !bare.includes(':')) {
    const first = Number(bare.slice(0, dot));
    return first === 0 || (first >= 224 && first <= 239) || bare === '255.255.255.255';
  }
  return bare.startsWith('ff') || bare === '::';
}

/** The plain IPv4 address of a mapped one, by which a dual-stack socket names IPv4 peers (RFC 4291 §2.5.5.2). */
export function withoutMapping(address: string): string {
  return address.replace(/^::ffff:(?=\d+\.)/i, '');
}
