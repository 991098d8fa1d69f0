// Call events to an application's own HTTP server: the `callApp` of the documented API.

import { createHmac, randomUUID } from 'node:crypto';
import { Agent as HttpAgent, request as httpRequest } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { isIP } from 'node:net';
import type { LookupFunction } from 'node:net';
import type { Call, CallGateway, CallProblem, CallView, ReceivedDtmf } from '@sipcast/core';
import { guardedLookup } from './guarded-lookup.ts';
import type { MayConnect } from './guarded-lookup.ts';
import { callDtmfEvent, callProblemEvent, callStatusEvent } from './event-model.ts';

/** Options of a delivery. */
export interface CallAppOptions {
  /** E.g. `http://localhost:9091/CallApp`: events go to `<callAppUrl>/CallStatusEvent`. */
  readonly callAppUrl: string;
  /** Limit for a complete answer. Default 15,000 ms. */
  readonly timeoutMs?: number;
  /** Retries after the first attempt. Default 3. */
  readonly retries?: number;
  /** First pause between attempts; doubles each time. Default 500 ms. */
  readonly retryDelayMs?: number;
  /** Events queued in total; further events are dropped and counted. Default 1,000. */
  readonly maxQueued?: number;
  /**
   * Signs each event by the Standard Webhooks scheme (HMAC-SHA256): `whsec_` and the key in base64, or any other text,
   * which is then the key itself; neither may be empty. Default: unsigned, as the documented API sends.
   */
  readonly secret?: string;
  /** Whether events of calls with this `appKey` are delivered. Default: all. */
  readonly accepts?: (appKey: string) => boolean;
  /** Whether a connection may go to this address. `host`: the name that resolved to it, or the address. Default: all. */
  readonly mayConnect?: MayConnect;
  /** Used instead of the system's resolver. */
  readonly lookup?: LookupFunction;
  /** Called for each event that was given up or dropped, with the reason. Must not throw. */
  readonly onLost?: (reason: string) => void;
}

/** A running delivery. */
export interface CallAppDelivery {
  readonly stats: { readonly delivered: number; readonly lost: number; readonly queued: number };
  /** Stops listening; waits up to `drainMs` (default 2,000) for what is queued. Idempotent. */
  close(drainMs?: number): Promise<void>;
}

/** Deliveries at once, each with a connection: a receiver that hangs must not use up the process's file descriptors. */
const MAX_AT_ONCE = 64;
/** Longest answer that is read. */
const MAX_ANSWER_BYTES = 4096;

/**
 * POSTs each change of `status`, `sipStatus` or `rtmpStreamStatus` to `<callAppUrl>/CallStatusEvent`, and each key that a
 * peer presses to `<callAppUrl>/CallDtmfEvent` (`dtmf`, and `type` as in `/call/send_dtmf`), in order for each call. A
 * receiver that is slow or dead never delays a call: its events are queued up to a limit and then given up. At most 64 are
 * delivered at once.
 *
 * @throws TypeError when `callAppUrl` is not an http or https URL, or the key of `secret` is empty.
 */
export function deliverCallEvents(
  gateway: Pick<CallGateway, 'on' | 'off'>,
  options: CallAppOptions,
): CallAppDelivery {
  const url = new URL(options.callAppUrl);
  if (url.protocol !== 'http:' && url.protocol !== 'https:')
    throw new TypeError('callAppUrl must be http or https');
  url.pathname = `${url.pathname.replace(/\/+$/, '')}/`;
  return new Delivery(url, gateway, options);
}

class Delivery implements CallAppDelivery {
  readonly #url: URL;
  readonly #agent: HttpAgent;
  readonly #key: Buffer | undefined;
  readonly #gateway: Pick<CallGateway, 'on' | 'off'>;
  readonly #options: CallAppOptions;
  readonly #chains = new Map<string, Promise<void>>();
  /** Calling these ends the deliveries in progress. */
  readonly #aborts = new Set<() => void>();
  readonly #waiting: (() => void)[] = [];
  #free = MAX_AT_ONCE;
  #aborted = false;
  #sequence = 0;
  #delivered = 0;
  #lost = 0;
  #queued = 0;
  #closing: Promise<void> | undefined;

  constructor(url: URL, gateway: Pick<CallGateway, 'on' | 'off'>, options: CallAppOptions) {
    this.#url = url;
    this.#agent = new (url.protocol === 'https:' ? HttpsAgent : HttpAgent)({ keepAlive: true });
    this.#key = options.secret === undefined ? undefined : keyOf(options.secret);
    this.#gateway = gateway;
    this.#options = options;
    gateway.on('callChange', this.#onChange);
    gateway.on('callDtmf', this.#onDtmf);
    gateway.on('callProblem', this.#onProblem);
  }

  get stats(): CallAppDelivery['stats'] {
    return { delivered: this.#delivered, lost: this.#lost, queued: this.#queued };
  }

  close(drainMs = 2000): Promise<void> {
    this.#closing ??= this.#close(drainMs);
    return this.#closing;
  }

  async #close(drainMs: number): Promise<void> {
    this.#gateway.off('callChange', this.#onChange);
    this.#gateway.off('callDtmf', this.#onDtmf);
    this.#gateway.off('callProblem', this.#onProblem);
    const timer = setTimeout(() => {
      this.#aborted = true;
      for (const abort of this.#aborts) abort();
    }, drainMs);
    await Promise.all(this.#chains.values());
    clearTimeout(timer);
    this.#agent.destroy();
  }

  readonly #onChange = (_call: Call, view: CallView): void => {
    if (this.#options.accepts?.(view.appKey) === false) return;
    this.#enqueue('CallStatusEvent', view.callId, callStatusEvent(view));
  };

  readonly #onDtmf = (call: Call, dtmf: ReceivedDtmf): void => {
    if (this.#options.accepts?.(call.request.appKey) === false) return;
    this.#enqueue('CallDtmfEvent', call.callId, callDtmfEvent(call, dtmf));
  };

  readonly #onProblem = (call: Call, problem: CallProblem): void => {
    if (this.#options.accepts?.(call.request.appKey) === false) return;
    this.#enqueue('CallProblem', call.callId, callProblemEvent(call, problem));
  };

  #enqueue(name: string, callId: string, event: Record<string, unknown>): void {
    // A dropped event uses up its number, so that the receiver sees the gap.
    const sequence = ++this.#sequence;
    if (this.#queued >= (this.#options.maxQueued ?? 1000)) return this.#lose('queue full');
    this.#queued++;
    event['timestamp'] = Date.now();
    event['sequence'] = sequence;
    const body = JSON.stringify(event);
    const chain = (this.#chains.get(callId) ?? Promise.resolve()).then(() =>
      this.#deliver(name, body),
    );
    this.#chains.set(callId, chain);
    void chain.finally(() => {
      if (this.#chains.get(callId) === chain) this.#chains.delete(callId);
    });
  }

  async #deliver(name: string, body: string): Promise<void> {
    const { retries = 3, retryDelayMs = 500 } = this.#options;
    const id = `msg_${randomUUID()}`;
    let problem: string | undefined = 'closed';
    for (let attempt = 0; attempt <= retries && !this.#aborted; attempt++) {
      if (attempt > 0) await this.#pause(retryDelayMs * 2 ** (attempt - 1));
      if (this.#aborted) break;
      problem = await this.#inTurn(() => this.#post(new URL(name, this.#url), id, body));
      if (problem === undefined) break;
    }
    this.#queued--;
    if (problem === undefined) this.#delivered++;
    else this.#lose(problem);
  }

  /** Delivers when a place is free. @returns the problem, if there was one. */
  async #inTurn(post: () => Promise<string | undefined>): Promise<string | undefined> {
    if (this.#free > 0) this.#free--;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      return this.#aborted ? 'closed' : await post();
    } finally {
      // The longest waiting delivery gets the place.
      const next = this.#waiting.shift();
      if (next) next();
      else this.#free++;
    }
  }

  /** @returns the problem, if there was one. */
  #post(url: URL, id: string, body: string): Promise<string | undefined> {
    const bytes = Buffer.from(body);
    const { mayConnect, lookup } = this.#options;
    const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
    // Addresses are not looked up.
    if (mayConnect && isIP(host) !== 0 && !mayConnect(host, host))
      return Promise.resolve(`${host} is an address that may not be connected to`);
    return new Promise((resolve) => {
      const send = url.protocol === 'https:' ? httpsRequest : httpRequest;
      const request = send(url, {
        method: 'POST',
        agent: this.#agent,
        ...(mayConnect
          ? { lookup: guardedLookup(mayConnect, lookup) }
          : lookup !== undefined && { lookup }),
        headers: {
          'content-type': 'application/json',
          'content-length': bytes.length,
          ...this.#signature(id, body),
        },
      });
      const end = (problem?: string): void => {
        clearTimeout(timer);
        this.#aborts.delete(onAbort);
        resolve(problem);
      };
      const onAbort = (): void => void request.destroy(new Error('closed'));
      const { timeoutMs = 15_000 } = this.#options;
      const timer = setTimeout(() => {
        request.destroy(new Error(`no answer within ${timeoutMs} ms`));
      }, timeoutMs);
      this.#aborts.add(onAbort);
      request.on('error', (error) => end(error.message));
      // An answer that switches protocols is neither a response nor an error: the connection just ends.
      let isAnswered = false;
      request.on('close', () => {
        if (!isAnswered) end('the connection ended without an answer');
      });
      request.on('response', (response) => {
        isAnswered = true;
        const { statusCode = 0 } = response;
        let length = 0;
        response.on('data', (part: Buffer) => {
          length += part.length;
          if (length > MAX_ANSWER_BYTES) request.destroy();
        });
        response.on('error', () => {}); // 'close' follows.
        // Redirects are not followed: only the configuration decides where events go.
        response.on('close', () =>
          end(statusCode >= 200 && statusCode < 300 ? undefined : `HTTP ${statusCode}`),
        );
      });
      request.end(bytes);
    });
  }

  #signature(id: string, body: string): Record<string, string> {
    if (!this.#key) return {};
    const timestamp = String(Math.floor(Date.now() / 1000));
    const mac = createHmac('sha256', this.#key)
      .update(`${id}.${timestamp}.${body}`)
      .digest('base64');
    return { 'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': `v1,${mac}` };
  }

  #lose(reason: string): void {
    this.#lost++;
    this.#options.onLost?.(reason);
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        this.#aborts.delete(done);
        resolve();
      };
      const timer = setTimeout(done, ms);
      this.#aborts.add(done);
    });
  }
}

function keyOf(secret: string): Buffer {
  const key = secret.startsWith('whsec_')
    ? Buffer.from(secret.slice(6), 'base64')
    : Buffer.from(secret);
  // Anyone can sign with an empty key.
  if (key.length === 0) throw new TypeError('secret must hold a key that is not empty');
  return key;
}
