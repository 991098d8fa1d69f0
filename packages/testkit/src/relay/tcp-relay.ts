// A bad network between TCP clients and a server: stalls, throttling, cuts, and half-open connections.

import { once } from 'node:events';
import { createConnection, createServer } from 'node:net';
import type { Server, Socket } from 'node:net';

/** Options of a {@link TcpRelay}. */
export interface TcpRelayOptions {
  /** Default `127.0.0.1`. */
  readonly targetHost?: string;
  readonly targetPort: number;
  /** Address for clients. Default `127.0.0.1`. */
  readonly host?: string;
  /** Default: a free port. */
  readonly port?: number;
}

/** Octets and connections since the relay was opened. */
export interface TcpRelayStats {
  /** From clients to the target. */
  bytesToTarget: number;
  /** From the target to clients. */
  bytesToClient: number;
  /** Connections accepted. */
  connections: number;
  /** Connections that the target refused. */
  refused: number;
}

/** Service interval of throttled lines. */
const THROTTLE_STEP_MS = 20;

/** A client's connection and its counterpart to the target. */
interface Pair {
  readonly client: Socket;
  readonly target: Socket;
}

/** Forwards TCP connections and misbehaves on request, for open and new connections. */
export class TcpRelay {
  readonly stats: TcpRelayStats = {
    bytesToTarget: 0,
    bytesToClient: 0,
    connections: 0,
    refused: 0,
  };
  readonly #options: TcpRelayOptions;
  readonly #pairs = new Set<Pair>();
  #server: Server | undefined;
  #port = 0;
  #stalled = false;
  #halfOpen = false;
  #bytesPerSecond = Number.POSITIVE_INFINITY;
  /** Octets that may still pass to the target in this step. */
  #credit = Number.POSITIVE_INFINITY;
  #throttle: NodeJS.Timeout | undefined;

  private constructor(options: TcpRelayOptions) {
    this.#options = options;
  }

  /** Listens. Rejects with the system's error. */
  static async open(options: TcpRelayOptions): Promise<TcpRelay> {
    const relay = new TcpRelay(options);
    await relay.#listen(options.port ?? 0);
    return relay;
  }

  /** Port for clients; unchanged by `die` and `comeBack`. */
  get port(): number {
    return this.#port;
  }

  /** Number of open connections. */
  get connections(): number {
    return this.#pairs.size;
  }

  /** Stops reading from clients, so that their sockets fill up. The other direction continues. */
  stall(): void {
    this.#stalled = true;
    for (const { client } of this.#pairs) client.pause();
  }

  /** Undoes {@link stall}. */
  unstall(): void {
    this.#stalled = false;
    this.#resume();
  }

  /** Limits the octets per second to the target, over all connections. `Infinity`: no limit. */
  throttle(bytesPerSecond: number): void {
    if (!(bytesPerSecond > 0)) throw new RangeError('bytesPerSecond must be above 0');
    clearInterval(this.#throttle);
    this.#throttle = undefined;
    this.#bytesPerSecond = bytesPerSecond;
    if (bytesPerSecond === Number.POSITIVE_INFINITY) {
      this.#credit = bytesPerSecond;
      this.#resume();
      return;
    }
    const perStep = (bytesPerSecond * THROTTLE_STEP_MS) / 1000;
    this.#credit = perStep;
    this.#throttle = setInterval(() => {
      this.#credit = Math.min(this.#credit + perStep, perStep);
      if (this.#credit > 0) this.#resume();
    }, THROTTLE_STEP_MS);
  }

  /** Swallows everything from both sides from now on, and forwards no close: like a pulled cable. */
  halfOpen(): void {
    this.#halfOpen = true;
  }

  /** Forwards again; connections that missed octets are cut. */
  restore(): void {
    if (this.#halfOpen) this.cut();
    this.#halfOpen = false;
  }

  /** Resets every open connection. New ones are accepted. */
  cut(): void {
    for (const { client, target } of this.#pairs) {
      client.resetAndDestroy();
      target.resetAndDestroy();
    }
    this.#pairs.clear();
  }

  /** Cuts everything and refuses new connections. */
  async die(): Promise<void> {
    this.cut();
    const server = this.#server;
    this.#server = undefined;
    if (server === undefined) return;
    await new Promise<void>((resolve) => {
      server.close(() => resolve());
    });
  }

  /** Listens on the same port again after {@link die}. */
  async comeBack(): Promise<void> {
    if (this.#server === undefined) await this.#listen(this.#port);
  }

  /** Closes everything. Idempotent. */
  async close(): Promise<void> {
    clearInterval(this.#throttle);
    this.#throttle = undefined;
    await this.die();
  }

  async #listen(port: number): Promise<void> {
    const server = createServer({ allowHalfOpen: true }, (client) => this.#accept(client));
    server.listen(port, this.#options.host ?? '127.0.0.1');
    await once(server, 'listening');
    this.#server = server;
    const address = server.address();
    this.#port = typeof address === 'object' && address !== null ? address.port : port;
  }

  #accept(client: Socket): void {
    const { targetHost: host = '127.0.0.1', targetPort: port } = this.#options;
    const target = createConnection({ host, port, allowHalfOpen: true });
    const pair = { client, target };
    this.#pairs.add(pair);
    this.stats.connections++;
    target.once('error', () => {
      if (target.connecting || target.bytesRead + target.bytesWritten === 0) this.stats.refused++;
    });
    for (const [socket, other] of [
      [client, target],
      [target, client],
    ] as const) {
      socket.setNoDelay(true);
      socket.on('error', () => {});
      socket.on('end', () => {
        if (!this.#halfOpen) other.end();
      });
      socket.on('close', (hadError) => {
        if (this.#halfOpen) return;
        if (hadError) other.resetAndDestroy();
        else other.destroySoon();
        if (other.destroyed) this.#pairs.delete(pair);
      });
    }
    client.on('data', (chunk) => this.#toTarget(client, target, chunk));
    target.on('data', (chunk) => {
      if (this.#halfOpen) return;
      this.stats.bytesToClient += chunk.length;
      client.write(chunk);
    });
    target.on('drain', () => this.#resume());
    if (this.#stalled) client.pause();
  }

  #toTarget(client: Socket, target: Socket, chunk: Uint8Array): void {
    if (this.#halfOpen) return;
    this.stats.bytesToTarget += chunk.length;
    if (this.#bytesPerSecond !== Number.POSITIVE_INFINITY) {
      // A chunk passes whole; later steps compensate.
      this.#credit -= chunk.length;
      if (this.#credit <= 0) client.pause();
    }
    if (!target.write(chunk)) client.pause();
  }

  #resume(): void {
    if (this.#stalled || this.#credit <= 0) return;
    for (const { client, target } of this.#pairs) if (!target.writableNeedDrain) client.resume();
  }
}
