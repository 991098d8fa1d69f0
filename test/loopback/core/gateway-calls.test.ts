// The whole gateway between a scripted phone and an RTMP sink, over real sockets.

import { setTimeout as sleep } from 'node:timers/promises';
import { createSocket } from 'node:dgram';
import { networkInterfaces } from 'node:os';
import type { CallStatus } from '@sipcast/core';
import { UdpTransport } from '@sipcast/sip';
import type { CallScript } from '@sipcast/testkit';
import { describe, expect, it } from 'vitest';
import { openGateway, openPhone, openSink } from '../../support/call-ends.ts';

/** Short timers: nobody answers within 64 × 10 ms. */
const impatient = { sipTimers: { t1Ms: 10, t2Ms: 40, t4Ms: 50 } };

const hasIpv6 = Object.values(networkInterfaces()).some((addresses) =>
  addresses?.some(({ address }) => address === '::1'),
);

describe.skipIf(!hasIpv6)('a gateway of both families', () => {
  for (const host of ['127.0.0.1', '::1']) {
    it(`takes media from a phone on ${host}`, async () => {
      const peer = await openPhone({ host });
      const gateway = await openGateway({ bindAddress: '::' });
      const call = await gateway.startup({ callee: peer.uri });
      await call.established();
      await expect.poll(() => call.stats()?.video?.packets ?? 0).toBeGreaterThan(10);
      const phone = await peer.nextCall();
      // What we send arrives, too: silence, and RTCP.
      await expect.poll(() => phone.audio?.received.packets ?? 0).toBeGreaterThan(3);
      const family = host === '::1' ? 'IP6 ::1' : 'IP4 127.0.0.1';
      expect(Buffer.from(phone.invite.body).toString()).toContain(`c=IN ${family}`);
      await call.terminate();
      expect(peer.violations).toEqual([]);
    });
  }
});

describe('a call', () => {
  for (const sipTransport of ['udp', 'tcp', 'auto'] as const) {
    it(`goes on air over ${sipTransport}`, async () => {
      const peer = await openPhone({ script: { ring: 10, answerAfterMs: 40 } });
      const sink = await openSink();
      const gateway = await openGateway();
      const statuses: CallStatus[] = [];
      const call = await gateway.startup({
        callee: peer.uri,
        sipTransport,
        rtmpUrl: sink.url,
        rtmpStream: 'air',
        toStream: 'studio',
      });
      call.on('status', (status) => statuses.push(status));
      expect(gateway.calls.find({ callId: call.callId })).toHaveLength(1);
      await call.established();
      const publication = await sink.nextPublication();
      await expect.poll(() => publication.tagCount, { timeout: 5000 }).toBeGreaterThan(60);
      expect(call.rtmpStreamStatus).toBe('RTMP_STREAM_ACTIVE');
      expect(call.stats()).toMatchObject({
        audio: { codec: 'pcma', lost: 0 },
        video: { codec: 'h264', width: 640, height: 360, lost: 0, droppedFrames: 0 },
      });
      const phone = await peer.nextCall();
      await call.terminate();
      await publication.ended;
      expect(publication.endedOrderly).toBe(true);
      expect((await phone.ended).by).toBe('caller');
      expect(statuses.filter((status) => status !== 'TRYING')).toEqual([
        'RING',
        'ESTABLISHED',
        'FINISH',
      ]);
      expect(peer.violations).toEqual([]);
      expect(gateway.calls.find()).toEqual([]);
      expect(gateway.calls.history()[0]).toMatchObject({ callId: call.callId, status: 'FINISH' });
      expect(gateway.faults).toEqual({});
    });
  }

  const ends: [string, CallScript, Partial<Record<string, unknown>>][] = [
    ['busy', { answer: 486 }, { status: 'BUSY', sipStatus: 486 }],
    ['busy everywhere', { answer: 600 }, { status: 'BUSY', sipStatus: 600 }],
    ['not found', { answer: 404 }, { status: 'FAILED', sipStatus: 404, info: '404 Not Found' }],
    [
      'a redirection to nowhere',
      { answer: 302, redirectTo: ['<sip:other@255.255.255.255>', '<tel:+1>'] },
      { status: 'FAILED', sipStatus: 302 },
    ],
    [
      'no common codec',
      { audio: false, video: false },
      {
        status: 'FAILED',
        info: 'No common codecs: audio: the peer refused it (port 0); video: the peer refused it (port 0)',
      },
    ],
    [
      'an unusable answer',
      { sdp: () => 'v=0\r\nnonsense' },
      { status: 'FAILED', info: 'Failed by error: No m-line' },
    ],
    ['the phone hanging up', { hangUpAfterMs: 100 }, { status: 'FINISH', endedBy: 'remote' }],
  ];
  for (const [name, script, expected] of ends) {
    it(`ends as documented by ${name}`, async () => {
      const peer = await openPhone({ script });
      const gateway = await openGateway();
      const call = await gateway.startup({ callee: peer.uri });
      await call.closed();
      expect(call.view()).toMatchObject(expected);
      expect(peer.violations).toEqual([]);
    });
  }

  it('ends by timeout without a response, and when ringing takes too long', async () => {
    const silent = await openPhone({ script: { trying: false, ring: false, answer: 'none' } });
    const ringing = await openPhone({ script: { answer: 'none' } });
    const gateway = await openGateway({ ...impatient, inviteTimeoutMs: 300 });
    const calls = await Promise.all([
      gateway.startup({ callee: silent.uri }),
      gateway.startup({ callee: ringing.uri }),
      // Nothing listens there.
      gateway.startup({ callee: 'sip:nobody@127.0.0.1:9', sipTransport: 'tcp' }),
    ]);
    await Promise.all(calls.map((call) => call.closed()));
    const results = calls.map((call) => [call.view().status, call.view().info?.split(':')[0]]);
    expect(results).toEqual([
      ['FAILED', 'Failed by request timeout'],
      ['FAILED', 'Failed by request timeout'],
      ['FAILED', 'Failed by error'],
    ]);
    expect(ringing.violations).toEqual([]);
  });

  for (const status of [401, 407] as const) {
    it(`answers a ${status} once, and a wrong password ends FAILED`, async () => {
      const auth = { realm: 'pbx', username: 'alice', password: 'secret', status };
      const peer = await openPhone({ script: { auth, media: false } });
      const gateway = await openGateway();
      const account = { callee: peer.uri, sipLogin: 'alice' };
      const good = await gateway.startup({ ...account, sipPassword: 'secret' });
      await good.established();
      await good.terminate();
      const bad = await gateway.startup({ ...account, sipPassword: 'wrong' });
      await bad.closed();
      expect(bad.view().status).toBe('FAILED');
      expect([401, 403, 407]).toContain(bad.view().sipStatus);
      expect(peer.violations.map(({ rule }) => rule)).toEqual([
        'INVITE credentials: wrong response',
      ]);
    });
  }

  it('registers before the call and un-registers after it', async () => {
    const auth = { realm: 'pbx', username: 'alice', password: 'secret', status: 401 as const };
    const peer = await openPhone({ script: { media: false }, register: { auth } });
    const gateway = await openGateway();
    const call = await gateway.startup({
      callee: peer.uri,
      sipLogin: 'alice',
      sipPassword: 'secret',
      sipDomain: `127.0.0.1:${peer.port}`,
      sipRegisterRequired: true,
    });
    await call.established();
    expect(peer.registrations.at(-1)?.expiresS).toBeGreaterThan(0);
    expect(call.view().info).toBe('Registered');
    await call.terminate();
    expect(call.view().info).toBe('Normal call clearing');
    expect(peer.registrations.at(-1)?.expiresS).toBe(0);
    expect(peer.violations).toEqual([]);
  });

  it('shares the existing registration of an account, and reports it', async () => {
    const auth = { realm: 'pbx', username: 'alice', password: 'secret', status: 401 as const };
    const peer = await openPhone({ script: { media: false }, register: { auth } });
    const gateway = await openGateway();
    const states: string[] = [];
    gateway.on('registration', ({ state, account }) => states.push(`${account} ${state}`));
    const account = {
      sipLogin: 'alice',
      sipPassword: 'secret',
      sipDomain: `127.0.0.1:${peer.port}`,
    };
    const registration = gateway.accounts.register(account);
    await registration.registered();
    expect(gateway.accounts.list()).toEqual([
      expect.objectContaining({ state: 'registered', problem: null }),
    ]);
    const call = await gateway.startup({
      callee: peer.uri,
      ...account,
      sipRegisterRequired: true,
    });
    await call.established();
    await call.terminate();
    // One binding, and it outlives the call.
    expect(peer.registrations).toHaveLength(1);
    await gateway.close();
    expect(peer.registrations.at(-1)?.expiresS).toBe(0);
    expect(states).toEqual([
      `sip:alice@${account.sipDomain} registered`,
      `sip:alice@${account.sipDomain} closed`,
    ]);
    expect(peer.violations).toEqual([]);
  });

  it('sends valid silence in sendrecv, nothing but RTCP in recvonly', async () => {
    const peer = await openPhone();
    const gateway = await openGateway();
    const talking = await gateway.startup({ callee: peer.uri });
    await talking.established();
    const first = await peer.nextCall();
    const listening = await gateway.startup({ callee: peer.uri, hasAudio: false, hasVideo: false });
    await listening.established();
    const second = await peer.nextCall();
    await sleep(1300);
    const reception = first.audio?.received;
    expect(reception?.packets).toBeGreaterThan(50);
    expect([...(reception?.payloadTypes.keys() ?? [])]).toEqual([8]);
    expect(new Set(reception?.lastPacket?.payload)).toEqual(new Set([0xd5]));
    expect(second.audio?.received.packets).toBe(0);
    expect(second.video?.received.packets).toBe(0);
    for (const phone of [first, second]) {
      expect(phone.audio?.received.compounds).toBeGreaterThan(0);
      expect(phone.video?.received.receiverReports).toBeGreaterThan(0);
      expect([...(phone.video?.received.cnames ?? [])]).toEqual([`rtp/video/${phone.callId}`]);
    }
  });

  it('keeps the session through a re-INVITE of the phone, hold included', async () => {
    const peer = await openPhone({ script: { reinviteAfterMs: 200, reinvite: 'hold' } });
    const sink = await openSink();
    const gateway = await openGateway();
    const call = await gateway.startup({ callee: peer.uri, rtmpUrl: sink.url, rtmpStream: 'x' });
    await call.established();
    const phone = await peer.nextCall();
    await expect.poll(() => phone.reinvites[0]?.response?.statusCode, { timeout: 5000 }).toBe(200);
    expect(phone.reinvites[0]?.answer).toContain('a=recvonly');
    expect(call.status).toBe('HOLD');
    expect(call.rtmpStreamStatus).toBe('RTMP_STREAM_ACTIVE');
    await call.terminate();
    expect(peer.violations).toEqual([]);
  });

  it('sends DTMF by all three ways, asked for before the answer', async () => {
    const peer = await openPhone({ script: { answerAfterMs: 150, media: false } });
    const gateway = await openGateway();
    const call = await gateway.startup({ callee: peer.uri });
    const sent = [
      call.sendDtmf('12#'),
      call.sendDtmf('5', 'INFO'),
      call.sendDtmf('*', 'INFO_RELAY'),
    ];
    await Promise.all(sent);
    const phone = await peer.nextCall();
    const events = () => phone.digits.filter((one) => one.via === 'rfc4733');
    await expect
      .poll(() =>
        events()
          .map((one) => one.digit)
          .join(''),
      )
      .toBe('12#');
    expect(events().every((one) => one.endPackets === 3 && one.marker)).toBe(true);
    expect(events().map((one) => one.durationMs)).toEqual([160, 160, 160]);
    expect(
      phone.infos.map((info) => [
        info.headers.get('content-type'),
        Buffer.from(info.body).toString(),
      ]),
    ).toEqual([
      ['application/dtmf', '5'],
      ['application/dtmf-relay', 'Signal=*\r\nDuration=160\r\n'],
    ]);
    expect(peer.violations).toEqual([]);
  });

  it('pushes a named stream to more servers, mutes one, ends one; the others never notice', async () => {
    const peer = await openPhone();
    const sinks = [await openSink(), await openSink(), await openSink()] as const;
    const gateway = await openGateway();
    const call = await gateway.startup({
      callee: peer.uri,
      toStream: 'studio',
      rtmpUrl: sinks[0].url,
      rtmpStream: 'main',
    });
    // Before the answer: the name is only reserved.
    const early = gateway.pushes.start({
      streamName: 'studio',
      rtmpUrl: sinks[1].url,
      muted: true,
    });
    expect(early).toMatchObject({ status: 'RTMP_STREAM_WAIT', muted: true });
    // The server of the call's own push takes the stream under its own name as well, once.
    const beside = { streamName: 'studio', rtmpUrl: sinks[0].url };
    const second0 = gateway.pushes.start(beside);
    expect(() => gateway.pushes.start(beside)).toThrow(
      expect.objectContaining({ code: 'PUSH_EXISTS' }),
    );
    await gateway.pushes.get(second0.mediaSessionId).close();
    await call.established();
    await sleep(300);
    const full = `${sinks[2].url}/other-name?key=1`;
    const late = gateway.pushes.start({
      streamName: 'studio',
      rtmpUrl: full,
      rtmpTransponderFullUrl: true,
    });
    expect(gateway.pushes.find({ streamName: 'rtmp_studio' })).toHaveLength(2);
    expect(gateway.pushes.find()).toHaveLength(3);
    const [main, second, third] = await Promise.all(sinks.map((sink) => sink.nextPublication()));
    expect(third?.streamName).toBe('other-name?key=1');
    for (const publication of [main, second, third]) {
      await expect.poll(() => publication?.tagCount, { timeout: 5000 }).toBeGreaterThan(40);
      const video = publication?.tags.filter((tag) => tag.type === 9) ?? [];
      expect([video[0]?.body[1], (video[1]?.body[0] ?? 0) >> 4]).toEqual([0, 1]);
    }
    const sounds = second?.tags.filter((tag) => tag.type === 8) ?? [];
    expect(sounds.every((tag) => tag.body.subarray(1).every((octet) => octet === 0xd5))).toBe(true);
    await gateway.pushes.get(late.mediaSessionId).close();
    await third?.ended;
    expect(gateway.pushes.find()).toHaveLength(2);
    const before = main?.tagCount ?? 0;
    await expect.poll(() => main?.tagCount, { timeout: 5000 }).toBeGreaterThan(before + 20);
    expect(call.status).toBe('ESTABLISHED');
  });

  it('refuses what is taken', async () => {
    const peer = await openPhone({ script: { media: false } });
    const gateway = await openGateway({ maxCalls: 2, rtpPorts: { min: 24_000, max: 24_007 } });
    const base = {
      callee: peer.uri,
      callId: 'one',
      toStream: 's',
      rtmpUrl: 'rtmp://127.0.0.1:1/a',
      rtmpStream: 'r',
    };
    await gateway.startup(base);
    const refused = async (change: object): Promise<string> =>
      gateway.startup({ callee: peer.uri, ...change }).then(
        () => 'accepted',
        (error: { code: string }) => error.code,
      );
    expect(await refused({ callId: 'one' })).toBe('CALL_EXISTS');
    expect(await refused({ toStream: 's' })).toBe('STREAM_EXISTS');
    expect(await refused({ rtmpUrl: base.rtmpUrl, rtmpStream: 'r' })).toBe('RTMP_STREAM_EXISTS');
    expect(await refused({ rtmpUrl: base.rtmpUrl, rtmpStream: 'other' })).toBe('accepted');
    expect(await refused({})).toBe('TOO_MANY_CALLS');
    const push = { streamName: 's', rtmpUrl: 'rtmp://127.0.0.1:1/b' };
    gateway.pushes.start(push);
    expect(() => gateway.pushes.start(push)).toThrow(
      expect.objectContaining({ code: 'PUSH_EXISTS' }),
    );
    expect(() => gateway.pushes.start({ ...push, streamName: 'none' })).toThrow(
      expect.objectContaining({ code: 'STREAM_NOT_FOUND' }),
    );
    const small = await openGateway({ rtpPorts: { min: 24_010, max: 24_013 } });
    await small.startup({ callee: peer.uri });
    await expect(small.startup({ callee: peer.uri })).rejects.toMatchObject({ code: 'NO_PORTS' });
  });

  it('calls that start at the same time cannot take the same name', async () => {
    const peer = await openPhone({ script: { media: false } });
    const gateway = await openGateway();
    const results = await Promise.allSettled(
      Array.from({ length: 5 }, () => gateway.startup({ callee: peer.uri, callId: 'same' })),
    );
    expect(results.filter((result) => result.status === 'fulfilled')).toHaveLength(1);
  });

  it('survives the loss of its RTMP server, and reports its state', async () => {
    const peer = await openPhone();
    const sink = await openSink();
    const gateway = await openGateway();
    const call = await gateway.startup({ callee: peer.uri, rtmpUrl: sink.url, rtmpStream: 'x' });
    await call.established();
    const first = await sink.nextPublication();
    await expect.poll(() => first.tagCount).toBeGreaterThan(10);
    await sink.die();
    await expect.poll(() => call.rtmpStreamStatus).toBe('RTMP_CONNECTION_LOST');
    await sleep(700);
    expect(call.status).toBe('ESTABLISHED');
    await sink.comeBack();
    const second = await sink.nextPublication();
    await expect.poll(() => second.tagCount, { timeout: 3000 }).toBeGreaterThan(10);
    expect(call.rtmpStreamStatus).toBe('RTMP_STREAM_ACTIVE');
    const video = second.tags.filter((tag) => tag.type === 9);
    expect([video[0]?.body[1], (video[1]?.body[0] ?? 0) >> 4]).toEqual([0, 1]);
    expect(second.tags[0]?.type).toBe(18);
    expect(call.view().pushes[0]).toMatchObject({ reconnects: 1, width: 640 });
  });

  it('is reported before its pushes, and may be ended by a listener', async () => {
    const peer = await openPhone();
    const sink = await openSink();
    const gateway = await openGateway();
    const told: string[] = [];
    gateway.on('call', ({ callId }) => told.push(`call ${callId}`));
    gateway.on('callChange', ({ callId }, { status }) => told.push(`${status} ${callId}`));
    gateway.on('pushChange', ({ status }, callId) => told.push(`${status} ${callId}`));
    const target = { rtmpUrl: sink.url, rtmpStream: 'told' };
    const first = await gateway.startup({ callId: 'first', callee: peer.uri, ...target });
    await first.established();
    expect(told.slice(0, 2)).toEqual(['call first', 'RTMP_STREAM_WAIT first']);
    await first.terminate();
    told.length = 0;
    gateway.once('call', (call) => void call.terminate());
    const second = await gateway.startup({ callId: 'second', callee: peer.uri, ...target });
    await second.closed();
    expect(second.view()).toMatchObject({ status: 'FINISH', rtmpStreamStatus: null });
    expect(told).toEqual(['call second', 'FINISH second']);
    expect(peer.calls).toHaveLength(1);
    expect(gateway.pushes.find()).toEqual([]);
    // Its name is free again.
    const third = await gateway.startup({ callee: peer.uri, ...target });
    await third.established();
  });

  it('goes on without an RTMP server that never comes up', async () => {
    const peer = await openPhone();
    const gateway = await openGateway({ rtmp: { firstConnectTimeoutMs: 500 } });
    const call = await gateway.startup({
      callee: peer.uri,
      rtmpUrl: 'rtmp://127.0.0.1:1/live',
      rtmpStream: 'x',
    });
    await call.established();
    await expect
      .poll(() => call.rtmpStreamStatus, { timeout: 3000 })
      .toBe('RTMP_CONNECTION_FAILED');
    expect(call.status).toBe('ESTABLISHED');
  });

  it('closes in bounded time, whatever the peers do', async () => {
    const silent = await openPhone({ script: { trying: false, ring: false, answer: 'none' } });
    const deaf = await openPhone();
    const gateway = await openGateway();
    const calls = [
      await gateway.startup({ callee: silent.uri }),
      await gateway.startup({
        callee: deaf.uri,
        rtmpUrl: 'rtmp://127.0.0.1:1/live',
        rtmpStream: 'x',
      }),
    ];
    await calls[1]?.established();
    deaf.mute();
    const startedMs = performance.now();
    await gateway.close();
    expect(performance.now() - startedMs).toBeLessThan(8000);
    expect(calls.map((call) => call.ended)).toEqual([true, true]);
    await expect(gateway.startup({ callee: silent.uri })).rejects.toMatchObject({
      code: 'GATEWAY_CLOSED',
    });
  });

  it('speaks through a transport of the embedder', async () => {
    const peer = await openPhone({ script: { media: false } });
    const sent: string[] = [];
    const gateway = await openGateway({
      sipTransports: [
        (options) => {
          const udp = new UdpTransport(options);
          const send = udp.send.bind(udp);
          udp.send = (octets, to, done) => {
            sent.push(Buffer.from(octets).toString().split(' ', 1)[0] ?? '');
            send(octets, to, done);
          };
          return udp;
        },
      ],
    });
    const call = await gateway.startup({ callee: peer.uri });
    await call.established();
    await call.terminate();
    expect(sent).toEqual(['INVITE', 'ACK', 'BYE']);
    await expect(
      gateway.startup({ callee: peer.uri, sipTransport: 'tcp' }).then((tcp) => tcp.established()),
    ).rejects.toMatchObject({ code: 'CALL_FAILED' });
  });

  it('counts garbage on its sockets and goes on', async () => {
    const peer = await openPhone();
    const gateway = await openGateway({ rtpPorts: { min: 24_100, max: 24_111 } });
    const call = await gateway.startup({ callee: peer.uri });
    await call.established();
    const socket = createSocket('udp4');
    for (const port of [gateway.sipPort, 24_100, 24_101, 24_102, 24_103]) {
      for (let i = 0; i < 20; i++) socket.send(Buffer.alloc(i * 7, 0x80 + i), port, '127.0.0.1');
    }
    await expect.poll(() => Object.keys(gateway.faults).length).toBeGreaterThan(0);
    await sleep(300);
    socket.close();
    expect(call.status).toBe('ESTABLISHED');
    expect(call.stats()?.video).toMatchObject({ lost: 0, droppedFrames: 0 });
    await call.terminate();
    expect(peer.violations).toEqual([]);
  });
});
