// Connections that break off in the middle of anything: nothing is left of them, and everybody else is served.

import { once } from 'node:events';
import { connect } from 'node:net';
import type { SipUserAgent } from '@sipcast/sip';
import { seededRandom } from '@sipcast/testkit';
import { afterEach, expect, it } from 'vitest';
import { openUserAgent } from './sip-peer.ts';
import { until } from '../../support/wait.ts';

const CONNECTIONS = 1000;
const AT_ONCE = 20;

let userAgent: SipUserAgent | undefined;
afterEach(async () => {
  await userAgent?.close();
});

function request(method: string, id: string): Buffer {
  return Buffer.from(
    `${method} sip:us@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1:7;branch=z9hG4bK${id}\r\n` +
      `From: <sip:p@127.0.0.1>;tag=1\r\nTo: <sip:us@127.0.0.1>\r\nCall-ID: ${id}\r\nCSeq: 1 ${method}\r\n` +
      'Contact: <sip:p@127.0.0.1:7;transport=tcp>\r\nMax-Forwards: 70\r\nContent-Length: 4\r\n\r\nbody',
  );
}

it('a thousand connections that break off leave nothing, and the next request is answered', {
  timeout: 60_000,
}, async () => {
  const agent = await openUserAgent();
  userAgent = agent;
  const random = seededRandom(19);
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < CONNECTIONS) {
      const n = next++;
      const octets = request(['INVITE', 'OPTIONS', 'REGISTER', 'BYE'][n % 4] ?? '', `abrupt${n}`);
      const socket = connect(agent.localPort, '127.0.0.1');
      socket.on('error', () => {});
      await once(socket, 'connect');
      // A part of it, all of it, or all and a part of another one.
      const length = Math.floor(random() * octets.length * 1.5);
      socket.write(Buffer.concat([octets, request('OPTIONS', `more${n}`)]).subarray(0, length));
      const closed = once(socket, 'close');
      if (n % 2 === 0) socket.resetAndDestroy();
      else socket.destroy();
      await closed;
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  await until(() => agent.stats.connections === 0);
  await until(() => agent.stats.serverTransactions === 0);
  const socket = connect(agent.localPort, '127.0.0.1');
  socket.write(request('OPTIONS', 'last'));
  const [answer] = (await once(socket, 'data')) as [Buffer];
  expect(answer.toString()).toMatch(/^SIP\/2\.0 200 OK\r\n/);
  socket.destroy();
  await until(() => agent.stats.connections === 0);
});
