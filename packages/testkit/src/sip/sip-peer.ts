// A SIP phone for tests: runs a script, sends real media, and records the caller's violations.

import { randomBytes } from 'node:crypto';
import { formatMessage, parseNameAddress, parseVia } from '@sipcast/sip';
import type { SipMessage, SipRequest, SipResponse } from '@sipcast/sip';
import type { CallScript } from './call-script.ts';
import { PeerCall } from './peer-call.ts';
import type { LoggedCall, LoggedMessage, PeerCallDeps } from './phone-call.ts';
import { phoneResponse } from './phone-response.ts';
import { DigestChallenger } from './peer-digest.ts';
import type { PeerAuth } from './peer-digest.ts';
import { branchOf, judgeInitial, judgeRequest, judgeResponse, tagOf } from './peer-judge.ts';
import type { Violation } from './peer-judge.ts';
import { SipWire } from './sip-wire.ts';
import type { Origin } from './sip-wire.ts';

/** Options of a {@link SipPeer}. */
export interface SipPeerOptions {
  /** UDP and TCP port. Default: a free one. */
  readonly port?: number;
  /** IP address. Default `127.0.0.1`. */
  readonly host?: string;
  /** Default `both`. */
  readonly transport?: 'udp' | 'tcp' | 'both';
  /** User part of the phone's URI. Default `phone`. */
  readonly user?: string;
  /** How to handle calls: always the same, or chosen by the first INVITE and the call's index. */
  readonly script?: CallScript | ((invite: SipRequest, index: number) => CallScript);
  /** Accept REGISTER, with or without digest (default `{}`); false answers 405. */
  readonly register?: { readonly auth?: PeerAuth; readonly maxExpiresS?: number } | false;
  /** T1 of RFC 3261 §17.1.1.1; T2 is 8 × T1. Default 500 ms. */
  readonly t1Ms?: number;
}

/** An accepted REGISTER. */
export interface PeerRegistration {
  /** URI of To. */
  readonly addressOfRecord: string;
  /** URI of Contact; `*` for all. */
  readonly contact: string;
  /** As granted; 0 removes. */
  readonly expiresS: number;
  readonly request: SipRequest;
}

/** A request of the phone waiting for its final response. */
interface Client {
  readonly request: SipRequest;
  readonly call: LoggedCall;
  readonly origin: Origin;
  response: SipResponse | undefined;
  /** ACK of a 2xx, sent again for repeated 2xx. */
  ack: SipRequest | undefined;
  settle: (response: SipResponse | undefined) => void;
  timer: NodeJS.Timeout | undefined;
}

/** Responses kept for retransmitted requests. */
const MAX_REMEMBERED = 4096;

/** A scriptable phone on one UDP and TCP port. */
export class SipPeer {
  /** In order of their first INVITE. */
  readonly calls: PeerCall[] = [];
  /** Every message, in order. */
  readonly messages: LoggedMessage[] = [];
  /** The callers' violations. Tests assert that it is empty. */
  readonly violations: Violation[] = [];
  /** Accepted REGISTERs, in order. */
  readonly registrations: PeerRegistration[] = [];
  readonly #options: SipPeerOptions;
  readonly #t1Ms: number;
  readonly #callsByKey = new Map<string, PeerCall>();
  /** Final responses to non-INVITE requests, by transaction. */
  readonly #answers = new Map<string, { request: SipRequest; response: SipResponse }>();
  readonly #clients = new Map<string, Client>();
  readonly #waiting: { resolve: (call: PeerCall) => void; reject: (error: Error) => void }[] = [];
  readonly #registrar: DigestChallenger | undefined;
  readonly #callDeps: PeerCallDeps;
  #wire!: SipWire;
  #handedOut = 0;
  #muted = false;
  #closed: Promise<void> | undefined;

  private constructor(options: SipPeerOptions) {
    this.#options = options;
    this.#t1Ms = options.t1Ms ?? 500;
    const registerAuth = options.register === false ? undefined : options.register?.auth;
    this.#registrar = registerAuth && new DigestChallenger(registerAuth);
    this.#callDeps = {
      host: options.host ?? '127.0.0.1',
      t1Ms: this.#t1Ms,
      contactFor: (protocol) => this.#contactFor(protocol),
      respond: (request, response, origin) => this.#respond(request, response, origin),
      request: (request, origin, call) => this.#request(request, origin, call),
      send: (message, origin, call) => this.#sendAck(message, origin, call),
      via: (protocol) => this.#newVia(protocol),
      violation: (rule, callId) => this.#violation(rule, callId),
    };
  }

  /** Binds the sockets. Rejects with the system's error. */
  static async open(options: SipPeerOptions = {}): Promise<SipPeer> {
    const peer = new SipPeer(options);
    const { transport = 'both', host = '127.0.0.1', port = 0 } = options;
    peer.#wire = await SipWire.open(
      { host, port, udp: transport !== 'tcp', tcp: transport !== 'udp' },
      {
        onMessage: (message, octets, origin) => peer.#take(message, octets, origin),
        onGarbage: (reason) => peer.#violation(`malformed message: ${reason}`, undefined),
      },
    );
    return peer;
  }

  get host(): string {
    return this.#wire.host;
  }

  get port(): number {
    return this.#wire.port;
  }

  /** The URI to call: `sip:phone@127.0.0.1:port`. */
  get uri(): string {
    return this.#contactFor('udp');
  }

  /** Number of open TCP connections. */
  get connections(): number {
    return this.#wire.connections;
  }

  /** Resolves with each call once, in order; at once if it has already arrived. Rejects when the phone is closed. */
  nextCall(): Promise<PeerCall> {
    const call = this.calls[this.#handedOut];
    if (call === undefined && this.#closed !== undefined) {
      return Promise.reject(new Error('The phone is closed'));
    }
    this.#handedOut++;
    if (call !== undefined) return Promise.resolve(call);
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
    });
  }

  /** Drops everything that arrives and sends nothing, like a pulled cable. */
  mute(): void {
    this.#muted = true;
  }

  /** Undoes {@link mute}. */
  unmute(): void {
    this.#muted = false;
  }

  /** Cuts every TCP connection. */
  dropConnections(): void {
    this.#wire.dropConnections();
  }

  /** Sends BYE to every established call, and waits at most `64 × T1` for the responses. */
  async hangUpAll(): Promise<void> {
    await Promise.all(this.calls.map((call) => call.hangUp()));
  }

  /** Closes every socket, port and timer without notifying the callers. Idempotent. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    for (const client of this.#clients.values()) {
      clearTimeout(client.timer);
      client.settle(undefined);
    }
    this.#clients.clear();
    for (const { reject } of this.#waiting.splice(0)) reject(new Error('The phone is closed'));
    await Promise.all(this.calls.map((call) => call.close()));
    await this.#wire.close();
  }

  #contactFor(protocol: 'udp' | 'tcp'): string {
    const host = this.host.includes(':') ? `[${this.host}]` : this.host;
    const tcp = protocol === 'tcp' ? ';transport=tcp' : '';
    return `sip:${this.#options.user ?? 'phone'}@${host}:${this.port}${tcp}`;
  }

  #newVia(protocol: 'udp' | 'tcp'): string {
    const branch = `z9hG4bK${randomBytes(8).toString('hex')}`;
    const host = this.host.includes(':') ? `[${this.host}]` : this.host;
    return `SIP/2.0/${protocol.toUpperCase()} ${host}:${this.port};rport;branch=${branch}`;
  }

  #take(message: SipMessage, octets: Uint8Array | undefined, origin: Origin): void {
    if (this.#muted || this.#closed !== undefined) return;
    if (message.kind === 'response') this.#takeResponse(message);
    else this.#takeRequest(message, octets, origin);
  }

  #takeRequest(request: SipRequest, octets: Uint8Array | undefined, origin: Origin): void {
    const callId = request.headers.get('call-id');
    const call = this.#callsByKey.get(keyOf(request));
    this.#log('in', request, call);
    for (const rule of judgeRequest(request, octets, origin)) this.#violation(rule, callId);
    const { method } = request;
    if (method !== 'INVITE' && method !== 'ACK') {
      const known = this.#answers.get(`${method} ${branchOf(request)}`);
      if (known !== undefined) {
        if (origin.protocol === 'tcp') this.#violation(`${method} was repeated over TCP`, callId);
        this.#write(known.response, request, origin);
        return;
      }
    }
    if (call !== undefined) {
      call.take(request, origin);
      return;
    }
    const inDialog = tagOf(request.headers.get('to')) !== undefined;
    if (method === 'INVITE' && !inDialog) this.#startCall(request, origin);
    else if (method === 'REGISTER') this.#register(request, origin);
    else if (method === 'ACK') this.#violation('ACK of no call', callId);
    else if (method === 'OPTIONS' && !inDialog) {
      const headers = [['allow', 'INVITE, ACK, CANCEL, BYE, OPTIONS, INFO']] as const;
      this.#respond(request, phoneResponse(request, 200, { toTag: newTag(), headers }), origin);
    } else {
      this.#violation(`${method} of no call`, callId);
      this.#respond(request, phoneResponse(request, 481, { toTag: newTag() }), origin);
    }
  }

  #startCall(invite: SipRequest, origin: Origin): void {
    const { script } = this.#options;
    const index = this.calls.length;
    const chosen = typeof script === 'function' ? script(invite, index) : (script ?? {});
    const call = new PeerCall(invite, origin, chosen, this.#callDeps);
    this.calls.push(call);
    this.#callsByKey.set(keyOf(invite), call);
    call.messages.push(this.messages.at(-1)!);
    call.begin();
    this.#waiting.shift()?.resolve(call);
  }

  #register(request: SipRequest, origin: Origin): void {
    const { register = {} } = this.#options;
    const { headers } = request;
    const callId = headers.get('call-id');
    const toTag = newTag();
    for (const rule of judgeInitial(request)) this.#violation(rule, callId);
    if (register === false) {
      this.#respond(request, phoneResponse(request, 405, { toTag }), origin);
      return;
    }
    // RFC 3261 §10.2: no user in the Request-URI; From and To are the address-of-record.
    if (request.uri.includes('@')) this.#violation('REGISTER URI has a user', callId);
    const registrar = this.#registrar;
    const verdict = registrar?.check(
      'REGISTER',
      request.uri,
      headers.get(registrar.credentialsHeader),
    );
    if (verdict?.passed === false) {
      if (verdict.fault !== undefined) {
        this.#violation(`REGISTER credentials: ${verdict.fault}`, callId);
      }
      const challenge = { toTag, headers: [verdict.challenge] };
      const status = register.auth?.status ?? 401;
      this.#respond(request, phoneResponse(request, status, challenge), origin);
      return;
    }
    const granted: [string, string][] = [];
    for (const value of headers.getAll('contact')) {
      const asked = /;\s*expires=(\d+)/i.exec(value)?.[1] ?? headers.get('expires') ?? '3600';
      const expiresS = Math.min(Number(asked), register.maxExpiresS ?? 3600);
      const contact = value.trim() === '*' ? '*' : parseNameAddress(value).uri;
      const addressOfRecord = parseNameAddress(headers.get('to') ?? '').uri;
      this.registrations.push({ addressOfRecord, contact, expiresS, request });
      if (expiresS > 0) granted.push(['contact', `<${contact}>;expires=${expiresS}`]);
    }
    this.#respond(request, phoneResponse(request, 200, { toTag, headers: granted }), origin);
  }

  #takeResponse(response: SipResponse): void {
    const client = this.#clients.get(branchOf(response));
    const callId = response.headers.get('call-id');
    this.#log('in', response, client?.call);
    if (client === undefined) {
      this.#violation(`${response.statusCode} to no request`, callId);
      return;
    }
    for (const rule of judgeResponse(response, client.request)) this.#violation(rule, callId);
    if (response.statusCode < 200) {
      if (client.request.method === 'INVITE') clearTimeout(client.timer);
      return;
    }
    if (client.response !== undefined) {
      if (client.ack !== undefined) this.#write(client.ack, undefined, client.origin);
      return;
    }
    clearTimeout(client.timer);
    client.response = response;
    if (client.request.method === 'INVITE' && response.statusCode >= 300) {
      client.ack = ackOfFailure(client.request, response);
      this.#log('out', client.ack, client.call);
      this.#write(client.ack, undefined, client.origin);
    }
    client.settle(response);
  }

  #request(
    request: SipRequest,
    origin: Origin,
    call: LoggedCall,
  ): Promise<SipResponse | undefined> {
    if (this.#closed !== undefined) return Promise.resolve(undefined);
    return new Promise((resolve) => {
      const client: Client = {
        request,
        call,
        origin,
        response: undefined,
        ack: undefined,
        settle: resolve,
        timer: undefined,
      };
      this.#clients.set(branchOf(request), client);
      this.#log('out', request, call);
      this.#transmit(client, this.#t1Ms, 0);
    });
  }

  /** RFC 3261 §17.1: timers A and E, B and F. */
  #transmit(client: Client, waitMs: number, waitedMs: number): void {
    if (waitedMs === 0 || client.origin.protocol === 'udp') {
      this.#write(client.request, undefined, client.origin);
    }
    client.timer = setTimeout(() => {
      if (waitedMs + waitMs >= 64 * this.#t1Ms) {
        this.#violation(`no response to ${client.request.method}`, client.call.callId);
        client.settle(undefined);
        return;
      }
      this.#transmit(client, Math.min(waitMs * 2, 8 * this.#t1Ms), waitedMs + waitMs);
    }, waitMs);
  }

  #sendAck(message: SipMessage, origin: Origin, call: LoggedCall): void {
    if (this.#closed !== undefined) return;
    if (message.kind === 'request' && message.method === 'ACK') {
      for (const client of this.#clients.values()) {
        const same =
          client.call === call &&
          client.request.method === 'INVITE' &&
          client.request.headers.get('cseq')?.split(' ')[0] ===
            message.headers.get('cseq')?.split(' ')[0];
        if (same) client.ack = message;
      }
    }
    this.#log('out', message, call);
    this.#write(message, undefined, origin);
  }

  #respond(request: SipRequest, response: SipResponse, origin: Origin): void {
    if (this.#closed !== undefined) return;
    if (request.method !== 'INVITE') {
      this.#answers.set(`${request.method} ${branchOf(request)}`, { request, response });
      if (this.#answers.size > MAX_REMEMBERED) {
        for (const key of this.#answers.keys()) {
          this.#answers.delete(key);
          break;
        }
      }
    }
    this.#log('out', response, this.#callsByKey.get(keyOf(request)));
    this.#write(response, request, origin);
  }

  /** Sends a response where RFC 3261 §18.2.2 and RFC 3581 §4 require. */
  #write(message: SipMessage, request: SipRequest | undefined, origin: Origin): void {
    if (this.#muted) return;
    if (message.kind === 'request' || request === undefined) {
      this.#wire.send(formatMessage(message), origin);
      return;
    }
    const top = request.headers.get('via') ?? '';
    const via = parseVia(top);
    const hasRport = via.parameters.has('rport');
    const headers = message.headers.clone();
    const filled = hasRport
      ? top.replace(/;\s*rport(?:=[^;]*)?/i, `;received=${origin.address};rport=${origin.port}`)
      : top;
    headers.setFirst('via', filled);
    const port = origin.protocol === 'udp' && !hasRport ? (via.port ?? 5060) : origin.port;
    this.#wire.send(formatMessage({ ...message, headers }), { ...origin, port });
  }

  #log(direction: 'in' | 'out', message: SipMessage, call: LoggedCall | undefined): void {
    const logged = { direction, atMs: performance.now(), message };
    this.messages.push(logged);
    call?.messages.push(logged);
  }

  #violation(rule: string, callId: string | undefined): void {
    this.violations.push({ rule, callId, atMs: performance.now() });
  }
}

/** Key of a call: its Call-ID and the caller's tag, from From or To. */
function keyOf(request: SipRequest): string {
  return `${request.headers.get('call-id') ?? ''} ${tagOf(request.headers.get('from')) ?? ''}`;
}

function newTag(): string {
  return randomBytes(6).toString('hex');
}

/** RFC 3261 §17.1.1.3. */
function ackOfFailure(invite: SipRequest, response: SipResponse): SipRequest {
  const headers = invite.headers.clone();
  for (const name of ['contact', 'content-type', 'content-length']) headers.delete(name);
  headers.set('to', response.headers.get('to') ?? '');
  headers.set('cseq', (invite.headers.get('cseq') ?? '').replace('INVITE', 'ACK'));
  return { kind: 'request', method: 'ACK', uri: invite.uri, headers, body: new Uint8Array(0) };
}
