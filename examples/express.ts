// The HTTP API in an Express application, beside its own routes.

import { createCallGateway } from '@sipcast/core';
import { createRestRouter, expressMiddleware } from '@sipcast/rest';
import express from 'express';

const callGateway = await createCallGateway();
callGateway.on('callChange', (_call, { callId, status }) => console.log(callId, status));

const app = express();
app.use(express.json());
app.use(expressMiddleware(createRestRouter(callGateway, { mount: '/api' })));
app.get('/', (_request, response) => {
  response.send(`${callGateway.calls.live.length} calls\n`);
});

const server = app.listen(Number(process.env['PORT'] ?? 8081), '127.0.0.1', () => {
  const address = server.address();
  if (typeof address === 'object') console.log(`http://127.0.0.1:${address?.port}/api`);
});

process.once('SIGTERM', () => {
  server.close();
  void callGateway.close();
});
