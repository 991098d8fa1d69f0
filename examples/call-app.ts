// An application that receives call events and accepts only signed ones.
//
// EVENTS_SECRET='a long secret' npm run -s example examples/call-app.ts
//   SIPCAST_EVENTS_SECRET='a long secret' sipcast serve --call-app-url http://127.0.0.1:9091/CallApp

import { createHmac, timingSafeEqual } from 'node:crypto';
import { createServer } from 'node:http';
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http';
import { text } from 'node:stream/consumers';

const TOLERANCE_S = 300;
const { EVENTS_SECRET: secret = '', PORT = '9091' } = process.env;
const key = secret.startsWith('whsec_')
  ? Buffer.from(secret.slice('whsec_'.length), 'base64')
  : Buffer.from(secret);
if (key.length === 0) throw new Error('EVENTS_SECRET is empty');

/** Whether the event has a valid Standard Webhooks signature and is not an old one sent again. */
function isGenuine(headers: IncomingHttpHeaders, body: string): boolean {
  const of = (name: string): string => String(headers[`webhook-${name}`] ?? '');
  const age = Math.abs(Date.now() / 1000 - Number(of('timestamp')));
  if (!(age <= TOLERANCE_S)) return false;
  const signed = `${of('id')}.${of('timestamp')}.${body}`;
  const expected = createHmac('sha256', key).update(signed).digest();
  // There may be several while keys are rotated.
  return of('signature')
    .split(' ')
    .filter((one) => one.startsWith('v1,'))
    .map((one) => Buffer.from(one.slice('v1,'.length), 'base64'))
    .some((mac) => mac.length === expected.length && timingSafeEqual(mac, expected));
}

/** Ids of the newest events: a retry, sent because our response was lost, has the same id. */
const seen = new Set<string>();

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  // The body as received: another spelling of the same JSON has another signature.
  const body = await text(request);
  if (!isGenuine(request.headers, body)) {
    console.log('refused');
    response.writeHead(401).end();
    return;
  }
  const id = String(request.headers['webhook-id']);
  if (!seen.has(id)) {
    seen.add(id);
    if (seen.size > 1000) for (const oldest of [...seen].slice(0, 100)) seen.delete(oldest);
    const event = JSON.parse(body) as Record<string, unknown>;
    const name = request.url?.split('/').at(-1);
    console.log(name, event['callId'], event['status'] ?? event['dtmf'], event['info'] ?? '');
  }
  response.end();
}

const server = createServer((request, response) => {
  // A request that breaks off gets no response.
  answer(request, response).catch(() => request.destroy());
});
server.listen(Number(PORT), '127.0.0.1', () => {
  const address = server.address();
  if (typeof address === 'object') console.log(`http://127.0.0.1:${address?.port}/CallApp`);
});

process.once('SIGTERM', () => {
  server.close();
  server.closeAllConnections();
});
