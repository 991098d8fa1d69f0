// A UDP and a TCP socket with the same port, and the SIP messages on them.

import { createSocket } from 'node:dgram';
import type { Socket as UdpSocket } from 'node:dgram';
import { createConnection, createServer } from 'node:net';
import type { Server, Socket } from 'node:net';
import { once } from 'node:events';
import { parseDatagram, StreamParser } from '@sipcast/sip';
import type { SipMessage } from '@sipcast/sip';

/** The source of a message, and the path back to it. */
export interface Origin {
  readonly protocol: 'udp' | 'tcp';
  readonly address: string;
  readonly port: number;
  /** TCP: the connection, which the phone's requests use as well. */
  readonly socket?: Socket;
}

/** What a {@link SipWire} reports. Must not throw. */
export interface SipWireHandler {
  onMessage(message: SipMessage, octets: Uint8Array | undefined, origin: Origin): void;
  /** Input that is not a message. */
  onGarbage(reason: string, origin: Origin): void;
}

const BIND_ATTEMPTS = 50;

/** The sockets of a phone. */
export class SipWire {
  readonly host: string;
  readonly port: number;
  readonly #udp: UdpSocket | undefined;
  readonly #tcp: Server | undefined;
  readonly #handler: SipWireHandler;
  readonly #connections = new Set<Socket>();
  #closed: Promise<void> | undefined;

  private constructor(
    host: string,
    port: number,
    { udp, tcp }: { readonly udp: UdpSocket | undefined; readonly tcp: Server | undefined },
    handler: SipWireHandler,
  ) {
    this.host = host;
    this.port = port;
    this.#udp = udp;
    this.#tcp = tcp;
    this.#handler = handler;
    udp?.on('message', (datagram, remote) => {
      const origin = { protocol: 'udp', address: remote.address, port: remote.port } as const;
      // RFC 5626 §4.4.1: a keep-alive.
      if (datagram.length <= 4 && /^[\r\n\0]*$/.test(datagram.toString('latin1'))) return;
      const outcome = parseDatagram(datagram);
      if (outcome.message === undefined) handler.onGarbage(outcome.fault.message, origin);
      else handler.onMessage(outcome.message, datagram, origin);
    });
    udp?.on('error', () => {});
    tcp?.on('connection', (socket) => this.#accept(socket));
  }

  /** Binds; TCP and UDP get the same port. Rejects with the system's error. */
  static async open(
    options: { host: string; port: number; udp: boolean; tcp: boolean },
    handler: SipWireHandler,
  ): Promise<SipWire> {
    const { host, port, udp, tcp } = options;
    for (let attempt = 1; ; attempt++) {
      const datagrams = udp ? await bindUdp(host, port) : undefined;
      const bound = datagrams?.address().port ?? port;
      if (!tcp) return new SipWire(host, bound, { udp: datagrams, tcp: undefined }, handler);
      const server = createServer();
      try {
        server.listen(bound, host);
        await once(server, 'listening');
        const address = server.address();
        const listening = typeof address === 'object' && address !== null ? address.port : bound;
        return new SipWire(host, listening, { udp: datagrams, tcp: server }, handler);
      } catch (error) {
        datagrams?.close();
        if (port !== 0 || attempt >= BIND_ATTEMPTS) throw error;
      }
    }
  }

  /** Number of open TCP connections. */
  get connections(): number {
    return this.#connections.size;
  }

  /** Sends to the given address; over TCP on the origin's connection, or a new one if that is closed. */
  send(octets: Uint8Array, to: Origin): void {
    if (this.#closed !== undefined) return;
    if (to.protocol === 'udp') {
      this.#udp?.send(octets, to.port, to.address);
      return;
    }
    let socket = to.socket;
    if (socket === undefined || socket.destroyed || !socket.writable) {
      socket = createConnection({ host: to.address, port: to.port });
      this.#accept(socket);
    }
    socket.write(octets);
  }

  /** Cuts every TCP connection, like a phone that loses power. */
  dropConnections(): void {
    for (const socket of this.#connections) socket.resetAndDestroy();
  }

  /** Closes everything. Idempotent. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    const udp = this.#udp;
    const tcp = this.#tcp;
    const closing: Promise<void>[] = [];
    if (udp) closing.push(new Promise((resolve) => udp.close(() => resolve())));
    if (tcp) closing.push(new Promise((resolve) => tcp.close(() => resolve())));
    for (const socket of this.#connections) {
      // The last message, e.g. a response to BYE, is still sent.
      closing.push(new Promise((resolve) => socket.once('close', () => resolve())));
      socket.destroySoon();
      socket.resume();
      setTimeout(() => socket.destroy(), 200).unref();
    }
    await Promise.all(closing);
  }

  #accept(socket: Socket): void {
    this.#connections.add(socket);
    const { remoteAddress = '', remotePort = 0 } = socket;
    const origin: Origin = { protocol: 'tcp', address: remoteAddress, port: remotePort, socket };
    const parser = new StreamParser({
      onOutcome: (outcome) => {
        if (outcome.message === undefined) {
          this.#handler.onGarbage(outcome.fault.message, origin);
        } else this.#handler.onMessage(outcome.message, undefined, origin);
      },
      onKeepAlive: () => void socket.write('\r\n'),
    });
    socket.on('data', (chunk) => {
      parser.push(chunk);
      if (parser.failed) socket.destroy();
    });
    socket.on('error', () => {});
    socket.on('close', () => this.#connections.delete(socket));
    socket.setNoDelay(true);
  }
}

function bindUdp(host: string, port: number): Promise<UdpSocket> {
  return new Promise((resolve, reject) => {
    const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4');
    const onError = (error: Error): void => {
      socket.close();
      reject(error);
    };
    socket.once('error', onError);
    socket.bind({ address: host, port, exclusive: true }, () => {
      socket.off('error', onError);
      resolve(socket);
    });
  });
}
