// Plays a call in a page: the REST API, a named stream over HTTP-FLV, and mpegts.js in the browser.
//
//   npm run -s example examples/player.ts                             an embedded phone sends the video
//   npm run -s example examples/player.ts sip:phone@192.0.2.5         your own phone

import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { createCallGateway } from '@sipcast/core';
import { createRestRouter, expressMiddleware } from '@sipcast/rest';
import { SipPeer } from '@sipcast/testkit';
import express from 'express';

const phone = process.argv[2] === undefined ? await SipPeer.open({}) : undefined;
const callee = process.argv[2] ?? phone?.uri ?? '';
const callGateway = await createCallGateway(phone ? { bindAddress: '127.0.0.1' } : {});
const router = createRestRouter(callGateway);
const mpegts = await readFile(createRequire(import.meta.url).resolve('mpegts.js/dist/mpegts.js'));
const page = await readFile(new URL('player.html', import.meta.url));

const app = express();
app.use(expressMiddleware(router)); // GET /rest-api/stream/<name>.flv
app.get('/', (_request, response) => void response.type('html').send(page));
app.get('/mpegts.js', (_request, response) => void response.type('js').send(mpegts));

const call = await callGateway.startup({ callee, toStream: 'camera' });
call.on('status', (status) => console.log('call', status));
const server = app.listen(Number(process.env['PORT'] ?? 8080), '127.0.0.1', () => {
  const { port } = server.address() as { port: number };
  console.log(`open http://127.0.0.1:${port}/`);
});
// The same stream over a WebSocket: ws://…/rest-api/stream/<name>.flv
server.on('upgrade', (request, socket, head) => {
  if (!router.upgrade(request, socket, head)) socket.destroy();
});

process.once('SIGTERM', () => void close());
process.once('SIGINT', () => void close());
async function close(): Promise<void> {
  await callGateway.close();
  await phone?.close();
  server.closeAllConnections();
  server.close();
}
