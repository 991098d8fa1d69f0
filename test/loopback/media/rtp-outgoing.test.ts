// What an RTP session sends on real sockets: keep-alives, black pictures, NACK; and a peer that moves, holds and returns.

import { setTimeout as sleep } from 'node:timers/promises';
import { PortPool, Ticker } from '@sipcast/media';
import { encodeRtcp, encodeRtp, openRtpSession, unixToNtp } from '@sipcast/media/wire';
import type {
  RtcpPacket,
  RtpCodec,
  RtpPacket,
  RtpRemote,
  RtpSession,
  RtpSessionHandler,
  RtpSessionOptions,
} from '@sipcast/media/wire';
import { RtpPort } from '@sipcast/testkit';
import { describe, expect, it } from 'vitest';
import { afterTest } from '../../support/cleanup.ts';
import { until } from '../../support/wait.ts';

const AUDIO_TYPES = new Map<number, RtpCodec>([[8, { codec: 'pcma', clockRateHz: 8000 }]]);
const VIDEO_TYPES = new Map<number, RtpCodec>([
  [127, { codec: 'h264', clockRateHz: 90_000 }],
  [96, { codec: 'h264', clockRateHz: 90_000 }],
]);
const ports = new PortPool({ min: 32_000, max: 32_199, coolDownMs: 0 });
const ticker = new Ticker();
const PEER_SSRC = 77;
const OUR_SSRC = 0xabcd;

async function openPhone() {
  const port = await RtpPort.open();
  afterTest(() => port.close());
  const rtp: RtpPacket[] = [];
  const rtcp: RtcpPacket[] = [];
  port.listen({ onRtp: (packet) => rtp.push(packet), onRtcp: (packet) => rtcp.push(packet) });
  const remote = (fields: Partial<RtpRemote> = {}): RtpRemote => ({
    address: '127.0.0.1',
    port: port.port,
    rtcpPort: port.rtcpPort,
    payloadTypes: VIDEO_TYPES,
    ...fields,
  });
  const count = (type: RtcpPacket['type']): number =>
    rtcp.filter((packet) => packet.type === type).length;
  return { port, rtp, rtcp, remote, count };
}

async function openSession(
  options: Partial<RtpSessionOptions> = {},
  handler: Partial<RtpSessionHandler> = {},
): Promise<{ session: RtpSession; packets: RtpPacket[] }> {
  const packets: RtpPacket[] = [];
  const session = await openRtpSession(
    {
      kind: 'video',
      ports,
      ticker,
      ssrc: OUR_SSRC,
      cname: 'c',
      bindAddress: '127.0.0.1',
      ...options,
    },
    { onPacket: (packet) => packets.push(packet), ...handler },
  );
  afterTest(() => session.close());
  return { session, packets };
}

const video = (sequenceNumber: number, ssrc = PEER_SSRC, payloadType = 96): Buffer =>
  encodeRtp({
    payloadType,
    marker: true,
    sequenceNumber,
    rtpTimestamp: sequenceNumber * 3600,
    ssrc,
    payload: Uint8Array.of(0x41, 0x80, 1),
  });

describe('keep-alives (RFC 6263)', () => {
  it.each(['video', 'audio'] as const)('%s: until the first packet of the peer', async (kind) => {
    const phone = await openPhone();
    const { session } = await openSession({ kind });
    const payloadTypes = kind === 'video' ? VIDEO_TYPES : AUDIO_TYPES;
    session.start(phone.remote({ payloadTypes }));
    await until(() => phone.rtp.length === 2, 'two keep-alives');
    expect(phone.rtp).toMatchObject(
      [0, 1].map((index) => ({
        payloadType: kind === 'video' ? 126 : 127,
        marker: false,
        ssrc: OUR_SSRC,
        sequenceNumber: (phone.rtp[0]!.sequenceNumber + index) & 0xffff,
        payload: new Uint8Array(0),
      })),
    );
    const stepMs = phone.rtp[1]!.arrivalMs - phone.rtp[0]!.arrivalMs;
    const ticks = (phone.rtp[1]!.rtpTimestamp - phone.rtp[0]!.rtpTimestamp) >>> 0;
    expect(Math.abs(ticks / (kind === 'video' ? 90 : 8) - stepMs)).toBeLessThan(60);
    phone.port.sendRtp(video(1, 7, kind === 'video' ? 96 : 8), session.localPort, '127.0.0.1');
    await until(() => session.stats.packets === 1, 'media');
    const reports = phone.count('sr') + phone.count('rr');
    await sleep(1200);
    expect(phone.rtp).toHaveLength(2);
    expect(reports).toBeGreaterThan(0);
    expect(session.stats.packetsSent).toBe(2);
  });

  it('none if configured so, on hold, or if audio is sent anyway', async () => {
    const phone = await openPhone();
    const quiet = await openSession();
    quiet.session.start(phone.remote({ keepAlive: false }));
    const held = await openSession();
    held.session.start(phone.remote({ address: '0.0.0.0', rtcpAddress: '0.0.0.0' }));
    const sending = await openSession({ kind: 'audio' });
    const silent = await openPhone();
    sending.session.start(
      silent.remote({ payloadTypes: AUDIO_TYPES, send: { codec: 'pcma', payloadType: 8 } }),
    );
    await sleep(200);
    expect(phone.rtp).toEqual([]);
    expect(new Set(silent.rtp.map(({ payloadType }) => payloadType))).toEqual(new Set([8]));
  });
});

describe('black pictures', () => {
  it('go out twice a second, at once when asked, and measure the round trip', async () => {
    const phone = await openPhone();
    let asked = 0;
    const { session } = await openSession({}, { onKeyFrameRequest: () => void asked++ });
    session.start(phone.remote({ sendVideo: { payloadType: 96 } }));
    await until(() => phone.rtp.filter(({ marker }) => marker).length === 2, 'two pictures');
    expect(new Set(phone.rtp.map(({ payloadType }) => payloadType))).toEqual(new Set([96]));
    const before = phone.rtp.length;
    const askedMs = performance.now();
    for (const packet of [
      { type: 'pli', senderSsrc: 1, mediaSsrc: OUR_SSRC },
      { type: 'fir', senderSsrc: 1, entries: [{ ssrc: OUR_SSRC, sequenceNumber: 1 }] },
      { type: 'pli', senderSsrc: 1, mediaSsrc: OUR_SSRC + 1 },
    ] as const) {
      phone.port.sendRtcp(
        encodeRtcp([{ type: 'rr', ssrc: 1, reports: [] }, packet]),
        session.localPort + 1,
        '127.0.0.1',
      );
    }
    await until(() => phone.rtp.length === before + 3, 'a picture');
    expect(performance.now() - askedMs).toBeLessThan(150);
    expect(asked).toBe(2);
    await until(() => phone.count('sr') > 0, 'a sender report');
    const report = phone.rtcp.find((packet) => packet.type === 'sr');
    if (report?.type !== 'sr') throw new Error('none');
    const { ntpSeconds, ntpFraction } = report;
    // The phone answers after 200 ms and says that it took 100: the rest seems to be the way.
    const heldMs = 200;
    await sleep(heldMs);
    const block = {
      ssrc: OUR_SSRC,
      fractionLost: 0,
      cumulativeLost: 0,
      extendedHighestSequenceNumber: 0,
      jitter: 0,
      lastSenderReport: (((ntpSeconds & 0xffff) << 16) | (ntpFraction >>> 16)) >>> 0,
      delaySinceLastSenderReport: Math.round(0.1 * 65_536),
    };
    expect(session.stats.roundTripMs).toBeNull();
    phone.port.sendRtcp(
      encodeRtcp([{ type: 'rr', ssrc: 1, reports: [block] }]),
      session.localPort + 1,
      '127.0.0.1',
    );
    await until(() => session.stats.roundTripMs !== null, 'a round trip');
    expect(session.stats.roundTripMs).toBeGreaterThan(90);
    expect(session.stats.roundTripMs).toBeLessThan(heldMs + 100);
    expect(unixToNtp(Date.now()).ntpSeconds - ntpSeconds).toBeLessThan(5);
  });
});

describe('a re-INVITE', () => {
  it('moves address, port and payload types, and asks the new source for a key frame', async () => {
    const first = await openPhone();
    const second = await openPhone();
    const { session, packets } = await openSession();
    session.start(first.remote());
    first.port.sendRtp(video(1), session.localPort, '127.0.0.1');
    await until(() => packets.length === 1 && first.count('pli') === 1, 'the first phone');
    session.keyFrameArrived();
    await sleep(500);
    session.start(
      second.remote({ payloadTypes: new Map([[98, { codec: 'h264', clockRateHz: 90_000 }]]) }),
    );
    second.port.sendRtp(video(900, 5, 98), session.localPort, '127.0.0.1');
    second.port.sendRtp(video(901, 5, 98), session.localPort, '127.0.0.1');
    second.port.sendRtp(video(902, 5, 96), session.localPort, '127.0.0.1');
    first.port.sendRtp(video(2), session.localPort, '127.0.0.1');
    await until(() => second.count('pli') === 1 || second.count('fir') === 1, 'a request');
    // The last has a type that nobody negotiated: it occupies its sequence number.
    expect(packets.map(({ ssrc, payloadType }) => [ssrc, payloadType])).toEqual([
      [PEER_SSRC, 96],
      [5, 98],
      [5, 98],
      [5, 96],
    ]);
    expect(session.stats).toMatchObject({ foreign: 1, faults: { 'rtp-payload-type': 1 } });
    expect(session.source?.port).toBe(second.port.port);
  });

  it('asks nothing while the peer holds the call, and for a key frame when it is back', async () => {
    const phone = await openPhone();
    const { session, packets } = await openSession();
    session.start(phone.remote());
    phone.port.sendRtp(video(1), session.localPort, '127.0.0.1');
    await until(() => phone.count('pli') === 1, 'the first request');
    session.keyFrameArrived();
    session.start(phone.remote({ sends: false }));
    session.requestKeyFrame();
    await sleep(700);
    expect(phone.count('pli')).toBe(1);
    session.start(phone.remote());
    await until(() => phone.count('pli') === 2, 'a request after the hold');
    session.keyFrameArrived();
    // The old way to hold: nothing goes to it, its own packets are still taken.
    session.start(phone.remote({ address: '0.0.0.0', rtcpAddress: '0.0.0.0' }));
    session.requestKeyFrame();
    phone.port.sendRtp(video(2), session.localPort, '127.0.0.1');
    await sleep(700);
    expect([phone.count('pli'), packets.length]).toEqual([2, 2]);
    session.start(phone.remote());
    await until(() => phone.count('pli') === 3, 'a request after the old hold');
    expect(session.stats.keyFrames.requests).toEqual({ pli: 3, fir: 0, info: 0, reinvite: 0 });
  });

  it('stops and starts our audio, in one sequence', async () => {
    const phone = await openPhone();
    const { session } = await openSession({ kind: 'audio' });
    const send = { codec: 'pcma', payloadType: 8 } as const;
    session.start(phone.remote({ payloadTypes: AUDIO_TYPES, send }));
    await until(() => phone.rtp.length >= 5, 'audio');
    session.start(phone.remote({ payloadTypes: AUDIO_TYPES, keepAlive: false }));
    await sleep(50);
    const held = phone.rtp.length;
    await sleep(150);
    expect(phone.rtp).toHaveLength(held);
    session.start(phone.remote({ payloadTypes: AUDIO_TYPES, send }));
    await until(() => phone.rtp.length >= held + 5, 'audio again');
    expect(phone.port.received.sequenceBreaks).toBe(0);
    const [before, after] = [phone.rtp[held - 1]!, phone.rtp[held]!];
    expect(after.marker).toBe(true);
    expect((after.rtpTimestamp - before.rtpTimestamp) >>> 0).toBeGreaterThanOrEqual(8 * 160);
  });
});

describe('NACK', () => {
  it('goes out only to a peer that negotiated it', async () => {
    const phone = await openPhone();
    for (const nack of [false, true]) {
      const { session } = await openSession();
      session.start(phone.remote({ nack }));
      session.sendNack([{ packetId: 1, bitmask: 0 }]);
      phone.port.sendRtp(video(1), session.localPort, '127.0.0.1');
      await until(() => session.stats.packets === 1, 'media');
      session.sendNack([{ packetId: 2, bitmask: 5 }]);
      await sleep(50);
      expect(session.stats.nacksSent).toBe(nack ? 1 : 0);
    }
    expect(phone.rtcp.filter(({ type }) => type === 'nack')).toEqual([
      {
        type: 'nack',
        senderSsrc: OUR_SSRC,
        mediaSsrc: PEER_SSRC,
        lost: [{ packetId: 2, bitmask: 5 }],
      },
    ]);
    expect(phone.port.received.faults).toEqual([]);
  });
});
