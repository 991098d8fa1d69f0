// The relays: what they do to datagrams and connections is what they were told to do, and counted.

import { createSocket } from 'node:dgram';
import type { Socket as UdpSocket } from 'node:dgram';
import { once } from 'node:events';
import { createConnection, createServer } from 'node:net';
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { TcpRelay, UdpRelay } from '@sipcast/testkit';
import type { UdpRelayOptions } from '@sipcast/testkit';
import { describe, expect, it } from 'vitest';
import { afterTest } from '../../support/cleanup.ts';

async function openSocket(): Promise<UdpSocket> {
  const socket = createSocket('udp4');
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  afterTest(() => new Promise<void>((resolve) => socket.close(() => resolve())));
  return socket;
}

async function openUdp(faults: Partial<UdpRelayOptions> = {}) {
  const client = await openSocket();
  const server = await openSocket();
  const relay = await UdpRelay.open({ targetPort: server.address().port, ...faults });
  afterTest(() => relay.close());
  const atServer: number[] = [];
  const atClient: number[] = [];
  server.on('message', (datagram) => atServer.push(datagram.readUInt16BE()));
  client.on('message', (datagram) => atClient.push(datagram.readUInt16BE()));
  const send = async (count: number): Promise<void> => {
    for (let i = 0; i < count; i++) {
      const datagram = Buffer.alloc(20);
      datagram.writeUInt16BE(i);
      client.send(datagram, relay.port, '127.0.0.1');
      if (i % 16 === 15) await sleep(1);
    }
    await sleep(60);
  };
  return { client, server, relay, atServer, atClient, send };
}

const sorted = (values: readonly number[]) => values.toSorted((a, b) => a - b);
const upTo = (count: number) => Array.from({ length: count }, (_, i) => i);

describe('UdpRelay', () => {
  it('passes everything both ways, and learns the address of the client', async () => {
    const { client, server, relay, atServer, atClient, send } = await openUdp();
    server.send(Buffer.alloc(2), relay.backPort, '127.0.0.1');
    await sleep(20);
    expect(relay.stats.toClient).toMatchObject({ received: 1, dropped: 1 });
    await send(100);
    expect(atServer).toEqual(upTo(100));
    expect(relay.client).toEqual({ address: '127.0.0.1', port: client.address().port });
    server.send(Buffer.from([1, 2]), relay.backPort, '127.0.0.1');
    await sleep(20);
    expect(atClient).toEqual([0x0102]);
    expect(relay.stats.toTarget).toMatchObject({ received: 100, forwarded: 100, lost: 0 });
  });

  it('loses the same datagrams with the same seed, in one direction', async () => {
    const one = await openUdp({ toTarget: { loss: 0.2 }, seed: 4 });
    const two = await openUdp({ toTarget: { loss: 0.2 }, seed: 4 });
    await Promise.all([one.send(200), two.send(200)]);
    expect(one.atServer).toEqual(two.atServer);
    expect(one.relay.stats.toTarget.lost).toBe(200 - one.atServer.length);
    expect(one.relay.stats.toTarget.lost).toBeGreaterThan(10);
  });

  it('delays with jitter in order, lets late ones be overtaken, repeats', async () => {
    const delayed = await openUdp({ toTarget: { delayMs: 30, jitterMs: 20 } });
    const startMs = performance.now();
    delayed.client.send(Buffer.alloc(2), delayed.relay.port, '127.0.0.1');
    await once(delayed.server, 'message');
    expect(performance.now() - startMs).toBeGreaterThanOrEqual(28);
    const late = await openUdp({ toTarget: { reorder: 0.1, reorderMs: 20, duplicate: 0.1 } });
    await late.send(200);
    const { reordered, duplicated } = late.relay.stats.toTarget;
    expect(reordered).toBeGreaterThan(5);
    expect(late.atServer).toHaveLength(200 + duplicated);
    expect(late.atServer).not.toEqual(sorted(late.atServer));
    expect(sorted([...new Set(late.atServer)])).toEqual(upTo(200));
  });

  it('changes one octet of what it damages', async () => {
    const { client, server, relay } = await openUdp({ toTarget: { corrupt: 1 } });
    const sent = Buffer.alloc(50, 7);
    client.send(sent, relay.port, '127.0.0.1');
    const [datagram] = (await once(server, 'message')) as [Buffer];
    expect(datagram).toHaveLength(50);
    expect([...datagram].filter((octet) => octet !== 7)).toHaveLength(1);
    expect(relay.stats.toTarget.corrupted).toBe(1);
  });

  it('pauses, dies, and comes back on its port', async () => {
    const { relay, atServer, send } = await openUdp();
    relay.pause();
    await send(3);
    expect(relay.stats.toTarget.dropped).toBe(3);
    relay.resume();
    const { port } = relay;
    await relay.die();
    await send(3);
    expect(atServer).toEqual([]);
    await relay.comeBack();
    expect(relay.port).toBe(port);
    await send(3);
    expect(atServer).toEqual([0, 1, 2]);
    relay.change({ toTarget: { loss: 1 } });
    await send(3);
    expect(atServer).toHaveLength(3);
    expect(() => relay.change({ toTarget: { loss: 2 } })).toThrow(RangeError);
  });
});

/** Resolves when it is closed: true after an error. */
function closeOf(socket: Socket): Promise<boolean> {
  return new Promise((resolve) => {
    socket.once('close', resolve);
  });
}

async function openTcp() {
  const accepted: Socket[] = [];
  let received = 0;
  const server = createServer((socket) => {
    accepted.push(socket);
    socket.on('data', (chunk) => {
      received += chunk.length;
    });
    socket.on('error', () => {});
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const targetPort = typeof address === 'object' && address !== null ? address.port : 0;
  const relay = await TcpRelay.open({ targetPort });
  const connect = async (): Promise<Socket> => {
    const socket = createConnection(relay.port, '127.0.0.1');
    socket.on('error', () => {});
    await once(socket, 'connect');
    afterTest(() => Promise.resolve(socket.destroy()));
    for (let i = 0; i < 200 && accepted.length < relay.stats.connections; i++) await sleep(5);
    return socket;
  };
  afterTest(async () => {
    await relay.close();
    for (const socket of accepted) socket.destroy();
    await new Promise<void>((resolve) => {
      server.close(() => resolve());
    });
  });
  return { relay, connect, accepted, received: () => received };
}

describe('TcpRelay', () => {
  it('passes both ways and closes both ends', async () => {
    const { relay, connect, accepted, received } = await openTcp();
    const socket = await connect();
    socket.write('hello');
    await sleep(50);
    expect(received()).toBe(5);
    accepted[0]!.write('you');
    const [answer] = (await once(socket, 'data')) as [Buffer];
    expect(answer.toString()).toBe('you');
    expect(relay.stats).toEqual({ bytesToTarget: 5, bytesToClient: 3, connections: 1, refused: 0 });
    socket.end();
    await once(accepted[0]!, 'close');
    await sleep(20);
    expect(relay.connections).toBe(0);
  });

  it('stalls: the sender fills up, and all arrives once it goes on', async () => {
    const { relay, connect, received } = await openTcp();
    const socket = await connect();
    relay.stall();
    const chunk = Buffer.alloc(1024 * 1024);
    for (let i = 0; i < 16; i++) socket.write(chunk);
    await sleep(200);
    expect(received()).toBe(0);
    expect(socket.writableLength).toBeGreaterThan(0);
    relay.unstall();
    for (let i = 0; i < 200 && received() < 16 * chunk.length; i++) await sleep(10);
    expect(received()).toBe(16 * chunk.length);
  });

  it('throttles to about the rate', async () => {
    const { relay, connect, received } = await openTcp();
    relay.throttle(1_000_000);
    const socket = await connect();
    const startMs = performance.now();
    for (let i = 0; i < 64; i++) socket.write(Buffer.alloc(16_384));
    await sleep(500);
    const rate = (received() * 1000) / (performance.now() - startMs);
    expect(rate).toBeGreaterThan(300_000);
    expect(rate).toBeLessThan(1_300_000);
    relay.throttle(Number.POSITIVE_INFINITY);
    for (let i = 0; i < 100 && received() < 64 * 16_384; i++) await sleep(10);
    expect(received()).toBe(64 * 16_384);
    expect(() => relay.throttle(0)).toThrow(RangeError);
  });

  it('cuts with a reset', async () => {
    const { relay, connect, accepted } = await openTcp();
    const socket = await connect();
    const closed = closeOf(socket);
    relay.cut();
    expect(await closed).toBe(true);
    if (!accepted[0]!.destroyed) await closeOf(accepted[0]!);
    expect(relay.connections).toBe(0);
  });

  it('goes half open: nothing passes, neither side is notified', async () => {
    const { relay, connect, accepted, received } = await openTcp();
    const socket = await connect();
    relay.halfOpen();
    socket.write('lost');
    let told = false;
    socket.on('end', () => {
      told = true;
    });
    accepted[0]!.end();
    await sleep(100);
    expect(received()).toBe(0);
    expect(told).toBe(false);
    expect(socket.destroyed).toBe(false);
    const closed = closeOf(socket);
    relay.restore();
    await closed;
    const next = await connect();
    next.write('passes');
    await sleep(50);
    expect(received()).toBe(6);
  });

  it('dies and comes back on its port', async () => {
    const { relay, connect, received } = await openTcp();
    const { port } = relay;
    await relay.die();
    const refused = createConnection(port, '127.0.0.1');
    const [error] = (await once(refused, 'error')) as [NodeJS.ErrnoException];
    expect(error.code).toBe('ECONNREFUSED');
    await relay.comeBack();
    expect(relay.port).toBe(port);
    const socket = await connect();
    socket.write('back');
    await sleep(50);
    expect(received()).toBe(4);
  });
});
