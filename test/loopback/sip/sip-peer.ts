// A small scripted SIP peer on 127.0.0.1 for the user agent's tests: it says exactly what it is told to.

import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { createServer, type Server, type Socket as TcpSocket } from 'node:net';
import {
  EMPTY_BODY,
  formatMessage,
  parseDatagram,
  type ParseOutcome,
  StreamParser,
  type InviteSessionHandler,
  type ReferRequest,
  type SessionEnding,
  SipHeaders,
  type SipMessage,
  type SipRequest,
  type SipResponse,
  SipUserAgent,
  type SipUserAgentOptions,
} from '@sipcast/sip';

/** Sends octets back to where a message came from. */
export type Reply = (octets: Uint8Array) => void;

interface Arrival {
  readonly message: SipMessage;
  readonly reply: Reply;
}

export interface ResponseParts {
  readonly tag?: string;
  readonly reason?: string;
  readonly headers?: readonly (readonly [string, string])[];
  readonly body?: string;
}

/** A response to `request` with the Contact of `contact`. */
export function response(
  request: SipRequest,
  statusCode: number,
  parts: ResponseParts = {},
): SipResponse {
  const headers = new SipHeaders();
  for (const name of ['via', 'from', 'to', 'call-id', 'cseq']) {
    for (const value of request.headers.getAll(name)) {
      const tagged = name === 'to' && parts.tag !== undefined && !value.includes(';tag=');
      headers.append(name, tagged ? `${value};tag=${parts.tag}` : value);
    }
  }
  for (const [name, value] of parts.headers ?? []) headers.append(name, value);
  if (parts.body !== undefined) headers.append('content-type', 'application/sdp');
  return {
    kind: 'response',
    statusCode,
    reasonPhrase: parts.reason ?? 'Scripted',
    headers,
    body: parts.body === undefined ? EMPTY_BODY : Buffer.from(parts.body),
  };
}

/** Listens on UDP or TCP, keeps what arrives, and calls `script` for each message. */
export class ScriptedPeer {
  readonly received: SipMessage[] = [];
  readonly tcpSockets = new Set<TcpSocket>();
  script: (message: SipMessage, reply: Reply) => void = () => {};
  lastReply: Reply = () => {};
  #udp: UdpSocket | undefined;
  #tcp: Server | undefined;
  #port = 0;
  readonly #waiting: { matches: (message: SipMessage) => boolean; done: (a: Arrival) => void }[] =
    [];

  get port(): number {
    return this.#port;
  }

  async openUdp(port = 0): Promise<this> {
    const socket = createSocket('udp4');
    this.#udp = socket;
    socket.on('message', (datagram, remote) => {
      this.#take(parseDatagram(datagram), (octets) =>
        socket.send(octets, remote.port, remote.address),
      );
    });
    await new Promise<void>((resolve) => {
      socket.bind(port, '127.0.0.1', () => resolve());
    });
    this.#port = socket.address().port;
    return this;
  }

  async openTcp(port = 0): Promise<this> {
    const server = createServer((socket) => {
      this.tcpSockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => this.tcpSockets.delete(socket));
      const parser = new StreamParser({
        onOutcome: (outcome) => this.#take(outcome, (octets) => void socket.write(octets)),
        onKeepAlive: () => {},
      });
      socket.on('data', (chunk) => parser.push(chunk));
    });
    this.#tcp = server;
    await new Promise<void>((resolve) => {
      server.listen(port, '127.0.0.1', () => resolve());
    });
    const address = server.address();
    this.#port = address !== null && typeof address === 'object' ? address.port : 0;
    return this;
  }

  #take(outcome: ParseOutcome, reply: Reply): void {
    const { message } = outcome;
    if (message === undefined) throw new Error(`The peer got garbage: ${outcome.fault.message}`);
    this.received.push(message);
    this.lastReply = reply;
    this.script(message, reply);
    for (let i = this.#waiting.length - 1; i >= 0; i--) {
      const waiting = this.#waiting[i];
      if (waiting?.matches(message) !== true) continue;
      this.#waiting.splice(i, 1);
      waiting.done({ message, reply });
    }
  }

  /**
   * Requests of this method, in order, each of them once. With timers as short as {@link SHORT_TIMERS} a busy machine
   * alone makes a client repeat a request.
   */
  requests(method: string): SipRequest[] {
    const seen = new Set<string>();
    return this.copies(method).filter(({ headers }) => {
      const key = `${headers.get('via')} ${headers.get('call-id')} ${headers.get('cseq')}`;
      const isNew = !seen.has(key);
      seen.add(key);
      return isNew;
    });
  }

  /** Requests of this method as they arrived, retransmissions included. */
  copies(method: string): SipRequest[] {
    return this.received.filter(
      (m): m is SipRequest => m.kind === 'request' && m.method === method,
    );
  }

  /** The `nth` request of this method, now or later, retransmissions not counted. */
  request(method: string, nth = 1): Promise<SipRequest> {
    return this.#nth(method, () => this.requests(method)[nth - 1]);
  }

  /** The `nth` copy of a request of this method, now or later: 2 is its first retransmission. */
  copy(method: string, nth: number): Promise<SipRequest> {
    return this.#nth(method, () => this.copies(method)[nth - 1]);
  }

  async #nth(method: string, find: () => SipRequest | undefined): Promise<SipRequest> {
    for (;;) {
      const found = find();
      if (found !== undefined) return found;
      await this.#next((m) => m.kind === 'request' && m.method === method);
    }
  }

  /** The first response with this CSeq value, now or later. */
  async response(cseq: string): Promise<SipResponse> {
    const matches = (m: SipMessage): m is SipResponse =>
      m.kind === 'response' && m.headers.get('cseq') === cseq;
    for (;;) {
      const found = this.received.find(matches);
      if (found !== undefined) return found;
      await this.#next(matches);
    }
  }

  #next(matches: (message: SipMessage) => boolean): Promise<Arrival> {
    return new Promise((done) => {
      this.#waiting.push({ matches, done });
    });
  }

  /** Sends to a port on 127.0.0.1 over UDP. */
  send(octets: Uint8Array, port: number): void {
    this.#udp?.send(octets, port, '127.0.0.1');
  }

  async close(): Promise<void> {
    for (const socket of this.tcpSockets) socket.destroy();
    const udp = this.#udp;
    const tcp = this.#tcp;
    this.#udp = undefined;
    this.#tcp = undefined;
    if (udp !== undefined) {
      await new Promise<void>((resolve) => {
        udp.close(() => resolve());
      });
    }
    if (tcp !== undefined) {
      await new Promise<void>((resolve) => {
        tcp.close(() => resolve());
      });
    }
  }
}

/** What a peer sends in a dialog that our INVITE created: the tags of the INVITE's 2xx, swapped. */
export function dialogRequest(
  invite: SipRequest,
  method: string,
  parts: {
    readonly tag: string;
    readonly sequence: number;
    readonly port: number;
    readonly transport?: string;
    readonly headers?: readonly (readonly [string, string])[];
    readonly body?: string;
    readonly branch?: string;
  },
): SipRequest {
  const contact = /<([^>]*)>/.exec(invite.headers.get('contact') ?? '')?.[1] ?? '';
  const branch = parts.branch ?? `z9hG4bK-${method}-${parts.sequence}-${parts.tag}`;
  const headers = new SipHeaders()
    .append('via', `SIP/2.0/${parts.transport ?? 'UDP'} 127.0.0.1:${parts.port};branch=${branch}`)
    .append('max-forwards', '70')
    .append('from', `${invite.headers.get('to') ?? ''};tag=${parts.tag}`)
    .append('to', invite.headers.get('from') ?? '')
    .append('call-id', invite.headers.get('call-id') ?? '')
    .append('cseq', `${parts.sequence} ${method}`);
  for (const [name, value] of parts.headers ?? []) headers.append(name, value);
  if (parts.body !== undefined) headers.append('content-type', 'application/sdp');
  return {
    kind: 'request',
    method,
    uri: contact,
    headers,
    body: parts.body === undefined ? EMPTY_BODY : Buffer.from(parts.body),
  };
}

/** Formats and sends. */
export function say(reply: Reply, message: SipMessage): void {
  reply(formatMessage(message));
}

/** Timers short enough for tests, in the proportions of the RFC: 64·T1 is 640 ms. */
export const SHORT_TIMERS = { t1Ms: 10, t2Ms: 40, t4Ms: 50 };

/** A user agent on 127.0.0.1 with short timers. */
export async function openUserAgent(options: SipUserAgentOptions = {}): Promise<SipUserAgent> {
  const userAgent = new SipUserAgent({
    bindAddress: '127.0.0.1',
    timers: SHORT_TIMERS,
    closeGraceMs: 300,
    ...options,
  });
  await userAgent.open();
  return userAgent;
}

/** Records what a call reports. */
export class Recorder implements InviteSessionHandler {
  readonly events: string[] = [];
  readonly offers: string[] = [];
  readonly reanswers: string[] = [];
  readonly ended: Promise<SessionEnding>;
  readonly answered: Promise<SipResponse>;
  readonly refers: ReferRequest[] = [];
  takesRefer = false;
  reoffer: ReturnType<InviteSessionHandler['onReoffer']> = { answer: 'v=0 answer\r\n' };
  onEnded: (ending: SessionEnding) => void;
  onAnswered: (response: SipResponse) => void;

  constructor() {
    let end: (ending: SessionEnding) => void = () => {};
    let answer: (response: SipResponse) => void = () => {};
    this.ended = new Promise((resolve) => {
      end = resolve;
    });
    this.answered = new Promise((resolve) => {
      answer = resolve;
    });
    this.onEnded = (ending) => {
      this.events.push('ended');
      end(ending);
    };
    this.onAnswered = (accepted) => {
      this.events.push(`answered ${accepted.statusCode}`);
      answer(accepted);
    };
  }

  onProvisional(provisional: SipResponse): void {
    this.events.push(String(provisional.statusCode));
  }

  onReoffer(sdp: string): ReturnType<InviteSessionHandler['onReoffer']> {
    this.offers.push(sdp);
    return this.reoffer;
  }

  onReanswer(sdp: string): void {
    this.reanswers.push(sdp);
  }

  onRefer(refer: ReferRequest): boolean {
    this.refers.push(refer);
    return this.takesRefer;
  }
}
