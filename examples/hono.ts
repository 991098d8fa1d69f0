// The HTTP API in a Hono application, behind Hono's own authorization.

import { serve } from '@hono/node-server';
import { getConnInfo } from '@hono/node-server/conninfo';
import { createCallGateway } from '@sipcast/core';
import { createRestRouter } from '@sipcast/rest';
import { Hono } from 'hono';
import { bearerAuth } from 'hono/bearer-auth';

const callGateway = await createCallGateway();
callGateway.on('callChange', (_call, { callId, status }) => console.log(callId, status));

const router = createRestRouter(callGateway, { mount: '/api' });
const app = new Hono();
app.use('/api/*', bearerAuth({ token: process.env['API_TOKEN'] ?? 'change-me' }));
app.all('/api/*', (context) => {
  // Limits count per client address, and a call's sessionId contains it.
  const { address = 'unknown' } = getConnInfo(context).remote;
  return router.fetch(context.req.raw, { clientAddress: address });
});
app.get('/', (context) => context.text(`${callGateway.calls.live.length} calls\n`));

const options = {
  fetch: app.fetch,
  port: Number(process.env['PORT'] ?? 8081),
  hostname: '127.0.0.1',
};
const server = serve(options, ({ port }) => console.log(`http://127.0.0.1:${port}/api`));

process.once('SIGTERM', () => {
  server.close();
  void callGateway.close();
});
