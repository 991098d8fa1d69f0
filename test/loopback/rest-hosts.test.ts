// One case table of requests, sent to the API in every HTTP server it can be mounted in: the answers must be the same.

import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer, request as httpRequest } from 'node:http';
import type { AddressInfo, Server as NetServer } from 'node:net';
import { getRequestListener } from '@hono/node-server';
import { getConnInfo } from '@hono/node-server/conninfo';
import { createCallGateway } from '@sipcast/core';
import {
  createRestRouter,
  expressMiddleware,
  fastifyPlugin,
  koaMiddleware,
  nodeListener,
} from '@sipcast/rest';
import type { RestRouter } from '@sipcast/rest';
import express from 'express';
import fastify from 'fastify';
import { Hono } from 'hono';
import Koa from 'koa';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { REST_CASES } from './rest-cases.ts';
import type { RestCase } from './rest-cases.ts';

interface Opened {
  readonly port: number;
  readonly close: () => Promise<unknown>;
}

/** Starts a server with all routers mounted. */
interface Host {
  readonly name: string;
  /** A body parser of the host reads bodies before the API does. */
  readonly parsesBefore: boolean;
  readonly open: (routers: readonly RestRouter[]) => Promise<Opened>;
}

async function listening(server: NetServer): Promise<Opened> {
  if (!server.listening) await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return { port, close: () => new Promise((resolve) => server.close(resolve)) };
}

function expressHost(name: string, json: 'before' | 'after' | 'none'): Host {
  return {
    name,
    parsesBefore: json === 'before',
    open: (routers) => {
      const app = express();
      if (json === 'before') app.use(express.json());
      for (const router of routers) app.use(expressMiddleware(router));
      if (json === 'after') app.use(express.json());
      app.use('/own', (_request, response) => void response.send('own'));
      return listening(app.listen(0, '127.0.0.1'));
    },
  };
}

/** What every Koa body parser does. */
const parseJson: Koa.Middleware = async (context, next) => {
  let text = '';
  if (context.is('json')) for await (const part of context.req) text += String(part);
  if (text !== '') Object.assign(context.request, { body: JSON.parse(text) as unknown });
  await next();
};

function koaHost(name: string, parsesBefore: boolean): Host {
  return {
    name,
    parsesBefore,
    open: (routers) => {
      const app = new Koa();
      app.silent = true;
      if (parsesBefore) app.use(parseJson);
      for (const router of routers) app.use(koaMiddleware(router));
      app.use((context) => {
        if (context.path === '/own') context.body = 'own';
      });
      return listening(app.listen(0, '127.0.0.1'));
    },
  };
}

const HOSTS: readonly Host[] = [
  {
    name: 'node:http',
    parsesBefore: false,
    open: (routers) => {
      const listeners = routers.map((router) => nodeListener(router));
      const server = createServer((request, response) => {
        const index = routers.findIndex(({ mount }) => request.url?.startsWith(`${mount}/`));
        if (request.url === '/own') response.end('own');
        else void listeners[Math.max(index, 0)]?.(request, response);
      });
      return listening(server.listen(0, '127.0.0.1'));
    },
  },
  expressHost('Express 5', 'none'),
  expressHost('Express 5, before express.json()', 'after'),
  expressHost('Express 5, after express.json()', 'before'),
  koaHost('Koa 3', false),
  koaHost('Koa 3, after a body parser', true),
  {
    name: 'Hono 4',
    parsesBefore: false,
    open: (routers) => {
      const app = new Hono();
      for (const router of routers) {
        app.all(`${router.mount}/*`, (context) => {
          const { address } = getConnInfo(context).remote;
          return router.fetch(
            context.req.raw,
            address === undefined ? {} : { clientAddress: address },
          );
        });
      }
      app.get('/own', (context) => context.text('own'));
      const listener = getRequestListener(app.fetch, { overrideGlobalObjects: false });
      const server = createServer((request, response) => void listener(request, response));
      return listening(server.listen(0, '127.0.0.1'));
    },
  },
  {
    name: 'Fastify 5',
    parsesBefore: false,
    open: async (routers) => {
      const app = fastify();
      for (const router of routers) void app.register(fastifyPlugin(router));
      app.get('/own', () => 'own');
      await app.listen({ port: 0, host: '127.0.0.1' });
      return { port: (app.server.address() as AddressInfo).port, close: () => app.close() };
    },
  },
];

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

const RELEVANT_HEADERS = [
  'content-type',
  'content-length',
  'transfer-encoding',
  'allow',
  'www-authenticate',
  'retry-after',
  'vary',
  'access-control-allow-origin',
  'access-control-allow-methods',
  'access-control-allow-headers',
  'access-control-max-age',
];

function send(port: number, one: RestCase): Promise<Answer> {
  const { path, method = 'POST', body, chunked = false } = one;
  const type = body === undefined ? {} : { 'content-type': 'application/json' };
  const length = Buffer.byteLength(body ?? '');
  const framing = chunked
    ? { 'transfer-encoding': 'chunked' }
    : method === 'POST'
      ? { 'content-length': String(length) }
      : {};
  const chosen = { ...type, ...framing, ...one.headers };
  const headers = Object.fromEntries(Object.entries(chosen).filter(([, value]) => value !== ''));
  return new Promise((resolve, reject) => {
    const request = httpRequest({ host: '127.0.0.1', port, path, method, headers, agent: false });
    request.on('error', reject);
    request.on('response', (response) => {
      const parts: Buffer[] = [];
      response.on('data', (part: Buffer) => parts.push(part));
      response.on('end', () => {
        const relevant = RELEVANT_HEADERS.flatMap((name) => {
          const value = response.headers[name];
          return value === undefined ? [] : [[name, String(value)] as const];
        });
        resolve({
          status: response.statusCode ?? 0,
          headers: Object.fromEntries(relevant),
          body: Buffer.concat(parts).toString(),
        });
      });
    });
    request.end(body);
  });
}

/** The same answer without what differs from one gateway, and one millisecond, to the next. */
function comparable({ status, headers, body }: Answer): unknown {
  const varying: Readonly<Record<string, string>> = {
    timestamp: '<time>',
    nodeId: '<node>',
    createdAt: '<time>',
    endedAt: '<time>',
  };
  if (body === '' || !headers['content-type']?.startsWith('application/json'))
    return { status, headers, body };
  const json = JSON.parse(body, (key, value: unknown) => {
    if (value === null) return value;
    if (key === 'mediaSessionId') return (value as string).replace(/-[0-9a-f]{12}$/, '-<random>');
    return varying[key] ?? value;
  }) as unknown;
  // The lengths of what was replaced are the same everywhere.
  return { status, headers, json };
}

async function runCases(host: Host, callee: string): Promise<Map<string, Answer>> {
  const gateway = await createCallGateway({
    transcoding: false,
    bindAddress: '127.0.0.1',
    sipTimers: { t1Ms: 20 },
  });
  const basicAuth = { username: 'user', password: 'pass' };
  const { port, close } = await host.open([
    createRestRouter(gateway, { cors: ['http://a'] }),
    createRestRouter(gateway, { mount: '/locked', basicAuth }),
  ]);
  const answers = new Map<string, Answer>();
  try {
    for (const one of REST_CASES) {
      const body = one.body?.replace('$callee', callee);
      answers.set(one.name, await send(port, { ...one, ...(body === undefined ? {} : { body }) }));
    }
  } finally {
    await close();
    await gateway.close();
  }
  return answers;
}

const silentPhone = createSocket('udp4');
const results = new Map<Host, Map<string, Answer>>();

beforeAll(async () => {
  silentPhone.bind(0, '127.0.0.1');
  await once(silentPhone, 'listening');
  const callee = `phone@127.0.0.1:${silentPhone.address().port}`;
  for (const host of HOSTS) results.set(host, await runCases(host, callee));
});
afterAll(() => void silentPhone.close());

describe.each(HOSTS)('$name', (host) => {
  it.each(REST_CASES)('$name', (one) => {
    const answer = results.get(host)?.get(one.name) as Answer;
    if (host.parsesBefore && one.parserAnswers !== undefined) {
      // Not the API's answer: only that it is a refusal.
      expect(answer.status, one.parserAnswers).toBeGreaterThanOrEqual(400);
      return;
    }
    expect(answer.status, answer.body).toBe(one.status);
    if (one.answer === '') expect(answer).toMatchObject({ body: '', headers: {} });
    else if (one.answer !== undefined)
      expect(JSON.parse(answer.body)).toMatchObject(one.answer as object);
    if (answer.body === '' && one.method !== 'HEAD')
      expect(answer.headers['content-type']).toBeUndefined();
    if (one.path === '/own') return;
    const reference = results.get(HOSTS[0] as Host)?.get(one.name) as Answer;
    expect(comparable(answer)).toEqual(comparable(reference));
  });
});
