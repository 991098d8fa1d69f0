// Registrations over several servers and through a NAT, on real sockets.

import type { RegisterOptions, SipDns, SipRequest, SipUserAgentOptions } from '@sipcast/sip';
import { expect, it } from 'vitest';
import { openUserAgent, Recorder, response, say, ScriptedPeer } from './sip-peer.ts';
import { afterTest } from '../../support/cleanup.ts';

/** Confirms every Contact that is not removed; `via`: what it says of where the request came from. */
async function openRegistrar(via?: string): Promise<ScriptedPeer> {
  const peer = await new ScriptedPeer().openUdp();
  afterTest(() => peer.close());
  peer.script = (message, reply) => {
    if (message.kind !== 'request') return;
    const headers: [string, string][] = message.headers
      .getAll('contact')
      .filter((contact) => !contact.endsWith(';expires=0'))
      .map((contact) => ['contact', `${contact};expires=100`]);
    const answer = response(message, message.method === 'REGISTER' ? 200 : 486, {
      tag: 'r',
      headers,
    });
    const own = message.headers.get('via') ?? '';
    if (via !== undefined) answer.headers.setFirst('via', own.replace(/;rport\b/, via));
    say(reply, answer);
  };
  return peer;
}

async function openAgent(options: SipUserAgentOptions = {}) {
  const agent = await openUserAgent(options);
  afterTest(() => agent.close());
  return agent;
}

const accountAt = (registrar: string): RegisterOptions => ({
  registrar,
  from: { uri: 'sip:alice@pbx.example' },
  transport: 'udp',
});

const contactsOf = (request: SipRequest | undefined): string[] =>
  request?.headers.getAll('contact') ?? [];

it('gives the registrar the address that it sees, takes the other one back, and keeps to it', async () => {
  const peer = await openRegistrar(';received=203.0.113.9;rport=4444');
  const agent = await openAgent();
  const own = `<sip:alice@127.0.0.1:${agent.localPort}>`;
  const seen = '<sip:alice@203.0.113.9:4444>';
  const registration = await agent.register(accountAt(`sip:127.0.0.1:${peer.port}`));
  expect(peer.requests('REGISTER').map(contactsOf)).toEqual([[own], [seen, `${own};expires=0`]]);
  expect(registration.contact).toBe(seen);
  expect(registration.expiresSeconds).toBe(100);
  await registration.refresh();
  expect(contactsOf(peer.requests('REGISTER')[2])).toEqual([seen]);
  const recorder = new Recorder();
  agent.invite(
    {
      callId: 'behind-nat',
      target: `sip:bob@127.0.0.1:${peer.port}`,
      from: { uri: 'sip:alice@pbx.example' },
      transport: 'udp',
      offer: 'v=0\r\n',
    },
    recorder,
  );
  await recorder.ended;
  expect(contactsOf(peer.requests('INVITE')[0])).toEqual([seen]);
  await registration.unregister();
});

it('registers again when the observed address changes, and ignores invalid ones', async () => {
  const agent = await openAgent();
  let via = ';received=203.0.113.9;rport=4444';
  const peer = await openRegistrar();
  const confirm = peer.script;
  peer.script = (message, reply) => {
    if (message.kind !== 'request') return;
    const headers = message.headers.clone();
    headers.setFirst('via', (headers.get('via') ?? '').replace(/;rport\b/, via));
    confirm({ ...message, headers }, reply);
  };
  const registration = await agent.register(accountAt(`sip:127.0.0.1:${peer.port}`));
  via = ';received=203.0.113.10;rport=5555';
  await registration.refresh();
  expect(registration.contact).toBe('<sip:alice@203.0.113.10:5555>');
  expect(contactsOf(peer.requests('REGISTER').at(-1))).toEqual([
    '<sip:alice@203.0.113.10:5555>',
    '<sip:alice@203.0.113.9:4444>;expires=0',
  ]);
  for (via of [';received=evil.example;rport=1', ';received=203.0.113.1;rport=0', ';rport=']) {
    const sent = peer.requests('REGISTER').length;
    await registration.refresh();
    expect(peer.requests('REGISTER')).toHaveLength(sent + 1);
    expect(registration.contact).toBe('<sip:alice@203.0.113.10:5555>');
  }
});

it.each([[{ learnsAddress: false }], [{ publicAddress: '192.0.2.7' }]])(
  'keeps its own address with %j',
  async (options) => {
    const peer = await openRegistrar(';received=203.0.113.9;rport=4444');
    const agent = await openAgent(options);
    const registration = await agent.register(accountAt(`sip:127.0.0.1:${peer.port}`));
    expect(peer.requests('REGISTER')).toHaveLength(1);
    expect(registration.contact).not.toContain('203.0.113.9');
  },
);

it('goes to the next registrar when one is silent or overloaded, and stays with the one that answered', async () => {
  const first = await openRegistrar();
  const second = await openRegistrar();
  const confirm = first.script;
  first.script = () => {};
  const dns: SipDns = {
    naptr: async () => [],
    srv: async () =>
      [first, second].map(({ port }, priority) => ({ port, priority, weight: 0, target: 'h.x' })),
    addresses: async () => [{ address: '127.0.0.1' }],
  };
  const agent = await openAgent({ dns });
  const registration = await agent.register(accountAt('sip:pbx.example'));
  expect(registration.hop.port).toBe(second.port);
  const asked = first.requests('REGISTER').length;
  first.script = confirm;
  await registration.refresh();
  expect(first.requests('REGISTER')).toHaveLength(asked);
  // All REGISTERs of one binding count on, whichever server they go to.
  const sequences = second.requests('REGISTER').map(({ headers }) => headers.get('cseq'));
  expect(sequences).toEqual(['2 REGISTER', '3 REGISTER']);
  second.script = (message, reply) => {
    if (message.kind === 'request') say(reply, response(message, 503));
  };
  await registration.refresh();
  expect(registration.hop.port).toBe(first.port);
  await registration.unregister();
  expect(first.requests('REGISTER').at(-1)?.headers.get('expires')).toBe('0');
});
