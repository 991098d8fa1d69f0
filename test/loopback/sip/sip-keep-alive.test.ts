// Keep-alives of RFC 5626 on real sockets: over UDP while registered, on connections always.

import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { formatMessage, parseDatagram, StreamParser, SipUserAgent } from '@sipcast/sip';

import { expect, it } from 'vitest';
import { Recorder, response, SHORT_TIMERS } from './sip-peer.ts';
import { afterTest } from '../../support/cleanup.ts';
import { until } from '../../support/wait.ts';

async function openAgent(faults: string[] = []): Promise<SipUserAgent> {
  const agent = new SipUserAgent(
    {
      bindAddress: '127.0.0.1',
      timers: SHORT_TIMERS,
      keepAlive: { udpMs: 30, streamMs: 30 },
    },
    { onFault: (fault) => faults.push(fault) },
  );
  await agent.open();
  afterTest(() => agent.close());
  return agent;
}

it('sends CRLFs to the registrar while it is registered over UDP, and none afterwards', async () => {
  const socket = createSocket('udp4');
  let keepAlives = 0;
  socket.on('message', (datagram, { address, port }) => {
    if (datagram.toString() === '\r\n') {
      keepAlives++;
      return;
    }
    const { message } = parseDatagram(datagram);
    if (message?.kind === 'request')
      socket.send(formatMessage(response(message, 200, { tag: 'r' })), port, address);
  });
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  afterTest(() => socket.close());
  const agent = await openAgent();
  const registration = await agent.register({
    registrar: `sip:127.0.0.1:${socket.address().port}`,
    from: { uri: 'sip:alice@a' },
    transport: 'udp',
  });
  await until(() => keepAlives >= 4, 'keep-alives');
  await registration.refresh();
  await registration.unregister();
  const sent = keepAlives;
  await new Promise((resolve) => {
    setTimeout(resolve, 150);
  });
  expect(keepAlives).toBeLessThanOrEqual(sent + 1); // one may have been on its way
});

/** A server that answers INVITE with 486 and keep-alives as it is told; counts double CRLFs. */
async function openServer(answers: () => boolean): Promise<{
  port: number;
  pings: () => number;
  sockets: Socket[];
}> {
  let pings = 0;
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.on('error', () => {});
    const parser = new StreamParser({
      onOutcome: ({ message }) => {
        if (message?.kind === 'request' && message.method === 'INVITE')
          socket.write(formatMessage(response(message, 486, { tag: 'p' })));
      },
      onKeepAlive: () => {
        pings++;
        if (answers()) socket.write('\r\n');
      },
    });
    socket.on('data', (chunk) => parser.push(chunk));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  afterTest(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { port: (server.address() as AddressInfo).port, pings: () => pings, sockets };
}

async function connect(agent: SipUserAgent, port: number): Promise<void> {
  const recorder = new Recorder();
  agent.invite(
    {
      callId: `ping-${Math.random()}`,
      target: `sip:bob@127.0.0.1:${port}`,
      from: { uri: 'sip:alice@a' },
      transport: 'tcp',
      offer: 'v=0\r\n',
    },
    recorder,
  );
  await recorder.ended;
}

it('pings connections that it opened, and takes the answers for what they are', async () => {
  const server = await openServer(() => true);
  const faults: string[] = [];
  const agent = await openAgent(faults);
  await connect(agent, server.port);
  let octets = '';
  server.sockets[0]?.on('data', (chunk) => (octets += chunk.toString('latin1')));
  await until(() => server.pings() >= 5, 'pings');
  // Two answers in a row must not look like a keep-alive of the peer, which would be answered.
  const acknowledged = octets.replace(/ACK [^]*?\r\n\r\n/, '');
  expect(acknowledged.replaceAll('\r\n\r\n', '')).toBe('');
  await connect(agent, server.port);
  expect(server.sockets).toHaveLength(1);
  expect(faults).toEqual([]);
});

it('leaves a connection alone whose peer never answered', async () => {
  const server = await openServer(() => false);
  const agent = await openAgent();
  await connect(agent, server.port);
  await until(() => server.pings() >= 5, 'pings');
  expect(agent.stats.connections).toBe(1);
});

it('closes a connection whose peer has ceased to answer', async () => {
  let alive = true;
  const server = await openServer(() => alive);
  const faults: string[] = [];
  const agent = await openAgent(faults);
  await connect(agent, server.port);
  await until(() => server.pings() >= 2, 'pings');
  alive = false;
  await until(() => agent.stats.connections === 0, 'the connection is closed');
  expect(faults).toEqual(['keep-alive-limit']);
});
