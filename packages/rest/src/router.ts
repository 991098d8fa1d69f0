// The documented HTTP API as one Web-standard handler. Adapters connect it to HTTP servers.

import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { Hono } from 'hono';
import type { Context } from 'hono';
import type {
  CallFilter,
  CallGateway,
  Calls,
  Pushes,
  PushFilter,
  PushRequest,
  StartupRequest,
  StreamFilter,
  Streams,
} from '@sipcast/core';
import { basicAuthorization, requireText } from './authorization.ts';
import type { Authorize, RestCredentials } from './authorization.ts';
import { parseBody, readBody } from './body.ts';
import { OPERATIONS, scopeOf } from './contract.ts';
import type { Operation, OperationBody, OperationPath } from './contract.ts';
import { describeError, errorBody, RestError } from './errors.ts';
import { EventFeed } from './event-feed.ts';
import type { EventFeedOptions, EventFeedStats } from './event-feed.ts';
import { DOCS_PAGE_POLICY, docsPage, openApiDocument } from './openapi.ts';
import { hlsRoute } from './hls.ts';
import { snapshotRoute } from './snapshots.ts';
import { findStreamRoute } from './stream-route.ts';
import { StreamViewers } from './stream-viewers.ts';

/** Version of the contract, not of the package: increases with each new method or field. */
export const API_VERSION = '1.0.0';
/** Request targets are paths: the parser needs some origin. */
const ANY_ORIGIN = 'http://localhost';

/** The part of a gateway that the API needs. */
export interface RestGateway extends Pick<CallGateway, 'startup' | 'nodeId' | 'on' | 'off'> {
  readonly calls: Pick<Calls, 'find' | 'get' | 'history' | 'trace' | 'injectSound'>;
  readonly pushes: Pushes;
  readonly streams: Pick<Streams, 'find' | 'get' | 'watch' | 'snapshot' | 'hls'>;
}

/** Options of the API. */
export interface RestOptions {
  /** Where it is mounted, without a trailing slash. Default `/rest-api`. */
  readonly mount?: string;
  /** HTTP Basic for every query; neither may be empty. Default: none; the host application protects the API. */
  readonly basicAuth?: { readonly username: string; readonly password: string };
  /** Decides who may do what, instead of `basicAuth`. */
  readonly authorize?: Authorize;
  /**
   * Called first for each request, including upgrades; refuses it by throwing a `RestError`. For limits and host name checks.
   */
  readonly admit?: (request: RestArrival) => void;
  /** Origins that browsers may call from; `'*'` for any. Default: none. */
  readonly cors?: '*' | readonly string[];
  /**
   * Signs the tokens of `/stream/token`, which let their holders watch a stream of a protected API. Processes that accept each
   * other's tokens need the same secret; not empty. Default: random.
   */
  readonly viewerSecret?: string;
  /** Options of `GET <mount>/events`. */
  readonly events?: EventFeedOptions;
  /** Called for internal errors, which the client sees as a plain 500. */
  readonly onInternalError?: (error: unknown) => void;
}

/** What is known of a request before it is parsed. */
export interface RestArrival {
  readonly clientAddress: string;
  /** The Host header. */
  readonly host: string | undefined;
  /** The request would place a call or start a push. */
  readonly isStartup: boolean;
}

/** The client, as the adapters know it. */
export interface RestEnvironment {
  /** Address of the client, for `sessionId`. Default `unknown`. */
  readonly clientAddress?: string;
}

/** The API as one handler. */
export interface RestRouter {
  /** Path that the API is mounted at. */
  readonly mount: string;
  /** Answers one request. Never rejects. */
  fetch(request: Request, environment?: RestEnvironment): Promise<Response>;
  /**
   * For `server.on('upgrade', …)`: a named stream over a WebSocket.
   * @returns false when the path is not a stream: the caller must then answer the socket
   */
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): boolean;
  /** The API's authorization, for other routes of the host. Allows everything without `basicAuth` and `authorize`. */
  readonly authorize: Authorize;
  /** Readers of the events. */
  readonly eventStats: EventFeedStats;
  /** Stops listening to the gateway and ends the readers of events, as closing the gateway does. Idempotent. */
  close(): void;
}

/** Runs one method: throws on failure, else returns the answer; undefined means an empty body. */
type Method<Path extends OperationPath> = (
  body: OperationBody<Path>,
  environment: RestEnvironment,
) => unknown;

interface Route {
  readonly path: OperationPath;
  run(body: Record<string, unknown>, environment: RestEnvironment): unknown;
}

function method<Path extends OperationPath>(path: Path, run: Method<Path>): Route {
  return {
    path,
    run: (body, environment) =>
      run(parseBody(OPERATIONS[path].body, body) as OperationBody<Path>, environment),
  };
}

function notFoundIfEmpty<T>(found: readonly T[], code: string): readonly T[] {
  if (found.length === 0) throw new RestError(404, code, 'Nothing found');
  return found;
}

function routesOf(gateway: RestGateway, viewers: StreamViewers): readonly Route[] {
  const injectStream: Method<'/call/inject_stream'> = ({ callId, streamName }) =>
    gateway.calls.get(callId).injectStream(gateway.streams.get(streamName));
  return [
    method('/call/startup', async (body, { clientAddress }) => {
      // parseBody removes the keys of absent fields.
      await gateway.startup(body as StartupRequest, clientAddress ?? 'unknown');
      return {};
    }),
    method('/call/find', (body) =>
      notFoundIfEmpty(gateway.calls.find(body as CallFilter), 'CALL_NOT_FOUND'),
    ),
    method('/call/find_all', () => notFoundIfEmpty(gateway.calls.find(), 'CALL_NOT_FOUND')),
    method('/call/history', ({ limit }) => gateway.calls.history(limit)),
    method('/call/trace', ({ callId }) => gateway.calls.trace(callId)),
    method('/stream/find', (body) =>
      notFoundIfEmpty(gateway.streams.find(body as StreamFilter), 'STREAM_NOT_FOUND'),
    ),
    method('/stream/find_all', () => notFoundIfEmpty(gateway.streams.find(), 'STREAM_NOT_FOUND')),
    method('/stream/token', ({ streamName, ttlSeconds }) => {
      notFoundIfEmpty(gateway.streams.find({ streamName }), 'STREAM_NOT_FOUND');
      return viewers.tokenFor(streamName, ttlSeconds, Date.now());
    }),
    method('/stream/snapshot', async ({ streamName }) => {
      const { data } = await gateway.streams.snapshot(streamName, 'png');
      return { data: data.toString('base64') };
    }),
    method('/call/terminate', ({ callId }) => {
      // find and events show the end: a peer that does not answer the BYE must not delay the client.
      void gateway.calls.get(callId).terminate();
    }),
    method('/call/hold', ({ callId }) => gateway.calls.get(callId).hold()),
    method('/call/resume', ({ callId }) => gateway.calls.get(callId).resume()),
    method('/call/transfer', ({ callId, target }) => gateway.calls.get(callId).transfer(target)),
    method('/call/send_dtmf', async ({ callId, dtmf, type }) => {
      const sent = gateway.calls.get(callId).sendDtmf(dtmf, type);
      sent.catch(() => {
        // Ignored: the call is ending, and its status says so.
      });
      // Digits may wait until the call is answered, but this request must not: report only what fails at once.
      await Promise.race([sent, new Promise(setImmediate)]);
    }),
    method('/call/inject_stream', injectStream),
    method('/call/inject_stream/startup', injectStream),
    method('/call/inject_stream/terminate', ({ callId }) =>
      gateway.calls.get(callId).stopInjection(),
    ),
    method('/call/inject_sound', ({ callId, fileName }) =>
      gateway.calls.injectSound(callId, fileName),
    ),
    method('/push/startup', ({ options, rtmpTransponderFullUrl, ...push }) =>
      gateway.pushes.start({
        ...(push as PushRequest),
        rtmpTransponderFullUrl: rtmpTransponderFullUrl ?? false,
        muted: options?.action === 'mute',
      }),
    ),
    method('/push/find', (body) =>
      notFoundIfEmpty(gateway.pushes.find(body as PushFilter), 'PUSH_NOT_FOUND'),
    ),
    method('/push/find_all', () => notFoundIfEmpty(gateway.pushes.find(), 'PUSH_NOT_FOUND')),
    method('/push/terminate', ({ mediaSessionId }) => {
      void gateway.pushes.get(mediaSessionId).close();
    }),
    method('/push/retry', ({ mediaSessionId }) => gateway.pushes.get(mediaSessionId).retry()),
    method('/push/mute', ({ mediaSessionId }) => gateway.pushes.get(mediaSessionId).mute()),
    method('/push/unmute', ({ mediaSessionId }) => gateway.pushes.get(mediaSessionId).unmute()),
    method('/push/sound_on', ({ mediaSessionId, soundFile, loop }) =>
      gateway.pushes.playSound(mediaSessionId, soundFile, loop),
    ),
    method('/push/sound_off', ({ mediaSessionId }) =>
      gateway.pushes.get(mediaSessionId).stopSound(),
    ),
  ];
}

/**
 * The API of a gateway. Mount it with one of the adapters, or call `fetch`.
 *
 * @throws TypeError when the account or the secret of `options` is empty.
 */
export function createRestRouter(gateway: RestGateway, options: RestOptions = {}): RestRouter {
  const mount = (options.mount ?? '/rest-api').replace(/\/+$/, '');
  const authorize = options.authorize ?? basicAuthorization(options.basicAuth);
  if (options.viewerSecret !== undefined) requireText('viewerSecret', options.viewerSecret);
  const viewers = new StreamViewers(gateway, mount, options.viewerSecret);
  const feed = new EventFeed(gateway, options.events);
  const startups = new Set([`${mount}/call/startup`, `${mount}/push/startup`]);
  const admit = (pathname: string, host: string | undefined, clientAddress: string): void => {
    const path = pathname.replace(/\/+$/, '');
    options.admit?.({ clientAddress, host, isStartup: startups.has(path) });
  };
  /** Allows holders of a token for the stream, and clients that may read everything. */
  const checkViewer = async (
    streamName: string,
    authorization: string | undefined,
    clientAddress: string,
    url: URL,
  ): Promise<void> => {
    if (viewers.accepts(streamName, url.searchParams.get('token'), Date.now())) return;
    await authorize({ authorization, clientAddress }, 'read');
  };
  const app = new Hono<{ Bindings: RestEnvironment }>({ strict: false });

  app.use('*', async (c, next) => {
    await next();
    for (const [name, value] of corsHeaders(options.cors, c.req.header('origin')))
      c.header(name, value);
  });
  app.use('*', async (c, next) => {
    // The path as the routes match it, however it is spelled.
    admit(c.req.path, c.req.header('host'), addressOf(c.env));
    await next();
  });
  app.options('*', () => new Response(null, { status: 204 }));
  const streamRoutes = [viewers.route, snapshotRoute(gateway.streams), hlsRoute(gateway.streams)];
  app.get(`${mount}/stream/*`, async (c, next) => {
    const url = new URL(c.req.url);
    const file = url.pathname.slice(`${mount}/stream/`.length);
    const found = findStreamRoute(streamRoutes, file);
    if (!found) return next();
    const { route, streamName } = found;
    await checkViewer(streamName, c.req.header('authorization'), addressOf(c.env), url);
    const response = await route.respond(streamName, file, url.searchParams);
    if (c.req.method !== 'HEAD') return response;
    // Hono answers HEAD with the handler of GET: no one would read the body, and the viewer would stay.
    await response.body?.cancel();
    return new Response(null, response);
  });
  const credentialsOf = (c: Context<{ Bindings: RestEnvironment }>): RestCredentials => ({
    authorization: c.req.header('authorization'),
    clientAddress: addressOf(c.env),
  });
  app.use('*', async (c, next) => {
    // Unknown paths also need authorization, so that strangers learn nothing.
    await authorize(credentialsOf(c), 'read');
    await next();
  });
  app.all(`${mount}/stream/*`, (c, next) => {
    const file = c.req.path.slice(`${mount}/stream/`.length);
    if (findStreamRoute(streamRoutes, file)) throw wrongMethod('GET');
    return next();
  });
  app.get(`${mount}/events`, (c) => {
    // Hono answers HEAD with the handler of GET; no one would read the body.
    if (c.req.method === 'HEAD') return c.body(null, 200, { 'content-type': 'text/event-stream' });
    // Browsers send the header when they reconnect: it is newer than the query.
    return feed.respond(c.req.header('last-event-id') ?? c.req.query('lastEventId') ?? null);
  });
  app.all(`${mount}/events`, () => {
    throw wrongMethod('GET');
  });
  const contract = openApiDocument(mount, API_VERSION);
  app.get(`${mount}/openapi.json`, (c) => c.json(contract));
  app.get(`${mount}/docs`, (c) =>
    c.html(docsPage(contract), 200, { 'content-security-policy': DOCS_PAGE_POLICY }),
  );
  for (const route of routesOf(gateway, viewers)) {
    const { path } = route;
    const operation: Operation = OPERATIONS[path];
    const methods = operation.allowsGet === true ? ['POST', 'GET'] : ['POST'];
    const scope = scopeOf(operation);
    app.on(methods, mount + path, async (c) => {
      if (scope !== 'read') await authorize(credentialsOf(c), scope);
      const body = c.req.method === 'GET' ? queryOf(c.req.url) : await readBody(c.req.raw);
      const answer = await route.run(body, c.env ?? {});
      return answer === undefined ? new Response(null, { status: 200 }) : c.json(answer as object);
    });
    app.all(mount + path, () => {
      throw wrongMethod(...methods);
    });
  }
  app.notFound(() => {
    throw noSuchMethod();
  });
  app.onError((error, c) => {
    const failure = describeError(error);
    if (failure.status === 500) options.onInternalError?.(error);
    const { pathname } = new URL(c.req.url);
    const headers = { 'content-type': 'application/json', ...failure.headers };
    const body = JSON.stringify(errorBody(failure, pathname, Date.now()));
    return new Response(body, { status: failure.status, headers });
  });
  return {
    mount,
    fetch: async (request, environment = {}) => app.fetch(request, environment),
    upgrade: (request, socket, head) => {
      const { url: target = '' } = request;
      // Node passes on malformed URLs, e.g. `//[`; an exception here would end the process.
      if (!URL.canParse(target, ANY_ORIGIN)) return false;
      const url = new URL(target, ANY_ORIGIN);
      const streamName = viewers.nameIn(url.pathname);
      if (streamName === undefined) return false;
      const { authorization, host } = request.headers;
      const clientAddress = (request.socket.remoteAddress ?? 'unknown').replace(/^::ffff:/, '');
      const check = async (): Promise<void> => {
        admit(url.pathname, host, clientAddress);
        await checkViewer(streamName, authorization, clientAddress, url);
      };
      void viewers.upgrade({ request, socket, head }, streamName, check());
      return true;
    },
    authorize,
    get eventStats() {
      return feed.stats;
    },
    close: () => feed.close(),
  };
}

function wrongMethod(...allowed: string[]): RestError {
  const headers = { allow: allowed.join(', ') };
  const problem = `Use ${allowed.join(' or ')}`;
  return new RestError(405, 'METHOD_NOT_ALLOWED', problem, { headers });
}

function noSuchMethod(): RestError {
  return new RestError(404, 'NO_SUCH_METHOD', 'No such method');
}

function addressOf(environment: RestEnvironment | undefined): string {
  return environment?.clientAddress ?? 'unknown';
}

/** GET takes its fields from the query string, so that finders work in a browser. */
function queryOf(url: string): Record<string, unknown> {
  return Object.fromEntries(new URL(url).searchParams);
}

function corsHeaders(
  cors: RestOptions['cors'],
  origin: string | undefined,
): readonly (readonly [string, string])[] {
  if (cors === undefined || origin === undefined) return [];
  const allowed = cors === '*' ? '*' : cors.includes(origin) ? origin : undefined;
  if (allowed === undefined) return [['vary', 'Origin']];
  return [
    ['access-control-allow-origin', allowed],
    ['access-control-expose-headers', 'retry-after'],
    ['access-control-allow-methods', 'POST, GET, OPTIONS'],
    ['access-control-allow-headers', 'content-type, x-requested-with, authorization'],
    ['access-control-max-age', '600'],
    ['vary', 'Origin'],
  ];
}
