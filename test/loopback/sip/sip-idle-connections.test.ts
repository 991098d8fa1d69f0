// Thousands of connections that say nothing: what is taken, and what a caller notices of them. `CONNECTIONS` for more.

import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { SipUserAgent } from '@sipcast/sip';
import { expect, it } from 'vitest';
import { Recorder, response, say, ScriptedPeer } from './sip-peer.ts';
import { afterTest } from '../../support/cleanup.ts';
import { until } from '../../support/wait.ts';

const CONNECTIONS = Number(process.env.CONNECTIONS ?? 1500);
/** From as many addresses of the loopback network as are needed; a hundred of each are taken. */
const PER_ADDRESS = 150;

it('are limited in total and per address, and prevent no call', async () => {
  const faults: string[] = [];
  const agent = new SipUserAgent(
    { bindAddress: '127.0.0.1' },
    { onFault: (fault) => faults.push(fault) },
  );
  await agent.open();
  afterTest(() => agent.close());
  const sockets: Socket[] = [];
  afterTest(() => {
    for (const socket of sockets) socket.destroy();
  });
  let most = 0;
  while (sockets.length < CONNECTIONS) {
    const some = Array.from({ length: Math.min(100, CONNECTIONS - sockets.length) }, (_, index) => {
      const localAddress = `127.0.1.${1 + Math.floor((sockets.length + index) / PER_ADDRESS)}`;
      const socket = connect({ port: agent.localPort, host: '127.0.0.1', localAddress });
      socket.on('error', () => {});
      return socket;
    });
    sockets.push(...some);
    await Promise.all(
      some.map((socket) => Promise.race([once(socket, 'connect'), once(socket, 'close')])),
    );
    most = Math.max(most, agent.stats.connections);
  }
  const isTaken = (): number => sockets.filter((socket) => !socket.destroyed).length;
  // Those that are too many are closed at once.
  await until(() => isTaken() === agent.stats.connections);
  const expected = Math.min(1000, Math.floor(CONNECTIONS / PER_ADDRESS) * 100);
  expect(agent.stats.connections).toBe(expected);
  expect(most).toBeLessThanOrEqual(1000);
  expect(new Set(faults)).toEqual(new Set(['connection-limit']));
  expect(faults.length).toBe(CONNECTIONS - expected);

  const peer = await new ScriptedPeer().openUdp();
  afterTest(() => peer.close());
  peer.script = (message, reply) => {
    if (message.kind !== 'request' || message.method === 'ACK') return;
    const headers = [['contact', `<sip:bob@127.0.0.1:${peer.port}>`] as const];
    say(reply, response(message, 200, { tag: 'bob', headers, body: 'v=0\r\n' }));
  };
  const recorder = new Recorder();
  const session = agent.invite(
    {
      callId: 'among-thousands',
      target: `sip:bob@127.0.0.1:${peer.port}`,
      from: { uri: 'sip:alice@a' },
      transport: 'udp',
      offer: 'v=0\r\n',
    },
    recorder,
  );
  await recorder.answered;
  await session.terminate();

  // Whoever goes makes room.
  for (const socket of sockets.splice(0)) socket.destroy();
  await until(() => agent.stats.connections === 0);
  await sleep(0);
  const late = connect({ port: agent.localPort, host: '127.0.0.1' });
  sockets.push(late);
  await until(() => agent.stats.connections === 1);
});
