// Watching named streams: tokens, live FLV over HTTP, and the same over a WebSocket.

import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Streams, Viewer } from '@sipcast/core';
import { WebSocketServer } from 'ws';
import type { WebSocket } from 'ws';
import { describeError, errorBody } from './errors.ts';
import type { StreamRoute } from './stream-route.ts';

/** A signed permission to watch one stream for a time. */
export interface ViewerToken {
  readonly streamName: string;
  /** For the query: `?token=…`. */
  readonly token: string;
  /** ISO 8601. */
  readonly expiresAt: string;
  /** Path and query of the stream, below the host. */
  readonly path: string;
}

/** The part of a gateway that viewers need. */
export interface StreamGateway {
  readonly streams: Pick<Streams, 'watch'>;
}

/** Octets that a response accepts before they count as queued. */
const HIGH_WATER_BYTES = 64 * 1024;
/** Limit for a refused WebSocket to read the refusal. */
const REFUSAL_TIMEOUT_MS = 2000;
const NAME_OF_FLV = /^([^/]+)\.flv$/;

/** A request for a WebSocket, as Node.js hands it over. */
interface Upgrade {
  readonly request: IncomingMessage;
  readonly socket: Duplex;
  /** First octets behind the request. */
  readonly head: Buffer;
}

/** Makes and checks tokens, and opens streams. */
export class StreamViewers {
  readonly #gateway: StreamGateway;
  readonly #mount: string;
  readonly #secret: Buffer | string;
  #sockets: WebSocketServer | undefined;

  /** @param secret - Signs the tokens. Default: random, so that tokens end with the process. */
  constructor(gateway: StreamGateway, mount: string, secret?: string) {
    this.#gateway = gateway;
    this.#mount = mount;
    this.#secret = secret ?? randomBytes(32);
  }

  /** @param ttlSeconds - Lifetime from now on. */
  tokenFor(streamName: string, ttlSeconds: number, nowMs: number): ViewerToken {
    const expiresS = Math.floor(nowMs / 1000) + ttlSeconds;
    const token = `${expiresS}.${this.#sign(streamName, expiresS)}`;
    return {
      streamName,
      token,
      expiresAt: new Date(expiresS * 1000).toISOString(),
      path: `${this.#mount}/stream/${encodeURIComponent(streamName)}.flv?token=${token}`,
    };
  }

  /** Whether we issued the token for this stream and it has not expired. */
  accepts(streamName: string, token: string | null | undefined, nowMs: number): boolean {
    const [, expires = '', signature = ''] = /^(\d{1,12})\.([\w-]{43})$/.exec(token ?? '') ?? [];
    if (signature === '') return false;
    const expected = Buffer.from(this.#sign(streamName, Number(expires)));
    return timingSafeEqual(expected, Buffer.from(signature)) && Number(expires) * 1000 > nowMs;
  }

  /** The name in a path below the mount, or undefined. */
  nameIn(pathname: string): string | undefined {
    const folder = `${this.#mount}/stream/`;
    if (!pathname.startsWith(folder)) return undefined;
    const encoded = NAME_OF_FLV.exec(pathname.slice(folder.length))?.[1];
    try {
      return encoded === undefined ? undefined : decodeURIComponent(encoded);
    } catch {
      return undefined;
    }
  }

  /** Live FLV over HTTP. */
  get route(): StreamRoute {
    return { path: NAME_OF_FLV, respond: (streamName) => this.respond(streamName) };
  }

  /** The stream as live FLV, until it ends or the client leaves. @throws GatewayError as `streams.watch`. */
  respond(streamName: string): Response {
    let viewer: Viewer | undefined;
    const body = new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          const target = {
            write: (octets: Uint8Array) => controller.enqueue(octets),
            get waitingBytes() {
              return Math.max(0, HIGH_WATER_BYTES - (controller.desiredSize ?? HIGH_WATER_BYTES));
            },
          };
          viewer = this.#gateway.streams.watch(streamName, target, () => controller.close());
        },
        cancel: () => viewer?.close(),
      },
      { highWaterMark: HIGH_WATER_BYTES, size: (octets) => octets.byteLength },
    );
    const headers = {
      'content-type': 'video/x-flv',
      'cache-control': 'no-store',
      // Proxies must not buffer it.
      'x-accel-buffering': 'no',
    };
    return new Response(body, { headers });
  }

  /**
   * Answers the upgrade of a WebSocket: the same octets in binary messages.
   * @param permission - Rejects if the request is not allowed.
   */
  async upgrade(
    { request, socket, head }: Upgrade,
    streamName: string,
    permission: Promise<void>,
  ): Promise<void> {
    let isGone = false;
    const onGone = (): void => void (isGone = true);
    // An error without a listener would end the process.
    socket.on('error', onGone);
    socket.once('close', onGone);
    try {
      await permission;
    } catch (error) {
      return refuse(socket, error, request.url ?? '');
    }
    if (isGone) return undefined;
    socket.off('error', onGone);
    // Data from clients is ignored, and must not be much.
    this.#sockets ??= new WebSocketServer({ noServer: true, maxPayload: 1024 });
    let viewer: Viewer | undefined;
    let webSocket: WebSocket | undefined;
    const early: Uint8Array[] = [];
    const target = {
      write: (octets: Uint8Array): void => {
        if (webSocket) webSocket.send(octets, { binary: true });
        else early.push(octets);
      },
      get waitingBytes(): number {
        return webSocket?.bufferedAmount ?? 0;
      },
    };
    try {
      // Before the handshake, so that a refusal is an HTTP answer.
      viewer = this.#gateway.streams.watch(streamName, target, () => webSocket?.close(1000));
    } catch (error) {
      return refuse(socket, error, request.url ?? '');
    }
    const leave = (): void => viewer?.close();
    socket.once('close', leave);
    this.#sockets.handleUpgrade(request, socket, head, (opened) => {
      webSocket = opened;
      opened.on('error', () => opened.terminate());
      opened.on('close', leave);
      for (const octets of early.splice(0)) opened.send(octets, { binary: true });
    });
  }

  #sign(streamName: string, expiresS: number): string {
    return createHmac('sha256', this.#secret)
      .update(`${expiresS}\n${streamName}`)
      .digest('base64url');
  }
}

function refuse(socket: Duplex, error: unknown, url: string): void {
  const failure = describeError(error);
  const path = url.split('?', 1)[0] ?? '';
  const body = JSON.stringify(errorBody(failure, path, Date.now()));
  const headers = {
    'content-type': 'application/json',
    connection: 'close',
    'content-length': String(Buffer.byteLength(body)),
    ...failure.headers,
  };
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  const head = `HTTP/1.1 ${failure.status} Refused\r\n${lines.join('')}\r\n`;
  socket.on('error', () => {});
  // Node leaves the connection to us: a client that keeps it open, or does not read, would occupy it forever.
  const destroy = (): void => void socket.destroy();
  const timer = setTimeout(destroy, REFUSAL_TIMEOUT_MS).unref();
  socket.once('close', () => clearTimeout(timer));
  socket.end(head + body, destroy);
}
