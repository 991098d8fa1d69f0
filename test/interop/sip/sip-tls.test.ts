// SIP over TLS between two of our own ends and node:tls, with certificates that openssl made: who is let in, and that
// everything else fails closed and soon.

import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect as connectTcp, createServer as createTcpServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectTls, createServer as createTlsServer } from 'node:tls';
import { SipUserAgent } from '@sipcast/sip';
import type {
  InviteOptions,
  SessionEnding,
  SipRequest,
  SipTlsOptions,
  SipUserAgentOptions,
  TransportAddress,
} from '@sipcast/sip';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { makeTestAuthority } from '../../support/certificates.ts';
import type { CertificateFiles, TestAuthority } from '../../support/certificates.ts';
import { afterTest } from '../../support/cleanup.ts';
import { describeWith } from '../../support/programs.ts';
import { openUserAgent, Recorder } from '../../loopback/sip/sip-peer.ts';

describeWith(['openssl'], 'SIP over TLS', () => {
  let dir: string;
  let authority: TestAuthority;
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'sips-'));
    authority = await makeTestAuthority(dir);
  });
  afterAll(() => rm(dir, { recursive: true, force: true }));

  async function open(tls: SipTlsOptions, more: SipUserAgentOptions = {}): Promise<SipUserAgent> {
    const agent = await openUserAgent({ tls, ...more });
    afterTest(() => agent.close());
    return agent;
  }

  /** A peer that refuses every call with 486, and notes what came and which input was bad. */
  async function openPeer(
    { cert, key }: CertificateFiles,
    more: SipTlsOptions = {},
  ): Promise<{
    agent: SipUserAgent;
    invites: SipRequest[];
    sources: TransportAddress[];
    faults: string[];
  }> {
    const invites: SipRequest[] = [];
    const sources: TransportAddress[] = [];
    const faults: string[] = [];
    const agent = new SipUserAgent(
      { bindAddress: '127.0.0.1', tls: { cert, key, ...more } },
      {
        onFault: (fault) => faults.push(fault),
        onTraffic: ({ direction, message, remote }) => {
          if (direction !== 'in' || message.kind !== 'request') return;
          if (message.method === 'INVITE') invites.push(message);
          sources.push(remote);
        },
        onInvite: () => ({ statusCode: 486, reasonPhrase: 'Busy Here' }),
      },
    );
    await agent.open();
    afterTest(() => agent.close());
    return { agent, invites, sources, faults };
  }

  async function endOf(
    agent: SipUserAgent,
    target: string,
    more: Partial<InviteOptions> = {},
  ): Promise<SessionEnding> {
    const recorder = new Recorder();
    const from = { uri: target.startsWith('sips:') ? 'sips:alice@a' : 'sip:alice@a' };
    const callId = `tls-${Math.random()}`;
    agent.invite({ callId, target, from, transport: 'tls', offer: 'v=0\r\n', ...more }, recorder);
    return recorder.ended;
  }

  const dns = {
    naptr: async () => [],
    srv: async () => [],
    addresses: async () => [{ address: '127.0.0.1' }],
  };

  it('speaks to a peer that proves who it is, over one connection', async () => {
    const peer = await openPeer(authority.good);
    const agent = await open({ ca: authority.ca });
    const target = `sip:bob@127.0.0.1:${peer.agent.tlsPort}`;
    expect(await endOf(agent, target)).toMatchObject({ statusCode: 486 });
    expect(await endOf(agent, `${target};transport=tls`, { transport: 'auto' })).toMatchObject({
      statusCode: 486,
    });
    const [first] = peer.invites;
    expect(first?.headers.get('via')).toMatch(/^SIP\/2\.0\/TLS 127\.0\.0\.1:/);
    expect(first?.headers.get('contact')).toMatch(/^<sip:alice@.*;transport=tls>$/);
    expect(agent.stats.connections).toBe(1);
    expect(new Set(peer.sources.map(({ protocol, port }) => `${protocol} ${port}`)).size).toBe(1);
  });

  it('reaches sips: over TLS whatever transport was asked for, and says sips: itself', async () => {
    const peer = await openPeer(authority.good);
    const agent = await open({ ca: authority.ca });
    const target = `sips:bob@127.0.0.1:${peer.agent.tlsPort}`;
    expect(await endOf(agent, target, { transport: 'udp' })).toMatchObject({ statusCode: 486 });
    expect(peer.invites[0]?.uri).toBe(target);
    expect(peer.invites[0]?.headers.get('contact')).toMatch(/^<sips:alice@[^;]*>$/);
  });

  const refused: [string, (a: TestAuthority) => CertificateFiles, RegExp][] = [
    ['another name', (a) => a.wrongName, /altnames|does not match/i],
    ['no more valid', (a) => a.expired, /expired/],
    ['signed by itself', (a) => a.selfSigned, /self.signed/i],
  ];
  for (const [name, choose, message] of refused) {
    it(`does not speak to a peer whose certificate is ${name}, unless configured to`, async () => {
      const peer = await openPeer(choose(authority));
      const target = `sip:bob@127.0.0.1:${peer.agent.tlsPort}`;
      const ending = await endOf(await open({ ca: authority.ca }), target);
      expect(ending).toMatchObject({ endedBy: 'network', statusCode: 503 });
      expect(ending.error).toMatchObject({
        code: 'TRANSPORT',
        message: expect.stringMatching(message),
      });
      expect(peer.invites).toEqual([]);
      const careless = await open({ insecure: true });
      expect(await endOf(careless, target)).toMatchObject({ statusCode: 486 });
    });
  }

  it('trusts the authorities of the system where none is given', async () => {
    const peer = await openPeer(authority.good);
    const ending = await endOf(await open({}), `sip:bob@127.0.0.1:${peer.agent.tlsPort}`);
    expect(ending.error?.message).toMatch(/unable to (verify|get)/);
  });

  it('asks for the SIP domain, not for the host that it led to', async () => {
    const agent = await open({ ca: authority.ca }, { dns });
    const domain = await openPeer(authority.domain);
    const at = `pbx.example:${domain.agent.tlsPort}`;
    expect(await endOf(agent, `sip:bob@${at}`)).toMatchObject({ statusCode: 486 });
    expect(await endOf(agent, `sip:bob@other.example:${domain.agent.tlsPort}`)).toMatchObject({
      statusCode: 503,
    });
    // Good for the address, which is not what was asked for.
    const address = await openPeer(authority.good);
    const { error } = await endOf(agent, `sip:bob@pbx.example:${address.agent.tlsPort}`);
    expect(error?.message).toMatch(/altnames|does not match/i);
    // A proxy given by its address may prove that it is the domain's.
    const proxy = { host: '127.0.0.1', port: domain.agent.tlsPort };
    expect(await endOf(agent, 'sip:bob@pbx.example', { outboundProxy: proxy })).toMatchObject({
      statusCode: 486,
    });
  });

  it('shows its certificate to peers that ask, and asks for theirs', async () => {
    const { ca } = authority;
    const peer = await openPeer(authority.good, { ca, requireClientCertificate: true });
    const target = `sip:bob@127.0.0.1:${peer.agent.tlsPort}`;
    const { cert, key } = authority.domain;
    expect(await endOf(await open({ ca, cert, key }), target)).toMatchObject({ statusCode: 486 });
    expect(await endOf(await open({ ca }), target)).toMatchObject({ endedBy: 'network' });
    const stranger = authority.selfSigned;
    const wrong = await open({ ca, cert: stranger.cert, key: stranger.key });
    expect(await endOf(wrong, target)).toMatchObject({ endedBy: 'network' });
    expect(peer.faults).toEqual(['tls-handshake', 'tls-handshake']);
    expect(peer.invites).toHaveLength(1);
  });

  it('speaks no version before 1.2, in either role', async () => {
    const { cert, key, ca } = { ...authority.good, ca: authority.ca };
    const old = {
      maxVersion: 'TLSv1.1',
      minVersion: 'TLSv1',
      ciphers: 'DEFAULT@SECLEVEL=0',
    } as const;
    const server = createTlsServer({ cert, key, ...old });
    server.on('tlsClientError', () => {});
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    afterTest(() => server.close());
    const { port } = server.address() as AddressInfo;
    const ending = await endOf(await open({ ca }), `sip:bob@127.0.0.1:${port}`);
    expect(ending.error?.message).toMatch(/protocol version|unsupported protocol/i);

    const peer = await openPeer(authority.good);
    const client = connectTls({ port: peer.agent.tlsPort, host: '127.0.0.1', ca, ...old });
    const [error] = (await once(client, 'error')) as [Error];
    expect(error.message).toMatch(/protocol version|unsupported protocol/i);
    await expect.poll(() => peer.faults).toEqual(['tls-handshake']);
  });

  it('waits for no handshake longer than its limit, in either role', async () => {
    const silent = createTcpServer(() => {});
    silent.listen(0, '127.0.0.1');
    await once(silent, 'listening');
    afterTest(() => silent.close());
    const { port } = silent.address() as AddressInfo;
    const agent = await open({ handshakeTimeoutMs: 150 }, { timers: {} });
    const ending = await endOf(agent, `sip:bob@127.0.0.1:${port}`);
    expect(ending.error?.message).toMatch(/the handshake did not finish/);
    expect(agent.stats.connections).toBe(0);

    const peer = await openPeer(authority.good, { handshakeTimeoutMs: 150 });
    const stalled = connectTcp(peer.agent.tlsPort, '127.0.0.1');
    stalled.on('error', () => {});
    await once(stalled, 'close');
    expect(peer.faults).toEqual(['tls-handshake']);
  });

  it('closes with handshakes that are not finished', async () => {
    const peer = await openPeer(authority.good);
    const stalled = connectTcp(peer.agent.tlsPort, '127.0.0.1');
    stalled.on('error', () => {});
    await once(stalled, 'connect');
    const gone = once(stalled, 'close');
    await peer.agent.close();
    await gone;
  });
});
