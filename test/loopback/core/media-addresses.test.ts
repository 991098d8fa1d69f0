// Where RTP goes, when a peer's session description names an address that may not be connected to.

import { createSocket } from 'node:dgram';
import type { Socket } from 'node:dgram';
import { once } from 'node:events';
import { createCallGateway } from '@sipcast/core';
import type { CallGateway, GatewayDeps, Logger } from '@sipcast/core';
import { formatMessage, SipHeaders, SipUserAgent } from '@sipcast/sip';
import type { InviteSessionHandler, SipMessage, SipRequest } from '@sipcast/sip';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { dialogRequest, response, say, ScriptedPeer } from '../sip/sip-peer.ts';
import type { Reply } from '../sip/sip-peer.ts';
import { until } from '../../support/wait.ts';

/** What the tests name and nobody may connect to: here loopback stands for it. */
const FORBIDDEN = '127.0.0.2';

let gateway: CallGateway;
let openGateway: (deps: Partial<GatewayDeps>) => Promise<CallGateway>;
let peer: ScriptedPeer;
let sockets: Socket[];
let warnings: string[];
let allowed: string[];

beforeEach(async () => {
  sockets = [];
  warnings = [];
  allowed = ['127.0.0.1'];
  const logger: Logger = {
    debug() {},
    info() {},
    warn: (message) => void warnings.push(message),
    error: (message) => void warnings.push(message),
  };
  peer = await new ScriptedPeer().openUdp();
  openGateway = (deps) =>
    createCallGateway(
      {
        bindAddress: '127.0.0.1',
        transcoding: false,
        logger,
        sipGuard: { strangers: 'answer' },
        incoming: { rules: [{ accept: {} }] },
        mayConnect: (address) => allowed.includes(address),
      },
      deps,
    );
  gateway = await openGateway({});
});

afterEach(async () => {
  await gateway.close();
  await peer.close();
  for (const socket of sockets) socket.close();
});

/** Counts what comes to an address. */
async function listen(address: string): Promise<{ socket: Socket; port: number; packets: number }> {
  const socket = createSocket('udp4');
  const counter = { socket, port: 0, packets: 0 };
  socket.on('message', () => counter.packets++);
  socket.bind(0, address);
  await once(socket, 'listening');
  counter.port = socket.address().port;
  sockets.push(socket);
  return counter;
}

function description(address: string, port: number, version = 1, rtcp = ''): string {
  return `v=0\r\no=- 1 ${version} IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 ${address}\r\nt=0 0\r\nm=audio ${port} RTP/AVP 8\r\n${rtcp}m=video 0 RTP/AVP 112\r\n`;
}

/** Answers the call with this description, and everything else with 200. */
async function call(sdp: string) {
  peer.script = (message: SipMessage, reply: Reply) => {
    if (message.kind !== 'request' || message.method === 'ACK') return;
    const headers = [['contact', `<sip:bob@127.0.0.1:${peer.port}>`] as const];
    const body = message.method === 'INVITE' ? { body: sdp } : {};
    say(reply, response(message, 200, { tag: 'bob', headers, ...body }));
  };
  return gateway.startup({ callee: `sip:bob@127.0.0.1:${peer.port}` });
}

it('a forbidden address in the answer ends the call, which says why, and gets nothing', async () => {
  const trap = await listen(FORBIDDEN);
  const own = await listen('127.0.0.1');
  const rtcp = `a=rtcp:${trap.port} IN IP4 ${FORBIDDEN}\r\n`;
  for (const sdp of [
    description(FORBIDDEN, trap.port),
    description('127.0.0.1', own.port, 1, rtcp),
  ]) {
    const failed = await call(sdp);
    await expect(failed.established()).rejects.toMatchObject({ code: 'CALL_FAILED' });
    const problem = `RTP would go to ${FORBIDDEN}, an address that may not be connected to`;
    expect(failed.view()).toMatchObject({
      status: 'FAILED',
      endedBy: 'gateway',
      info: `Failed by error: ${problem}`,
    });
    await peer.request('BYE');
    await failed.closed();
    expect(warnings.splice(0).join()).toContain(`unusable answer: ${problem}`);
  }
  expect([trap.packets, own.packets]).toEqual([0, 0]);
});

it('the same address, allowed, gets RTP: the trap is seen to work', async () => {
  allowed.push(FORBIDDEN);
  const trap = await listen(FORBIDDEN);
  const placed = await call(description(FORBIDDEN, trap.port));
  await placed.established();
  await expect.poll(() => trap.packets).toBeGreaterThan(10);
});

/** Calls the gateway with this description; resolves with its final response. */
async function callUs(sdp: string): Promise<SipMessage> {
  const headers = new SipHeaders()
    .append('via', `SIP/2.0/UDP 127.0.0.1:${peer.port};branch=z9hG4bK-incoming`)
    .append('from', '<sip:bob@127.0.0.1>;tag=bob')
    .append('to', '<sip:us@127.0.0.1>')
    .append('call-id', 'incoming')
    .append('cseq', '1 INVITE')
    .append('contact', `<sip:bob@127.0.0.1:${peer.port}>`)
    .append('content-type', 'application/sdp');
  const body = Buffer.from(sdp);
  const uri = 'sip:us@127.0.0.1';
  const request: SipRequest = { kind: 'request', method: 'INVITE', uri, headers, body };
  peer.script = () => {};
  peer.send(formatMessage(request), gateway.sipPort);
  const isFinal = (one: SipMessage): boolean => one.kind === 'response' && one.statusCode >= 200;
  await until(() => peer.received.some(isFinal));
  return peer.received.find(isFinal)!;
}

it('a forbidden address in an offer is refused by 488', async () => {
  const trap = await listen(FORBIDDEN);
  expect(await callUs(description(FORBIDDEN, trap.port))).toMatchObject({ statusCode: 488 });
  expect(gateway.calls.history()[0]).toMatchObject({
    sipStatus: 488,
    info: `Failed by error: RTP would go to ${FORBIDDEN}, an address that may not be connected to`,
  });
  expect(trap.packets).toBe(0);
});

it('a forbidden address in a re-INVITE is refused by 488, and the call goes on as it was', async () => {
  const trap = await listen(FORBIDDEN);
  const own = await listen('127.0.0.1');
  const placed = await call(description('127.0.0.1', own.port));
  await placed.established();
  const invite = await peer.request('INVITE');
  const body = description(FORBIDDEN, trap.port, 2);
  const headers = [['contact', `<sip:bob@127.0.0.1:${peer.port}>`] as const];
  const parts = { tag: 'bob', port: peer.port, sequence: 1, body, headers };
  say(peer.lastReply, dialogRequest(invite, 'INVITE', parts));
  expect((await peer.response('1 INVITE')).statusCode).toBe(488);
  say(peer.lastReply, dialogRequest(invite, 'ACK', { ...parts, branch: 'z9hG4bK-INVITE-1-bob' }));
  const before = own.packets;
  await expect.poll(() => own.packets).toBeGreaterThan(before + 10);
  expect(placed.status).toBe('ESTABLISHED');
  expect(warnings.join()).toContain(`unusable offer: RTP would go to ${FORBIDDEN}`);
  expect(trap.packets).toBe(0);
});

/** Acknowledges a call of the peer's, so that the gateway can end it at once, and answers its BYE. */
function hangUpQuietly({ headers: accepted }: SipMessage): void {
  const headers = accepted.clone().set('cseq', '1 ACK');
  headers.setFirst('via', `SIP/2.0/UDP 127.0.0.1:${peer.port};branch=z9hG4bK-ack`);
  const uri = `sip:us@127.0.0.1:${gateway.sipPort}`;
  const body = new Uint8Array(0);
  peer.send(formatMessage({ kind: 'request', method: 'ACK', uri, headers, body }), gateway.sipPort);
  peer.script = (message: SipMessage, reply: Reply) => {
    if (message.kind === 'request') say(reply, response(message, 200, { tag: 'bob' }));
  };
}

/** A user agent that shows no message to anything that traces. */
class UntracedUserAgent extends SipUserAgent {
  constructor(...[options, handler = {}]: ConstructorParameters<typeof SipUserAgent>) {
    const { onTraffic: _, onInvite, ...others } = handler;
    super(options, {
      ...others,
      ...(onInvite && {
        onInvite: (incoming) =>
          onInvite({ ...incoming, take: (session) => incoming.take(untraced(session)) }),
      }),
    });
  }

  override invite(...[options, handler]: Parameters<SipUserAgent['invite']>) {
    return super.invite(options, untraced(handler));
  }
}

function untraced(handler: InviteSessionHandler): InviteSessionHandler {
  const { ...others } = handler;
  delete others.onMessage;
  return others;
}

describe.each([
  ['with traces', {}],
  ['without traces', { createUserAgent: (...args) => new UntracedUserAgent(...args) }],
] satisfies [string, Partial<GatewayDeps>][])(
  'a private address of a peer behind a NAT, %s',
  (_, deps) => {
    beforeEach(async () => {
      await gateway.close();
      gateway = await openGateway(deps);
    });

    it('gets nothing, and media are answered where they come from', async () => {
      const phone = await listen('127.0.0.1');
      const placed = await call(description('192.168.77.7', 4000));
      await placed.established();
      expect(warnings.join()).toContain('no RTP to 192.168.77.7');
      const invite = await peer.request('INVITE');
      const sdp = Buffer.from(invite.body).toString();
      const port = Number(/^m=audio (\d+)/m.exec(sdp)?.[1]);
      let sequence = 0;
      const pace = setInterval(() => {
        const packet = Buffer.alloc(12 + 160);
        packet.writeUInt16BE(0x8008, 0);
        packet.writeUInt16BE(++sequence, 2);
        packet.writeUInt32BE(sequence * 160, 4);
        packet.writeUInt32BE(7, 8);
        phone.socket.send(packet, port, '127.0.0.1');
      }, 20);
      await expect.poll(() => phone.packets, { timeout: 10_000 }).toBeGreaterThan(10);
      clearInterval(pace);
      expect(placed.stats()?.audio?.packets).toBeGreaterThan(0);
    });

    it('is no reason to refuse its call', async () => {
      const accepted = await callUs(description('192.168.77.7', 4000));
      expect(accepted).toMatchObject({ statusCode: 200 });
      hangUpQuietly(accepted);
      expect(warnings.join()).toContain('no RTP to 192.168.77.7');
      const isTraced = gateway.calls.trace('incoming').length > 0;
      expect(isTraced).toBe(!('createUserAgent' in deps));
    });
  },
);
