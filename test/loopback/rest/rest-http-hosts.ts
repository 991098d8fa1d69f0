// Every HTTP server that the API can be mounted in.

import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo, Server as NetServer } from 'node:net';
import { getRequestListener } from '@hono/node-server';
import { getConnInfo } from '@hono/node-server/conninfo';
import { expressMiddleware, fastifyPlugin, koaMiddleware, nodeListener } from '@sipcast/rest';
import type { RestRouter } from '@sipcast/rest';
import express from 'express';
import fastify from 'fastify';
import { Hono } from 'hono';
import Koa from 'koa';

/** A server on a port of 127.0.0.1. */
interface Opened {
  readonly port: number;
  readonly close: () => Promise<unknown>;
}

/** Starts a server with all routers mounted. */
export interface Host {
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

/** All that the API can be mounted in. */
export const HOSTS: readonly Host[] = [
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
