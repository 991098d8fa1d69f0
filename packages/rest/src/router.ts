// The documented HTTP API as one Web-standard handler. The adapters put it into HTTP servers.

import { createHash, timingSafeEqual } from 'node:crypto';
import { Hono } from 'hono';
import type { CallFilter, CallGateway, PushFilter, StartupRequest } from '@sipcast/core';
import type { z } from 'zod';
import { BODIES, parseBody, readBody } from './body.ts';
import { describeError, errorBody, RestError } from './errors.ts';

/** What the API needs of a gateway. */
export type RestGateway = Pick<
  CallGateway,
  | 'startup'
  | 'find'
  | 'get'
  | 'sendDtmf'
  | 'startPush'
  | 'findPushes'
  | 'getPush'
  | 'terminatePush'
  | 'mutePush'
  | 'unmutePush'
  | 'history'
>;

/** Options of the API. */
export interface RestOptions {
  /** Where it is mounted, without a trailing slash. Default `/rest-api`. */
  readonly mount?: string;
  /** HTTP Basic on every query. Default: none, that is the host application's affair. */
  readonly basicAuth?: { readonly username: string; readonly password: string };
  /** Origins that browsers may call from; `'*'` for any. Default: none. */
  readonly cors?: '*' | readonly string[];
  /** Told of failures inside, which the client sees as a plain 500. */
  readonly onInternalError?: (error: unknown) => void;
}

/** Who asks; given by the adapters. */
export interface RestEnvironment {
  /** Address of the client, for `sessionId`. Default `unknown`. */
  readonly clientAddress?: string;
}

/** The API as one handler. */
export interface RestRouter {
  /** Where it is mounted. */
  readonly mount: string;
  /** Answers one request. Never rejects. */
  fetch(request: Request, environment?: RestEnvironment): Promise<Response>;
}

/** Runs one method: throws what is wrong, returns what is answered; nothing means an empty body. */
type Method<Schema extends z.ZodType> = (
  body: z.output<Schema>,
  environment: RestEnvironment,
) => unknown;

interface Route {
  readonly path: string;
  /** Existing clients send GET without a body to the finders. */
  readonly allowsGet: boolean;
  run(body: Record<string, unknown>, environment: RestEnvironment): unknown;
}

function method<Schema extends z.ZodType>(
  path: string,
  schema: Schema,
  run: Method<Schema>,
  { allowsGet = false } = {},
): Route {
  return {
    path,
    allowsGet,
    run: (body, environment) => run(parseBody(schema, body), environment),
  };
}

function notFoundIfEmpty<T>(found: readonly T[], code: string): readonly T[] {
  if (found.length === 0) throw new RestError(404, code, 'Nothing found');
  return found;
}

function notBuilt(field: string): never {
  throw new RestError(501, 'NOT_IMPLEMENTED', `${field} is not built yet`, field);
}

function routesOf(gateway: RestGateway): readonly Route[] {
  const get = { allowsGet: true };
  const injectStream: Method<typeof BODIES.injectStream> = ({ callId }) => {
    gateway.get(callId);
    return notBuilt('streamName');
  };
  return [
    method('/call/startup', BODIES.callStartup, async (body, { clientAddress }) => {
      // What is absent has no key: parseBody saw to it.
      await gateway.startup(body as StartupRequest, clientAddress ?? 'unknown');
      return {};
    }),
    method(
      '/call/find',
      BODIES.callFind,
      (body) => notFoundIfEmpty(gateway.find(body as CallFilter), 'CALL_NOT_FOUND'),
      get,
    ),
    method(
      '/call/find_all',
      BODIES.none,
      () => notFoundIfEmpty(gateway.find(), 'CALL_NOT_FOUND'),
      get,
    ),
    method('/call/history', BODIES.none, () => gateway.history(), get),
    method('/call/terminate', BODIES.callId, ({ callId }) => {
      // Its end is seen by find and by events: a peer that does not answer the BYE must not hold up the client.
      void gateway.get(callId).terminate();
    }),
    method('/call/send_dtmf', BODIES.sendDtmf, async ({ callId, dtmf, type }) => {
      const sent = gateway.sendDtmf(callId, dtmf, type);
      sent.catch(() => {});
      // Digits may wait for the answer to the call, and this answer must not. What is known at once is told.
      await Promise.race([sent, new Promise(setImmediate)]);
    }),
    method('/call/inject_stream', BODIES.injectStream, injectStream),
    method('/call/inject_stream/startup', BODIES.injectStream, injectStream),
    method('/call/inject_stream/terminate', BODIES.callId, ({ callId }) => {
      gateway.get(callId);
      return notBuilt('callId');
    }),
    method('/call/inject_sound', BODIES.injectSound, ({ callId }) => {
      gateway.get(callId);
      return notBuilt('fileName');
    }),
    method(
      '/push/startup',
      BODIES.pushStartup,
      ({ streamName, rtmpUrl, rtmpTransponderFullUrl, options }) =>
        gateway.startPush({
          streamName,
          rtmpUrl,
          rtmpTransponderFullUrl: rtmpTransponderFullUrl ?? false,
          muted: options?.action === 'mute',
        }),
    ),
    method(
      '/push/find',
      BODIES.pushFind,
      (body) => notFoundIfEmpty(gateway.findPushes(body as PushFilter), 'PUSH_NOT_FOUND'),
      get,
    ),
    method(
      '/push/find_all',
      BODIES.none,
      () => notFoundIfEmpty(gateway.findPushes(), 'PUSH_NOT_FOUND'),
      get,
    ),
    method('/push/terminate', BODIES.mediaSessionId, ({ mediaSessionId }) => {
      void gateway.terminatePush(mediaSessionId);
    }),
    method('/push/mute', BODIES.mediaSessionId, ({ mediaSessionId }) =>
      gateway.mutePush(mediaSessionId),
    ),
    method('/push/unmute', BODIES.mediaSessionId, ({ mediaSessionId }) =>
      gateway.unmutePush(mediaSessionId),
    ),
    method('/push/sound_on', BODIES.soundOn, ({ mediaSessionId }) => {
      gateway.getPush(mediaSessionId);
      return notBuilt('soundFile');
    }),
    method('/push/sound_off', BODIES.mediaSessionId, ({ mediaSessionId }) => {
      gateway.getPush(mediaSessionId);
      return notBuilt('mediaSessionId');
    }),
  ];
}

/** The API of a gateway. Mount it with one of the adapters, or call `fetch`. */
export function createRestRouter(gateway: RestGateway, options: RestOptions = {}): RestRouter {
  const mount = (options.mount ?? '/rest-api').replace(/\/+$/, '');
  const isAuthorized = basicAuthCheck(options.basicAuth);
  const app = new Hono<{ Bindings: RestEnvironment }>({ strict: false });

  app.use('*', async (c, next) => {
    await next();
    for (const [name, value] of corsHeaders(options.cors, c.req.header('origin')))
      c.header(name, value);
  });
  app.options('*', () => new Response(null, { status: 204 }));
  app.use('*', async (c, next) => {
    if (!isAuthorized(c.req.header('authorization'))) {
      throw new RestError(
        401,
        'UNAUTHORIZED',
        'User name and password are required',
        'authorization',
        { 'www-authenticate': 'Basic realm="sipcast", charset="UTF-8"' },
      );
    }
    await next();
  });
  for (const route of routesOf(gateway)) {
    const { path, allowsGet } = route;
    const methods = allowsGet ? ['POST', 'GET'] : ['POST'];
    app.on(methods, mount + path, async (c) => {
      const body = c.req.method === 'GET' ? queryOf(c.req.url) : await readBody(c.req.raw);
      const answer = await route.run(body, c.env ?? {});
      return answer === undefined ? new Response(null, { status: 200 }) : c.json(answer as object);
    });
    app.all(mount + path, () => {
      throw new RestError(405, 'METHOD_NOT_ALLOWED', `Use ${methods.join(' or ')}`, undefined, {
        allow: methods.join(', '),
      });
    });
  }
  app.notFound(() => {
    throw new RestError(404, 'NO_SUCH_METHOD', 'No such method');
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
  };
}

/** GET takes its fields from the query string, so that a finder can be tried in a browser. */
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
    ['access-control-allow-methods', 'POST, GET, OPTIONS'],
    ['access-control-allow-headers', 'content-type, x-requested-with, authorization'],
    ['access-control-max-age', '600'],
    ['vary', 'Origin'],
  ];
}

function basicAuthCheck(
  account: RestOptions['basicAuth'],
): (header: string | undefined) => boolean {
  if (!account) return () => true;
  // Digests have equal lengths, whatever the client sent: comparing them takes the same time.
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
  const expected = digest(`${account.username}:${account.password}`);
  return (header = '') => {
    const encoded = /^Basic\s+([A-Za-z0-9+/=]+)\s*$/i.exec(header)?.[1] ?? '';
    return timingSafeEqual(digest(Buffer.from(encoded, 'base64').toString('utf8')), expected);
  };
}
