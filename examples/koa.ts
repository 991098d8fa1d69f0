// The HTTP API in a Koa application, behind the application's own authorization.

import { createCallGateway } from '@sipcast/core';
import { createRestRouter, koaMiddleware } from '@sipcast/rest';
import Koa from 'koa';

const callGateway = await createCallGateway();
callGateway.on('callChange', (_call, { callId, status }) => console.log(callId, status));

const app = new Koa();
app.use(async (context, next) => {
  if (context.get('x-api-key') === (process.env['API_KEY'] ?? 'open sesame')) await next();
  else context.status = 403;
});
app.use(koaMiddleware(createRestRouter(callGateway, { mount: '/api' })));
app.use((context) => {
  context.body = `${callGateway.calls.live.length} calls\n`;
});

const server = app.listen(Number(process.env['PORT'] ?? 8081), '127.0.0.1', () => {
  const address = server.address();
  if (typeof address === 'object') console.log(`http://127.0.0.1:${address?.port}/api`);
});

process.once('SIGTERM', () => {
  server.close();
  void callGateway.close();
});
