// The HTTP and HTTPS ports of a server.

import { once } from 'node:events';
import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerOptions, ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { Server as TlsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { networkOf } from './address-table.ts';
import type { Certificate } from './certificate.ts';
import { unavailable } from './errors.ts';

/** Who answers. */
export interface ListenerHandler {
  request(request: IncomingMessage, response: ServerResponse): void;
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void;
}

/** Whoever sends a request octet by octet must not hold a place for ever. */
const LIMITS = {
  headersTimeout: 10_000,
  requestTimeout: 15_000,
  connectionsCheckingInterval: 1000,
} as const satisfies ServerOptions;
const HANDSHAKE_TIMEOUT_MS = 10_000;

/** The ports of one server, all with the same handler. */
export class Listeners {
  readonly #handler: ListenerHandler;
  readonly #maxConnections: number;
  readonly #maxPerAddress: number;
  readonly #plain: Server[] = [];
  readonly #secure: TlsServer[] = [];

  constructor(handler: ListenerHandler, maxConnections: number, maxPerAddress: number) {
    this.#handler = handler;
    this.#maxConnections = maxConnections;
    this.#maxPerAddress = maxPerAddress;
  }

  /**
   * @param certificate - HTTPS with it; undefined: HTTP.
   * @param field - Which option says the port.
   * @returns The port.
   * @throws ServerError (rejection) `PORT_UNAVAILABLE`
   */
  async open(
    host: string,
    port: number,
    certificate: Certificate | undefined,
    field: string,
  ): Promise<number> {
    const server = certificate
      ? createTlsServer({
          ...LIMITS,
          handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
          minVersion: 'TLSv1.2',
          cert: certificate.cert,
          key: certificate.key,
        })
      : createServer(LIMITS);
    server.maxConnections = this.#maxConnections;
    limitEachAddress(server, this.#maxPerAddress);
    server.on('request', (request, response) => this.#handler.request(request, response));
    server.on('upgrade', (request, socket, head) => this.#handler.upgrade(request, socket, head));
    server.listen(port, host);
    try {
      await once(server, 'listening');
    } catch (error) {
      const what = `${certificate ? 'HTTPS' : 'HTTP'} port ${host}:${port}`;
      throw unavailable(field, what, error);
    }
    if (certificate) this.#secure.push(server as TlsServer);
    else this.#plain.push(server);
    return (server.address() as AddressInfo).port;
  }

  /** New connections get another certificate. */
  renew({ cert, key }: Certificate): void {
    for (const server of this.#secure)
      server.setSecureContext({ cert, key, minVersion: 'TLSv1.2' });
  }

  /** Accepts no more. @returns Ends what is still open. */
  close(): () => Promise<void> {
    const servers = [...this.#plain, ...this.#secure];
    const closed = servers.map((server) => {
      const end = once(server, 'close');
      server.close();
      return end;
    });
    return async () => {
      for (const server of servers) server.closeAllConnections();
      await Promise.all(closed);
    };
  }
}

/** Ends connections at once of addresses that have their share already. */
function limitEachAddress(server: Server | TlsServer, most: number): void {
  const counts = new Map<string, number>();
  server.on('connection', (socket: Socket) => {
    const network = networkOf((socket.remoteAddress ?? '').replace(/^::ffff:/, ''));
    const count = counts.get(network) ?? 0;
    if (count >= most) {
      socket.destroy();
      return;
    }
    counts.set(network, count + 1);
    socket.once('close', () => {
      const left = (counts.get(network) ?? 1) - 1;
      if (left === 0) counts.delete(network);
      else counts.set(network, left);
    });
  });
}
