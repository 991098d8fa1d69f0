// OPTIONS pings of servers that we do not register with (RFC 3261 §11). Silent servers are tried last.

import { SipError } from '../errors.ts';
import { EMPTY_BODY, SipHeaders, type SipRequest } from '../message/message.ts';
import type { NextHop } from '../transport/next-hop.ts';
import type { Clock, TimerHandle } from '../timers.ts';
import type { ClientTransactionHandler, Hop } from '../transaction/transaction-layer.ts';
import { formatHostPort } from '../message/uri.ts';

/** Servers to ping regularly. */
export interface PingOptions {
  /**
   * SIP URIs without user, e.g. `sip:sbc.example.com;transport=tcp`. Every address that they resolve to is pinged.
   * Default: none.
   */
  readonly servers?: readonly string[];
  /** Longest interval between pings of one address, 1,000–3,600,000 ms. Default 30,000. */
  readonly intervalMs?: number;
}

/** A server that has started or stopped answering. */
export interface ServerState {
  /** The URI that resolved to it. */
  readonly server: string;
  /** Upper case as in a Via. */
  readonly protocol: string;
  readonly address: string;
  readonly port: number;
  /** `silent`: no answer in time, no connection, or 503. Any other response counts as an answer. */
  readonly state: 'answers' | 'silent';
  /** Status of the last response. */
  readonly statusCode: number | undefined;
}

/** The dependencies of the pings. */
export interface ServerPingsDeps {
  readonly servers: readonly { readonly uri: string; readonly next: NextHop }[];
  readonly intervalMs: number;
  readonly clock: Clock;
  /** 0 ≤ n < 1. */
  readonly random: () => number;
  readonly token: () => string;
  readonly userAgentName: string;
  locate(next: NextHop): Promise<readonly Hop[]>;
  send(request: SipRequest, hop: Hop, handler: ClientTransactionHandler): void;
  /** Called with the first outcome for an address, and with each change. Must not throw. */
  onState(state: ServerState): void;
}

/** Pings servers and orders hops by the outcome. */
export class ServerPings {
  readonly #deps: ServerPingsDeps;
  readonly #timers = new Map<string, TimerHandle>();
  /** By address: the latest outcome. */
  readonly #states = new Map<string, ServerState['state']>();
  /** By server: the addresses that it currently resolves to. */
  readonly #addresses = new Map<string, ReadonlySet<string>>();
  #sequence = 0;
  #stopped = false;

  constructor(deps: ServerPingsDeps) {
    this.#deps = deps;
  }

  /** Starts pinging all servers. Call once. */
  start(): void {
    for (const server of this.#deps.servers) void this.#ask(server);
  }

  /** Stops all pings. */
  stop(): void {
    this.#stopped = true;
    for (const timer of this.#timers.values()) timer.cancel();
    this.#timers.clear();
  }

  /** Moves silent hops to the end, and keeps the order otherwise. */
  order(hops: readonly Hop[]): readonly Hop[] {
    const isSilent = (hop: Hop): boolean => this.#states.get(keyOf(hop)) === 'silent';
    if (this.#states.size === 0 || !hops.some(isSilent)) return hops;
    return [...hops.filter((hop) => !isSilent(hop)), ...hops.filter(isSilent)];
  }

  async #ask(server: ServerPingsDeps['servers'][number]): Promise<void> {
    const { clock, intervalMs, random } = this.#deps;
    try {
      const hops = await this.#deps.locate(server.next);
      this.#remember(server.uri, hops);
      await Promise.all(hops.map((hop) => this.#ping(server.uri, hop)));
    } catch {
      // Ignored: the name does not resolve now. Calls to it will report that, and the next ping resolves it again.
    }
    if (this.#stopped) return;
    // RFC 5626 §4.4 recommends this for keep-alives: pings that started together drift apart.
    const delayMs = intervalMs * (0.8 + 0.2 * random());
    this.#timers.set(
      server.uri,
      clock.startTimer(delayMs, () => void this.#ask(server)),
    );
  }

  /** Forgets addresses that no server resolves to any more, so that moving names do not accumulate. */
  #remember(server: string, hops: readonly Hop[]): void {
    this.#addresses.set(server, new Set(hops.map(keyOf)));
    const known = [...this.#addresses.values()];
    for (const key of this.#states.keys())
      if (!known.some((addresses) => addresses.has(key))) this.#states.delete(key);
  }

  #ping(server: string, hop: Hop): Promise<void> {
    if (this.#stopped) return Promise.resolve();
    return new Promise((resolve) => {
      const settle = (state: ServerState['state'], statusCode?: number): void => {
        this.#outcome(server, hop, state, statusCode);
        resolve();
      };
      try {
        this.#deps.send(this.#options(server, hop), hop, {
          onResponse: ({ statusCode }) => {
            if (statusCode >= 200) settle(statusCode === 503 ? 'silent' : 'answers', statusCode);
          },
          onFailure: ({ code }) => {
            if (code === 'CLOSED') resolve();
            else settle('silent');
          },
        });
      } catch (error) {
        if (!(error instanceof SipError)) throw error;
        resolve(); // The user agent is closed.
      }
    });
  }

  #options(server: string, hop: Hop): SipRequest {
    const { token, userAgentName } = this.#deps;
    this.#sequence += 1;
    const us = formatHostPort(hop.localHost, hop.localPort);
    const headers = new SipHeaders()
      .append('max-forwards', '70')
      .append('from', `<sip:ping@${us}>;tag=${token()}`)
      .append('to', `<${server}>`)
      .append('call-id', token())
      .append('cseq', `${this.#sequence} OPTIONS`)
      .append('contact', `<sip:ping@${us}>`)
      .append('accept', 'application/sdp')
      .append('user-agent', userAgentName);
    return { kind: 'request', method: 'OPTIONS', uri: server, headers, body: EMPTY_BODY };
  }

  #outcome(server: string, hop: Hop, state: ServerState['state'], statusCode?: number): void {
    if (this.#stopped) return;
    const key = keyOf(hop);
    const before = this.#states.get(key);
    this.#states.set(key, state);
    if (before === state) return;
    const { protocol, address, port } = hop;
    this.#deps.onState({ server, protocol, address, port, state, statusCode });
  }
}

function keyOf({ protocol, address, port }: Hop): string {
  return `${protocol} ${address} ${port}`;
}
