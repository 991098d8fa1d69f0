// The HTTP and HTTPS ports of a server.

import { once } from 'node:events';
import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerOptions, ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { Server as TlsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { networkOf } from '../access/address-table.ts';
import type { Certificate } from './certificate.ts';
import { Connections } from './connections.ts';
import type { ConnectionBounds, ConnectionStats } from './connections.ts';
import { unavailable } from '../errors.ts';

/** Handles requests and upgrades. */
export interface ListenerHandler {
  request(request: IncomingMessage, response: ServerResponse): void;
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void;
}

/** Default limit per port. */
export const DEFAULT_CONNECTIONS = 256;
/** Above the 60 s that nginx and load balancers keep idle connections to a server. */
export const DEFAULT_KEEP_ALIVE_MS = 65_000;

/** A client that sends its request octet by octet must not occupy a connection forever. */
const LIMITS = {
  headersTimeout: 10_000,
  requestTimeout: 15_000,
  connectionsCheckingInterval: 1000,
} as const satisfies ServerOptions;
const HANDSHAKE_TIMEOUT_MS = 10_000;

/** Bounds of each port. */
export interface ListenerBounds extends ConnectionBounds {
  /** How long an idle connection stays open for a next request. Proxies keep theirs for 60 s: shorter loses requests. */
  readonly keepAliveMs: number;
}

/** The ports of one server, all with the same handler. */
export class Listeners {
  readonly #handler: ListenerHandler;
  readonly #bounds: ConnectionBounds;
  readonly #keepAliveMs: number;
  readonly #connections: Connections[] = [];
  readonly #plain: Server[] = [];
  readonly #secure: TlsServer[] = [];
  /** WebSockets, which Node counts but does not close. */
  readonly #upgraded = new Set<Duplex>();

  /** @param bounds - Limits for the connections of each port. */
  constructor(handler: ListenerHandler, { keepAliveMs, ...bounds }: ListenerBounds) {
    this.#handler = handler;
    this.#bounds = bounds;
    this.#keepAliveMs = keepAliveMs;
  }

  /** Totals for all ports since the start. */
  get stats(): ConnectionStats {
    const sum = { replaced: 0, refused: 0, flooded: 0 };
    for (const { stats } of this.#connections) {
      sum.replaced += stats.replaced;
      sum.refused += stats.refused;
      sum.flooded += stats.flooded;
    }
    return sum;
  }

  /**
   * @param certificate - Serve HTTPS with it; undefined: HTTP.
   * @param field - The option that sets the port.
   * @returns the port
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
          keepAliveTimeout: this.#keepAliveMs,
          handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
          minVersion: 'TLSv1.2',
          cert: certificate.cert,
          key: certificate.key,
        })
      : createServer({ ...LIMITS, keepAliveTimeout: this.#keepAliveMs });
    const [readRequests] = server.listeners(certificate ? 'secureConnection' : 'connection');
    const connections = new Connections(this.#bounds);
    this.#connections.push(connections);
    server.on('connection', (socket: Socket) => letIn(socket, connections));
    server.on('request', (request, response) => {
      // The rest of a chunk whose earlier requests were already too many.
      if (request.socket.destroyed) return;
      const key = keyOf(request.socket);
      if (!connections.admits(key)) return;
      const end = connections.serve(key, () => request.complete && !response.writableEnded);
      response.once('close', () => end(performance.now()));
      this.#handler.request(request, response);
    });
    server.on('upgrade', (request, socket, head) => {
      const key = keyOf(request.socket);
      if (!isForWebSocket(request)) {
        // Behind an answer in progress it would wait forever, because Node has detached the earlier requests.
        if (!connections.isIdle(key)) return void socket.destroy();
        socket.unshift(Buffer.concat([headWithoutUpgrade(request), head]));
        readRequests?.call(server, socket);
        return undefined;
      }
      connections.upgrade(key);
      this.#upgraded.add(socket);
      socket.once('close', () => this.#upgraded.delete(socket));
      this.#handler.upgrade(request, socket, head);
      return undefined;
    });
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

  /** Uses another certificate for new connections. */
  renew({ cert, key }: Certificate): void {
    for (const server of this.#secure)
      server.setSecureContext({ cert, key, minVersion: 'TLSv1.2' });
  }

  /** Stops accepting connections. @returns a function that closes the remaining ones */
  close(): () => Promise<void> {
    const servers = [...this.#plain, ...this.#secure];
    const closed = servers.map((server) => {
      const end = once(server, 'close');
      server.close();
      return end;
    });
    return async () => {
      for (const server of servers) server.closeAllConnections();
      for (const socket of this.#upgraded) socket.destroy();
      await Promise.all(closed);
    };
  }
}

function letIn(socket: Socket, connections: Connections): void {
  const network = networkOf((socket.remoteAddress ?? '').replace(/^::ffff:/, ''));
  const connection = { key: keyOf(socket), network, close: () => void socket.destroy() };
  if (connections.open(connection, performance.now()))
    socket.once('close', () => connections.closed(connection));
}

function isForWebSocket({ headers }: IncomingMessage): boolean {
  return tokensOf(headers.upgrade).includes('websocket');
}

/**
 * The head of a request without its upgrade, to be parsed again. RFC 9110 §7.8: a server ignores an upgrade to a
 * protocol that it does not support. Java's HttpClient requests h2c on each request until its first response, and so
 * does `curl --http2`.
 */
function headWithoutUpgrade({ method, url, httpVersion, rawHeaders }: IncomingMessage): Buffer {
  const lines = [`${method} ${url} HTTP/${httpVersion}`];
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const [name = '', value = ''] = rawHeaders.slice(at, at + 2);
    const kind = name.toLowerCase();
    if (kind === 'upgrade' || kind === 'http2-settings') continue;
    if (kind !== 'connection') lines.push(`${name}: ${value}`);
    else if (tokensOf(value).includes('close')) lines.push('Connection: close');
    else if (tokensOf(value).includes('keep-alive')) lines.push('Connection: keep-alive');
  }
  return Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1');
}

/** The tokens of a list header. */
function tokensOf(value = ''): readonly string[] {
  return value.split(',').map((token) => token.trim().toLowerCase());
}

/** Key of a connection, also of TLS on it. A client may use its port once for each of our addresses. */
function keyOf({ remoteAddress, remotePort, localAddress }: Socket): string {
  return `${remoteAddress} ${remotePort} ${localAddress}`;
}
