// Nothing connects to an address that may not be connected to, however it was named: counted by who listens there.

import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo, LookupFunction } from 'node:net';
import { openRtmpPublisher } from '@sipcast/media';
import type { RtmpError } from '@sipcast/media';
import { deliverCallEvents } from '@sipcast/rest';
import { OutgoingPolicy } from 'sipcast';
import { describe, expect, it } from 'vitest';
import { openGateway, openPhone } from '../../support/call-ends.ts';
import { afterTest } from '../../support/cleanup.ts';

/** Ways to write the address of the listener below. */
const LOOPBACK_FORMS = [
  '127.0.0.1',
  '127.1',
  '127.0.1',
  '0x7f.1',
  '0x7f000001',
  '2130706433',
  '017700000001',
  '0177.0.0.1',
  'localhost',
  'localhost.',
  'LocalHost',
  '0',
  '0.0.0.0',
  '[::1]',
  '[::]',
  '[::ffff:127.0.0.1]',
  '[::ffff:7f00:1]',
  '[0:0:0:0:0:ffff:127.0.0.1]',
  '[::127.0.0.1]',
  '[64:ff9b::127.0.0.1]',
];

/** Takes connections, and counts them. */
async function openTrap(host = '::'): Promise<{ port: number; connections: () => number }> {
  let connections = 0;
  const server = createServer((socket) => {
    connections++;
    socket.destroy();
  });
  server.listen(0, host);
  await once(server, 'listening');
  afterTest(() => new Promise((resolve) => server.close(resolve)));
  return { port: (server.address() as AddressInfo).port, connections: () => connections };
}

/** Answers with the first address once, and then with the second. */
function rebinding(first: string, then: string): { lookup: LookupFunction; asked: () => number } {
  let asked = 0;
  return {
    lookup: (_host, _options, callback) =>
      setImmediate(() => callback(null, [{ address: asked++ === 0 ? first : then, family: 4 }])),
    asked: () => asked,
  };
}

async function publish(
  url: string,
  mayConnect: (address: string, host: string) => boolean,
  lookup?: LookupFunction,
): Promise<RtmpError | undefined> {
  return new Promise((resolve) => {
    openRtmpPublisher(
      { url, streamName: 'x', mayConnect, ...(lookup && { lookup }) },
      { onPublishing() {}, onKeyFrameWanted() {}, onEnded: resolve },
    );
  });
}

describe('addresses that may not be connected to', () => {
  it.each(LOOPBACK_FORMS)('get no RTMP connection as %s', async (host) => {
    const trap = await openTrap();
    const policy = new OutgoingPolicy({});
    for (const scheme of ['rtmp', 'rtmps']) {
      const error = await publish(`${scheme}://${host}:${trap.port}/app`, (...args) =>
        policy.mayConnect(...args),
      ).catch((thrown: RtmpError) => thrown);
      // What the resolver of this system does not understand leads nowhere either.
      expect(['CONNECT_FORBIDDEN', 'CONNECT_FAILED', 'INVALID_URL']).toContain(error?.code);
    }
    expect(trap.connections()).toBe(0);
  });

  it('get an RTMP connection where the network is ours, so that the trap is seen to work', async () => {
    const trap = await openTrap();
    const policy = new OutgoingPolicy({ lan: true });
    for (const host of ['127.0.0.1', 'localhost', '[::1]'])
      await publish(`rtmp://${host}:${trap.port}/app`, (...args) => policy.mayConnect(...args));
    expect(trap.connections()).toBe(3);
  });

  it('get no RTMP connection when a name is led there between check and use', async () => {
    const good = await openTrap('127.0.0.2');
    const bad = createServer();
    let connections = 0;
    bad.on('connection', (socket) => {
      connections++;
      socket.destroy();
    });
    bad.listen(good.port, '127.0.0.1');
    await once(bad, 'listening');
    afterTest(() => new Promise((resolve) => bad.close(resolve)));
    const { lookup, asked } = rebinding('127.0.0.2', '127.0.0.1');
    const mayConnect = (address: string): boolean => address === '127.0.0.2';
    const url = `rtmp://rebind.example:${good.port}/app`;
    expect((await publish(url, mayConnect, lookup))?.code).not.toBe('CONNECT_FORBIDDEN');
    for (let n = 0; n < 5; n++)
      expect((await publish(url, mayConnect, lookup))?.code).toBe('CONNECT_FORBIDDEN');
    expect([asked(), good.connections(), connections]).toEqual([6, 1, 0]);
  });

  it('end the push of a call at once, and not the call', async () => {
    const trap = await openTrap();
    const peer = await openPhone({ t1Ms: 100 });
    const gateway = await openGateway({
      mayConnect: (_address, purpose) => purpose !== 'rtmp',
    });
    const rtmpUrl = `rtmp://localhost:${trap.port}/app`;
    const call = await gateway.startup({ callee: peer.uri, rtmpUrl, rtmpStream: 'x' });
    await call.established();
    await expect.poll(() => call.view().rtmpStreamStatus).toBe('RTMP_CONNECTION_FAILED');
    expect(call.view().pushes[0]?.lastError).toContain('may not be connected to');
    expect([call.status, trap.connections()]).toEqual(['ESTABLISHED', 0]);
  });

  it.each(['127.0.0.1', 'localhost', '127.1', '[::ffff:127.0.0.1]'])(
    'get no events as %s',
    async (host) => {
      const trap = await openTrap();
      const peer = await openPhone({ t1Ms: 100 });
      const gateway = await openGateway();
      const lost: string[] = [];
      const delivery = deliverCallEvents(gateway, {
        callAppUrl: `http://${host}:${trap.port}/CallApp`,
        retries: 0,
        mayConnect: (address, name) => new OutgoingPolicy({}).mayConnect(address, name),
        onLost: (reason) => lost.push(reason),
      });
      afterTest(() => delivery.close(0));
      await gateway.startup({ callee: peer.uri });
      await expect.poll(() => lost.length).toBeGreaterThan(0);
      expect(lost[0]).toContain('may not be connected to');
      expect(trap.connections()).toBe(0);
    },
  );

  it('get no SIP: by address, by name, and by a redirection', async () => {
    const received: string[] = [];
    const open = async (address: string, answer?: (request: string) => string) => {
      const socket = createSocket('udp4');
      socket.on('message', (octets, from) => {
        received.push(address);
        const response = answer?.(octets.toString());
        if (response !== undefined) socket.send(response, from.port, from.address);
      });
      socket.bind(0, address);
      await once(socket, 'listening');
      afterTest(() => socket.close());
      return socket.address().port;
    };
    const secret = await open('127.0.0.1');
    const redirecting = await open('127.0.0.2', (request) => {
      if (!request.startsWith('INVITE')) return '';
      const kept = request
        .split('\r\n')
        .filter((line) => /^(?:Via|From|To|Call-ID|CSeq):/i.test(line))
        .map((line) => (line.startsWith('To:') ? `${line};tag=x` : line));
      const contact = `Contact: <sip:x@127.0.0.1:${secret}>`;
      return ['SIP/2.0 302 Moved', ...kept, contact, 'Content-Length: 0', '', ''].join('\r\n');
    });
    const gateway = await openGateway({
      mayConnect: (address) => address === '127.0.0.2',
      sipDns: {
        naptr: async () => [],
        srv: async () => [],
        addresses: async (_host, family) => (family === 4 ? [{ address: '127.0.0.1' }] : []),
      },
    });
    for (const callee of [
      `sip:x@127.0.0.1:${secret}`,
      `sip:x@rebind.example:${secret}`,
      `sip:x@127.0.0.2:${redirecting}`,
    ]) {
      const call = await gateway.startup({ callee });
      await call.closed();
      expect(call.status).toBe('FAILED');
    }
    expect(new Set(received)).toEqual(new Set(['127.0.0.2']));
  });
});
