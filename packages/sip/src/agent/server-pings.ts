// OPTIONS pings of servers that we do not register with (RFC 3261 §11): one that has fallen silent is asked last, not first.

import { SipError } from '../errors.ts';
import { EMPTY_BODY, SipHeaders, type SipRequest } from '../message/message.ts';
import type { NextHop } from '../transport/next-hop.ts';
import type { Clock, TimerHandle } from '../timers.ts';
import type { ClientTransactionHandler, Hop } from '../transaction/transaction-layer.ts';
import { formatHostPort } from '../message/uri.ts';

/** Servers that are asked now and then whether they are there. */
export interface PingOptions {
  /** SIP URIs without user, e.g. `sip:sbc.example.com;transport=tcp`: each address that they lead to is asked. Default: none. */
  readonly servers?: readonly string[];
  /** Longest time between two questions to one address, 1,000–3,600,000 ms. Default 30,000. */
  readonly intervalMs?: number;
}

/** A server that answers again, or does not any more. */
export interface ServerState {
  /** The URI by which it was found. */
  readonly server: string;
  /** Upper case as in a Via. */
  readonly protocol: string;
  readonly address: string;
  readonly port: number;
  /** `silent`: no answer in time, no connection, or 503. Any other answer is one. */
  readonly state: 'answers' | 'silent';
  /** Of the last answer. */
  readonly statusCode: number | undefined;
}

/** A server to be asked, and what is needed for that. */
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
  /** With the first outcome for an address, and with each that is another than before. Must not throw. */
  onState(state: ServerState): void;
}

/** Asks. */
export class ServerPings {
  readonly #deps: ServerPingsDeps;
  readonly #timers = new Map<string, TimerHandle>();
  /** By address: the newest outcome. */
  readonly #states = new Map<string, ServerState['state']>();
  /** By server: the addresses that it leads to now. */
  readonly #addresses = new Map<string, ReadonlySet<string>>();
  #sequence = 0;
  #stopped = false;

  constructor(deps: ServerPingsDeps) {
    this.#deps = deps;
  }

  /** Asks all of them, now and from now on. Once. */
  start(): void {
    for (const server of this.#deps.servers) void this.#ask(server);
  }

  /** Asks nobody any more. */
  stop(): void {
    this.#stopped = true;
    for (const timer of this.#timers.values()) timer.cancel();
    this.#timers.clear();
  }

  /** Those that are silent go to the end; else as it was. */
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
      // Its name leads nowhere now: calls there will say so, and it is looked up again.
    }
    if (this.#stopped) return;
    // As RFC 5626 §4.4 has it for keep-alives: not all that began together stay together.
    const delayMs = intervalMs * (0.8 + 0.2 * random());
    this.#timers.set(
      server.uri,
      clock.startTimer(delayMs, () => void this.#ask(server)),
    );
  }

  /** What no server leads to any more is forgotten: names may move as often as they like. */
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
