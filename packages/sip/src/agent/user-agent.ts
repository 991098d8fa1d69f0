// The user agent: its transports, transactions and calls, and its answers to strangers (RFC 3261 §8).

import { randomBytes } from 'node:crypto';
import { isIP, isIPv6 } from 'node:net';
import {
  checkInteger,
  checkText,
  checkUriArgument,
  invalidArgument,
} from '../message/arguments.ts';
import { DestinationPorts, forbiddenPort } from '../transport/destination-ports.ts';
import { dialogKey } from '../dialog/dialog.ts';
import { SipError } from '../errors.ts';
import type { DialogHandler, SessionDeps } from '../dialog/session-deps.ts';
import type { InviteOptions, InviteSession } from '../call/call-session.ts';
import type { InviteSessionHandler } from '../dialog/session-handler.ts';
import type { TransportPreference } from '../transport/next-hop.ts';
import { sessionDescriptionIn } from '../message/body.ts';
import { InboundSession } from '../call/inbound-session.ts';
import { OutboundSession } from '../call/outbound-session.ts';
import { KeepAlives } from '../transport/keep-alives.ts';
import { LocalAddresses } from '../transport/local-addresses.ts';
import type { SipMessage, SipRequest, SipResponse } from '../message/message.ts';
import { register, type RegisterOptions, type Registration } from './registration.ts';
import { type NextHop, nextHopTo } from '../transport/next-hop.ts';
import { judgeRequest, type Verdict } from '../dialog/request-policy.ts';
import {
  DEFAULT_EXPIRES_SECONDS,
  LEAST_SECONDS,
  refuseInterval,
  type SessionTimerOptions,
} from '../dialog/session-timer.ts';
import { ServerLocator, type Target } from '../transport/server-locator.ts';
import { ServerPings } from './server-pings.ts';
import { SourceGuard } from '../transaction/source-guard.ts';
import { systemDns } from '../transport/sip-dns.ts';
import { type Clock, completeTimers, type SipTimers, systemClock } from '../timers.ts';
import { createResponse, tagOf } from '../transaction/matching.ts';
import {
  type Hop,
  type ServerTransaction,
  TransactionLayer,
  type TransactionLayerHandler,
} from '../transaction/transaction-layer.ts';
import {
  type LocalAddress,
  type Transport,
  type TransportAddress,
} from '../transport/transport.ts';
import { TcpTransport } from '../transport/tcp-transport.ts';
import { checkTlsOptions, TlsTransport } from '../transport/tls-transport.ts';
import { UdpTransport } from '../transport/udp-transport.ts';
import type {
  InviteDecision,
  SipUserAgentHandler,
  SipUserAgentOptions,
  SipUserAgentStats,
} from './user-agent-options.ts';
import { formatHostPort, parseCSeq, type SipUri } from '../message/uri.ts';

/** Attempts to find a port number that is free on every transport. */
const PORT_ATTEMPTS = 20;

/** RFC 3261 §7.5: ignored between messages. */
const KEEP_ALIVE = Buffer.from('\r\n');

/** The URI is sent, reported and logged as is, so it must not contain a password. */
function checkServer(uri: string): SipUri {
  const parsed = checkUriArgument('ping.servers', uri);
  if (parsed.user !== undefined || parsed.headers.size > 0)
    throw invalidArgument('ping.servers', 'a server has neither user nor headers');
  return parsed;
}

/** A SIP user agent that places and accepts calls, and registers. */
export class SipUserAgent {
  readonly #options: SipUserAgentOptions;
  readonly #handler: SipUserAgentHandler;
  readonly #bindAddress: string;
  readonly #clock: Clock;
  readonly #timers: SipTimers;
  readonly #token: () => string;
  readonly #sessions = new Map<string, DialogHandler>();
  readonly #transports = new Map<string, Transport>();
  readonly #addresses: LocalAddresses;
  readonly #locator: ServerLocator;
  readonly #ports: DestinationPorts;
  readonly #keepAlives: KeepAlives;
  readonly #pings: ServerPings;
  readonly #guard: SourceGuard | undefined;
  readonly #layer: TransactionLayer;
  readonly #deps: SessionDeps;
  /** By their INVITE: calls that were taken and are not yet answered. */
  readonly #incoming = new Map<ServerTransaction, InboundSession>();
  #state: 'new' | 'opening' | 'open' | 'closed' = 'new';
  #closing: Promise<void> | undefined;
  #localPort = 0;

  /** Opens nothing yet. @throws SipError `INVALID_ARGUMENT` or `ILLEGAL_CHARACTER` naming the option */
  constructor(options: SipUserAgentOptions = {}, handler: SipUserAgentHandler = {}) {
    this.#bindAddress = options.bindAddress ?? '0.0.0.0';
    if (isIP(this.#bindAddress) === 0) throw invalidArgument('bindAddress', 'not an IP address');
    const publicAddresses = [options.publicAddress ?? []].flat();
    for (const address of publicAddresses) {
      if (isIP(address) === 0) throw invalidArgument('publicAddress', 'not an IP address');
    }
    checkInteger('port', options.port ?? 0, 0, 65_535);
    checkInteger('maxTransactions', options.maxTransactions ?? 1, 1, 0x7fff_ffff);
    checkInteger('connectTimeoutMs', options.connectTimeoutMs ?? 1, 1, 0x7fff_ffff);
    checkInteger('closeGraceMs', options.closeGraceMs ?? 0, 0, 0x7fff_ffff);
    checkText('userAgentName', options.userAgentName ?? '');
    checkSessionTimer(options.sessionTimer);
    if (options.tls !== undefined) checkTlsOptions(options.tls);
    checkInteger('keepAlive.udpMs', options.keepAlive?.udpMs ?? 0, 0, 0x7fff_ffff);
    checkInteger('keepAlive.streamMs', options.keepAlive?.streamMs ?? 0, 0, 0x7fff_ffff);
    this.#options = options;
    this.#handler = handler;
    this.#clock = options.clock ?? systemClock;
    this.#timers = completeTimers(options.timers);
    for (const [name, value] of Object.entries(this.#timers)) {
      if (!(value > 0 && value <= 0x7fff_ffff))
        throw invalidArgument(`timers.${name}`, 'out of range');
    }
    this.#token = options.token ?? (() => randomBytes(12).toString('hex'));
    this.#addresses = new LocalAddresses(this.#bindAddress, publicAddresses);
    this.#locator = new ServerLocator({
      dns: options.dns ?? systemDns(),
      clock: this.#clock,
      families: this.#bindAddress === '::' ? [6, 4] : [isIPv6(this.#bindAddress) ? 6 : 4],
      random: options.random ?? Math.random,
      mayConnect: options.mayConnect,
    });
    const pinged = (options.ping?.servers ?? []).map((uri) => nextHopTo(checkServer(uri), 'auto'));
    this.#ports = new DestinationPorts(options.destinationPorts, pinged);
    this.#guard =
      options.guard &&
      new SourceGuard(
        options.guard,
        this.#clock,
        (address) => this.#addresses.isKnown(address),
        (fault, source) => handler.onFault?.(fault, { source, excerpt: '' }),
      );
    this.#keepAlives = new KeepAlives({
      clock: this.#clock,
      intervalMs: options.keepAlive?.udpMs ?? 25_000,
      random: options.random ?? Math.random,
      send: (to) => this.#transports.get(to.protocol)?.send(KEEP_ALIVE, to, () => {}),
    });
    this.#layer = new TransactionLayer(
      {
        transports: this.#transports,
        timers: this.#timers,
        clock: this.#clock,
        maxTransactions: options.maxTransactions ?? 10_000,
        token: this.#token,
      },
      this.#createLayerHandler(),
    );
    this.#pings = this.#createPings(options);
    this.#deps = {
      layer: this.#layer,
      timers: this.#timers,
      clock: this.#clock,
      userAgentName: options.userAgentName ?? 'sipcast',
      sessionTimer: options.sessionTimer ?? {},
      random: options.random ?? Math.random,
      token: this.#token,
      mayConnect: (address) => options.mayConnect?.(address, address) ?? true,
      allowsPort: (host, port) => this.#ports.allows(host, port),
      onForbidden: (excerpt, { address, port }) =>
        handler.onFault?.('forbidden-destination', {
          source: formatHostPort(address, port),
          excerpt,
        }),
      locate: (next) => this.#locate(next),
      hopTo: (address) => this.#hopTo(address),
      keepAlive: (hop) => this.#keepAlives.hold(hop),
      learn: (hop, address, port) => this.#learn(hop, address, port),
      connect: (hop, timeoutMs) => this.#connect(hop, timeoutMs),
      attach: (key, session) => void this.#sessions.set(key, session),
      detach: (key) => void this.#sessions.delete(key),
    };
  }

  /** Bound port of all transports except TLS; 0 before `open`. */
  get localPort(): number {
    return this.#localPort;
  }

  /** Bound port of TLS; 0 before `open` and without a certificate. */
  get tlsPort(): number {
    return this.#transports.get('TLS')?.localPort ?? 0;
  }

  get stats(): SipUserAgentStats {
    let connections = 0;
    for (const transport of this.#transports.values()) connections += transport.connections;
    return {
      sessions: this.#sessions.size,
      clientTransactions: this.#layer.clientTransactions,
      serverTransactions: this.#layer.serverTransactions,
      connections,
    };
  }

  /**
   * Binds all transports to one port number.
   *
   * @throws SipError (rejection) `TRANSPORT` if one cannot be bound; none then stays open. `CLOSED` if called twice or
   * after `close`.
   */
  async open(): Promise<void> {
    if (this.#state !== 'new') throw new SipError('CLOSED', 'Already opened or closed');
    this.#state = 'opening';
    const wanted = this.#options.port ?? 0;
    for (let attempt = 1; ; attempt++) {
      try {
        await this.#openTransports(wanted);
        break;
      } catch (error) {
        await this.#closeTransports();
        // A port that the system chose for UDP may be taken in TCP: try another.
        if (wanted !== 0 || attempt >= PORT_ATTEMPTS) {
          this.#state = 'closed';
          throw error;
        }
      }
    }
    if (this.#state !== 'opening') {
      await this.#closeTransports();
      throw new SipError('CLOSED', 'Closed while opening');
    }
    this.#state = 'open';
    this.#pings.start();
  }

  /** @throws SipError `INVALID_ARGUMENT`, `ILLEGAL_CHARACTER` naming the option */
  #createPings({ ping, userAgentName = 'sipcast', random = Math.random }: SipUserAgentOptions) {
    const { servers = [], intervalMs = 30_000 } = ping ?? {};
    checkInteger('ping.intervalMs', intervalMs, 1000, 3_600_000);
    return new ServerPings({
      servers: [...new Set(servers)].map((uri) => ({
        uri,
        next: nextHopTo(checkServer(uri), 'auto'),
      })),
      intervalMs,
      clock: this.#clock,
      random,
      token: this.#token,
      userAgentName,
      locate: (next) => this.#locate(next),
      send: (...request) => void this.#layer.send(...request),
      onState: (state) => this.#handler.onServer?.(state),
    });
  }

  async #openTransports(wanted: number): Promise<void> {
    const { tls } = this.#options;
    const factories = this.#options.transports ?? [
      (options) => new UdpTransport(options),
      (options) => new TcpTransport(options),
      (options) => {
        const port = tls?.port ?? (wanted === 0 ? 0 : options.port + 1);
        return new TlsTransport({ ...options, port }, tls);
      },
    ];
    let port = wanted;
    for (const create of factories) {
      const transport = create({
        bindAddress: this.#bindAddress,
        port,
        clock: this.#clock,
        connectTimeoutMs: this.#options.connectTimeoutMs ?? 5000,
        keepAliveMs: this.#options.keepAlive?.streamMs ?? 100_000,
      });
      this.#transports.set(transport.protocol, transport);
      await transport.open(this.#layer);
      // One number for all transports without a port of their own.
      if (port === 0) port = transport.localPort;
    }
    this.#localPort = port;
  }

  async #closeTransports(): Promise<void> {
    const transports = [...this.#transports.values()];
    this.#transports.clear();
    await Promise.all(transports.map((transport) => transport.close()));
  }

  /**
   * The source address of packets to this destination, or `publicAddress`.
   *
   * @throws SipError (rejection) `TRANSPORT` if the name does not resolve or there is no route
   */
  async localAddressFor(
    host: string,
    port?: number,
    transport: TransportPreference = 'udp',
  ): Promise<string> {
    const next: NextHop = { host, port, preference: transport, domain: host };
    const [hop] = await this.#hopsTo(await this.#locator.locate(next), next);
    return hop.localHost;
  }

  /** Whether requests for a caller may go to this port of a host, by `destinationPorts`. */
  allowsPort(host: string, port: number): boolean {
    return this.#ports.allows(host, port);
  }

  /**
   * The first address of a host that a session description names (RFC 4566 §5.7).
   *
   * @param family - Preferred family of the address. Default: that of the user agent.
   * @throws SipError (rejection) `TRANSPORT` if the name does not resolve within five seconds, `CONNECT_FORBIDDEN` if
   * connecting to it is not allowed
   */
  async resolve(host: string, family?: 4 | 6): Promise<string> {
    const targets = await this.#locator.locate({
      host,
      port: 5060, // Explicit, so that the name itself is resolved without SRV.
      preference: 'udp',
      domain: host,
    });
    const addresses = targets.map(({ address }) => address);
    return addresses.find((address) => isIP(address) === family) ?? addresses[0] ?? '';
  }

  /**
   * Places a call and returns at once. Everything else is reported to the handler, never before this returns.
   *
   * @throws SipError `INVALID_ARGUMENT` or `ILLEGAL_CHARACTER` naming the field; `CLOSED` if the user agent is not open
   */
  invite(options: InviteOptions, handler: InviteSessionHandler): InviteSession {
    if (this.#state !== 'open') throw new SipError('CLOSED', 'The user agent is not open');
    return new OutboundSession(this.#deps, options, handler);
  }

  /**
   * Registers an account. Resolves when the registrar has confirmed it.
   *
   * @throws SipError (rejection) `INVALID_ARGUMENT` or `ILLEGAL_CHARACTER` naming the field, `AUTH_FAILED`, `REJECTED`
   * with `statusCode`, `TIMEOUT`, `TRANSPORT`, `CLOSED`
   */
  async register(options: RegisterOptions): Promise<Registration> {
    if (this.#state !== 'open') throw new SipError('CLOSED', 'The user agent is not open');
    return register(this.#deps, options);
  }

  /** Ends all calls (BYE, CANCEL; waits at most `closeGraceMs`), then closes every socket and timer. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    const wasOpen = this.#state === 'open';
    this.#state = 'closed';
    const sessions = [...this.#sessions.values()];
    if (wasOpen && sessions.length > 0) {
      await new Promise<void>((resolve) => {
        const timer = this.#clock.startTimer(this.#options.closeGraceMs ?? 2000, resolve);
        void Promise.all(sessions.map((session) => session.terminate()))
          .finally(() => timer.cancel())
          .then(() => resolve());
      });
    }
    for (const session of this.#sessions.values()) session.abort();
    this.#keepAlives.close();
    this.#pings.stop();
    this.#locator.close();
    this.#layer.close();
    await this.#closeTransports();
  }

  // --- addresses

  async #locate(next: NextHop): Promise<readonly [Hop, ...Hop[]]> {
    const { host, port } = next;
    if (port !== undefined && !this.#ports.allows(host, port)) throw forbiddenPort(host, port);
    const targets = await this.#locator.locate(next);
    const permitted = targets.filter((target) => this.#ports.allows(host, target.port));
    const [refused] = targets;
    if (permitted.length === 0 && refused !== undefined) throw forbiddenPort(host, refused.port);
    return this.#hopsTo(permitted, next);
  }

  async #hopsTo(targets: readonly Target[], next: NextHop): Promise<readonly [Hop, ...Hop[]]> {
    const serverNames = [...new Set([next.host, next.domain])];
    const hops: Hop[] = [];
    let problem: unknown;
    for (const target of targets) {
      try {
        hops.push(
          await this.#hopTo(target.protocol === 'TLS' ? { ...target, serverNames } : target),
        );
      } catch (error) {
        problem = error; // No route for this family: try the others.
      }
    }
    const [first, ...others] = this.#pings.order(hops);
    if (first === undefined) throw problem;
    return [first, ...others];
  }

  async #hopTo(to: TransportAddress): Promise<Hop> {
    const localHost = await this.#addresses.advertisedTo(to.address, to.port);
    const localPort = this.#transports.get(to.protocol)?.localPort || this.#localPort;
    const learned = to.protocol === 'UDP' ? this.#addresses.learnedFrom(to.address) : undefined;
    if (learned !== undefined)
      return { ...to, localHost: learned.address, localPort: learned.port };
    return { ...to, localHost, localPort };
  }

  #learn(hop: Hop, address: string, port: number): boolean {
    const { learnsAddress = true, publicAddress } = this.#options;
    // The port of a connection is not the one we listen on; RFC 5626 peers reuse the connection.
    if (!learnsAddress || publicAddress !== undefined || hop.protocol !== 'UDP') return false;
    if (isIP(address) === 0 || !(port >= 1 && port <= 65_535)) return false;
    if (address === hop.localHost && port === hop.localPort) return false;
    this.#addresses.learn(hop.address, { address, port });
    return true;
  }

  #connect(hop: Hop, timeoutMs: number): Promise<boolean> {
    const transport = this.#transports.get(hop.protocol);
    if (transport === undefined) return Promise.resolve(false);
    return new Promise((resolve) => {
      transport.connect(hop, timeoutMs, (error) => resolve(error === undefined));
    });
  }

  // --- messages

  #createLayerHandler(): TransactionLayerHandler {
    return {
      onRequest: (transaction) => this.#onRequest(transaction),
      onAck: (request) => this.#peerSession(request)?.onAck(request) ?? false,
      onUnmatchedResponse: (response) => this.#onUnmatchedResponse(response),
      admits: (request, source) => {
        if (request === undefined) this.#guard?.strike(source.address);
        return this.#guard?.admits(source.address, request) ?? true;
      },
      isExpected: (request) => {
        const from = tagOf(request.headers.get('from')) ?? '';
        return this.#peerSession(request)?.owns(from) ?? false;
      },
      onTraffic: (direction, message, remote, octets) => {
        this.#onTraffic(direction, message, remote);
        if (this.#handler.onTraffic === undefined) return;
        const local = this.#localOf(remote);
        this.#handler.onTraffic({ direction, message, octets: octets(), local, remote });
      },
      onFault: (fault, source, excerpt) => this.#handler.onFault?.(fault, { source, excerpt }),
    };
  }

  /** The call that a peer's request belongs to: its To contains our tag. */
  #peerSession(request: SipRequest): DialogHandler | undefined {
    return this.#session(request.headers.get('call-id'), request.headers.get('to'));
  }

  #session(callId: string | undefined, local: string | undefined): DialogHandler | undefined {
    if (this.#sessions.size === 0 || callId === undefined) return undefined;
    const tag = tagOf(local);
    return tag === undefined ? undefined : this.#sessions.get(dialogKey(callId, tag));
  }

  #onUnmatchedResponse(response: SipResponse): boolean {
    const { statusCode, headers } = response;
    if (statusCode < 200 || statusCode > 299) return false;
    if (parseCSeq(headers.get('cseq') ?? '').method !== 'INVITE') return false;
    return (
      this.#session(headers.get('call-id'), headers.get('from'))?.onLateAccepted(response) ?? false
    );
  }

  #localOf(remote: TransportAddress): LocalAddress {
    return (
      this.#transports.get(remote.protocol)?.localOf?.(remote) ?? {
        address: this.#addresses.usedTowards(remote.address),
        port: this.#localPort,
      }
    );
  }

  #onTraffic(direction: 'in' | 'out', message: SipMessage, remote: TransportAddress): void {
    if (this.#sessions.size === 0) return;
    const { headers } = message;
    const ours = (direction === 'out') === (message.kind === 'request') ? 'from' : 'to';
    this.#session(headers.get('call-id'), headers.get(ours))?.trace(direction, message, remote);
  }

  #onRequest(transaction: ServerTransaction): void {
    const { request } = transaction;
    // A CANCEL of a re-INVITE has the dialog's tags, but is matched by its branch.
    const session = request.method === 'CANCEL' ? undefined : this.#peerSession(request);
    const { source } = transaction;
    if (session !== undefined) {
      if (!session.knows(source.address)) this.#tellOtherSource(transaction);
      session.onRequest(transaction);
      return;
    }
    if (transaction.cancels !== undefined) {
      const tag = tagOf(transaction.cancels.response?.headers.get('to')) ?? this.#token();
      transaction.respond(createResponse(request, 200, 'OK', tag));
      if (transaction.cancels.source.address !== source.address) this.#tellOtherSource(transaction);
      // RFC 3261 §9.2: a CANCEL has no effect on an INVITE that is already answered.
      this.#incoming.get(transaction.cancels)?.onCancel();
      return;
    }
    const silent = this.#isSilentTo(transaction);
    const verdict = this.#judge(transaction, silent);
    if (verdict === 'taken') return;
    if (verdict === 'drop' || verdict.statusCode >= 300)
      this.#guard?.strike(transaction.source.address);
    if (verdict === 'drop') {
      transaction.abandon();
      return;
    }
    const response = createResponse(
      request,
      verdict.statusCode,
      verdict.reasonPhrase,
      this.#token(),
    );
    for (const [name, value] of verdict.headers ?? []) response.headers.append(name, value);
    response.headers.append('server', this.#deps.userAgentName);
    transaction.respond(response);
  }

  /** Whether the sender must learn nothing about us, not even what is wrong with its request. */
  #isSilentTo({ request, source }: ServerTransaction): boolean {
    if (this.#guard?.meetsSilence(source.address) !== true) return false;
    // A CANCEL for a taken call has already been matched to its INVITE.
    if (request.method === 'CANCEL') return true;
    if (this.#handler.onInvite === undefined || this.#state !== 'open') return true;
    return this.#handler.recognizes?.(request, source) === false;
  }

  #tellOtherSource({ request, source }: ServerTransaction): void {
    this.#handler.onFault?.('other-source', {
      source: formatHostPort(source.address, source.port),
      excerpt: `${request.method} ${request.headers.get('call-id') ?? ''}`.slice(0, 120),
    });
  }

  #judge(transaction: ServerTransaction, silent: boolean): InviteDecision {
    const { request, source } = transaction;
    const refusal =
      judgeRequest(request, transaction.merged) ??
      this.#refuseReplacement(request) ??
      refuseInterval(request, this.#deps.sessionTimer);
    if (refusal !== undefined) {
      if (silent) {
        const from = formatHostPort(source.address, source.port);
        this.#handler.onFault?.('stranger', { source: from, excerpt: refusal.reasonPhrase });
      }
      return silent ? 'drop' : refusal;
    }
    if (this.#handler.onInvite === undefined || this.#state !== 'open')
      return silent ? 'drop' : FORBIDDEN;
    let taken = false;
    const decided = this.#handler.onInvite({
      request,
      source,
      offer: sessionDescriptionIn(request),
      take: (handler) => {
        if (taken) throw new SipError('CLOSED', 'The call is taken already');
        taken = true;
        const session = new InboundSession(this.#deps, transaction, handler, () => {
          this.#incoming.delete(transaction);
        });
        this.#incoming.set(transaction, session);
        return session;
      },
    });
    if (taken) return 'taken';
    return decided === 'taken' ? FORBIDDEN : decided;
  }

  /** RFC 3891 §3, RFC 3911 §4: we do not let calls replace or join others. */
  #refuseReplacement({ headers }: SipRequest): Verdict | undefined {
    const named = headers.get('replaces') ?? headers.get('join');
    if (named === undefined) return undefined;
    const [callId = '', ...parameters] = named.split(';').map((part) => part.trim());
    const toTag = parameters.find((one) => one.startsWith('to-tag='))?.slice(7) ?? '';
    return this.#sessions.has(dialogKey(callId, toTag))
      ? { statusCode: 603, reasonPhrase: 'Decline' }
      : { statusCode: 481, reasonPhrase: 'Call/Transaction Does Not Exist' };
  }
}

const FORBIDDEN: Verdict = { statusCode: 403, reasonPhrase: 'Forbidden' };

/** @throws SipError `INVALID_ARGUMENT` */
function checkSessionTimer(options: SessionTimerOptions = {}): void {
  const { mode = 'accept', minSeconds = LEAST_SECONDS } = options;
  if (!['off', 'accept', 'request'].includes(mode))
    throw invalidArgument('sessionTimer.mode', "must be 'off', 'accept' or 'request'");
  checkInteger('sessionTimer.minSeconds', minSeconds, LEAST_SECONDS, 86_400);
  const expires = options.expiresSeconds ?? Math.max(DEFAULT_EXPIRES_SECONDS, minSeconds);
  checkInteger('sessionTimer.expiresSeconds', expires, minSeconds, 86_400);
}
