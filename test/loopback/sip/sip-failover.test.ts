// Several servers for one name (RFC 3263 §4.3), and both families of addresses, on real sockets.

import { networkInterfaces } from 'node:os';
import { SipUserAgent } from '@sipcast/sip';
import type {
  InviteOptions,
  SessionEnding,
  SipDns,
  SipRequest,
  SipUserAgentOptions,
  TransportAddress,
} from '@sipcast/sip';
import { describe, expect, it } from 'vitest';
import { openUserAgent, Recorder, response, say, ScriptedPeer, SHORT_TIMERS } from './sip-peer.ts';
import { afterTest } from '../../support/cleanup.ts';
import { until } from '../../support/wait.ts';

/** SRV records of `pbx.example` towards ports of 127.0.0.1, in this order. */
function dnsTo(...ports: number[]): SipDns {
  return {
    naptr: async () => [],
    srv: async () =>
      ports.map((port, priority) => ({ priority, weight: 0, port, target: 'host.example' })),
    addresses: async () => [{ address: '127.0.0.1' }],
  };
}

async function openPeer(
  kind: 'udp' | 'tcp',
  answer?: (invite: SipRequest) => number | undefined,
): Promise<ScriptedPeer> {
  const peer = new ScriptedPeer();
  await (kind === 'udp' ? peer.openUdp() : peer.openTcp());
  afterTest(() => peer.close());
  peer.script = (message, reply) => {
    if (message.kind !== 'request' || message.method !== 'INVITE') return;
    const statusCode = answer?.(message);
    if (statusCode !== undefined) say(reply, response(message, statusCode, { tag: 'p' }));
  };
  return peer;
}

async function open(options: SipUserAgentOptions): Promise<SipUserAgent> {
  const agent = await openUserAgent(options);
  afterTest(() => agent.close());
  return agent;
}

async function endOf(
  agent: SipUserAgent,
  more: Partial<InviteOptions> = {},
): Promise<SessionEnding> {
  const recorder = new Recorder();
  agent.invite(
    {
      callId: `failover-${Math.random()}`,
      target: 'sip:bob@pbx.example',
      from: { uri: 'sip:alice@a' },
      transport: 'udp',
      offer: 'v=0\r\n',
      ...more,
    },
    recorder,
  );
  return recorder.ended;
}

const branchOf = (request: SipRequest | undefined): string =>
  /branch=([^;]+)/.exec(request?.headers.get('via') ?? '')?.[1] ?? '';

describe('fail-over', () => {
  it('tries the next server after 503, in a new transaction', async () => {
    const first = await openPeer('udp', () => 503);
    const second = await openPeer('udp', () => 486);
    const agent = await open({ dns: dnsTo(first.port, second.port) });
    expect(await endOf(agent)).toMatchObject({ statusCode: 486, endedBy: 'remote' });
    const [one, two] = [first.requests('INVITE')[0], second.requests('INVITE')[0]];
    expect(one?.uri).toBe('sip:bob@pbx.example');
    expect(two?.uri).toBe('sip:bob@pbx.example');
    expect(two?.headers.get('call-id')).toBe(one?.headers.get('call-id'));
    expect(branchOf(two)).not.toBe(branchOf(one));
  });

  it('tries the next server without a response, and if no connection is possible', async () => {
    const silent = await openPeer('udp');
    const second = await openPeer('udp', () => 486);
    const overUdp = await open({ dns: dnsTo(silent.port, second.port) });
    expect(await endOf(overUdp)).toMatchObject({ statusCode: 486 });

    const closed = await openPeer('tcp');
    await closed.close();
    const listening = await openPeer('tcp', () => 486);
    const overTcp = await open({ dns: dnsTo(closed.port, listening.port) });
    expect(await endOf(overTcp, { transport: 'tcp' })).toMatchObject({ statusCode: 486 });
  });

  it('asks the other servers of one target for no other target', async () => {
    const [first, second, moved] = [
      await openPeer('udp'),
      await openPeer('udp', () => 404),
      await openPeer('udp', () => 486),
    ];
    first.script = (message, reply) => {
      if (message.kind !== 'request' || message.method !== 'INVITE') return;
      const contacts = ['<sip:x@gone.example>', `<sip:y@127.0.0.1:${moved.port}>`];
      const headers = contacts.map((contact) => ['contact', contact] as const);
      say(reply, response(message, 302, { tag: 'p', headers }));
    };
    const found = dnsTo(first.port, second.port);
    const isGone = (name: string): boolean => name.endsWith('gone.example');
    const agent = await open({
      dns: {
        ...found,
        srv: async (name) => (isGone(name) ? [] : found.srv(name)),
        addresses: async (name, family) => (isGone(name) ? [] : found.addresses(name, family)),
      },
    });
    expect(await endOf(agent)).toMatchObject({ statusCode: 486 });
    expect(second.requests('INVITE')).toEqual([]);
    expect(moved.requests('INVITE')).toHaveLength(1);
  });

  it('ends with what the last one said', async () => {
    const peers = [await openPeer('udp', () => 503), await openPeer('udp', () => 503)];
    const agent = await open({ dns: dnsTo(...peers.map(({ port }) => port)) });
    expect(await endOf(agent)).toMatchObject({ statusCode: 503, endedBy: 'remote' });
    // Repetitions of a busy machine aside.
    for (const peer of peers) expect(new Set(peer.requests('INVITE').map(branchOf)).size).toBe(1);
  });

  it('does not ask another server when the first has begun to work on it, or has decided', async () => {
    const second = await openPeer('udp', () => 486);
    const working = await openPeer('udp', () => 180);
    const agent = await open({ dns: dnsTo(working.port, second.port) });
    expect(await endOf(agent, { inviteTimeoutMs: 900 })).toMatchObject({ statusCode: 408 });
    const decided = await openPeer('udp', () => 603);
    const another = await open({ dns: dnsTo(decided.port, second.port) });
    expect(await endOf(another)).toMatchObject({ statusCode: 603 });
    expect(second.received).toEqual([]);
  });

  it('answers the challenge of each server', async () => {
    const first = await openPeer('udp', () => 503);
    const second = new ScriptedPeer();
    await second.openUdp();
    afterTest(() => second.close());
    second.script = (message, reply) => {
      if (message.kind !== 'request' || message.method !== 'INVITE') return;
      const proven = message.headers.has('authorization');
      const headers = [['www-authenticate', 'Digest realm="r", nonce="n"']] as const;
      say(
        reply,
        response(message, proven ? 486 : 401, { tag: 'p', headers: proven ? [] : headers }),
      );
    };
    const agent = await open({ dns: dnsTo(first.port, second.port) });
    const credentials = { username: 'alice', password: 'pw' };
    expect(await endOf(agent, { credentials })).toMatchObject({ statusCode: 486 });
    expect(new Set(second.requests('INVITE').map(branchOf)).size).toBe(2);
  });
});

const hasIpv6 = Object.values(networkInterfaces()).some((addresses) =>
  addresses?.some(({ address }) => address === '::1'),
);

describe.skipIf(!hasIpv6)('both families', () => {
  interface Callee {
    readonly agent: SipUserAgent;
    readonly invites: SipRequest[];
    readonly sources: TransportAddress[];
  }

  async function openCallee(bindAddress: string): Promise<Callee> {
    const invites: SipRequest[] = [];
    const sources: TransportAddress[] = [];
    const agent = new SipUserAgent(
      { bindAddress, timers: SHORT_TIMERS },
      {
        onInvite: ({ request, source }) => {
          invites.push(request);
          sources.push(source);
          return { statusCode: 486, reasonPhrase: 'Busy Here' };
        },
      },
    );
    await agent.open();
    afterTest(() => agent.close());
    return { agent, invites, sources };
  }

  for (const transport of ['udp', 'tcp'] as const) {
    it(`calls IPv6 and IPv4 from one socket of both, over ${transport}`, async () => {
      const six = await openCallee('::1');
      const four = await openCallee('127.0.0.1');
      const agent = await open({ bindAddress: '::' });
      const port = six.agent.localPort;
      expect(await endOf(agent, { target: `sip:bob@[::1]:${port}`, transport })).toMatchObject({
        statusCode: 486,
      });
      expect(
        await endOf(agent, { target: `sip:bob@127.0.0.1:${four.agent.localPort}`, transport }),
      ).toMatchObject({ statusCode: 486 });
      const [toSix, toFour] = [six.invites[0]?.headers, four.invites[0]?.headers];
      expect(toSix?.get('via')).toContain(` [::1]:${agent.localPort};`);
      expect(toSix?.get('contact')).toContain(`@[::1]:${agent.localPort}`);
      expect(toFour?.get('via')).toContain(` 127.0.0.1:${agent.localPort};`);
      expect(six.sources[0]?.address).toBe('::1');
      expect(four.sources[0]?.address).toBe('127.0.0.1');
    });

    it(`is called over both on one port, over ${transport}, and names callers as they are`, async () => {
      const callee = await openCallee('::');
      for (const [bindAddress, host] of [
        ['::1', '[::1]'],
        ['127.0.0.1', '127.0.0.1'],
      ] as const) {
        const agent = await open({ bindAddress });
        const target = `sip:bob@${host}:${callee.agent.localPort}`;
        expect(await endOf(agent, { target, transport })).toMatchObject({ statusCode: 486 });
      }
      expect(callee.sources.map(({ address }) => address)).toEqual(['::1', '127.0.0.1']);
    });
  }

  it('uses the public address of each family', async () => {
    const six = await openCallee('::1');
    const agent = await open({ bindAddress: '::', publicAddress: ['192.0.2.7', '2001:db8::7'] });
    expect(await endOf(agent, { target: `sip:bob@[::1]:${six.agent.localPort}` })).toMatchObject({
      statusCode: 486,
    });
    expect(six.invites[0]?.headers.get('contact')).toContain('@[2001:db8::7]:');
    expect(await agent.localAddressFor('127.0.0.1', 5060)).toBe('192.0.2.7');
  });

  it('goes on to the other family', async () => {
    const four = await openPeer('udp', () => 486);
    const dns: SipDns = {
      naptr: async () => [],
      srv: async () => [],
      addresses: async (_, family) => [{ address: family === 6 ? '::1' : '127.0.0.1' }],
    };
    const agent = await open({ bindAddress: '::', dns });
    const target = `sip:bob@pbx.example:${four.port}`;
    expect(await endOf(agent, { target })).toMatchObject({ statusCode: 486 });
    expect(new Set(four.requests('INVITE').map(branchOf)).size).toBe(1);
  });
});

it('calls the server last that does not answer pings, until it answers again', async () => {
  const first = await openPeer('udp', () => 486);
  const second = await openPeer('udp', () => 486);
  let isDead = true;
  for (const peer of [first, second]) {
    const { script } = peer;
    peer.script = (message, reply) => {
      if (message.kind !== 'request' || (peer === first && isDead)) return;
      if (message.method === 'OPTIONS') say(reply, response(message, 200, { tag: 'p' }));
      else script(message, reply);
    };
  }
  const states: string[] = [];
  const agent = new SipUserAgent(
    {
      bindAddress: '127.0.0.1',
      timers: SHORT_TIMERS,
      dns: dnsTo(first.port, second.port),
      ping: { servers: ['sip:pbx.example;transport=udp'], intervalMs: 1000 },
    },
    { onServer: ({ port, state }) => states.push(`${port} ${state}`) },
  );
  afterTest(() => agent.close());
  await agent.open();
  await until(() => states.includes(`${first.port} silent`));
  expect(states).toContain(`${second.port} answers`);
  expect(await endOf(agent)).toMatchObject({ statusCode: 486 });
  expect(first.requests('INVITE')).toEqual([]);
  isDead = false;
  await until(() => states.includes(`${first.port} answers`));
  expect(await endOf(agent)).toMatchObject({ statusCode: 486 });
  expect(first.requests('INVITE')).not.toEqual([]);
});
