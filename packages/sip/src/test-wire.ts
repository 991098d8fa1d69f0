// For tests: a user agent on an in-memory wire with a manual clock. No sockets, no sleeps.

import type { IncomingInvite } from './call/call-session.ts';
import { createResponse } from './transaction/matching.ts';
import { EMPTY_BODY, formatMessage, SipHeaders } from './message/message.ts';
import type { SipMessage, SipRequest, SipResponse } from './message/message.ts';
import { parseDatagram } from './message/parser.ts';
import type { SipDns } from './transport/sip-dns.ts';
import type { Clock } from './timers.ts';
import { transportError } from './errors.ts';
import type {
  SendDone,
  Transport,
  TransportAddress,
  TransportHandler,
} from './transport/transport.ts';
import { SipUserAgent } from './agent/user-agent.ts';
import type {
  InviteDecision,
  SipUserAgentHandler,
  SipUserAgentOptions,
} from './agent/user-agent-options.ts';
import { parseCSeq } from './message/uri.ts';

/** Time that advances only on request. */
export class ManualClock implements Clock {
  #nowMs = 0;
  #timers: { dueMs: number; callback: () => void }[] = [];

  now(): number {
    return this.#nowMs;
  }

  startTimer(delayMs: number, callback: () => void): { cancel(): void } {
    const timer = { dueMs: this.#nowMs + delayMs, callback };
    this.#timers.push(timer);
    return {
      cancel: () => {
        this.#timers = this.#timers.filter((other) => other !== timer);
      },
    };
  }

  get running(): number {
    return this.#timers.length;
  }

  pass(durationMs: number): void {
    const endMs = this.#nowMs + durationMs;
    for (;;) {
      const due = this.#timers
        .filter((timer) => timer.dueMs <= endMs)
        .toSorted((a, b) => a.dueMs - b.dueMs)[0];
      if (due === undefined) break;
      this.#nowMs = due.dueMs;
      this.#timers = this.#timers.filter((other) => other !== due);
      due.callback();
    }
    this.#nowMs = endMs;
  }
}

/** The address of the peer in every test. */
export const PEER: TransportAddress = { protocol: 'UDP', address: '192.0.2.9', port: 5060 };

/** `INVITE`, or `180 INVITE` for a response. */
export function labelOf(message: SipMessage): string {
  if (message.kind === 'request') return message.method;
  return `${message.statusCode} ${parseCSeq(message.headers.get('cseq') ?? '').method}`;
}

/** `a, b ×3`: repeated labels are counted. */
export function summary(labels: readonly string[]): string {
  const runs: { label: string; count: number }[] = [];
  for (const label of labels) {
    const last = runs.at(-1);
    if (last?.label === label) last.count++;
    else runs.push({ label, count: 1 });
  }
  return runs.map(({ label, count }) => (count === 1 ? label : `${label} ×${count}`)).join(', ');
}

/** Runs all pending microtasks and immediates. */
export function settle(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

class MemoryTransport implements Transport {
  readonly protocol = 'UDP';
  readonly reliable = false;
  readonly localPort = 5060;
  readonly connections = 0;
  handler: TransportHandler | undefined;
  failing = false;
  /** `undefined`: a keep-alive. */
  onSent: (message: SipMessage | undefined) => void = () => {};

  async open(handler: TransportHandler): Promise<void> {
    this.handler = handler;
  }

  send(octets: Uint8Array, _to: TransportAddress, done: SendDone): void {
    if (this.failing) {
      done(transportError('The wire is cut'));
      return;
    }
    const isMessage = octets.some((octet) => octet !== 0x0d && octet !== 0x0a);
    const message = isMessage ? parseDatagram(octets).message : undefined;
    if (isMessage && message === undefined)
      throw new Error('The user agent wrote an invalid message');
    done(undefined);
    this.onSent(message);
  }

  connect(_to: TransportAddress, _timeoutMs: number, done: SendDone): void {
    done(undefined);
  }

  async close(): Promise<void> {}
}

/** One user agent, with a peer that the test controls. */
export class TestWire {
  readonly clock = new ManualClock();
  readonly userAgent: SipUserAgent;
  readonly #sent: string[] = [];
  /** Everything sent so far. */
  readonly history: SipMessage[] = [];
  onInvite: (invite: IncomingInvite) => InviteDecision = () => 'drop';
  readonly #transport = new MemoryTransport();
  #tokens = 0;
  /** Open address queries, to be answered by the test. */
  readonly #asked: ((address: string | undefined) => void)[] = [];

  constructor(options: SipUserAgentOptions = {}, handler: SipUserAgentHandler = {}) {
    const dns: SipDns = {
      naptr: () => Promise.reject(new Error('none')),
      srv: () => Promise.reject(new Error('none')),
      addresses: () =>
        new Promise((resolve) => {
          this.#asked.push((address) => resolve(address === undefined ? [] : [{ address }]));
        }),
    };
    this.userAgent = new SipUserAgent(
      {
        bindAddress: '192.0.2.1',
        clock: this.clock,
        random: () => 0.5,
        token: () => `t${++this.#tokens}`,
        transports: [() => this.#transport],
        dns,
        closeGraceMs: 0,
        ...options,
      },
      { onInvite: (invite) => this.onInvite(invite), ...handler },
    );
    this.#transport.onSent = (message) => {
      this.#sent.push(message === undefined ? 'CRLF' : labelOf(message));
      if (message === undefined) return;
      this.history.push(message);
    };
  }

  async open(): Promise<this> {
    await this.userAgent.open();
    return this;
  }

  /** Whether sending on the wire fails. */
  set cut(failing: boolean) {
    this.#transport.failing = failing;
  }

  /** Answers the DNS query. `undefined`: no such host. */
  resolve(address: string | undefined): void {
    for (const answer of this.#asked.splice(0)) answer(address);
  }

  /** Advances time in steps, and lets everything settle after each. */
  async pass(durationMs: number, stepMs = 500): Promise<void> {
    for (let passedMs = 0; passedMs < durationMs; passedMs += stepMs) {
      this.clock.pass(Math.min(stepMs, durationMs - passedMs));
      await settle();
    }
  }

  /** Labels of everything sent since the last call. */
  take(): string[] {
    return this.#sent.splice(0);
  }

  /** Closes the user agent without waiting for responses. */
  async close(): Promise<void> {
    const closing = this.userAgent.close();
    await settle();
    this.clock.pass(0);
    await closing;
    this.resolve(undefined);
    await settle();
  }

  /** The user agent's latest request with this method. */
  request(method: string): SipRequest {
    const found = this.history.findLast((one) => one.kind === 'request' && one.method === method);
    if (found?.kind !== 'request') throw new Error(`No ${method} was sent`);
    return found;
  }

  /** The user agent's latest response with this label, e.g. `200 INVITE`. */
  response(label: string): SipResponse {
    const found = this.history.findLast((one) => labelOf(one) === label);
    if (found?.kind !== 'response') throw new Error(`No ${label} was sent`);
    return found;
  }

  receive(message: SipMessage, source: TransportAddress = PEER): void {
    this.#transport.handler?.onOutcome(parseDatagram(formatMessage(message)), source);
  }

  /** The peer answers a request. */
  answer(
    request: SipRequest,
    statusCode: number,
    headers: readonly (readonly [string, string])[] = [],
    body = '',
    tag = 'peer',
  ): void {
    const reason = `Reason ${statusCode}`;
    const response = {
      ...createResponse(request, statusCode, reason, tag),
      body: Buffer.from(body),
    };
    for (const [name, value] of headers) response.headers.append(name, value);
    if (body !== '') response.headers.append('content-type', 'application/sdp');
    this.receive(response);
  }

  /** The peer sends a request. */
  ask(
    method: string,
    parts: {
      readonly callId: string;
      readonly from: string;
      readonly to: string;
      readonly sequence: number;
      readonly branch?: string;
      readonly headers?: readonly (readonly [string, string])[];
      readonly body?: string;
      readonly source?: TransportAddress;
    },
  ): void {
    const { callId, from, to, sequence, body = '' } = parts;
    const branch = parts.branch ?? `z9hG4bK-${method}-${sequence}-${this.#tokens}`;
    const headers = new SipHeaders()
      .append('via', `SIP/2.0/UDP ${PEER.address}:${PEER.port};branch=${branch}`)
      .append('max-forwards', '70')
      .append('from', from)
      .append('to', to)
      .append('call-id', callId)
      .append('cseq', `${sequence} ${method}`);
    for (const [name, value] of parts.headers ?? []) headers.append(name, value);
    if (body !== '' && !headers.has('content-type'))
      headers.append('content-type', 'application/sdp');
    const octets = body === '' ? EMPTY_BODY : Buffer.from(body);
    const request = {
      kind: 'request',
      method,
      uri: 'sip:us@192.0.2.1',
      headers,
      body: octets,
    } as const;
    this.receive(request, parts.source);
  }
}
