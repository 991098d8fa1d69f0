// SIP requests go to the ports that they may go to, and to where a phone really is: counted by who listens on another one.

import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import type { CallGateway, CallGatewayOptions } from '@sipcast/core';
import type { SipDns } from '@sipcast/sip';
import { beforeEach, expect, it } from 'vitest';
import { response, say, ScriptedPeer } from '../sip/sip-peer.ts';
import { afterTest } from '../../support/cleanup.ts';
import { openGateway } from '../../support/call-ends.ts';

type Headers = readonly (readonly [string, string])[];

const FORBIDDEN = 'is a port that may not be connected to';

/** Where nothing may arrive: a port of UDP and TCP. */
const trap = { port: 0, arrivals: 0 };
beforeEach(async () => {
  trap.arrivals = 0;
  const server = createServer((socket) => {
    trap.arrivals++;
    socket.destroy();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  afterTest(() => new Promise((resolve) => server.close(resolve)));
  trap.port = (server.address() as AddressInfo).port;
  const socket = createSocket('udp4').on('message', () => trap.arrivals++);
  socket.bind(trap.port, '127.0.0.1');
  await once(socket, 'listening');
  afterTest(() => socket.close());
});

/** SRV records name the trap. */
const dns: SipDns = {
  naptr: async () => [],
  srv: async () => [{ target: 'host.example.com', port: trap.port, priority: 0, weight: 0 }],
  addresses: async () => [{ address: '127.0.0.1' }],
};

/** A gateway that asks this DNS. */
const openResolving = (options: CallGatewayOptions): Promise<CallGateway> =>
  openGateway({ sipDns: dns, ...options });

const onlyPort = (port: number) => ({ sipDestinationPorts: [{ min: port, max: port }] });

/** Answers calls with these headers, and everything else with 200. */
async function openPeer(
  transport: 'udp' | 'tcp',
  statusCode: number,
  headersOf: (port: number) => Headers,
): Promise<ScriptedPeer> {
  const peer = new ScriptedPeer();
  await (transport === 'udp' ? peer.openUdp() : peer.openTcp());
  afterTest(() => peer.close());
  const body =
    'v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 9 RTP/AVP 8\r\nm=video 0 RTP/AVP 112\r\n';
  peer.script = (message, reply) => {
    if (message.kind !== 'request' || message.method === 'ACK') return;
    const isCall = message.method === 'INVITE';
    say(
      reply,
      isCall
        ? response(message, statusCode, {
            tag: 'bob',
            headers: headersOf(peer.port),
            ...(statusCode < 300 && { body }),
          })
        : response(message, 200),
    );
  };
  return peer;
}

it('a request that names another port is refused, and names the field', async () => {
  const gateway = await openResolving(onlyPort(5060));
  const host = `127.0.0.1:${trap.port}`;
  for (const [field, request] of [
    ['callee', { callee: `sip:x@${host}` }],
    ['sipPort', { callee: 'sip:x@127.0.0.1', sipPort: trap.port }],
    ['sipOutboundProxy', { callee: 'sip:x@127.0.0.1', sipOutboundProxy: host }],
    ['sipDomain', { callee: 'x', sipDomain: host, sipRegisterRequired: true }],
  ] as const)
    for (const sipTransport of ['udp', 'tcp', 'auto'] as const)
      await expect(gateway.startup({ ...request, sipTransport })).rejects.toMatchObject({
        code: 'INVALID_ARGUMENT',
        field,
      });
  expect(() => gateway.accounts.register({ sipDomain: host, sipLogin: 'x' })).toThrow(
    /sipDomain names port/,
  );
  expect([gateway.calls.live, trap.arrivals]).toEqual([[], 0]);
});

it.each(['udp', 'tcp'] as const)(
  'DNS leads a call to another port in vain, over %s',
  async (sipTransport) => {
    const gateway = await openResolving(onlyPort(5060));
    for (const more of [{}, { sipRegisterRequired: true }]) {
      const call = await gateway.startup({ callee: 'sip:x@example.com', sipTransport, ...more });
      await call.closed();
      expect(call.view()).toMatchObject({
        status: 'FAILED',
        info: `Failed by error: example.com: ${trap.port} ${FORBIDDEN}`,
      });
    }
    expect(trap.arrivals).toBe(0);
  },
);

it.each(['udp', 'tcp'] as const)(
  'a redirection leads to no other port, over %s',
  async (sipTransport) => {
    const contact = [['contact', `<sip:x@127.0.0.1:${trap.port}>`]] as const;
    const peer = await openPeer(sipTransport, 302, () => contact);
    const gateway = await openResolving(onlyPort(peer.port));
    const call = await gateway.startup({ callee: `sip:bob@127.0.0.1:${peer.port}`, sipTransport });
    await call.closed();
    expect(call.view().info).toBe(`Failed by error: 127.0.0.1: ${trap.port} ${FORBIDDEN}`);
    expect(trap.arrivals).toBe(0);
  },
);

it.each<['udp' | 'tcp', string, (port: number) => Headers]>([
  ['udp', 'Contact', () => [['contact', `<sip:bob@127.0.0.1:${trap.port}>`]]],
  ['tcp', 'Contact', () => [['contact', `<sip:bob@127.0.0.1:${trap.port};transport=tcp>`]]],
  ['udp', 'Contact with a name', () => [['contact', `<sip:bob@host.example.com:${trap.port}>`]]],
  [
    'udp',
    'Record-Route',
    (port: number) => [
      ['contact', `<sip:bob@127.0.0.1:${port}>`],
      ['record-route', `<sip:127.0.0.1:${trap.port};lr>`],
    ],
  ],
])(
  'what follows in a call goes to its peer, over %s, whatever its %s says',
  async (sipTransport, _, headersOf) => {
    const peer = await openPeer(sipTransport, 200, headersOf);
    const gateway = await openResolving(onlyPort(peer.port));
    const call = await gateway.startup({ callee: `sip:bob@127.0.0.1:${peer.port}`, sipTransport });
    await call.established();
    await peer.request('ACK');
    await call.terminate();
    await peer.request('BYE');
    expect(trap.arrivals).toBe(0);
    expect(gateway.faults['sip-forbidden-destination']).toBeGreaterThan(0);
  },
);

it.each(['udp', 'tcp'] as const)(
  'a phone on an ephemeral port that calls us, over %s, hears our BYE',
  async (sipTransport) => {
    const studio = await openResolving({
      ...onlyPort(5060),
      incoming: { rules: [{ accept: {} }] },
    });
    const phone = await openResolving({});
    const callee = `sip:studio@127.0.0.1:${studio.sipPort}`;
    const call = await phone.startup({ callee, sipTransport });
    await call.established();
    await expect.poll(() => studio.calls.live[0]?.status).toBe('ESTABLISHED');
    await studio.calls.live[0]?.hold();
    await studio.calls.live[0]?.terminate();
    await call.closed();
    expect(call.view()).toMatchObject({ status: 'FINISH', endedBy: 'remote' });
    expect(studio.faults['sip-forbidden-destination']).toBeUndefined();
  },
);
