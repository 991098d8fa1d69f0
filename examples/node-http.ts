// The HTTP API on a node:http server, beside the application's own page; streams also over WebSockets.

import { createServer } from 'node:http';
import { createCallGateway } from '@sipcast/core';
import { createRestRouter, nodeListener } from '@sipcast/rest';

const callGateway = await createCallGateway();
callGateway.on('callChange', (_call, { callId, status }) => console.log(callId, status));

const router = createRestRouter(callGateway, { mount: '/api' });
const api = nodeListener(router);
const server = createServer((request, response) => {
  if (request.url === '/') response.end(`${callGateway.calls.live.length} calls\n`);
  else void api(request, response);
});
server.on('upgrade', (request, socket, head) => {
  if (!router.upgrade(request, socket, head)) socket.destroy();
});
server.listen(Number(process.env['PORT'] ?? 8081), '127.0.0.1', () => {
  const address = server.address();
  if (typeof address === 'object') console.log(`http://127.0.0.1:${address?.port}/api`);
});

process.once('SIGTERM', () => {
  server.close();
  void callGateway.close();
});
