// What a peer may do to an established call, and what hanging up leaves behind in each of its states.

import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import type { Call, CallGatewayOptions } from '@sipcast/core';
import { parseDatagram } from '@sipcast/sip';
import type { SipMessage, SipResponse } from '@sipcast/sip';
import { describe, expect, it } from 'vitest';
import { afterTest } from '../../support/cleanup.ts';
import { openGateway } from '../../support/call-ends.ts';
import { until } from '../../support/wait.ts';

const AUDIO = 'm=audio 40000 RTP/AVP 8\r\na=rtpmap:8 PCMA/8000\r\n';
const VIDEO =
  'm=video 40002 RTP/AVP 112\r\na=rtpmap:112 H264/90000\r\na=fmtp:112 packetization-mode=1\r\n';
const NO_VIDEO = 'm=video 0 RTP/AVP 112\r\n';
const sdp = (version: number, ...media: string[]): string =>
  `v=0\r\no=- 1 ${version} IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n${media.join('')}`;
const key = (octet: number): string => Buffer.alloc(30, octet).toString('base64');
const secure = (octet: number, tag = 1): string =>
  `${AUDIO.replace('RTP/AVP', 'RTP/SAVP')}a=crypto:${tag} AES_CM_128_HMAC_SHA1_80 inline:${key(octet)}\r\n`;

/** A caller without manners, and the gateway that has taken its call. */
async function openLine(options: CallGatewayOptions = {}) {
  const gateway = await openGateway({
    sipTimers: { t1Ms: 20, t2Ms: 80, t4Ms: 100 },
    incoming: { rules: [{ accept: {} }] },
    ...options,
  });
  const socket = createSocket('udp4');
  const received: SipMessage[] = [];
  socket.on('message', (datagram) => {
    const { message } = parseDatagram(datagram);
    if (message !== undefined) received.push(message);
  });
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  afterTest(() => socket.close());
  let to = '';
  const say = (
    method: string,
    sequence: number,
    body = '',
    extra = '',
    branch = `${sequence}${method}`,
  ): void => {
    const type = body === '' ? '' : 'Content-Type: application/sdp\r\n';
    socket.send(
      `${method} sip:studio@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:${socket.address().port};branch=z9hG4bK${branch}\r\n` +
        `From: <sip:x@y>;tag=x\r\nTo: <sip:studio@z>${to}\r\nCall-ID: hostile\r\nCSeq: ${sequence} ${method}\r\nMax-Forwards: 70\r\n` +
        `Contact: <sip:x@127.0.0.1:${socket.address().port}>\r\n${extra}${type}Content-Length: ${body.length}\r\n\r\n${body}`,
      gateway.sipPort,
      '127.0.0.1',
    );
  };
  const final = async (method: string, sequence: number): Promise<SipResponse> => {
    const isIt = (one: SipMessage): one is SipResponse =>
      one.kind === 'response' &&
      one.statusCode >= 200 &&
      one.headers.get('cseq') === `${sequence} ${method}`;
    await until(() => received.some(isIt), `${sequence} ${method}`);
    return received.find(isIt)!;
  };
  const establish = async (offer: string): Promise<{ call: Call; answer: string }> => {
    say('INVITE', 1, offer);
    const accepted = await final('INVITE', 1);
    expect(accepted.statusCode).toBe(200);
    learn(accepted);
    say('ACK', 1);
    await expect.poll(() => gateway.calls.live[0]?.status).toBe('ESTABLISHED');
    return { call: gateway.calls.live[0]!, answer: Buffer.from(accepted.body).toString() };
  };
  let sequence = 1;
  /** Offers anew; returns the answer, or the status of the refusal. */
  const reoffer = async (offer: string, method = 'INVITE'): Promise<string | number> => {
    say(method, ++sequence, offer);
    const { statusCode, body } = await final(method, sequence);
    if (method === 'INVITE') say('ACK', sequence);
    return statusCode === 200 ? Buffer.from(body).toString() : statusCode;
  };
  /** Answers a request of the gateway's with 200. */
  const answer = (request: SipMessage, body: string): void => {
    const copied = ['via', 'from', 'to', 'call-id', 'cseq'].map(
      (name) => `${name}: ${request.headers.get(name) ?? ''}\r\n`,
    );
    socket.send(
      `SIP/2.0 200 OK\r\n${copied.join('')}Contact: <sip:x@127.0.0.1:${socket.address().port}>\r\n` +
        `Content-Type: application/sdp\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
      gateway.sipPort,
      '127.0.0.1',
    );
  };
  /** Takes the tag of its dialog. */
  const learn = ({ headers }: SipResponse): void => {
    to = `;tag=${/;tag=(.*)$/.exec(headers.get('to') ?? '')?.[1] ?? ''}`;
  };
  /** One of many calls, never acknowledged. */
  const flood = (n: number, offer: string): void => {
    socket.send(
      `INVITE sip:studio@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:${socket.address().port};branch=z9hG4bKflood${n}\r\n` +
        `From: <sip:x@y>;tag=f${n}\r\nTo: <sip:studio@z>\r\nCall-ID: flood${n}\r\nCSeq: 1 INVITE\r\nMax-Forwards: 70\r\n` +
        `Contact: <sip:x@127.0.0.1:${socket.address().port}>\r\nContent-Type: application/sdp\r\nContent-Length: ${offer.length}\r\n\r\n${offer}`,
      gateway.sipPort,
      '127.0.0.1',
    );
  };
  const next = (): number => ++sequence;
  return { gateway, received, say, final, establish, reoffer, answer, learn, flood, next };
}

describe('re-INVITEs', () => {
  it('of 33 and of 64 m-lines are refused, of 32 answered in their places', async () => {
    const line = await openLine();
    const { call } = await line.establish(sdp(1, AUDIO, VIDEO));
    for (const count of [33, 64])
      expect(await line.reoffer(sdp(count, ...Array.from({ length: count }, () => AUDIO)))).toBe(
        488,
      );
    const answer = await line.reoffer(
      sdp(40, AUDIO, VIDEO, ...Array.from({ length: 30 }, () => 'm=application 9 TCP/BFCP *\r\n')),
    );
    expect(String(answer).match(/^m=/gm)).toHaveLength(32);
    expect(String(answer).match(/^m=application 0 /gm)).toHaveLength(30);
    expect(call.status).toBe('ESTABLISHED');
  });

  it('take the video away and bring it back', async () => {
    const line = await openLine();
    const { call } = await line.establish(sdp(1, AUDIO, VIDEO));
    for (let version = 2; version < 12; version += 2) {
      expect(await line.reoffer(sdp(version, AUDIO, NO_VIDEO))).toMatch(/^m=video 0 /m);
      expect(await line.reoffer(sdp(version + 1, AUDIO, VIDEO), 'UPDATE')).toMatch(
        /^m=video [1-9]\d* RTP\/AVP 112/m,
      );
    }
    expect(call.status).toBe('ESTABLISHED');
  });

  it('change payload types, and swap them', async () => {
    const line = await openLine();
    await line.establish(sdp(1, AUDIO));
    const speex = (type: number, event: number): string =>
      `m=audio 40000 RTP/AVP ${type} ${event}\r\na=rtpmap:${type} speex/16000\r\na=rtpmap:${event} telephone-event/16000\r\n`;
    expect(await line.reoffer(sdp(2, speex(97, 98)))).toMatch(/a=rtpmap:97 speex\/16000/);
    const swapped = await line.reoffer(sdp(3, speex(98, 97)));
    expect(swapped).toMatch(/a=rtpmap:98 speex\/16000/);
    expect(swapped).toMatch(/a=rtpmap:97 telephone-event\/16000/);
  });

  it('change the keys of SRTP, and may not go back to the clear where it is required', async () => {
    const line = await openLine({ incoming: { rules: [{ accept: { srtp: 'required' } }] } });
    const { call, answer } = await line.establish(sdp(1, secure(1)));
    const ours = /inline:(\S+)/.exec(answer)?.[1];
    expect(ours).toBeDefined();
    const again = String(await line.reoffer(sdp(2, secure(2, 7))));
    expect(again).toContain(`a=crypto:7 AES_CM_128_HMAC_SHA1_80 inline:${ours ?? ''}`);
    // In the clear, with a suite that is none, with a key that is too short.
    expect(await line.reoffer(sdp(3, AUDIO))).toBe(488);
    expect(await line.reoffer(sdp(4, secure(3).replace('AES_CM_128', 'NULL')))).toBe(488);
    expect(await line.reoffer(sdp(5, secure(3).replace(key(3), 'AAAA')))).toBe(488);
    expect(call.status).toBe('ESTABLISHED');
    expect(call.view().sdp).toContain('RTP/SAVP');
  });

  it('hold from both sides, in every order', async () => {
    const line = await openLine();
    const { call } = await line.establish(sdp(1, AUDIO));
    let version = 1;
    const peer = (direction: string) => line.reoffer(sdp(++version, AUDIO, `a=${direction}\r\n`));
    // Its answer to ours is written by hand.
    const ours = async (holding: boolean, direction: string): Promise<void> => {
      const reinvites = (): SipMessage[] =>
        line.received.filter((one) => one.kind === 'request' && one.method === 'INVITE');
      // On a busy machine one that was answered before comes again.
      const before = new Set(reinvites().map(({ headers }) => headers.get('cseq')));
      const isNew = ({ headers }: SipMessage): boolean => !before.has(headers.get('cseq'));
      const changed = holding ? call.hold() : call.resume();
      await until(() => reinvites().some(isNew));
      const request = reinvites().find(isNew)!;
      line.answer(request, sdp(++version, AUDIO, `a=${direction}\r\n`));
      await changed;
    };
    await peer('sendonly');
    expect(call.status).toBe('HOLD');
    await ours(true, 'inactive');
    expect(await peer('sendrecv')).toMatch(/a=(sendonly|inactive)/);
    expect(call.status).toBe('HOLD');
    await ours(false, 'sendrecv');
    expect(call.status).toBe('ESTABLISHED');
    await ours(true, 'recvonly');
    await peer('inactive');
    await ours(false, 'inactive');
    expect(call.status).toBe('HOLD');
    expect(await peer('sendrecv')).toMatch(/a=sendrecv/);
    expect(call.status).toBe('ESTABLISHED');
  });
});

it('floods of REFER, NOTIFY and INFO in the dialog are answered, and leave nothing', {
  timeout: 30_000,
}, async () => {
  const line = await openLine();
  const { call } = await line.establish(sdp(1, AUDIO));
  for (let n = 0; n < 300; n++) {
    line.say('REFER', line.next(), '', 'Refer-To: <sip:elsewhere@example.com>\r\n');
    line.say('NOTIFY', line.next(), '', 'Event: refer\r\nSubscription-State: active\r\n');
    line.say('INFO', line.next());
  }
  const last = line.next();
  line.say('OPTIONS', last);
  expect((await line.final('OPTIONS', last)).statusCode).toBe(200);
  const statuses = new Set(
    line.received
      .filter((one) => one.kind === 'response')
      .map((one) => `${one.headers.get('cseq')?.split(' ')[1] ?? ''} ${one.statusCode}`),
  );
  expect(statuses).toEqual(
    new Set(['INVITE 100', 'INVITE 200', 'REFER 603', 'NOTIFY 481', 'INFO 200', 'OPTIONS 200']),
  );
  expect(call.status).toBe('ESTABLISHED');
});

it('a flood of INVITEs beside the rules opens no more calls than may be', async () => {
  const line = await openLine({ maxCalls: 5, sipGuard: { perSource: 10_000, total: 10_000 } });
  for (let n = 0; n < 200; n++) line.flood(n, sdp(1, AUDIO));
  await until(
    () =>
      line.received.filter((one) => one.kind === 'response' && one.statusCode === 503).length >=
      195,
  );
  expect(line.gateway.calls.live.length).toBeLessThanOrEqual(5);
  // None of them is acknowledged: 64·T1 later there is nothing left.
  await expect.poll(() => line.gateway.calls.live.length, { timeout: 10_000 }).toBe(0);
});

describe('a call that ends', () => {
  /** What keeps the process busy. */
  const sockets = (): number =>
    process.getActiveResourcesInfo().filter((kind) => kind === 'UDPWrap').length;

  it.each(['before the ACK', 'established', 'on hold', 'while we offer', 'while it transfers'])(
    'by either side, %s, leaves no socket',
    async (state) => {
      for (const side of ['ours', 'theirs'] as const) {
        const line = await openLine();
        const idle = sockets();
        let call: Call;
        if (state === 'before the ACK') {
          line.say('INVITE', 1, sdp(1, AUDIO));
          line.learn(await line.final('INVITE', 1));
          call = line.gateway.calls.live[0]!;
        } else call = (await line.establish(sdp(1, AUDIO))).call;
        if (state === 'on hold') await line.reoffer(sdp(2, AUDIO, 'a=inactive\r\n'));
        const open: Promise<unknown>[] = [];
        if (state === 'while we offer') open.push(call.hold());
        if (state === 'while it transfers') open.push(call.transfer('sip:a@b'));
        const settled = Promise.allSettled(open);
        if (side === 'theirs') line.say('BYE', line.next());
        else void call.terminate();
        await settled;
        await expect.poll(() => line.gateway.calls.live.length, { timeout: 10_000 }).toBe(0);
        await expect.poll(sockets, { timeout: 5000 }).toBeLessThanOrEqual(idle);
      }
    },
    30_000,
  );
});
