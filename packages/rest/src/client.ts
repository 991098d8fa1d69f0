// A typed client of the API, for Node and browsers: only `fetch` is needed.

import type {
  CallFilter,
  CallView,
  PushFilter,
  PushRequest,
  RtmpPushView,
  StartupRequest,
  StreamFilter,
  StreamView,
} from '@sipcast/core';
import type { OperationAnswer, OperationPath } from './contract.ts';
import type { ErrorBody } from './errors.ts';

/** Where the API is, and the credentials. */
export interface RestClientOptions {
  /** With the mount, e.g. `http://127.0.0.1:8081/rest-api`. */
  readonly url: string;
  /** HTTP Basic. */
  readonly basicAuth?: { readonly username: string; readonly password: string };
  /** A bearer token instead of `basicAuth`. */
  readonly token?: string;
  /** Limit for each request in milliseconds. Default 30,000; 0: none. */
  readonly timeoutMs?: number;
  /** Default: the global one. */
  readonly fetch?: typeof globalThis.fetch;
}

/** An answer other than 200. */
export class RestClientError extends Error {
  override readonly name = 'RestClientError';
  /** HTTP status. */
  readonly status: number;
  /** Stable, machine-readable reason, e.g. `CALL_EXISTS`; `HTTP` if the answer was not from the API. */
  readonly code: string;
  /** The field at fault, if there is one. */
  readonly field: string | undefined;

  constructor(status: number, code: string, message: string, field?: string) {
    super(message);
    this.status = status;
    this.code = code;
    this.field = field;
  }
}

/** A client. All methods reject with {@link RestClientError}, or with what `fetch` rejects with. */
export class RestClient {
  readonly #url: string;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #timeoutMs: number;
  readonly #fetch: typeof globalThis.fetch;

  constructor(options: RestClientOptions) {
    this.#url = options.url.replace(/\/+$/, '');
    const { basicAuth, token } = options;
    const account = basicAuth && `${basicAuth.username}:${basicAuth.password}`;
    this.#headers = {
      'content-type': 'application/json',
      ...(account !== undefined && { authorization: `Basic ${base64(account)}` }),
      ...(token !== undefined && { authorization: `Bearer ${token}` }),
    };
    this.#timeoutMs = options.timeoutMs ?? 30_000;
    this.#fetch = options.fetch ?? ((...args) => globalThis.fetch(...args));
  }

  /** Calls any method by its path. */
  async ask<Path extends OperationPath>(
    path: Path,
    body: Readonly<Record<string, unknown>> = {},
  ): Promise<OperationAnswer<Path>> {
    const response = await this.#fetch(this.#url + path, {
      method: 'POST',
      headers: this.#headers,
      body: JSON.stringify(body),
      ...(this.#timeoutMs > 0 && { signal: AbortSignal.timeout(this.#timeoutMs) }),
    });
    const text = await response.text();
    if (response.status === 200)
      return (text === '' ? undefined : JSON.parse(text)) as OperationAnswer<Path>;
    throw failureOf(response.status, text);
  }

  /** Places a call; resolves when it is accepted. */
  async startCall(request: StartupRequest): Promise<void> {
    await this.ask('/call/startup', { ...request });
  }

  /** Live calls that match all given fields; an empty array if there are none. */
  findCalls(filter: CallFilter = {}): Promise<readonly CallView[]> {
    return this.#found(this.ask('/call/find', filter));
  }

  /** Ended calls, newest first. */
  async history(limit?: number): Promise<readonly CallView[]> {
    const ended = await this.ask('/call/history', limit === undefined ? {} : { limit });
    return ended as readonly CallView[];
  }

  /** The SIP messages of a call. */
  trace(callId: string): Promise<OperationAnswer<'/call/trace'>> {
    return this.ask('/call/trace', { callId });
  }

  /** Ends a call; resolves when the end has begun. */
  async terminateCall(callId: string): Promise<void> {
    await this.ask('/call/terminate', { callId });
  }

  /** Puts a call on hold; resolves when the peer has agreed. */
  async hold(callId: string): Promise<void> {
    await this.ask('/call/hold', { callId });
  }

  /** Resumes a call. */
  async resume(callId: string): Promise<void> {
    await this.ask('/call/resume', { callId });
  }

  /** Asks the peer to call `target` in our place. */
  async transfer(callId: string, target: string): Promise<void> {
    await this.ask('/call/transfer', { callId, target });
  }

  /** Sends digits: `0-9 * # A-D`, and `,` for a pause. */
  async sendDtmf(
    callId: string,
    dtmf: string,
    type: 'RFC2833' | 'INFO' | 'INFO_RELAY' = 'RFC2833',
  ): Promise<void> {
    await this.ask('/call/send_dtmf', { callId, dtmf, type });
  }

  /** Pushes a named stream to an RTMP server. */
  async startPush(request: PushRequest): Promise<RtmpPushView> {
    const { muted, ...rest } = request;
    const options = muted === true ? { options: { action: 'mute' } } : {};
    return (await this.ask('/push/startup', { ...rest, ...options })) as RtmpPushView;
  }

  /** Pushes that match; an empty array if there are none. */
  findPushes(filter: PushFilter = {}): Promise<readonly RtmpPushView[]> {
    return this.#found(this.ask('/push/find', { ...filter }));
  }

  /** Ends a push. */
  async terminatePush(mediaSessionId: string): Promise<void> {
    await this.ask('/push/terminate', { mediaSessionId });
  }

  /** Connects at once a push that has failed or waits for its next attempt. */
  async retryPush(mediaSessionId: string): Promise<void> {
    await this.ask('/push/retry', { mediaSessionId });
  }

  /** Named streams that match; an empty array if there are none. */
  findStreams(filter: StreamFilter = {}): Promise<readonly StreamView[]> {
    return this.#found(this.ask('/stream/find', { ...filter }));
  }

  /** A token that lets its holder watch a stream for `ttlSeconds`. Default: one hour. */
  streamToken(streamName: string, ttlSeconds?: number): Promise<OperationAnswer<'/stream/token'>> {
    const ttl = ttlSeconds === undefined ? {} : { ttlSeconds };
    return this.ask('/stream/token', { streamName, ...ttl });
  }

  /** URL of the stream's newest picture. */
  snapshotUrl(streamName: string, token?: string): string {
    return this.streamUrl(streamName, token).replace(/\.flv(\?|$)/, '.jpg$1');
  }

  /** URL of a stream as live FLV, e.g. for mpegts.js; `ws:` and `wss:` also work. */
  streamUrl(streamName: string, token?: string): string {
    const query = token === undefined ? '' : `?token=${encodeURIComponent(token)}`;
    return `${this.#url}/stream/${encodeURIComponent(streamName)}.flv${query}`;
  }

  /** Nothing found is an answer, not a failure. */
  async #found<T>(asked: Promise<unknown>): Promise<readonly T[]> {
    try {
      return (await asked) as readonly T[];
    } catch (error) {
      const { status, code } = error as Partial<RestClientError>;
      if (status === 404 && code !== 'NO_SUCH_METHOD') return [];
      throw error;
    }
  }
}

function failureOf(status: number, text: string): RestClientError {
  try {
    const { code, message, field } = JSON.parse(text) as Partial<ErrorBody>;
    if (typeof code === 'string')
      return new RestClientError(status, code, message ?? `HTTP ${status}`, field);
  } catch {
    // Ignored: not an answer of the API, perhaps from a proxy; its status is the error, see below.
  }
  return new RestClientError(status, 'HTTP', `HTTP ${status}`);
}

function base64(text: string): string {
  return btoa(String.fromCharCode(...new TextEncoder().encode(text)));
}
