// SIP over TCP (RFC 3261 §18): framing by Content-Length, connections reused by destination, responses on the
// connection of their request.

import { connect, createServer, type Server, type Socket } from 'node:net';
import type { SipError } from './errors.ts';
import { type ParseOutcome, StreamParser } from './parser.ts';
import type { TimerHandle } from './timers.ts';
import {
  type LocalAddress,
  type SendDone,
  type Transport,
  type TransportAddress,
  type TransportFault,
  type TransportHandler,
  type TransportOptions,
  transportError,
} from './transport.ts';

/** Bounds on what peers can make a stream transport hold. */
export interface StreamLimits {
  /** Open connections, both directions. Default 1,000. */
  readonly maxConnections?: number;
  /** Accepted connections from one address. Default 100. */
  readonly maxConnectionsPerAddress?: number;
  /** Time for a begun message to be complete. Default 10,000 ms. */
  readonly messageTimeoutMs?: number;
  /** Time for an accepted connection to bring its first message. Default 30,000 ms. */
  readonly firstMessageTimeoutMs?: number;
  /** Silence after which a connection that was in use is closed. Default 3,600,000 ms (one hour). */
  readonly idleTimeoutMs?: number;
  /** Octets that may wait for a peer that does not read. Default 1 MiB. */
  readonly maxUnsentBytes?: number;
}

const CRLF = Buffer.from('\r\n');

interface Connection {
  readonly id: number;
  readonly socket: Socket;
  readonly remote: TransportAddress;
  /** Key in the map of destinations, for connections that we opened. */
  readonly destination: string | undefined;
  readonly waiting: SendDone[];
  open: boolean;
  connectTimer: TimerHandle | undefined;
  messageTimer: TimerHandle | undefined;
  idleTimer: TimerHandle | undefined;
  lastActivityMs: number;
  idleLimitMs: number;
  /** We opened it, or it brought a message: from then on any octet counts as life. */
  proven: boolean;
  readonly parser: StreamParser;
}

/** The TCP transport: listens and connects. */
export class TcpTransport implements Transport {
  readonly protocol = 'TCP';
  readonly reliable = true;
  readonly #options: TransportOptions;
  readonly #limits: Required<StreamLimits>;
  readonly #byId = new Map<number, Connection>();
  readonly #byDestination = new Map<string, Connection>();
  readonly #acceptedByAddress = new Map<string, number>();
  #server: Server | undefined;
  #handler: TransportHandler | undefined;
  #localPort = 0;
  #nextId = 1;

  constructor(options: TransportOptions, limits: StreamLimits = {}) {
    this.#options = options;
    this.#limits = {
      maxConnections: limits.maxConnections ?? 1000,
      maxConnectionsPerAddress: limits.maxConnectionsPerAddress ?? 100,
      messageTimeoutMs: limits.messageTimeoutMs ?? 10_000,
      firstMessageTimeoutMs: limits.firstMessageTimeoutMs ?? 30_000,
      idleTimeoutMs: limits.idleTimeoutMs ?? 3_600_000,
      maxUnsentBytes: limits.maxUnsentBytes ?? 1 << 20,
    };
  }

  get localPort(): number {
    return this.#localPort;
  }

  get connections(): number {
    return this.#byId.size;
  }

  /** @throws SipError `TRANSPORT` (as a rejection) when the address or port cannot be bound. */
  open(handler: TransportHandler): Promise<void> {
    const server = createServer({ noDelay: true }, (socket) => this.#accept(socket));
    return new Promise<void>((resolve, reject) => {
      server.once('error', (cause) => {
        reject(transportError(`TCP ${this.#options.bindAddress}:${this.#options.port}`, cause));
      });
      server.listen({ host: this.#options.bindAddress, port: this.#options.port }, () => {
        server.removeAllListeners('error');
        // Failures to accept (no descriptors left) cost that connection only.
        server.on('error', () => {});
        const address = server.address();
        this.#localPort = address !== null && typeof address === 'object' ? address.port : 0;
        this.#server = server;
        this.#handler = handler;
        resolve();
      });
    });
  }

  /** On the connection to this address; opens one where there is none. */
  send(octets: Uint8Array, to: TransportAddress, done: SendDone): void {
    if (to.connectionId !== undefined) {
      const connection = this.#byId.get(to.connectionId);
      if (connection === undefined) done(transportError('The connection is closed'));
      else this.#write(connection, octets, done);
      return;
    }
    this.#reach(to, this.#options.connectTimeoutMs, (error, connectionId) => {
      const connection = connectionId === undefined ? undefined : this.#byId.get(connectionId);
      if (connection !== undefined) this.#write(connection, octets, done);
      else done(error ?? transportError('The connection is closed'));
    });
  }

  connect(to: TransportAddress, timeoutMs: number, done: SendDone): void {
    this.#reach(to, timeoutMs, done);
  }

  localOf(remote: TransportAddress): LocalAddress | undefined {
    const connection = this.#byId.get(remote.connectionId ?? -1);
    const { localAddress: address, localPort: port } = connection?.socket ?? {};
    return address === undefined || port === undefined ? undefined : { address, port };
  }

  /** Closes the server and every connection. Idempotent. */
  async close(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    this.#handler = undefined;
    for (const connection of this.#byId.values()) {
      this.#drop(connection, transportError('The transport is closed'));
    }
    if (server === undefined) return;
    await new Promise<void>((resolve) => {
      server.close(() => resolve());
    });
  }

  /** Calls `done` with the id of an open connection to the address. */
  #reach(to: TransportAddress, timeoutMs: number, done: SendDone): void {
    if (this.#handler === undefined) {
      done(transportError('The TCP transport is closed'));
      return;
    }
    const destination = destinationKey(to.address, to.port);
    let connection = this.#byDestination.get(destination);
    // The peer has ended it and it is on its way out: it carries nothing new.
    if (connection?.open && !connection.socket.writable) connection = undefined;
    if (connection?.open) {
      done(undefined, connection.id);
      return;
    }
    if (connection === undefined) {
      if (this.#byId.size >= this.#limits.maxConnections) {
        done(transportError('Too many connections'));
        return;
      }
      let socket: Socket;
      try {
        socket = connect({ host: to.address, port: to.port, noDelay: true });
      } catch (cause) {
        done(transportError(`TCP to ${destination} failed`, cause)); // such as a port out of range
        return;
      }
      connection = this.#adopt(socket, to.address, to.port, destination);
      const opened = connection;
      socket.once('connect', () => this.#connected(opened));
      connection.connectTimer = this.#options.clock.startTimer(this.#options.connectTimeoutMs, () =>
        this.#drop(opened, transportError(`TCP to ${destination}: no answer`)),
      );
    }
    this.#await(connection, timeoutMs, done);
  }

  /** Waits for a connection in progress, but no longer than `timeoutMs`. */
  #await(connection: Connection, timeoutMs: number, done: SendDone): void {
    if (timeoutMs >= this.#options.connectTimeoutMs) {
      connection.waiting.push(done);
      return;
    }
    const answer: SendDone = (error, connectionId) => {
      timer.cancel();
      done(error, connectionId);
    };
    const timer = this.#options.clock.startTimer(timeoutMs, () => {
      const at = connection.waiting.indexOf(answer);
      if (at >= 0) connection.waiting.splice(at, 1);
      const key = connection.destination ?? '';
      const error = transportError(`TCP to ${key}: not connected in ${timeoutMs} ms`);
      // Nobody else wants this connection: do not leave a half-open one behind.
      if (connection.waiting.length === 0) this.#drop(connection, error);
      done(error);
    });
    connection.waiting.push(answer);
  }

  #connected(connection: Connection): void {
    connection.connectTimer?.cancel();
    connection.connectTimer = undefined;
    connection.open = true;
    this.#watchIdle(connection, this.#limits.idleTimeoutMs);
    for (const done of connection.waiting.splice(0)) done(undefined, connection.id);
  }

  #accept(socket: Socket): void {
    const address = socket.remoteAddress;
    const port = socket.remotePort;
    if (address === undefined || port === undefined || this.#handler === undefined) {
      socket.on('error', () => {});
      socket.destroy();
      return;
    }
    const fromHere = this.#acceptedByAddress.get(address) ?? 0;
    if (
      this.#byId.size >= this.#limits.maxConnections ||
      fromHere >= this.#limits.maxConnectionsPerAddress
    ) {
      socket.on('error', () => {});
      socket.destroy();
      this.#handler.onFault('connection-limit', destinationKey(address, port));
      return;
    }
    this.#acceptedByAddress.set(address, fromHere + 1);
    const connection = this.#adopt(socket, address, port, undefined);
    connection.open = true;
    this.#watchIdle(connection, this.#limits.firstMessageTimeoutMs);
  }

  #adopt(
    socket: Socket,
    address: string,
    port: number,
    destination: string | undefined,
  ): Connection {
    const id = this.#nextId++;
    const connection: Connection = {
      id,
      socket,
      remote: { protocol: 'TCP', address, port, connectionId: id },
      destination,
      waiting: [],
      open: false,
      connectTimer: undefined,
      messageTimer: undefined,
      idleTimer: undefined,
      lastActivityMs: this.#options.clock.now(),
      idleLimitMs: 0,
      proven: destination !== undefined,
      parser: new StreamParser({
        onOutcome: (outcome) => this.#outcome(connection, outcome),
        onKeepAlive: () => this.#write(connection, CRLF, () => {}), // RFC 5626 §4.4.1
      }),
    };
    this.#byId.set(id, connection);
    if (destination !== undefined) this.#byDestination.set(destination, connection);
    socket.setKeepAlive(true, 60_000);
    socket.on('data', (chunk) => this.#receive(connection, chunk));
    socket.on('error', (cause) =>
      this.#drop(connection, transportError(`TCP to ${address} port ${port} failed`, cause)),
    );
    socket.on('close', () => this.#drop(connection, undefined));
    return connection;
  }

  #receive(connection: Connection, chunk: Uint8Array): void {
    if (connection.proven) connection.lastActivityMs = this.#options.clock.now();
    connection.parser.push(chunk);
    if (!this.#byId.has(connection.id)) return;
    if (!connection.parser.midMessage) {
      connection.messageTimer?.cancel();
      connection.messageTimer = undefined;
    } else {
      connection.messageTimer ??= this.#options.clock.startTimer(
        this.#limits.messageTimeoutMs,
        () => this.#expel(connection, 'message-time-limit'),
      );
    }
  }

  #outcome(connection: Connection, outcome: ParseOutcome): void {
    connection.messageTimer?.cancel();
    connection.messageTimer = undefined;
    this.#handler?.onOutcome(outcome, connection.remote);
    if (outcome.message !== undefined) {
      connection.proven = true;
      connection.lastActivityMs = this.#options.clock.now();
      connection.idleLimitMs = this.#limits.idleTimeoutMs;
      return;
    }
    // The parser ignores what follows a framing fault. Let an answer of ours leave, then close.
    if (connection.parser.failed) {
      connection.socket.end(() => this.#drop(connection, undefined));
      this.#watchIdle(connection, 1000);
    }
  }

  /** Looks at the connection again when it could have been idle for the limit; no timer is restarted per message. */
  #watchIdle(connection: Connection, limitMs: number): void {
    connection.idleLimitMs = limitMs;
    connection.idleTimer?.cancel();
    const look = (): void => {
      const idleMs = this.#options.clock.now() - connection.lastActivityMs;
      if (idleMs >= connection.idleLimitMs) {
        this.#expel(connection, 'idle-time-limit');
        return;
      }
      connection.idleTimer = this.#options.clock.startTimer(
        Math.max(1, Math.ceil(connection.idleLimitMs - idleMs)),
        look,
      );
    };
    connection.idleTimer = this.#options.clock.startTimer(limitMs, look);
  }

  #write(connection: Connection, octets: Uint8Array, done: SendDone): void {
    const { socket } = connection;
    if (!socket.writable) {
      done(transportError('The connection is closed'));
      return;
    }
    if (socket.writableLength + octets.length > this.#limits.maxUnsentBytes) {
      this.#expel(connection, 'write-limit');
      done(transportError('The peer does not read'));
      return;
    }
    if (connection.proven) connection.lastActivityMs = this.#options.clock.now();
    socket.write(octets);
    // Later failures of the socket are reported as its loss.
    done(undefined, connection.id);
  }

  #expel(connection: Connection, fault: TransportFault): void {
    const { address, port } = connection.remote;
    this.#handler?.onFault(fault, destinationKey(address, port));
    this.#drop(connection, transportError(`Connection closed: ${fault}`));
  }

  #drop(connection: Connection, error: SipError | undefined): void {
    if (!this.#byId.delete(connection.id)) return;
    connection.open = false;
    connection.connectTimer?.cancel();
    connection.messageTimer?.cancel();
    connection.idleTimer?.cancel();
    const { address } = connection.remote;
    if (connection.destination === undefined) {
      const left = (this.#acceptedByAddress.get(address) ?? 1) - 1;
      if (left > 0) this.#acceptedByAddress.set(address, left);
      else this.#acceptedByAddress.delete(address);
    } else if (this.#byDestination.get(connection.destination) === connection) {
      this.#byDestination.delete(connection.destination);
    }
    connection.socket.destroy();
    for (const done of connection.waiting.splice(0)) {
      done(error ?? transportError('The connection was closed'));
    }
    this.#handler?.onDisconnected(connection.remote, error);
  }
}

function destinationKey(address: string, port: number): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}
