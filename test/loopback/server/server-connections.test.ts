// Connections that hold on to the HTTP port without being of any use, and such that share a port number.

import { once } from 'node:events';
import { connect } from 'node:net';
import type { NetConnectOpts, Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { serve } from 'sipcast';
import { describe, expect, it } from 'vitest';
import { Listeners } from '../../../packages/server/src/http/listeners.ts';
import { afterTest } from '../../support/cleanup.ts';

async function open(options: NetConnectOpts): Promise<Socket> {
  const socket = connect(options);
  afterTest(() => socket.destroy());
  socket.on('error', () => {});
  await once(socket, 'connect');
  return socket;
}

/** A port whose answers are so long that they must be read. */
async function listen(most: number): Promise<{ port: number; listeners: Listeners }> {
  const listeners = new Listeners(
    {
      request: (_request, response) => void response.end(Buffer.alloc(8_000_000)),
      upgrade: (_request, socket) => void socket.destroy(),
    },
    { most, mostPerNetwork: most, keepAliveMs: 1000 },
  );
  afterTest(() => listeners.close()());
  return { port: await listeners.open('0.0.0.0', 0, undefined, 'port'), listeners };
}

const GET = 'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n';

it('makes room in place of clients that do not read their answers', async () => {
  const { port, listeners } = await listen(4);
  for (let n = 0; n < 4; n++) {
    const socket = await open({ port, host: '127.0.0.1', localAddress: '127.0.0.2' });
    socket.pause();
    socket.write(GET);
  }
  await pause(100);
  const guest = await open({ port, host: '127.0.0.1' });
  guest.write(GET);
  const [answer] = (await once(guest, 'data')) as [Buffer];
  expect(answer.toString('latin1', 0, 15)).toBe('HTTP/1.1 200 OK');
  expect(listeners.stats).toEqual({ replaced: 1, refused: 0, flooded: 0 });
});

it('keeps an idle connection for as long as the option says', async () => {
  const server = await serve({
    http: { port: 0, console: false, keepAliveMs: 300 },
    gateway: { transcoding: false },
    log: { write: () => {} },
  });
  afterTest(() => server.close(0));
  const socket = await open({ port: server.port, host: '127.0.0.1' });
  let text = '';
  socket.on('data', (part: Buffer) => (text += part.toString('latin1')));
  const closed = once(socket, 'close');
  socket.write('GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n');
  await expect.poll(() => text).toContain('"up"');
  const answeredMs = performance.now();
  await closed;
  expect(performance.now() - answeredMs).toBeGreaterThan(250);
  // The default is above what proxies keep; Node names it in its answers.
  const usual = await serve({
    http: { port: 0, console: false },
    gateway: { transcoding: false },
    log: { write: () => {} },
  });
  afterTest(() => usual.close(0));
  const { headers } = await fetch(`http://127.0.0.1:${usual.port}/health`);
  expect(headers.get('keep-alive')).toBe('timeout=65');
});

it('closes a connection with more requests than are answered at once', async () => {
  const { port, listeners } = await listen(4);
  const socket = await open({ port, host: '127.0.0.1' });
  socket.write(GET.repeat(200));
  socket.resume();
  await once(socket, 'close');
  expect(listeners.stats).toEqual({ replaced: 0, refused: 0, flooded: 1 });
});

it('distinguishes connections from one client port to two addresses', async () => {
  const { port, listeners } = await listen(2);
  for (let n = 0; n < 3; n++) {
    const one = await open({ port, host: '127.0.0.1', localAddress: '127.0.0.3' });
    const localPort = one.localPort ?? 0;
    const other = await open({ port, host: '127.0.0.2', localAddress: '127.0.0.3', localPort });
    one.destroy();
    other.destroy();
    await pause(50);
  }
  const last = await open({ port, host: '127.0.0.1', localAddress: '127.0.0.3' });
  last.write(GET);
  await once(last, 'data');
  expect(listeners.stats).toEqual({ replaced: 0, refused: 0, flooded: 0 });
});

it('closes what is refused as a WebSocket, also when its client does not', async () => {
  const server = await serve({
    http: { port: 0, console: false },
    gateway: { transcoding: false },
    log: { write: () => {} },
  });
  afterTest(() => server.close(0));
  const { port } = server;
  const socket = await open({ port, host: '127.0.0.1', allowHalfOpen: true });
  const upgrade = 'Connection: Upgrade\r\nUpgrade: websocket\r\n';
  socket.write(`GET /rest-api/stream/none.flv HTTP/1.1\r\nHost: localhost\r\n${upgrade}\r\n`);
  let isClosed = false;
  socket.once('close', () => (isClosed = true));
  const [answer] = (await once(socket, 'data')) as [Buffer];
  expect(answer.toString()).toMatch(/^HTTP\/1\.1 404 /);
  // Whoever has gone does not take what is sent to him.
  await expect.poll(() => (socket.write('x'), isClosed)).toBe(true);
});

describe('an upgrade to what is not spoken here', () => {
  const ask = (method: string, path: string, more: string): string =>
    `${method} ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n` +
    `HTTP2-Settings: AAMAAABkAAQAAP__\r\n${more}`;
  const find = ask('POST', '/rest-api/call/find', 'Content-Type: application/json\r\n');

  async function start(): Promise<{ socket: Socket; answers: () => readonly string[] }> {
    const { port, close } = await serve({
      http: { port: 0, console: false },
      gateway: { transcoding: false },
      log: { write: () => {} },
    });
    afterTest(() => close(0));
    const socket = await open({ port, host: '127.0.0.1' });
    let text = '';
    socket.on('data', (part: Buffer) => (text += part.toString('latin1')));
    const answers = (): readonly string[] =>
      [...text.matchAll(/HTTP\/1\.1 (\d+)|"(code)":"[A-Z_]+"/g)].map(
        ([all, status]) => status ?? all,
      );
    return { socket, answers };
  }

  it('is ignored, as Java and curl expect it who ask for HTTP/2', async () => {
    const { socket, answers } = await start();
    for (let n = 1; n <= 3; n++) {
      socket.write(ask('GET', '/health', '\r\n'));
      await expect.poll(answers).toEqual(Array<string>(n).fill('200'));
    }
  });

  it('is ignored where a body comes behind it, whole or in parts', async () => {
    const { socket, answers } = await start();
    const one = ['404', '"code":"CALL_NOT_FOUND"'];
    socket.write(`${find}Content-Length: 14\r\n\r\n{"callId":"x"}`);
    await expect.poll(answers).toEqual(one);
    socket.write(`${find}Transfer-Encoding: chunked\r\n\r\n5\r\n{"cal`);
    await pause(50);
    socket.write('\r\n9\r\nlId":"x"}\r\n0\r\n\r\n');
    await expect.poll(answers).toEqual([...one, ...one]);
  });

  it('closes the connection behind a request without an answer', async () => {
    const { socket, answers } = await start();
    socket.write(`${find}Content-Length: 2\r\n\r\n{}${ask('GET', '/health', '\r\n')}`);
    await once(socket, 'close');
    expect(answers()).not.toContain('200');
  });
});
