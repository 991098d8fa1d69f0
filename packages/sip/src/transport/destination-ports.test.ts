// Where requests go when a client, peer or DNS names a forbidden port.

import { afterEach, describe, expect, it } from 'vitest';
import { DestinationPorts, type PortRange } from './destination-ports.ts';
import type { InviteSession } from '../call/call-session.ts';
import type { SessionEnding } from '../dialog/session-handler.ts';
import type { SipRequest } from '../message/message.ts';
import type { SipDns } from './sip-dns.ts';
import { PEER, settle, TestWire } from '../test-wire.ts';
import { SipUserAgent } from '../agent/user-agent.ts';

const PORTS: readonly PortRange[] = [{ min: 5060, max: 5090 }];
const FORBIDDEN = 'is a port that may not be connected to';

let wire: TestWire | undefined;
afterEach(async () => {
  await wire?.close();
  wire = undefined;
});

/** SRV records name port 6379, and for `good` also 5070. */
const dns: SipDns = {
  naptr: async () => [],
  srv: async (name) =>
    [6379, ...(name.includes('good') ? [5070] : [])].map((port, priority) => ({
      target: 'host.example.com',
      port,
      priority,
      weight: 0,
    })),
  addresses: async (_host, family) => (family === 4 ? [{ address: '192.0.2.20' }] : []),
};

/** A user agent, the destinations of its requests, and the faults it reported. */
async function open(ping: readonly string[] = []) {
  const went: string[] = [];
  const faults: string[] = [];
  wire = await new TestWire(
    { destinationPorts: PORTS, dns, ping: { servers: ping } },
    {
      onTraffic: ({ direction, message, remote }) => {
        if (direction === 'out' && message.kind === 'request')
          went.push(`${message.method} ${remote.address}:${remote.port}`);
      },
      onFault: (fault, { excerpt }) => faults.push(`${fault}: ${excerpt}`),
    },
  ).open();
  await settle();
  return { wire, went, faults };
}

function call(on: TestWire, target: string, ended: SessionEnding[] = []): InviteSession {
  return on.userAgent.invite(
    {
      callId: 'call@us',
      target,
      from: { uri: 'sip:alice@example.com' },
      transport: 'udp',
      offer: 'v=0 offer\r\n',
    },
    {
      onProvisional: () => {},
      onAnswered: () => {},
      onReoffer: () => ({ answer: 'v=0 answer\r\n' }),
      onEnded: (ending) => ended.push(ending),
    },
  );
}

describe('allowed ports', () => {
  it.each([
    [5060, true],
    [5090, true],
    [5059, false],
    [5091, false],
    [1, false],
    [65_535, true],
  ])('%i: %s', (port, allowed) => {
    const ports = new DestinationPorts([...PORTS, { min: 65_535, max: 65_535 }], []);
    expect(ports.allows('x', port)).toBe(allowed);
  });

  it('allow everything without a list', () => {
    const ports = new DestinationPorts(undefined, []);
    for (const port of [1, 22, 5060, 65_535]) expect(ports.allows('x', port)).toBe(true);
  });

  it('include the port of a named server, for that server only', () => {
    const servers = [
      { host: 'PBX.example.com', port: 15_060 },
      { host: 'other.example.com', port: undefined },
    ];
    const ports = new DestinationPorts(PORTS, servers);
    expect(ports.allows('pbx.example.com.', 15_060)).toBe(true);
    expect(ports.allows('pbx.example.com', 15_061)).toBe(false);
    expect(ports.allows('other.example.com', 15_060)).toBe(false);
  });

  it.each([
    [[{ min: 0, max: 5 }]],
    [[{ min: 6, max: 5 }]],
    [[{ min: 5, max: 65_536 }]],
    [[{ min: 5.5, max: 6 }]],
    [[null]],
    ['5060'],
  ])('cannot be configured as %j', (destinationPorts) => {
    const options = { destinationPorts: destinationPorts as PortRange[] };
    const wrong = { code: 'INVALID_ARGUMENT', field: 'destinationPorts' };
    expect(() => new SipUserAgent(options)).toThrow(expect.objectContaining(wrong));
  });
});

describe('a forbidden port', () => {
  it.each([
    ['sip:bob@192.0.2.9:6379', `192.0.2.9: 6379 ${FORBIDDEN}`],
    ['sip:bob@name.example.com:22', `name.example.com: 22 ${FORBIDDEN}`],
    ['sip:bob@name.example.com', `name.example.com: 6379 ${FORBIDDEN}`],
    ['sip:bob@192.0.2.9:5059;transport=udp', `192.0.2.9: 5059 ${FORBIDDEN}`],
    ['sip:bob@192.0.2.9:5091;maddr=192.0.2.8', `192.0.2.8: 5091 ${FORBIDDEN}`],
  ])('is not called: %s', async (target, message) => {
    const { wire: on, went } = await open();
    const ended: SessionEnding[] = [];
    call(on, target, ended);
    await settle();
    expect(ended).toMatchObject([{ error: { code: 'CONNECT_FORBIDDEN', message } }]);
    expect(went).toEqual([]);
  });

  it('is skipped if DNS names others', async () => {
    const { wire: on, went } = await open();
    call(on, 'sip:bob@good.example.com');
    await settle();
    expect(went).toEqual(['INVITE 192.0.2.20:5070']);
  });

  it('is not registered at', async () => {
    const { wire: on, went } = await open();
    const from = { uri: 'sip:alice@example.com' };
    const options = { registrar: 'sip:192.0.2.9:6379', from, transport: 'udp' } as const;
    await expect(on.userAgent.register(options)).rejects.toMatchObject({
      code: 'CONNECT_FORBIDDEN',
    });
    expect(went).toEqual([]);
  });

  it('is not redirected to', async () => {
    const { wire: on, went } = await open();
    const ended: SessionEnding[] = [];
    call(on, 'sip:bob@192.0.2.9', ended);
    await settle();
    on.answer(on.request('INVITE'), 302, [['contact', '<sip:bob@192.0.2.9:6379>']]);
    await settle();
    expect(ended).toMatchObject([{ error: { code: 'CONNECT_FORBIDDEN' } }]);
    expect(went).toEqual(['INVITE 192.0.2.9:5060', 'ACK 192.0.2.9:5060']);
  });

  it('is skipped if a redirection names others', async () => {
    const { wire: on, went } = await open();
    const ended: SessionEnding[] = [];
    call(on, 'sip:bob@192.0.2.9', ended);
    await settle();
    const contacts = ['<sip:bob@192.0.2.9:6379>', '<sip:bob@192.0.2.8>;q=0.5'];
    on.answer(
      on.request('INVITE'),
      302,
      contacts.map((contact) => ['contact', contact] as const),
    );
    await settle();
    expect(ended).toEqual([]);
    expect(went).toEqual(['INVITE 192.0.2.9:5060', 'ACK 192.0.2.9:5060', 'INVITE 192.0.2.8:5060']);
  });

  it('is pinged and called if the operator named the server with it', async () => {
    const { wire: on, went } = await open(['sip:192.0.2.9:6379', 'sip:name.example.com']);
    call(on, 'sip:bob@192.0.2.9:6379');
    await settle();
    // The other server uses its port from DNS.
    expect(went).toEqual(['OPTIONS 192.0.2.9:6379', 'INVITE 192.0.2.9:6379']);
  });

  it('does not prevent looking up a host from a session description', async () => {
    const userAgent = new SipUserAgent({ destinationPorts: [{ min: 5070, max: 5070 }], dns });
    expect(await userAgent.resolve('media.example.com', 4)).toBe('192.0.2.20');
  });
});

describe('a peer that names a forbidden port', () => {
  const forbidden = `forbidden-destination: 192.0.2.9: 6379 ${FORBIDDEN}`;

  it.each([
    ['a Contact', [['contact', '<sip:bob@192.0.2.9:6379>']], [forbidden, forbidden]],
    [
      'a Record-Route',
      [
        ['contact', '<sip:bob@192.0.2.9>'],
        ['record-route', '<sip:192.0.2.9:6379;lr>'],
      ],
      [forbidden, forbidden],
    ],
    [
      'a name',
      [['contact', '<sip:bob@name.example.com:22>']],
      Array(2).fill(`forbidden-destination: name.example.com: 22 ${FORBIDDEN}`),
    ],
  ] as const)('is answered where the call is: %s', async (_, headers, expected) => {
    const { wire: on, went, faults } = await open();
    const session = call(on, 'sip:bob@192.0.2.9');
    await settle();
    on.answer(on.request('INVITE'), 200, headers, 'v=0 answer\r\n');
    await settle();
    void session.terminate();
    await settle();
    const there = '192.0.2.9:5060';
    expect(went).toEqual([`INVITE ${there}`, `ACK ${there}`, `BYE ${there}`]);
    expect(faults).toEqual(expected);
  });

  it('is accepted within the list', async () => {
    const { wire: on, went, faults } = await open();
    call(on, 'sip:bob@192.0.2.9');
    await settle();
    const contact = ['contact', '<sip:bob@192.0.2.9:5070>'] as const;
    on.answer(on.request('INVITE'), 200, [contact], 'v=0 answer\r\n');
    await settle();
    expect(went).toEqual(['INVITE 192.0.2.9:5060', 'ACK 192.0.2.9:5070']);
    expect(faults).toEqual([]);
  });

  it('gets requests there only if it sends from there', async () => {
    const { wire: on, went, faults } = await open();
    const session = call(on, 'sip:bob@192.0.2.9');
    await settle();
    const contact = ['contact', '<sip:bob@192.0.2.9>'] as const;
    on.answer(on.request('INVITE'), 200, [contact], 'v=0 answer\r\n');
    await settle();
    const dialog = on.request('ACK');
    // The peer has moved, and sends its new Contact from there.
    const moveTo = async (host: string, port: number, sequence: number): Promise<void> => {
      on.ask('UPDATE', {
        callId: 'call@us',
        from: dialog.headers.get('to') ?? '',
        to: dialog.headers.get('from') ?? '',
        sequence,
        headers: [['contact', `<sip:bob@${host}:${port}>`]],
        body: 'v=0 theirs\r\n',
        source: { protocol: 'UDP', address: '192.0.2.77', port: 49_152 },
      });
      await settle();
      void session.sendInfo('text/plain', 'x').catch(() => {});
      await settle();
    };
    await moveTo('192.0.2.77', 49_152, 1);
    await moveTo('192.0.2.77', 49_153, 2);
    await moveTo('192.0.2.78', 49_152, 3);
    expect(went.slice(2)).toEqual([
      'INFO 192.0.2.77:49152',
      'INFO 192.0.2.9:5060',
      'INFO 192.0.2.9:5060',
    ]);
    expect(faults.filter((fault) => fault.startsWith('forbidden'))).toHaveLength(2);
  });

  it('that calls from an ephemeral port gets responses and requests there', async () => {
    const { wire: on, went, faults } = await open();
    const source = { protocol: 'UDP', address: PEER.address, port: 51_234 };
    const sessions: InviteSession[] = [];
    on.onInvite = (invite) => {
      const session = invite.take({
        onProvisional: () => {},
        onAnswered: () => {},
        onReoffer: () => ({ answer: 'v=0 answer\r\n' }),
        onEnded: () => {},
      });
      session.answer('v=0 answer\r\n');
      sessions.push(session);
      return 'taken';
    };
    const parts = {
      callId: 'theirs',
      from: '<sip:bob@192.0.2.9>;tag=b',
      sequence: 1,
      headers: [['contact', `<sip:bob@${PEER.address}:51234>`]],
      source,
    } as const;
    on.ask('INVITE', { ...parts, to: '<sip:us@192.0.2.1>', body: 'v=0 offer\r\n' });
    await settle();
    const to = on.response('200 INVITE').headers.get('to') ?? '';
    on.ask('ACK', { ...parts, to });
    await settle();
    void sessions[0]?.terminate();
    await settle();
    expect(went).toEqual([`BYE ${PEER.address}:51234`]);
    expect(faults).toEqual([]);
    on.answer(on.request('BYE') satisfies SipRequest, 200);
  });
});
