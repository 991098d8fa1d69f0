// SIP over streams (RFC 3261 §18): framing by Content-Length, connections reused by destination, responses on the
// connection of their request. See tcp-transport.ts and tls-transport.ts for the differences.

import type { Server, Socket } from 'node:net';
import type { SipError } from '../errors.ts';
import type { ParseOutcome } from '../message/message-head.ts';
import { StreamParser } from '../message/stream-parser.ts';
import type { TimerHandle } from '../timers.ts';
import type {
  LocalAddress,
  SendDone,
  Transport,
  TransportAddress,
  TransportFault,
  TransportHandler,
  TransportOptions,
} from './transport.ts';
import { transportError } from '../errors.ts';
import { withoutMapping } from './transport.ts';

/** Limits on the resources that peers can make a stream transport hold. */
export interface StreamLimits {
  /** Open connections, both directions. Default 1,000. */
  readonly maxConnections?: number;
  /** Accepted connections from one address. Default 100. */
  readonly maxConnectionsPerAddress?: number;
  /** Time limit for a message to complete after its first octet. Default 10,000 ms. */
  readonly messageTimeoutMs?: number;
  /** Time limit for the first message on an accepted connection. Default 30,000 ms. */
  readonly firstMessageTimeoutMs?: number;
  /** Idle time after which a connection in use is closed. Default 3,600,000 ms (one hour). */
  readonly idleTimeoutMs?: number;
  /** Octets queued for a peer that does not read. Default 1 MiB. */
  readonly maxUnsentBytes?: number;
}

/** How to open and accept connections of one kind. */
export interface StreamWire {
  /** Upper case as in a Via. */
  readonly protocol: string;
  /** The socket event after which the connection can carry messages. */
  readonly readyEvent: 'connect' | 'secureConnect';
  /** Limit from `connect` to `readyEvent`, in milliseconds. */
  readonly handshakeTimeoutMs: number;
  /** Starts to connect. May throw, e.g. for a port out of range. */
  connect(to: TransportAddress): Socket;
  /**
   * A server that is not yet listening; `undefined` for none. Each accepted socket is passed to `admit`, and destroyed
   * if that returns false. It is passed to `accept` once it can carry messages.
   */
  createServer(
    admit: (socket: Socket) => boolean,
    accept: (socket: Socket) => void,
    refused: (source: string) => void,
  ): Server | undefined;
}

const CRLF = Buffer.from('\r\n');
const PING = Buffer.from('\r\n\r\n');
/** RFC 5626 §4.4.1: the answer to a keep-alive must come within this time. */
const PONG_TIMEOUT_MS = 10_000;

interface Connection {
  readonly id: number;
  readonly socket: Socket;
  readonly remote: TransportAddress;
  /** Key in the destination map, for connections that we opened. */
  readonly destination: string | undefined;
  readonly waiting: SendDone[];
  open: boolean;
  connectTimer: TimerHandle | undefined;
  messageTimer: TimerHandle | undefined;
  idleTimer: TimerHandle | undefined;
  keepAliveTimer: TimerHandle | undefined;
  /** Our keep-alive is waiting for its answer. */
  pinged: boolean;
  /** The peer has answered a keep-alive, so it must answer all further ones. */
  answersPings: boolean;
  lastActivityMs: number;
  idleLimitMs: number;
  /** We opened it, or it has delivered a message. From then on, any octet counts as activity. */
  proven: boolean;
  readonly parser: StreamParser;
}

/** A stream transport that listens and connects. */
export class StreamTransport implements Transport {
  readonly reliable = true;
  readonly #wire: StreamWire;
  readonly #options: TransportOptions;
  readonly #limits: Required<StreamLimits>;
  readonly #byId = new Map<number, Connection>();
  readonly #byDestination = new Map<string, Connection>();
  readonly #acceptedByAddress = new Map<string, number>();
  /** Accepted sockets, including those in a handshake. */
  readonly #accepted = new Set<Socket>();
  #server: Server | undefined;
  #handler: TransportHandler | undefined;
  #localPort = 0;
  #nextId = 1;

  constructor(wire: StreamWire, options: TransportOptions, limits: StreamLimits = {}) {
    this.#wire = wire;
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

  get protocol(): string {
    return this.#wire.protocol;
  }

  get localPort(): number {
    return this.#localPort;
  }

  get connections(): number {
    return this.#byId.size;
  }

  /** @throws SipError `TRANSPORT` (rejection) if the address or port cannot be bound */
  open(handler: TransportHandler): Promise<void> {
    const server = this.#wire.createServer(
      (socket) => this.#admit(socket),
      (socket) => this.#accept(socket),
      (source) => this.#handler?.onFault('tls-handshake', source),
    );
    if (server === undefined) {
      this.#handler = handler;
      return Promise.resolve();
    }
    return new Promise<void>((resolve, reject) => {
      server.once('error', (cause) => {
        reject(
          transportError(
            `${this.protocol} ${this.#options.bindAddress}:${this.#options.port}`,
            cause,
          ),
        );
      });
      server.listen({ host: this.#options.bindAddress, port: this.#options.port }, () => {
        server.removeAllListeners('error');
        // A failed accept (e.g. no file descriptors left) costs that connection only.
        server.on('error', () => {});
        const address = server.address();
        this.#localPort = address !== null && typeof address === 'object' ? address.port : 0;
        this.#server = server;
        this.#handler = handler;
        resolve();
      });
    });
  }

  /** Sends on the connection to this address, and opens one if necessary. */
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
    for (const socket of this.#accepted) socket.destroy();
    if (server === undefined) return;
    await new Promise<void>((resolve) => {
      server.close(() => resolve());
    });
  }

  /** Calls `done` with the id of an open connection to the address. */
  #reach(to: TransportAddress, timeoutMs: number, done: SendDone): void {
    if (this.#handler === undefined) {
      done(transportError(`The ${this.protocol} transport is closed`));
      return;
    }
    const address = destinationKey(to.address, to.port);
    // A connection to another server name is a different peer, even on the same host.
    const destination = to.serverNames ? `${address} ${to.serverNames.join(' ')}` : address;
    let connection = this.#byDestination.get(destination);
    // The peer has ended this connection, so it cannot carry new messages.
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
        socket = this.#wire.connect(to);
      } catch (cause) {
        done(transportError(`${this.protocol} to ${address} failed`, cause));
        return;
      }
      connection = this.#adopt(socket, to.address, to.port, destination);
      this.#awaitReady(connection);
    }
    this.#await(connection, timeoutMs, done);
  }

  #awaitReady(connection: Connection): void {
    const { socket, remote } = connection;
    const { readyEvent, handshakeTimeoutMs } = this.#wire;
    const limit = (limitMs: number, problem: string): void => {
      connection.connectTimer?.cancel();
      connection.connectTimer = this.#options.clock.startTimer(limitMs, () => {
        const peer = destinationKey(remote.address, remote.port);
        this.#drop(connection, transportError(`${this.protocol} to ${peer}: ${problem}`));
      });
    };
    limit(this.#options.connectTimeoutMs, 'no response');
    if (readyEvent !== 'connect') {
      socket.once('connect', () => limit(handshakeTimeoutMs, 'the handshake did not finish'));
    }
    socket.once(readyEvent, () => this.#connected(connection));
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
      const key = destinationKey(connection.remote.address, connection.remote.port);
      const error = transportError(
        `${this.protocol} to ${key}: not connected within ${timeoutMs} ms`,
      );
      // No other request waits for this connection, so do not leave it half open.
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
    this.#keepAlive(connection);
    for (const done of connection.waiting.splice(0)) done(undefined, connection.id);
  }

  /** Counts an accepted socket until it closes, unless the limit is reached. */
  #admit(socket: Socket): boolean {
    const { remoteAddress, remotePort = 0 } = socket;
    if (remoteAddress === undefined || this.#handler === undefined) return false;
    const address = withoutMapping(remoteAddress);
    const fromHere = this.#acceptedByAddress.get(address) ?? 0;
    const { maxConnections, maxConnectionsPerAddress } = this.#limits;
    const outgoing = this.#byDestination.size;
    if (this.#accepted.size + outgoing >= maxConnections || fromHere >= maxConnectionsPerAddress) {
      this.#handler.onFault('connection-limit', destinationKey(address, remotePort));
      return false;
    }
    this.#acceptedByAddress.set(address, fromHere + 1);
    this.#accepted.add(socket);
    socket.once('close', () => {
      this.#accepted.delete(socket);
      const left = (this.#acceptedByAddress.get(address) ?? 1) - 1;
      if (left > 0) this.#acceptedByAddress.set(address, left);
      else this.#acceptedByAddress.delete(address);
    });
    return true;
  }

  #accept(socket: Socket): void {
    const address = socket.remoteAddress;
    const port = socket.remotePort;
    if (address === undefined || port === undefined || this.#handler === undefined) {
      socket.on('error', () => {});
      socket.destroy();
      return;
    }
    const connection = this.#adopt(socket, withoutMapping(address), port, undefined);
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
      remote: { protocol: this.protocol, address, port, connectionId: id },
      destination,
      waiting: [],
      open: false,
      connectTimer: undefined,
      messageTimer: undefined,
      idleTimer: undefined,
      keepAliveTimer: undefined,
      pinged: false,
      answersPings: false,
      lastActivityMs: this.#options.clock.now(),
      idleLimitMs: 0,
      proven: destination !== undefined,
      parser: new StreamParser({
        onOutcome: (outcome) => this.#outcome(connection, outcome),
        onKeepAlive: () => this.#write(connection, CRLF, () => {}), // RFC 5626 §4.4.1
        onPong: () => {
          if (!connection.pinged) return false;
          connection.pinged = false;
          connection.answersPings = true;
          return true;
        },
      }),
    };
    this.#byId.set(id, connection);
    if (destination !== undefined) this.#byDestination.set(destination, connection);
    socket.setKeepAlive(true, 60_000);
    socket.on('data', (chunk) => this.#receive(connection, chunk));
    socket.on('error', (cause) => {
      const problem = `${this.protocol} to ${address} port ${port} failed: ${cause.message}`;
      this.#drop(connection, transportError(problem, cause));
    });
    socket.on('close', () => this.#drop(connection, undefined));
    return connection;
  }

  #receive(connection: Connection, chunk: Uint8Array): void {
    const isPong = connection.pinged && chunk.length === CRLF.length;
    if (connection.proven && !isPong) connection.lastActivityMs = this.#options.clock.now();
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
    // The parser ignores everything after a framing fault. Let our response leave, then close.
    if (connection.parser.failed) {
      connection.socket.end(() => this.#drop(connection, undefined));
      this.#watchIdle(connection, 1000);
    }
  }

  /**
   * RFC 5626 §4.4.1. Peers without RFC 5626 ignore CRLFs between messages (RFC 3261 §7.5), so only a peer that has
   * answered once must keep answering. A keep-alive does not count as use of the connection.
   */
  #keepAlive(connection: Connection): void {
    const { clock, keepAliveMs = 0 } = this.#options;
    if (keepAliveMs === 0) return;
    connection.keepAliveTimer = clock.startTimer(keepAliveMs, () => {
      connection.pinged = true;
      if (connection.socket.writable) connection.socket.write(PING);
      connection.keepAliveTimer = clock.startTimer(Math.min(PONG_TIMEOUT_MS, keepAliveMs), () => {
        if (connection.pinged && connection.answersPings) {
          this.#expel(connection, 'keep-alive-limit');
        } else {
          connection.pinged = false;
          this.#keepAlive(connection);
        }
      });
    });
  }

  /** Checks the connection again when it could have reached the idle limit. No timer is restarted per message. */
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
      done(transportError('The peer is not reading'));
      return;
    }
    if (connection.proven) connection.lastActivityMs = this.#options.clock.now();
    socket.write(octets);
    // Later socket failures are reported as the loss of the connection.
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
    connection.keepAliveTimer?.cancel();
    const { destination } = connection;
    if (destination !== undefined && this.#byDestination.get(destination) === connection) {
      this.#byDestination.delete(destination);
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
