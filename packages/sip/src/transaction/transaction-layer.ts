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

/** Names of faults in input from the wire. They are counted, never thrown. */
export type SipFaultName =
  | TransportFault
  | GuardFault
  /** Not a SIP message. Answered if enough of a request could be parsed. */
  | 'malformed-message'
  /** A response that no transaction or session waits for. */
  | 'stray-response'
  /** An ACK that no transaction or session waits for. */
  | 'stray-ack'
  /** A request was refused because too many transactions are open. */
  | 'transaction-limit'
  /** A request in a dialog, or a CANCEL, from another address than its peer's: forged, or the peer has moved. */
  | 'other-source'
  /** A peer's Contact or Record-Route names a forbidden destination. Its requests go to the current address instead. */
  | 'forbidden-destination'
  /** A message from a broadcast or multicast address; never answered. */
  | 'forbidden-source';

/** Where a request is sent, and our address in its Via. */
export interface Hop extends TransportAddress {
  /** Our address as this peer sees it: `sent-by` of Via, and host of Contact. */
  readonly localHost: string;
  readonly localPort: number;
}

/** Receives what the layer reports to the transaction user. Methods must not throw. */
export interface TransactionLayerHandler {
  /** A new request other than ACK. Answer it with `transaction.respond`. */
  onRequest(transaction: ServerTransaction): void;
  /** The ACK of a 2xx, or a stray one. Returns false if it was not expected. */
  onAck(request: SipRequest): boolean;
  /** A response without an open transaction. Returns false if it was not expected. */
  onUnmatchedResponse(response: SipResponse): boolean;
  /** Whether the request belongs to one of our dialogs. If so, it is exempt from the transaction limit. */
  isExpected(request: SipRequest): boolean;
  /**
   * Whether to answer a new request outside our dialogs. `undefined`: one that could not be parsed. Asked once for
   * each.
   */
  admits(request: SipRequest | undefined, source: TransportAddress): boolean;
  /** Each well-formed message received or handed to a transport, including retransmissions. */
  onTraffic(
    direction: 'in' | 'out',
    message: SipMessage,
    remote: TransportAddress,
    octets: () => Uint8Array,
  ): void;
  onFault(fault: SipFaultName, source: string, excerpt: string): void;
}

/** The outcome of a request that we send: a final response or `onFailure`, or neither after `abandon`. */
export interface ClientTransactionHandler {
  /** Each provisional response and the final one; for INVITE, each 2xx until timer M. */
  onResponse(response: SipResponse): void;
  /** `TIMEOUT` (timer B or F), `TRANSPORT` or `CLOSED`. Not called after a final response. */
  onFailure(error: SipError): void;
}

/** One of our requests, waiting for its responses. */
export interface ClientTransaction {
  /** As sent, including the top Via. */
  readonly request: SipRequest;
  readonly hop: Hop;
  readonly state: TransactionState;
  /** Forgets the transaction. Its handler is not called any more. */
  abandon(): void;
}

/** A request from the peer that we answer. */
export interface ServerTransaction {
  /** As received, with `received` and `rport` written into its top Via. */
  readonly request: SipRequest;
  readonly source: TransportAddress;
  readonly state: TransactionState;
  /**
   * Another request with the same Call-ID, From tag and CSeq, and without To tag, is already being answered: the
   * request arrived over two paths (RFC 3261 §8.2.2.2).
   */
  readonly merged: boolean;
  /** For a CANCEL: the INVITE that it cancels, if still known. */
  readonly cancels: ServerTransaction | undefined;
  /** The last response sent. */
  readonly response: SipResponse | undefined;
  /** Sends a response. To repeat the 2xx of an INVITE, pass the same one again. Ignored if the state forbids it. */
  respond(response: SipResponse): void;
  /** Forgets the transaction without an answer. */
  abandon(): void;
}

/** Dependencies of the layer. */
export interface TransactionLayerOptions {
  readonly transports: ReadonlyMap<string, Transport>;
  readonly timers: SipTimers;
  readonly clock: Clock;
  /** New requests outside our dialogs get a stateless 503 above this number of server transactions. */
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
  /** The octets to send. Default: serialized from the response. */
  readonly octets?: Uint8Array | undefined;
  readonly failed?: () => void;
}

/** All transactions of one user agent. Lookups are O(1). */
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

  /** Size of the request on the wire to this hop, in octets, including the top Via. */
  sizeOf(request: SipRequest, hop: Hop): number {
    return formatMessage(this.#withVia(request, hop, this.#newBranch())).length;
  }

  /**
   * Cancels an INVITE in a separate transaction with the same branch (RFC 3261 §9.1). Call only after a provisional
   * response.
   */
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
   * Sends the ACK of a 2xx: a request without a transaction and with a new branch (RFC 3261 §13.2.2.4). Call the
   * returned function for each retransmitted 2xx; it sends the same octets again.
   */
  sendAck(request: SipRequest, hop: Hop): () => void {
    const ack = this.#withVia(request, hop, this.#newBranch());
    const octets = formatMessage(ack);
    // If the ACK is lost or cannot be sent, the peer retransmits its 2xx.
    const send = (): void => this.#transmit(ack, octets, hop, () => {});
    send();
    return send;
  }

  /** Ends all transactions. Waiting clients get `CLOSED`. */
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
      // Only input can cause this: a header that the parser accepted but that turns out to be malformed.
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
            this.#fail(client, new SipError('TIMEOUT', 'No response', { statusCode: 408 }));
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
    // RFC 3261 §17.1.1.3: To comes from the response, everything else from the request.
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
    // Not ours: more than one Via (RFC 3261 §8.1.3.3), or another sent-by (§18.1.2), which the branch decides.
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
      // Never leave an unanswered transaction behind.
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
          // A lost ACK or response needs no action here: the dialog notices it.
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

  /** RFC 3261 §18.2.2: sends the response to the request's source, over a new connection if the old one is gone. */
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
    // The connection, and so our end of it, is known only once it is open.
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

/** The message as received, if the parser kept it; otherwise as we would serialize it. */
function octetsOf(message: SipMessage, head: string | undefined): Uint8Array {
  if (head === undefined) return formatMessage(message);
  return Buffer.concat([Buffer.from(`${head}\r\n\r\n`, 'latin1'), message.body]);
}
