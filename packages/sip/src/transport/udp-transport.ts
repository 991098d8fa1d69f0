// SIP over UDP (RFC 3261 §18): one datagram, one message.

import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { isIPv4, isIPv6 } from 'node:net';
import type { SipError } from '../errors.ts';
import { parseDatagram } from '../message/parser.ts';
import type {
  SendDone,
  Transport,
  TransportAddress,
  TransportHandler,
  TransportOptions,
} from './transport.ts';
import { transportError } from '../errors.ts';
import { withoutMapping } from './transport.ts';

const RECEIVE_BUFFER_BYTES = 1 << 20;

/** The UDP transport. An unconnected socket hears of no ICMP errors: an unreachable peer shows as a time-out. */
export class UdpTransport implements Transport {
  readonly protocol = 'UDP';
  readonly reliable = false;
  readonly connections = 0;
  readonly #options: TransportOptions;
  #socket: Socket | undefined;
  #localPort = 0;
  /** The socket takes both families, and names IPv4 peers by mapped addresses (RFC 4291 §2.5.5.2). */
  #mapsAddresses = false;

  constructor(options: TransportOptions) {
    this.#options = options;
  }

  get localPort(): number {
    return this.#localPort;
  }

  /** @throws SipError `TRANSPORT` (as a rejection) when the address or port cannot be bound. */
  open(handler: TransportHandler): Promise<void> {
    const socket = createSocket(isIPv6(this.#options.bindAddress) ? 'udp6' : 'udp4');
    return new Promise<void>((resolve, reject) => {
      socket.once('error', (cause) => {
        socket.close();
        reject(transportError(`UDP ${this.#options.bindAddress}:${this.#options.port}`, cause));
      });
      socket.bind({ address: this.#options.bindAddress, port: this.#options.port }, () => {
        socket.removeAllListeners('error');
        // Later errors belong to single sends, which report them themselves.
        socket.on('error', () => {});
        socket.on('message', (datagram, remote) => this.#receive(handler, datagram, remote));
        try {
          socket.setRecvBufferSize(RECEIVE_BUFFER_BYTES);
        } catch {
          // The system's own size will do.
        }
        this.#socket = socket;
        this.#mapsAddresses = this.#options.bindAddress === '::';
        this.#localPort = socket.address().port;
        resolve();
      });
    });
  }

  #receive(handler: TransportHandler, datagram: Buffer, remote: RemoteInfo): void {
    if (this.#socket === undefined) return;
    // RFC 5626 §3.5.1: a datagram of CRLFs keeps a NAT binding open and means nothing else.
    if (datagram.length <= 4 && datagram.every((octet) => octet === 13 || octet === 10)) return;
    handler.onOutcome(parseDatagram(datagram), {
      protocol: 'UDP',
      address: withoutMapping(remote.address),
      port: remote.port,
    });
  }

  /** One datagram, whatever its size. */
  send(octets: Uint8Array, to: TransportAddress, done: SendDone): void {
    const socket = this.#socket;
    if (socket === undefined) {
      done(transportError('The UDP socket is closed'));
      return;
    }
    try {
      const address =
        this.#mapsAddresses && isIPv4(to.address) ? `::ffff:${to.address}` : to.address;
      socket.send(octets, to.port, address, (cause) =>
        done(cause === null ? undefined : sendError(to, cause)),
      );
    } catch (cause) {
      done(sendError(to, cause)); // such as port 0, which dgram refuses synchronously
    }
  }

  connect(_to: TransportAddress, _timeoutMs: number, done: SendDone): void {
    done(this.#socket === undefined ? transportError('The UDP socket is closed') : undefined);
  }

  /** Closes the socket. Idempotent. */
  close(): Promise<void> {
    const socket = this.#socket;
    this.#socket = undefined;
    if (socket === undefined) return Promise.resolve();
    return new Promise((resolve) => {
      // What was sent in this turn, a last answer, leaves the process only in the next.
      setImmediate(() => socket.close(() => resolve()));
    });
  }
}

function sendError(to: TransportAddress, cause: unknown): SipError {
  return transportError(`UDP to ${to.address} port ${to.port} failed`, cause);
}
