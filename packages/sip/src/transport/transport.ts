// The contract between the transaction layer and whatever carries SIP messages (RFC 3261 §18). UDP, TCP and TLS are in
// transport-udp.ts, transport-tcp.ts and transport-tls.ts; users may bring others.

import type { SipError } from '../errors.ts';
import type { ParseOutcome } from '../message/message-head.ts';
import type { Clock } from '../timers.ts';

/** One end of the wire: where a message came from, or where one goes. */
export interface TransportAddress {
  /** Upper case as in a Via, e.g. `UDP`. */
  readonly protocol: string;
  /** IP literal, IPv6 without brackets. */
  readonly address: string;
  /** 1–65535. */
  readonly port: number;
  /** Stream transports: exactly this connection. Absent: the one to that address, opened when there is none. */
  readonly connectionId?: number;
  /**
   * TLS: SIP domains, for one of which the peer must have a certificate; the first is asked for by SNI. Absent: for the
   * address.
   */
  readonly serverNames?: readonly string[];
}

/** Bad input that a transport itself notices. */
export type TransportFault =
  /** A connection was refused because there are too many, in all or from that address. */
  | 'connection-limit'
  /** A peer that connected did not finish the TLS handshake, or not as it must. */
  | 'tls-handshake'
  /** A message was begun but not finished in time; the connection was closed. */
  | 'message-time-limit'
  /** Nothing arrived for too long; the connection was closed. */
  | 'idle-time-limit'
  /** The peer does not read what we write; the connection was closed. */
  | 'write-limit'
  /** A peer that used to answer keep-alives does not any more; the connection was closed. */
  | 'keep-alive-limit';

/** What a transport reports to. Its methods never throw. */
export interface TransportHandler {
  /** Each message or parse fault, in order of arrival per source. `source` names the connection on stream transports. */
  onOutcome(outcome: ParseOutcome, source: TransportAddress): void;
  /** A connection is gone (stream transports): whatever awaits a response on it has failed. Once per connection. */
  onDisconnected(connection: TransportAddress, error: SipError | undefined): void;
  /** Bad input that is no message. `source` is `address:port`. */
  onFault(fault: TransportFault, source: string): void;
}

/** The end of one `send`: no error when the octets were handed to the operating system. */
export type SendDone = (error: SipError | undefined, connectionId?: number) => void;

/**
 * A way to carry SIP messages. Obligations of whoever implements one:
 *
 * - `open` resolves when messages can arrive on `localPort`, or rejects with a SipError `TRANSPORT`; it is called once.
 * - Every message is reported as a `ParseOutcome` (by `parseDatagram` or a `StreamParser`), also a malformed one; a
 *   stream that cannot be framed any more is closed after its fault was reported.
 * - `send` never throws and never blocks. It calls `done` exactly once, then or later; an error is a SipError
 *   `TRANSPORT`. Messages to one address keep their order. After `close`, `done` gets an error.
 * - A reliable transport answers double CRLF keep-alives itself, and reports each lost connection.
 * - `close` is idempotent; when it resolves, no socket and no timer is left and no handler method is called any more.
 */
export interface Transport {
  /** Upper case as in a Via, e.g. `TCP`. */
  readonly protocol: string;
  /** True when the transport retransmits by itself: SIP then does not (RFC 3261 §17). */
  readonly reliable: boolean;
  /** Bound port; 0 before `open`. */
  readonly localPort: number;
  /** Number of open connections; 0 where there are none by nature. */
  readonly connections: number;
  /** Binds, and hands everything that arrives to the handler. Once. */
  open(handler: TransportHandler): Promise<void>;
  /** Sends one message; `done` is told exactly once. Must not throw, also not after `close`. */
  send(octets: Uint8Array, to: TransportAddress, done: SendDone): void;
  /** Makes sure that a connection to the address exists within `timeoutMs`; `done` gets an error when not. */
  connect(to: TransportAddress, timeoutMs: number, done: SendDone): void;
  /** Our end of the connection that `remote` names, for traces. Absent, or `undefined`: not known. */
  localOf?(remote: TransportAddress): LocalAddress | undefined;
  /** Closes every socket. Idempotent. */
  close(): Promise<void>;
}

/** Our end of a way that messages take. */
export interface LocalAddress {
  /** IP literal, IPv6 without brackets. */
  readonly address: string;
  readonly port: number;
}

/** What a user agent gives to each of its transports. */
export interface TransportOptions {
  /** IP literal to bind to. */
  readonly bindAddress: string;
  /** Port to bind to; 0 lets the system choose. */
  readonly port: number;
  readonly clock: Clock;
  /** Limit for opening a connection, in milliseconds. */
  readonly connectTimeoutMs: number;
  /** Time between keep-alives on connections that we opened, in milliseconds; 0, the default: none. */
  readonly keepAliveMs?: number;
}

/** Makes a transport. Must not open anything yet. */
export type TransportFactory = (options: TransportOptions) => Transport;

/**
 * True for addresses that no SIP message may be sent to because a header said so: IPv4 broadcast, multicast and
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

/** RFC 4291 §2.5.5.2: how a socket of both families names an IPv4 peer. */
export function withoutMapping(address: string): string {
  return address.replace(/^::ffff:(?=\d+\.)/i, '');
}
