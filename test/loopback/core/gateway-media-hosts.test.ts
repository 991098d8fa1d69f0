// Peers whose session descriptions name hosts instead of addresses (RFC 4566 §5.7).

import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createCallGateway } from '@sipcast/core';
import type { Call, CallGateway } from '@sipcast/core';
import { formatMessage, SipHeaders } from '@sipcast/sip';
import type { SipDns, SipMessage, SipRequest } from '@sipcast/sip';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { dialogRequest, response, say, ScriptedPeer } from '../sip/sip-peer.ts';
import type { Reply } from '../sip/sip-peer.ts';
import { until } from '../../support/wait.ts';

const HOSTS: Readonly<Record<string, string>> = {
  'media.example.com': '127.0.0.1',
  'moved.example.com': '127.0.0.1',
  'slow.example.com': '127.0.0.1',
};
/** `slow.example.com` is found when this is called. */
let findSlow: () => void = () => {};
const dns: SipDns = {
  naptr: async () => [],
  srv: async () => [],
  addresses: async (host) => {
    if (host === 'slow.example.com')
      await new Promise<void>((resolve) => {
        findSlow = resolve;
      });
    const address = HOSTS[host];
    return address === undefined ? [] : [{ address }];
  },
};

let gateway: CallGateway;
let peer: ScriptedPeer;
const media = { socket: createSocket('udp4'), packets: 0 };

beforeEach(async () => {
  media.socket = createSocket('udp4').on('message', () => media.packets++);
  media.packets = 0;
  media.socket.bind(0, '127.0.0.1');
  await once(media.socket, 'listening');
  peer = await new ScriptedPeer().openUdp();
  gateway = await createCallGateway({
    bindAddress: '127.0.0.1',
    transcoding: false,
    sipDns: dns,
    sipGuard: { strangers: 'answer' },
    incoming: { rules: [{ accept: {} }] },
  });
});

afterEach(async () => {
  await gateway.close();
  await peer.close();
  media.socket.close();
});

function description(host: string, version = 1): string {
  const { port } = media.socket.address();
  return `v=0\r\no=- 1 ${version} IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 ${host}\r\nt=0 0\r\nm=audio ${port} RTP/AVP 8\r\nm=video 0 RTP/AVP 112\r\n`;
}

/** Answers the call with the first description, its changes with the others, and everything else with 200. */
function answering(...descriptions: readonly string[]): void {
  let answers = 0;
  peer.script = (message: SipMessage, reply: Reply) => {
    if (message.kind !== 'request' || message.method === 'ACK') return;
    const headers = [['contact', `<sip:bob@127.0.0.1:${peer.port}>`] as const];
    const sdp = descriptions[Math.min(answers, descriptions.length - 1)] ?? '';
    if (message.method === 'INVITE') answers++;
    const body = message.method === 'INVITE' ? { body: sdp } : {};
    say(reply, response(message, 200, { tag: 'bob', headers, ...body }));
  };
}

/** What the peer is told when it changes the session to this description, or asks for an offer. */
async function change(
  invite: SipRequest,
  sequence: number,
  method: 'INVITE' | 'UPDATE',
  body: string | undefined,
): Promise<number> {
  const headers = [['contact', `<sip:bob@127.0.0.1:${peer.port}>`] as const];
  const offer = body === undefined ? {} : { body };
  const parts = { tag: 'bob', port: peer.port, sequence, headers, ...offer };
  say(peer.lastReply, dialogRequest(invite, method, parts));
  const answer = await peer.response(`${sequence} ${method}`);
  if (method === 'UPDATE') return answer.statusCode;
  const branch = `z9hG4bK-${answer.statusCode < 300 ? 'ack' : 'INVITE'}-${sequence}-bob`;
  say(peer.lastReply, dialogRequest(invite, 'ACK', { ...parts, branch }));
  return answer.statusCode;
}

it('are sent media to the address that the name leads to', async () => {
  answering(description('media.example.com'));
  const call = await gateway.startup({ callee: `sip:bob@127.0.0.1:${peer.port}` });
  await call.established();
  await expect.poll(() => media.packets).toBeGreaterThan(10);
  expect(call.view().sdp).toContain('c=IN IP4 media.example.com');
});

it('end the call, which says why, when the name leads nowhere', async () => {
  answering(description('nowhere.example.com'));
  const call = await gateway.startup({ callee: `sip:bob@127.0.0.1:${peer.port}` });
  await expect(call.established()).rejects.toMatchObject({ code: 'CALL_FAILED' });
  expect(call.view().info).toBe('Failed by error: nowhere.example.com does not resolve');
  await peer.request('BYE');
  expect(media.packets).toBe(0);
});

it('are told to come again while a new name is looked up, and refused when it leads nowhere', async () => {
  answering(description('127.0.0.1'));
  const call = await gateway.startup({ callee: `sip:bob@127.0.0.1:${peer.port}` });
  await call.established();
  const invite = await peer.request('INVITE');
  let sequence = 0;
  const reinvite = async (host: string): Promise<number> => {
    const statusCode = await change(invite, ++sequence, 'INVITE', description(host, sequence + 1));
    const answer = await peer.response(`${sequence} INVITE`);
    if (statusCode === 500) expect(answer.headers.get('retry-after')).toBe('2');
    return statusCode;
  };
  expect(await reinvite('media.example.com')).toBe(500);
  await expect.poll(() => reinvite('media.example.com')).toBe(200);
  expect(await reinvite('nowhere.example.com')).toBe(500);
  await expect.poll(() => reinvite('nowhere.example.com')).toBe(488);
  expect(call.status).toBe('ESTABLISHED');
});

/** What the media session does when a key frame is needed and all other ways were in vain: not for applications. */
function wantKeyFrame(call: Call): void {
  (call as Call & { onKeyFrameByReinvite(): void }).onKeyFrameByReinvite();
}

it('may be new in the answer to a hold', async () => {
  answering(description('127.0.0.1'), description('moved.example.com', 2));
  const call = await gateway.startup({ callee: `sip:bob@127.0.0.1:${peer.port}` });
  await call.established();
  await call.hold();
  expect(call.status).toBe('HOLD');
  expect(call.view().sdp).toContain('c=IN IP4 moved.example.com');
  await call.resume();
  expect(call.status).toBe('ESTABLISHED');
});

it.each([
  ['moved.example.com', 'ESTABLISHED', null],
  ['nowhere.example.com', 'FAILED', 'Failed by error: nowhere.example.com does not resolve'],
])('may be new in the answer to a refresh: %s', async (host, status, info) => {
  answering(description('127.0.0.1'), description(host, 2));
  const call = await gateway.startup({ callee: `sip:bob@127.0.0.1:${peer.port}` });
  await call.established();
  wantKeyFrame(call);
  await peer.request('ACK', 2);
  if (info === null) await expect.poll(() => call.view().sdp).toContain(host);
  else await call.closed();
  expect(call.view()).toMatchObject({ status, info });
  if (info !== null) return;
  media.packets = 0;
  await expect.poll(() => media.packets).toBeGreaterThan(10);
});

it('are waited for: what the peer offers meanwhile is for later', async () => {
  answering(description('slow.example.com'), description('127.0.0.1', 2));
  const call = await gateway.startup({ callee: `sip:bob@127.0.0.1:${peer.port}` });
  await peer.request('ACK');
  const invite = await peer.request('INVITE');
  expect(await change(invite, 1, 'INVITE', description('127.0.0.1', 2))).toBe(491);
  expect(await change(invite, 2, 'INVITE', undefined)).toBe(491);
  expect(await change(invite, 3, 'UPDATE', description('127.0.0.1', 2))).toBe(491);
  expect(call.status).not.toBe('ESTABLISHED');
  findSlow();
  await call.established();
  expect(await change(invite, 4, 'INVITE', description('127.0.0.1', 2))).toBe(200);
  expect(call.status).toBe('ESTABLISHED');
});

it('are waited for in the order in which they came', async () => {
  const held = description('127.0.0.1', 3).replace('t=0 0', 't=0 0\r\na=recvonly');
  answering(description('127.0.0.1'), description('slow.example.com', 2), held);
  const call = await gateway.startup({ callee: `sip:bob@127.0.0.1:${peer.port}` });
  await call.established();
  wantKeyFrame(call);
  await peer.request('ACK', 2);
  const holding = call.hold();
  const invite = await peer.request('INVITE');
  expect(await change(invite, 1, 'INVITE', description('127.0.0.1', 2))).toBe(491);
  expect(peer.requests('INVITE')).toHaveLength(2);
  findSlow();
  await holding;
  expect(peer.requests('INVITE')).toHaveLength(3);
  expect(call.status).toBe('HOLD');
  expect(call.view().sdp).toBe(held);
});

it('that call are answered, or refused', async () => {
  peer.script = (message, reply) => {
    if (message.kind === 'request') say(reply, response(message, 200));
  };
  for (const [host, statusCode] of [
    ['media.example.com', 200],
    ['nowhere.example.com', 488],
  ] as const) {
    const headers = new SipHeaders()
      .append('via', `SIP/2.0/UDP 127.0.0.1:${peer.port};branch=z9hG4bK-${host}`)
      .append('from', `<sip:bob@127.0.0.1>;tag=${host}`)
      .append('to', '<sip:us@127.0.0.1>')
      .append('call-id', host)
      .append('cseq', `${statusCode} INVITE`)
      .append('contact', `<sip:bob@127.0.0.1:${peer.port}>`)
      .append('content-type', 'application/sdp');
    const body = Buffer.from(description(host));
    const invite: SipRequest = {
      kind: 'request',
      method: 'INVITE',
      uri: 'sip:us@127.0.0.1',
      headers,
      body,
    };
    peer.send(formatMessage(invite), gateway.sipPort);
    const isFinal = (one: SipMessage): boolean =>
      one.kind === 'response' && one.statusCode >= 200 && one.headers.get('call-id') === host;
    await until(() => peer.received.some(isFinal));
    expect(peer.received.find(isFinal)).toMatchObject({ statusCode });
  }
  expect(gateway.calls.history().map(({ info }) => info)).toEqual([
    'Failed by error: nowhere.example.com does not resolve',
  ]);
});
