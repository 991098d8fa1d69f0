// Matches messages to transactions and runs them over transports (RFC 3261 §17.1.3, §17.2.3, §18; RFC 3581).

import { SipError } from '../errors.ts';
import {
  formatMessage,
  type SipMessage,
  type SipRequest,
  type SipResponse,
} from '../message/message.ts';
import {
  acknowledges,
  clientKey,
  createResponse,
  followUp,
  MAGIC_COOKIE,
  mergeKey,
  REASONS,
  serverKey,
  withSource,
} from './matching.ts';
import { defaultPort } from '../transport/next-hop.ts';
import type { ParseOutcome } from '../message/message-head.ts';
import type { GuardFault } from './source-guard.ts';
import type { Clock, SipTimers } from '../timers.ts';
import { Transaction, type TransactionState } from './transaction.ts';
import { isForbiddenDestination } from '../transport/transport.ts';
import type {
  Transport,
  TransportAddress,
  TransportFault,
  TransportHandler,
} from '../transport/transport.ts';
import { transportError } from '../errors.ts';
import { formatHostPort, parseCSeq } from '../message/uri.ts';
import { parseVia, type Via } from '../message/via.ts';

const EXCERPT_LENGTH = 120;

/** Names of what can be wrong with input from the wire; for counting, never thrown. */
export type SipFaultName =
  | TransportFault
  | GuardFault
  /** Not a SIP message; answered where enough of a request could be read. */
  | 'malformed-message'
  /** A response that no transaction or session waits for. */
  | 'stray-response'
  /** An ACK that no transaction or session waits for. */
  | 'stray-ack'
  /** A request that was refused because too many transactions are open. */
  | 'transaction-limit'
  /** A request in a dialog, or a CANCEL, from another address than that of its peer: forged, or a peer that has moved. */
  | 'other-source'
  /** A Contact or Record-Route of a peer that names what may not be connected to: its requests go where the call is. */
  | 'forbidden-destination'
  /** A message from a broadcast or multicast address; never answered. */
  | 'forbidden-source';

/** Where a request is sent, and what its Via says of us. */
export interface Hop extends TransportAddress {
  /** Our address as that peer reaches it: `sent-by` of Via and host of Contact. */
  readonly localHost: string;
  readonly localPort: number;
}

/** What the layer reports to the transaction user. Its methods must not throw. */
export interface TransactionLayerHandler {
  /** A new request other than ACK; answer it by `transaction.respond`. */
  onRequest(transaction: ServerTransaction): void;
  /** The ACK of a 2xx, or a stray one. Returns false when nobody waited for it. */
  onAck(request: SipRequest): boolean;
  /** A response of no open transaction. Returns false when nobody waited for it. */
  onUnmatchedResponse(response: SipResponse): boolean;
  /** True when the request belongs to a dialog of ours: it is then admitted above the transaction limit. */
  isExpected(request: SipRequest): boolean;
  /** May a new request outside our dialogs be answered? `undefined`: one that could not be read. Asked once for each. */
  admits(request: SipRequest | undefined, source: TransportAddress): boolean;
  /** Each message that is received well-formed or handed to a transport, retransmissions too. */
  onTraffic(
    direction: 'in' | 'out',
    message: SipMessage,
    remote: TransportAddress,
    octets: () => Uint8Array,
  ): void;
  onFault(fault: SipFaultName, source: string, excerpt: string): void;
}

/** What becomes of a request that we send. Exactly one of a final response, `onFailure`, or neither after `abandon`. */
export interface ClientTransactionHandler {
  /** Each provisional response, the final one; for INVITE each 2xx until timer M. */
  onResponse(response: SipResponse): void;
  /** `TIMEOUT` (timer B or F), `TRANSPORT`, or `CLOSED`. Not called after a final response. */
  onFailure(error: SipError): void;
}

/** A request of ours that waits for its responses. */
export interface ClientTransaction {
  /** As sent, top Via included. */
  readonly request: SipRequest;
  readonly hop: Hop;
  readonly state: TransactionState;
  /** Forgets the transaction; its handler is not called any more. */
  abandon(): void;
}

/** A request of the peer's that we answer. */
export interface ServerTransaction {
  /** As received, with `received` and `rport` written into its top Via. */
  readonly request: SipRequest;
  readonly source: TransportAddress;
  readonly state: TransactionState;
  /**
   * Another request of the same Call-ID, From tag and CSeq, without To tag, is being answered: it came here on two
   * ways (RFC 3261 §8.2.2.2).
   */
  readonly merged: boolean;
  /** For a CANCEL: the INVITE that it means, if that is still known. */
  readonly cancels: ServerTransaction | undefined;
  /** The last response sent. */
  readonly response: SipResponse | undefined;
  /** Sends a response. To repeat the 2xx of an INVITE, give the same one again. Ignored when the state forbids it. */
  respond(response: SipResponse): void;
  /** Forgets the transaction without an answer. */
  abandon(): void;
}

/** What the layer needs to exist. */
export interface TransactionLayerOptions {
  readonly transports: ReadonlyMap<string, Transport>;
  readonly timers: SipTimers;
  readonly clock: Clock;
  /** Server transactions above which new requests outside our dialogs are answered 503 without state. */
  readonly maxTransactions: number;
  /** A fresh random token. */
  readonly token: () => string;
}

interface Client extends ClientTransaction {
  readonly key: string;
  readonly octets: Uint8Array;
  readonly machine: Transaction;
  readonly handler: ClientTransactionHandler;
  message: SipResponse | undefined;
  error: SipError | undefined;
  finished: boolean;
  connectionId: number | undefined;
}

interface Server extends ServerTransaction {
  readonly machine: Transaction;
  message: SipRequest | undefined;
  response: SipResponse | undefined;
  octets: Uint8Array | undefined;
}

interface ReplyOptions {
  /** The response as it goes out. Default: made of it. */
  readonly octets?: Uint8Array | undefined;
  readonly failed?: () => void;
}

/** All transactions of one user agent. Look-ups are O(1). */
export class TransactionLayer implements TransportHandler {
  readonly #options: TransactionLayerOptions;
  readonly #handler: TransactionLayerHandler;
  readonly #clients = new Map<string, Client>();
  readonly #servers = new Map<string, Server>();
  readonly #mergeKeys = new Map<string, number>();
  readonly #byConnection = new Map<number, Set<Client>>();
  #closed = false;

  constructor(options: TransactionLayerOptions, handler: TransactionLayerHandler) {
    this.#options = options;
    this.#handler = handler;
  }

  get clientTransactions(): number {
    return this.#clients.size;
  }

  get serverTransactions(): number {
    return this.#servers.size;
  }

  /**
   * Sends a request other than ACK in a new client transaction. The layer adds the top Via.
   *
   * @throws SipError `ILLEGAL_CHARACTER` or `SYNTAX` before anything is sent; `CLOSED` after `close`.
   */
  send(request: SipRequest, hop: Hop, handler: ClientTransactionHandler): ClientTransaction {
    return this.#startClient(this.#withVia(request, hop, this.#newBranch()), hop, handler);
  }

  /** Octets that the request takes on the wire to this hop, top Via included. */
  sizeOf(request: SipRequest, hop: Hop): number {
    return formatMessage(this.#withVia(request, hop, this.#newBranch())).length;
  }

  /** Cancels an INVITE: same branch, its own transaction (RFC 3261 §9.1). Call only after a provisional response. */
  cancel(
    invite: ClientTransaction,
    handler: ClientTransactionHandler,
    headers: readonly (readonly [string, string])[] = [],
  ): void {
    const request = followUp(invite.request, 'CANCEL', invite.request.headers.get('to') ?? '');
    for (const [name, value] of headers) request.headers.append(name, value);
    this.#startClient(request, invite.hop, handler);
  }

  /**
   * Sends the ACK of a 2xx: a request without transaction, with a branch of its own (RFC 3261 §13.2.2.4). The
   * function returned sends the same octets again, for each retransmitted 2xx.
   */
  sendAck(request: SipRequest, hop: Hop): () => void {
    const ack = this.#withVia(request, hop, this.#newBranch());
    const octets = formatMessage(ack);
    // A lost or unsendable ACK shows as a retransmitted 2xx.
    const send = (): void => this.#transmit(ack, octets, hop, () => {});
    send();
    return send;
  }

  /** Ends all transactions; clients that wait get `CLOSED`. */
  close(): void {
    this.#closed = true;
    for (const client of this.#clients.values()) {
      client.machine.abandon();
      this.#fail(client, new SipError('CLOSED', 'The user agent is closed'));
    }
    for (const server of this.#servers.values()) server.machine.abandon();
  }

  // --- TransportHandler

  onOutcome(outcome: ParseOutcome, source: TransportAddress): void {
    if (this.#closed) return;
    if (isForbiddenDestination(source.address)) {
      this.#fault('forbidden-source', source, '');
      return;
    }
    try {
      if (outcome.message === undefined) this.#malformed(outcome.fault, outcome.partial, source);
      else if (outcome.message.kind === 'request') {
        this.#request(outcome.message, source, outcome.head);
      } else this.#response(outcome.message, source, outcome.head);
    } catch (error) {
      // Only input can bring us here: a header that the parser let pass and that cannot be read after all.
      if (!(error instanceof SipError)) throw error;
      this.#fault('malformed-message', source, error.message);
    }
  }

  onDisconnected(connection: TransportAddress, error: SipError | undefined): void {
    if (connection.connectionId === undefined) return;
    const clients = this.#byConnection.get(connection.connectionId);
    if (clients === undefined) return;
    this.#byConnection.delete(connection.connectionId);
    for (const client of clients) {
      client.error = error ?? transportError('The peer closed the connection');
      client.machine.handle('transport error');
    }
  }

  onFault(fault: TransportFault, source: string): void {
    this.#handler.onFault(fault, source, '');
  }

  // --- clients

  #newBranch(): string {
    return MAGIC_COOKIE + this.#options.token();
  }

  #withVia(request: SipRequest, hop: Hop, branch: string): SipRequest {
    const via = `SIP/2.0/${hop.protocol} ${formatHostPort(hop.localHost, hop.localPort)};branch=${branch};rport`;
    return { ...request, headers: request.headers.clone().prepend('via', via) };
  }

  #startClient(
    request: SipRequest,
    hop: Hop,
    handler: ClientTransactionHandler,
  ): ClientTransaction {
    if (this.#closed) throw new SipError('CLOSED', 'The user agent is closed');
    const octets = formatMessage(request);
    const branch = parseVia(request.headers.get('via') ?? '').parameters.get('branch') ?? '';
    const key = clientKey(branch, request.method);
    const reliable = this.#options.transports.get(hop.protocol)?.reliable ?? false;
    const machine = new Transaction(
      request.method === 'INVITE' ? 'invite-client' : 'non-invite-client',
      reliable,
      this.#options,
      {
        perform: (action) => {
          if (action === 'send') this.#sendClient(client, request, octets);
          else if (action === 'send ACK') this.#ackClient(client);
          else if (action === 'pass') this.#pass(client);
          else if (action === 'fail') {
            this.#fail(client, client.error ?? transportError('The transport failed'));
          } else {
            this.#fail(client, new SipError('TIMEOUT', 'No answer', { statusCode: 408 }));
          }
        },
        terminated: () => {
          this.#clients.delete(key);
          this.#leaveConnection(client);
        },
      },
    );
    const client: Client = {
      key,
      request,
      octets,
      hop,
      machine,
      handler,
      get state() {
        return machine.state;
      },
      abandon: () => {
        client.finished = true;
        machine.abandon();
      },
      message: undefined,
      error: undefined,
      finished: false,
      connectionId: undefined,
    };
    this.#clients.set(key, client);
    machine.start();
    return client;
  }

  #sendClient(client: Client, request: SipRequest, octets: Uint8Array): void {
    this.#transmit(request, octets, client.hop, (error, connectionId) => {
      if (error !== undefined) {
        client.error = error;
        client.machine.handle('transport error');
      } else if (connectionId !== undefined && client.state !== 'Terminated') {
        client.connectionId = connectionId;
        const clients = this.#byConnection.get(connectionId);
        if (clients === undefined) this.#byConnection.set(connectionId, new Set([client]));
        else clients.add(client);
      }
    });
  }

  #leaveConnection(client: Client): void {
    if (client.connectionId === undefined) return;
    const clients = this.#byConnection.get(client.connectionId);
    clients?.delete(client);
    if (clients?.size === 0) this.#byConnection.delete(client.connectionId);
  }

  #ackClient(client: Client): void {
    // RFC 3261 §17.1.1.3: the To of the response, all else of the request.
    const ack = followUp(client.request, 'ACK', client.message?.headers.get('to') ?? '');
    this.#sendClient(client, ack, formatMessage(ack));
  }

  #pass(client: Client): void {
    const response = client.message;
    if (response === undefined) return;
    if (response.statusCode >= 200) client.finished = true;
    client.handler.onResponse(response);
  }

  #fail(client: Client, error: SipError): void {
    if (client.finished) return;
    client.finished = true;
    client.handler.onFailure(error);
  }

  #response(received: SipResponse, source: TransportAddress, head: string | undefined): void {
    const { headers } = received;
    const { protocol, address, port } = source;
    const response: SipResponse = { ...received, source: { protocol, address, port } };
    // RFC 3261 §8.1.3.3: more than one Via is not ours, §18.1.2: nor is one of another sent-by (the branch decides that).
    const branch = parseVia(headers.get('via') ?? '').parameters.get('branch') ?? '';
    const { method } = parseCSeq(headers.get('cseq') ?? '');
    this.#handler.onTraffic('in', response, source, () => octetsOf(received, head));
    const client = this.#clients.get(clientKey(branch, method));
    if (client === undefined || headers.getAll('via').length > 1) {
      if (client === undefined && this.#handler.onUnmatchedResponse(response)) return;
      this.#fault('stray-response', source, `${response.statusCode} ${method}`);
      return;
    }
    client.message = response;
    const { statusCode } = response;
    client.machine.handle(statusCode < 200 ? '1xx' : statusCode < 300 ? '2xx' : '300-699');
  }

  // --- servers

  #request(received: SipRequest, source: TransportAddress, head: string | undefined): void {
    const via = parseVia(received.headers.get('via') ?? '');
    const request = withSource(received, via, source);
    this.#handler.onTraffic('in', request, source, () => octetsOf(received, head));
    const isAck = request.method === 'ACK';
    const key = serverKey(request, via, isAck ? 'INVITE' : request.method);
    const known = this.#servers.get(key);
    if (known !== undefined) {
      if (isAck && !acknowledges(request, known.response, via)) return;
      known.message = request;
      known.machine.handle(isAck ? 'ACK' : 'request');
      return;
    }
    if (isAck) {
      if (!this.#handler.onAck(request)) this.#fault('stray-ack', source, request.uri);
      return;
    }
    const expected = this.#handler.isExpected(request);
    if (!expected && !this.#handler.admits(request, source)) return;
    if (this.#servers.size >= this.#options.maxTransactions && !expected) {
      this.#fault('transaction-limit', source, `${request.method} ${request.uri}`);
      const busy = createResponse(request, 503, 'Service Unavailable', this.#options.token());
      busy.headers.append('retry-after', '5');
      this.#reply(busy, source, via);
      return;
    }
    const server = this.#startServer(request, via, source, key);
    try {
      this.#handler.onRequest(server);
    } catch (error) {
      // Never leave a transaction behind that nobody will answer.
      if (server.response === undefined) {
        server.respond(
          createResponse(request, 500, 'Server Internal Error', this.#options.token()),
        );
      }
      throw error;
    }
  }

  #startServer(request: SipRequest, via: Via, source: TransportAddress, key: string): Server {
    const merge = mergeKey(request);
    const sameElsewhere = merge === undefined ? 0 : (this.#mergeKeys.get(merge) ?? 0);
    if (merge !== undefined) this.#mergeKeys.set(merge, sameElsewhere + 1);
    const reliable = this.#options.transports.get(source.protocol)?.reliable ?? false;
    const machine = new Transaction(
      request.method === 'INVITE' ? 'invite-server' : 'non-invite-server',
      reliable,
      this.#options,
      {
        perform: (action) => {
          if (action === 'send' && server.response !== undefined) {
            this.#reply(server.response, source, via, {
              octets: server.octets,
              failed: () => machine.handle('transport error'),
            });
          } else if (action === 'pass' && server.message !== undefined) {
            this.#handler.onAck(server.message);
          }
          // A lost ACK or a lost response costs nothing here: a dialog notices by its own means.
        },
        terminated: () => {
          this.#servers.delete(key);
          if (merge === undefined) return;
          const left = (this.#mergeKeys.get(merge) ?? 1) - 1;
          if (left > 0) this.#mergeKeys.set(merge, left);
          else this.#mergeKeys.delete(merge);
        },
      },
    );
    const server: Server = {
      request,
      source,
      machine,
      merged: sameElsewhere > 0,
      cancels:
        request.method === 'CANCEL'
          ? this.#servers.get(serverKey(request, via, 'INVITE'))
          : undefined,
      get state() {
        return machine.state;
      },
      message: undefined,
      response: undefined,
      octets: undefined,
      respond: (response) => {
        if (server.response !== response) {
          if (server.response !== undefined && server.response.statusCode >= 200) return;
          server.octets = formatMessage(response);
          server.response = response;
        }
        const { statusCode } = response;
        machine.handle(
          statusCode < 200 ? 'send 1xx' : statusCode < 300 ? 'send 2xx' : 'send 300-699',
        );
      },
      abandon: () => machine.abandon(),
    };
    this.#servers.set(key, server);
    machine.start();
    return server;
  }

  /** RFC 3261 §18.2.2: back to where the request came from; over a new connection when that one is gone. */
  #reply(
    response: SipResponse,
    source: TransportAddress,
    via: Via,
    { octets = formatMessage(response), failed }: ReplyOptions = {},
  ): void {
    this.#transmit(response, octets, source, (error) => {
      if (error === undefined) return;
      if (source.connectionId === undefined) {
        failed?.();
        return;
      }
      const { protocol, address } = source;
      const again = { protocol, address, port: via.port ?? defaultPort(protocol) };
      this.#transmit(response, octets, again, (fatal) => {
        if (fatal !== undefined) failed?.();
      });
    });
  }

  #malformed(fault: SipError, partial: SipRequest | undefined, source: TransportAddress): void {
    this.#fault('malformed-message', source, `${fault.code} ${fault.message}`);
    if (!this.#handler.admits(undefined, source)) return;
    if (partial === undefined || partial.method === 'ACK') return;
    const via = parseVia(partial.headers.get('via') ?? '');
    const request = withSource(partial, via, source);
    const statusCode = fault.statusCode ?? 400;
    const response = createResponse(
      request,
      statusCode,
      REASONS.get(statusCode) ?? 'Bad Request',
      this.#options.token(),
    );
    this.#reply(response, source, via);
  }

  #transmit(
    message: SipMessage,
    octets: Uint8Array,
    to: TransportAddress,
    done: (error: SipError | undefined, connectionId?: number) => void,
  ): void {
    const transport = this.#options.transports.get(to.protocol);
    if (transport === undefined) {
      done(transportError(`No ${to.protocol} transport`));
      return;
    }
    const report = (remote: TransportAddress): void =>
      this.#handler.onTraffic('out', message, remote, () => octets);
    if (!transport.reliable) {
      report(to);
      transport.send(octets, to, done);
      return;
    }
    // Which connection it is, and so our end of it, is known when it is open.
    transport.send(octets, to, (error, connectionId) => {
      report(connectionId === undefined ? to : { ...to, connectionId });
      done(error, connectionId);
    });
  }

  #fault(fault: SipFaultName, source: TransportAddress, excerpt: string): void {
    this.#handler.onFault(
      fault,
      formatHostPort(source.address, source.port),
      excerpt.slice(0, EXCERPT_LENGTH),
    );
  }
}

/** The message as it came, where the parser told; else as we would write it. */
function octetsOf(message: SipMessage, head: string | undefined): Uint8Array {
  if (head === undefined) return formatMessage(message);
  return Buffer.concat([Buffer.from(`${head}\r\n\r\n`, 'latin1'), message.body]);
}
