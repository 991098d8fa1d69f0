// Call events to an application's own HTTP server: the `callApp` of the documented API.

import { createHmac, randomUUID } from 'node:crypto';
import type { Call, CallGateway, CallView } from '@sipcast/core';

/** Where events go, and how hard to try. */
export interface CallAppOptions {
  /** E.g. `http://localhost:9091/CallApp`: events go to `<callAppUrl>/CallStatusEvent`. */
  readonly callAppUrl: string;
  /** Longest wait for an answer. Default 15,000 ms. */
  readonly timeoutMs?: number;
  /** Tries after the first. Default 3. */
  readonly retries?: number;
  /** First pause between tries; doubles. Default 500 ms. */
  readonly retryDelayMs?: number;
  /** Events that may wait in all; the ones that come then are dropped and counted. Default 1,000. */
  readonly maxQueued?: number;
  /** Signs each event by the Standard Webhooks scheme (HMAC-SHA256). Default: unsigned, as the reference sends. */
  readonly secret?: string;
  /** Told of each event that was given up or dropped. */
  readonly onLost?: (reason: string) => void;
}

/** A running delivery. */
export interface CallAppDelivery {
  readonly stats: { readonly delivered: number; readonly lost: number; readonly queued: number };
  /** Stops listening; waits up to `drainMs` (default 2,000) for what is queued. Idempotent. */
  close(drainMs?: number): Promise<void>;
}

/** The keys of the documented event, in their order. */
const EVENT_KEYS = [
  'nodeId',
  'appKey',
  'sessionId',
  'callId',
  'incoming',
  'status',
  'sipStatus',
  'rtmpUrl',
  'rtmpStream',
  'rtmpStreamStatus',
  'caller',
  'callee',
  'hasAudio',
  'hasVideo',
  'visibleName',
  'mediaProvider',
  'isMsrp',
  'info',
  'custom',
] as const satisfies readonly (keyof CallView)[];

/**
 * POSTs each change of `status`, `sipStatus` or `rtmpStreamStatus`, in order for each call. A receiver that is slow or
 * dead never delays a call: its events wait, within bounds, and are then given up.
 *
 * @throws TypeError when `callAppUrl` is no http or https URL.
 */
export function deliverCallEvents(
  gateway: Pick<CallGateway, 'on' | 'off'>,
  options: CallAppOptions,
): CallAppDelivery {
  const base = new URL(options.callAppUrl);
  if (base.protocol !== 'http:' && base.protocol !== 'https:')
    throw new TypeError('callAppUrl must be http or https');
  return new Delivery(
    `${options.callAppUrl.replace(/\/+$/, '')}/CallStatusEvent`,
    gateway,
    options,
  );
}

class Delivery implements CallAppDelivery {
  readonly #url: string;
  readonly #gateway: Pick<CallGateway, 'on' | 'off'>;
  readonly #options: CallAppOptions;
  readonly #chains = new Map<string, Promise<void>>();
  readonly #abort = new AbortController();
  #sequence = 0;
  #delivered = 0;
  #lost = 0;
  #queued = 0;
  #closing: Promise<void> | undefined;

  constructor(url: string, gateway: Pick<CallGateway, 'on' | 'off'>, options: CallAppOptions) {
    this.#url = url;
    this.#gateway = gateway;
    this.#options = options;
    gateway.on('callChange', this.#onChange);
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
    const timer = setTimeout(() => this.#abort.abort(), drainMs);
    await Promise.all(this.#chains.values());
    clearTimeout(timer);
    this.#abort.abort();
  }

  readonly #onChange = (_call: Call, view: CallView): void => {
    if (this.#queued >= (this.#options.maxQueued ?? 1000)) return this.#lose('queue full');
    this.#queued++;
    const event: Record<string, unknown> = {};
    for (const key of EVENT_KEYS) if (view[key] !== null) event[key] = view[key];
    event['timestamp'] = Date.now();
    event['sequence'] = ++this.#sequence;
    const body = JSON.stringify(event);
    const { callId } = view;
    const chain = (this.#chains.get(callId) ?? Promise.resolve()).then(() => this.#deliver(body));
    this.#chains.set(callId, chain);
    void chain.finally(() => {
      if (this.#chains.get(callId) === chain) this.#chains.delete(callId);
    });
  };

  async #deliver(body: string): Promise<void> {
    const { retries = 3, retryDelayMs = 500 } = this.#options;
    const id = `msg_${randomUUID()}`;
    let reason = '';
    for (let attempt = 0; attempt <= retries && !this.#abort.signal.aborted; attempt++) {
      if (attempt > 0) await this.#pause(retryDelayMs * 2 ** (attempt - 1));
      reason = await this.#post(id, body);
      if (reason === '') break;
    }
    this.#queued--;
    if (reason === '') this.#delivered++;
    else this.#lose(reason);
  }

  /** @returns What went wrong; empty: nothing. */
  async #post(id: string, body: string): Promise<string> {
    const timeout = AbortSignal.timeout(this.#options.timeoutMs ?? 15_000);
    try {
      const response = await fetch(this.#url, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...this.#signature(id, body) },
        body,
        redirect: 'error',
        signal: AbortSignal.any([timeout, this.#abort.signal]),
      });
      await response.body?.cancel();
      return response.ok ? '' : `HTTP ${response.status}`;
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
  }

  #signature(id: string, body: string): Record<string, string> {
    const { secret } = this.#options;
    if (secret === undefined) return {};
    const timestamp = String(Math.floor(Date.now() / 1000));
    const mac = createHmac('sha256', secret).update(`${id}.${timestamp}.${body}`).digest('base64');
    return { 'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': `v1,${mac}` };
  }

  #lose(reason: string): void {
    this.#lost++;
    this.#options.onLost?.(reason);
  }

  async #pause(ms: number): Promise<void> {
    const { signal } = this.#abort;
    await new Promise<void>((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        signal.removeEventListener('abort', done);
        resolve();
      };
      const timer = setTimeout(done, ms);
      signal.addEventListener('abort', done);
    });
  }
}
