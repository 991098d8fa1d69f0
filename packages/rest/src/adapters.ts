// The API in node:http, Express, Koa and Fastify. Paths outside the mount belong to the host application.

import type { IncomingMessage, ServerResponse } from 'node:http';
import { getRequestListener } from '@hono/node-server';
import { MAX_BODY_DEPTH } from './body.ts';
import type { RestRouter } from './router.ts';

/** A request of any of these servers; a body parser may have left the body on it. */
type HostRequest = IncomingMessage & { originalUrl?: string; rawBody?: unknown; body?: unknown };
/** A request listener of `node:http`. */
export type NodeListener = (request: IncomingMessage, response: ServerResponse) => Promise<void>;

/**
 * For `http.createServer(nodeListener(router))`. Paths outside the mount get a 404 from the router.
 */
export function nodeListener(router: RestRouter): NodeListener {
  const listener = getRequestListener(
    (request, environment) => {
      const { incoming } = environment as { incoming?: IncomingMessage };
      const address = incoming?.socket.remoteAddress ?? 'unknown';
      return router.fetch(request, { clientAddress: address.replace(/^::ffff:/, '') });
    },
    // HTTP/1.0 needs no Host header; the router only looks at the path.
    { overrideGlobalObjects: false, hostname: 'localhost' },
  );
  return async (request, response) => {
    restore(request);
    await listener(request, response);
  };
}

/** For `app.use(expressMiddleware(router))`; works before and after `express.json()`. */
export function expressMiddleware(
  router: RestRouter,
): (request: IncomingMessage, response: ServerResponse, next: (error?: unknown) => void) => void {
  const listener = nodeListener(router);
  return (request, response, next) => {
    if (!isMounted(router, request)) return next();
    // oxlint-disable-next-line promise/no-callback-in-promise -- Express wants failures by callback
    listener(request, response).catch(next);
  };
}

/** What this adapter uses of a Koa context. */
export interface KoaContext {
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  respond?: boolean;
  readonly request: { readonly body?: unknown; readonly rawBody?: unknown };
}

/** For `app.use(koaMiddleware(router))`; works before and after a body parser. */
export function koaMiddleware(
  router: RestRouter,
): (context: KoaContext, next: () => Promise<unknown>) => Promise<void> {
  const listener = nodeListener(router);
  return async (context, next) => {
    if (!isMounted(router, context.req)) {
      await next();
      return;
    }
    context.respond = false;
    const { body, rawBody } = context.request;
    Object.assign(context.req, {
      ...(body === undefined ? {} : { body }),
      ...(rawBody === undefined ? {} : { rawBody }),
    });
    await listener(context.req, context.res);
  };
}

/** What this adapter uses of a Fastify instance. */
export interface FastifyInstanceLike {
  /** Adds a route for every method. */
  all(
    path: string,
    options: {
      onRequest: (
        request: { readonly raw: IncomingMessage },
        reply: { readonly raw: ServerResponse; hijack(): unknown },
      ) => Promise<void>;
    },
    handler: () => Promise<void>,
  ): unknown;
}

/** For `app.register(fastifyPlugin(router))`. Fastify's own body parsers do not see these requests. */
export function fastifyPlugin(
  router: RestRouter,
): (instance: FastifyInstanceLike, options: unknown, done: () => void) => void {
  const listener = nodeListener(router);
  return (instance, _options, done) => {
    for (const path of [router.mount, `${router.mount}/*`]) {
      if (path === '') continue;
      instance.all(
        path,
        {
          // Before the body is parsed; Fastify must not handle what is answered here.
          onRequest: async (request, reply) => {
            reply.hijack();
            await listener(request.raw, reply.raw);
          },
        },
        async () => {},
      );
    }
    done();
  };
}

function isMounted(router: RestRouter, request: HostRequest): boolean {
  const path = (request.originalUrl ?? request.url ?? '').split('?', 1)[0] ?? '';
  return path === router.mount || path.startsWith(`${router.mount}/`);
}

/** A body parser of the host may have consumed the body: puts the parsed body where the listener looks for it. */
function restore(request: HostRequest): void {
  if (request.originalUrl !== undefined) request.url = request.originalUrl;
  const { rawBody, body, headers } = request;
  if (Buffer.isBuffer(rawBody)) return;
  const isEmpty = headers['transfer-encoding'] === undefined && !Number(headers['content-length']);
  if (isEmpty) request.rawBody = Buffer.alloc(0);
  else if (typeof rawBody === 'string') request.rawBody = Buffer.from(rawBody);
  else if (body !== undefined && request.readableDidRead) request.rawBody = writtenAgain(body);
}

function writtenAgain(body: unknown): Buffer {
  if (Buffer.isBuffer(body)) return body;
  if (typeof body === 'string') return Buffer.from(body);
  try {
    return Buffer.from(JSON.stringify(body));
  } catch {
    // Nested too deeply to serialize: pass something on that is refused for the same reason.
    return Buffer.from('['.repeat(MAX_BODY_DEPTH + 1));
  }
}
