// The phone and the gateway: whole calls with real media, judged by the phone.

import { setTimeout as sleep } from 'node:timers/promises';
import { createCallGateway } from '@sipcast/core';
import type { StartupRequest } from '@sipcast/core';
import { loadClip, RtmpSink, SipPeer, UdpRelay } from '@sipcast/testkit';
import type { CallScript, RtmpPublication, SipPeerOptions } from '@sipcast/testkit';
import { describe, expect, it } from 'vitest';
import { afterTest } from '../../support/cleanup.ts';
import { until } from '../../support/wait.ts';

async function openAll(script: CallScript, options: SipPeerOptions = {}) {
  const peer = await SipPeer.open({ t1Ms: 100, script, ...options });
  const sink = await RtmpSink.open();
  const gateway = await createCallGateway({
    transcoding: false,
    bindAddress: '127.0.0.1',
    rtpPorts: { min: 37_000, max: 37_999 },
  });
  afterTest(
    () => sink.close(),
    () => peer.close(),
    () => gateway.close(),
  );
  const startup = (more: Partial<StartupRequest> = {}) =>
    gateway.startup({ callee: peer.uri, rtmpUrl: sink.url, rtmpStream: 'key', ...more });
  return { peer, sink, gateway, startup };
}

const AVC_NALU = 1;
/** The slices in an FLV video body (AVC, four-octet lengths). */
function slicesOf(body: Uint8Array): string[] {
  const view = Buffer.from(body);
  const slices: string[] = [];
  if ((view[0]! & 0x0f) !== 7 || view[1] !== AVC_NALU) return slices;
  for (let at = 5; at + 4 < view.length; ) {
    const size = view.readUInt32BE(at);
    const nal = view.subarray(at + 4, at + 4 + size);
    if ((nal[0]! & 0x1f) <= 5) slices.push(nal.toString('base64'));
    at += 4 + size;
  }
  return slices;
}

const picturesOf = ({ tags }: RtmpPublication): number =>
  tags.filter(({ type }) => type === 9).length;

/** Whether 600 ms of the clip's sound arrived octet for octet, from any frame of its first 10 s on. */
function hasWholeSound({ tags }: RtmpPublication): boolean {
  const sound = Buffer.concat(
    tags.filter(({ type }) => type === 8).map(({ body }) => Buffer.from(body).subarray(1)),
  );
  const clipSound = Buffer.from(loadClip().audio);
  for (let at = 0; at < 80_000; at += 160)
    if (sound.includes(clipSound.subarray(at, at + 4800))) return true;
  return false;
}

describe('the phone and the gateway', () => {
  it.each(['udp', 'tcp'] as const)(
    'a call over %s: bit-exact pictures and sound in RTMP',
    async (sipTransport) => {
      const { peer, sink, startup } = await openAll({ sender: { answerKeyFrameRequests: false } });
      const call = await startup({ sipTransport });
      const phone = await peer.nextCall();
      await call.established();
      const sender = phone.sender!;
      // A machine that stalls for longer than the jitter buffer waits puts silence between: the stretch may come later.
      await until(() => {
        const [publication] = sink.publications;
        if (publication === undefined || picturesOf(publication) < 30) return false;
        return phone.audio!.received.packets > 60 && hasWholeSound(publication);
      }, 'pictures, and 600 ms of sound without a gap');
      await call.terminate();
      expect(await phone.ended).toMatchObject({ by: 'caller', how: 'bye' });
      const publication = sink.publications[0]!;
      await publication.ended;
      const sent = sender.sent.flatMap(({ unit }) =>
        unit.nalus
          .filter((nal) => (nal[0]! & 0x1f) <= 5)
          .map((nal) => Buffer.from(nal).toString('base64')),
      );
      const received = publication.tags
        .filter(({ type }) => type === 9)
        .flatMap(({ body }) => slicesOf(body));
      expect(received.length).toBeGreaterThan(25);
      expect(received).toEqual(sent.slice(0, received.length));
      // What the gateway sends back: silence without a gap, reports, its names.
      expect(phone.audio!.received).toMatchObject({ sequenceBreaks: 0, faults: [] });
      expect(phone.audio!.received.packets).toBeGreaterThan(60);
      expect([...phone.audio!.received.payloadTypes.keys()]).toEqual([8]);
      expect(phone.video!.received.pictureLosses).toBeGreaterThan(0);
      expect([...phone.video!.received.cnames]).toEqual([`rtp/video/${call.callId}`]);
      expect(peer.violations).toEqual([]);
    },
  );

  it('takes the media of a phone behind NAT, and sends to where it comes from', async () => {
    const { peer, sink, startup } = await openAll({ nat: true });
    const call = await startup();
    const phone = await peer.nextCall();
    await call.established();
    await until(() => sink.publications[0] !== undefined, 'a publication');
    await until(
      () => sink.publications[0]!.tags.filter(({ type }) => type === 9).length > 20,
      'pictures',
    );
    await until(() => phone.audio!.received.packets > 20, 'audio at the outer port');
    const described = /m=video (\d+)/.exec(phone.localSdp ?? '')?.[1];
    expect(Number(described)).not.toBe(phone.video!.port);
    expect(call.stats()?.video?.lost).toBe(0);
    await call.terminate();
    expect(peer.violations).toEqual([]);
  });

  it('asks on for a key frame while the parameter sets are missing, and counts what it drops', async () => {
    const clip = loadClip();
    const bare = clip.video.map((unit) => ({
      ...unit,
      nalus: unit.nalus.filter((nal) => ![7, 8].includes(nal[0]! & 0x1f)),
    }));
    const { startup } = await openAll({
      spropParameterSets: false,
      sender: { clip: { ...clip, video: bare } },
    });
    const call = await startup();
    await call.established();
    await until(() => (call.stats()?.video?.keyFrameRequests ?? 0) >= 3, 'three requests');
    const { video } = call.stats()!;
    expect(video).toMatchObject({ width: null, lost: 0 });
    expect(video!.keyFrames).toBeGreaterThan(0);
    expect(video!.droppedFrames).toBe(video!.frames);
  });

  it('reports early media, and starts the stream with the answer: audio and video together', async () => {
    const { peer, sink, startup } = await openAll({ earlyMedia: true, answerAfterMs: 2500 });
    const call = await startup();
    const statuses: string[] = [];
    call.on('status', (status) => statuses.push(status));
    await call.established();
    expect(statuses).toContain('RING_MEDIA');
    await sleep(1500);
    expect(call.stats()).toMatchObject({ audio: { lost: 0 }, video: { lost: 0 } });
    await call.terminate();
    const publication = sink.publications[0]!;
    await publication.ended;
    const timesOf = (wanted: number): number[] =>
      publication.tags.filter(({ type }) => type === wanted).map(({ timestampMs }) => timestampMs);
    for (const times of [timesOf(8), timesOf(9)]) {
      expect(times[0]).toBeLessThan(60);
      for (const [index, time] of times.entries())
        expect(time - (times[index - 1] ?? time)).toBeLessThan(200);
      // From at most a second before the answer.
      expect(times.at(-1)).toBeLessThan(2800);
    }
    expect(peer.violations).toEqual([]);
  });

  it.each<[string, CallScript, Partial<StartupRequest>]>([
    [
      'SHA-256 by 401, stale once',
      { auth: { username: 'u', password: 'p', algorithm: 'SHA-256', stale: true } },
      {},
    ],
    ['MD5 by 407', { auth: { username: 'u', password: 'p', status: 407 } }, {}],
    ['200 again and again', { retransmit200: 3 }, {}],
    ['early media', { earlyMedia: true, answerAfterMs: 100 }, {}],
    ['PCMU in mode 0', { audioCodec: 'PCMU', packetizationMode: 0 }, {}],
    ['OPTIONS within the call', { sendOptionsAfterMs: 20 }, {}],
    ['a re-INVITE without a change', { reinviteAfterMs: 50 }, {}],
    ['hold', { reinviteAfterMs: 50, reinvite: 'hold' }, {}],
  ])('establishes without a fault: %s', async (_, script, more) => {
    const { peer, startup } = await openAll(script);
    const call = await startup({ sipLogin: 'u', sipPassword: 'p', ...more });
    await call.established();
    const phone = await peer.nextCall();
    await phone.confirmed;
    await sleep(300);
    await call.terminate();
    expect(await phone.ended).toMatchObject({ by: 'caller', how: 'bye' });
    if (script.reinviteAfterMs !== undefined) {
      expect(phone.reinvites.map(({ response }) => response?.statusCode)).toEqual([200]);
    }
    if (script.sendOptionsAfterMs !== undefined) expect(phone.optionsResponses).toHaveLength(1);
    expect(phone.acks).toBeGreaterThanOrEqual(1 + (script.retransmit200 ?? 0));
    expect(peer.violations).toEqual([]);
  });

  it.each<[CallScript, string]>([
    [{ answer: 486 }, 'BUSY'],
    [{ answer: 302, redirectTo: ['<sip:x@127.0.0.1:9;transport=tcp>'] }, 'FAILED'],
    [{ auth: { username: 'u', password: 'other' } }, 'FAILED'],
  ])('ends as the phone says: %j', async (script, status) => {
    const { peer, startup } = await openAll(script);
    const call = await startup({ sipLogin: 'u', sipPassword: 'p' });
    await expect(call.established()).rejects.toThrow();
    await call.terminate();
    expect(call.status).toBe(status);
    await sleep(50);
    expect(
      peer.violations.filter(({ rule }) => rule !== 'INVITE credentials: wrong response'),
    ).toEqual([]);
  });

  it('ends when the phone hangs up, and cancels a phone that only rings', async () => {
    const { peer, startup } = await openAll(
      {},
      {
        script: (_invite, index) => (index === 0 ? { hangUpAfterMs: 100 } : { answer: 'none' }),
      },
    );
    const first = await startup();
    const phone = await peer.nextCall();
    expect(await phone.ended).toMatchObject({ by: 'phone', how: 'bye' });
    await until(() => first.ended, 'the first call ends');
    const second = await startup({ rtmpStream: 'other' });
    const ringing = await peer.nextCall();
    await until(() => ringing.status === 'ringing', 'it rings');
    await sleep(30);
    await second.terminate();
    expect(await ringing.ended).toMatchObject({ by: 'caller', how: 'cancel' });
    await sleep(50);
    expect(peer.violations).toEqual([]);
  });

  it('hears digits by RFC 4733 and by INFO', async () => {
    const { peer, startup } = await openAll({});
    const call = await startup();
    await call.established();
    const phone = await peer.nextCall();
    await sleep(100);
    await call.sendDtmf('1#', 'RFC2833');
    await call.sendDtmf('5', 'INFO_RELAY');
    expect(phone.digits).toMatchObject([
      { digit: '5', via: 'info' },
      { digit: '1', via: 'rfc4733', endPackets: 3, marker: true },
      { digit: '#', via: 'rfc4733', endPackets: 3, marker: true },
    ]);
    expect(phone.digits[1]!.durationMs).toBeGreaterThanOrEqual(40);
    await call.terminate();
    expect(peer.violations).toEqual([]);
  });

  it('registers with digest before the call and un-registers after it', async () => {
    const auth = { username: 'u', password: 'p' };
    const { peer, startup, gateway } = await openAll({}, { register: { auth } });
    const call = await startup({
      sipLogin: 'u',
      sipPassword: 'p',
      sipRegisterRequired: true,
      sipOutboundProxy: `127.0.0.1:${peer.port}`,
    });
    await call.established();
    await call.terminate();
    await gateway.close();
    expect(peer.registrations.map(({ expiresS }) => expiresS > 0)).toEqual([true, false]);
    expect(peer.violations).toEqual([]);
  });

  it('survives a relay between both that loses and reorders SIP', async () => {
    const { peer, gateway, sink } = await openAll({ media: false });
    const relay = await UdpRelay.open({
      targetPort: peer.port,
      toTarget: { loss: 0.3, reorder: 0.2, duplicate: 0.2 },
      toClient: { loss: 0.3, reorder: 0.2, duplicate: 0.2 },
      seed: 11,
    });
    afterTest(() => relay.close());
    const call = await gateway.startup({
      callee: 'sip:phone@127.0.0.1',
      sipOutboundProxy: `127.0.0.1:${relay.port}`,
      rtmpUrl: sink.url,
      rtmpStream: 'key',
    });
    await call.established();
    const phone = await peer.nextCall();
    await phone.confirmed;
    await call.terminate();
    expect(await phone.ended).toMatchObject({ by: 'caller', how: 'bye' });
    expect(relay.stats.toTarget.received).toBeGreaterThan(0);
  });
});
