// SIP over UDP (RFC 3261 §18): one message per datagram.

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

/** The UDP transport. An unconnected socket does not see ICMP errors, so an unreachable peer shows up as a timeout. */
export class UdpTransport implements Transport {
  readonly protocol = 'UDP';
  readonly reliable = false;
  readonly connections = 0;
  readonly #options: TransportOptions;
  #socket: Socket | undefined;
  #localPort = 0;
  /** The socket is dual-stack and names IPv4 peers by mapped addresses (RFC 4291 §2.5.5.2). */
  #mapsAddresses = false;

  constructor(options: TransportOptions) {
    this.#options = options;
  }

  get localPort(): number {
    return this.#localPort;
  }

  /** @throws SipError `TRANSPORT` (rejection) if the address or port cannot be bound */
  open(handler: TransportHandler): Promise<void> {
    const socket = createSocket(isIPv6(this.#options.bindAddress) ? 'udp6' : 'udp4');
    return new Promise<void>((resolve, reject) => {
      socket.once('error', (cause) => {
        socket.close();
        reject(transportError(`UDP ${this.#options.bindAddress}:${this.#options.port}`, cause));
      });
      socket.bind({ address: this.#options.bindAddress, port: this.#options.port }, () => {
        socket.removeAllListeners('error');
        // Later errors belong to individual sends, which report them themselves.
        socket.on('error', () => {});
        socket.on('message', (datagram, remote) => this.#receive(handler, datagram, remote));
        try {
          socket.setRecvBufferSize(RECEIVE_BUFFER_BYTES);
        } catch {
          // Ignored: the system's default size has to do.
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
    // RFC 5626 §3.5.1: a datagram of CRLFs only keeps a NAT binding open.
    if (datagram.length <= 4 && datagram.every((octet) => octet === 13 || octet === 10)) return;
    handler.onOutcome(parseDatagram(datagram), {
      protocol: 'UDP',
      address: withoutMapping(remote.address),
      port: remote.port,
    });
  }

  /** Sends one datagram of any size. */
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
      // A datagram sent in this turn, e.g. a last response, leaves the process only in the next one.
      setImmediate(() => socket.close(() => resolve()));
    });
  }
}

function sendError(to: TransportAddress, cause: unknown): SipError {
  return transportError(`UDP to ${to.address} port ${to.port} failed`, cause);
}
