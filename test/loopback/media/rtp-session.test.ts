// RtpSession on real sockets of 127.0.0.1: ports, sources, early packets, RTCP, silence, digits, closing.

import { createSocket } from 'node:dgram';
import type { Socket } from 'node:dgram';
import { setTimeout } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { PortPool, Ticker } from '@sipcast/media';
import {
  decodeRtcp,
  decodeRtp,
  DtmfDecoder,
  encodeRtcp,
  encodeRtp,
  openRtpSession,
  unixToNtp,
} from '@sipcast/media/wire';
import type { MediaError } from '@sipcast/media';
import type {
  RtcpPacket,
  RtpCodec,
  RtpPacket,
  RtpRemote,
  RtpSession,
  RtpSessionHandler,
  RtpSessionOptions,
} from '@sipcast/media/wire';
import { mutations } from '../../../packages/media/src/test-random.ts';
import { afterTest } from '../../support/cleanup.ts';
import { until } from '../../support/wait.ts';

const AUDIO_TYPES = new Map<number, RtpCodec>([
  [8, { codec: 'pcma', clockRateHz: 8000 }],
  [101, { codec: 'telephone-event', clockRateHz: 8000 }],
]);
const VIDEO_TYPES = new Map<number, RtpCodec>([[112, { codec: 'h264', clockRateHz: 90_000 }]]);

async function openSocket(): Promise<{ socket: Socket; port: number; received: Buffer[] }> {
  const socket = createSocket('udp4');
  const received: Buffer[] = [];
  socket.on('message', (datagram) => received.push(datagram));
  await new Promise<void>((resolve) => {
    socket.bind(0, '127.0.0.1', () => resolve());
  });
  afterTest(() => new Promise<void>((resolve) => socket.close(() => resolve())));
  return { socket, port: socket.address().port, received };
}

/** A phone: two sockets, and the packets it got. */
async function openPhone() {
  const rtp = await openSocket();
  const rtcp = await openSocket();
  return {
    rtp,
    rtcp,
    remote: (fields: Partial<RtpRemote> = {}): RtpRemote => ({
      address: '127.0.0.1',
      port: rtp.port,
      rtcpPort: rtcp.port,
      payloadTypes: AUDIO_TYPES,
      ...fields,
    }),
    rtpPackets: (): RtpPacket[] =>
      rtp.received
        .map((datagram) => decodeRtp(datagram, 0))
        .filter((item) => typeof item === 'object'),
    rtcpPackets: (): RtcpPacket[] =>
      rtcp.received.flatMap((datagram) => decodeRtcp(datagram).packets),
  };
}

const pool = new PortPool({ min: 37_000, max: 37_999, coolDownMs: 0 });

async function openSession(
  options: Partial<RtpSessionOptions> = {},
  handler: Partial<RtpSessionHandler> = {},
) {
  const packets: RtpPacket[] = [];
  const ticker = new Ticker();
  const session: RtpSession = await openRtpSession(
    {
      kind: 'audio',
      ports: pool,
      ticker,
      ssrc: 0xabcd,
      cname: 'rtp/audio/call',
      bindAddress: '127.0.0.1',
      random: () => 0,
      ...options,
    },
    { onPacket: (packet) => packets.push(packet), ...handler },
  );
  afterTest(() => session.close());
  return { session, packets, ticker };
}

const audio = (
  sequenceNumber: number,
  fields: { payloadType?: number; ssrc?: number } = {},
): Buffer =>
  encodeRtp({
    payloadType: 8,
    marker: false,
    sequenceNumber,
    rtpTimestamp: sequenceNumber * 160,
    ssrc: 77,
    payload: new Uint8Array(160).fill(0x55),
    ...fields,
  });

describe('ports', () => {
  it('passes over a busy pair, reports an empty pool at once, and gives pairs back', async () => {
    const ports = new PortPool({ min: 36_000, max: 36_005, coolDownMs: 0 });
    const blocker = createSocket('udp4');
    await new Promise<void>((resolve) => {
      blocker.bind({ port: 36_001, address: '127.0.0.1', exclusive: true }, () => resolve());
    });
    afterTest(() => new Promise<void>((resolve) => blocker.close(() => resolve())));
    const first = await openSession({ ports });
    const second = await openSession({ ports });
    expect([first.session.localPort, second.session.localPort]).toEqual([36_002, 36_004]);
    await expect(openSession({ ports })).rejects.toMatchObject({ code: 'NO_PORTS' });
    await first.session.close();
    expect((await openSession({ ports })).session.localPort).toBe(36_002);
  });

  it('rejects with SOCKET when the address is not ours, and keeps no port', async () => {
    const ports = new PortPool({ min: 36_000, max: 36_005 });
    await expect(openSession({ ports, bindAddress: '192.0.2.1' })).rejects.toMatchObject({
      code: 'SOCKET',
    });
    expect(ports.taken).toBe(0);
  });

  it('names wrong arguments', async () => {
    for (const [field, options] of [
      ['bindAddress', { bindAddress: 'localhost' }],
      ['ssrc', { ssrc: -1 }],
      ['cname', { cname: '' }],
      ['earlyPackets', { earlyPackets: -1 }],
      ['latchAfterMs', { latchAfterMs: Number.NaN }],
    ] as const) {
      await expect(openSession(options)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT', field });
    }
    const { session } = await openSession();
    const remote: RtpRemote = { address: '127.0.0.1', port: 9, payloadTypes: AUDIO_TYPES };
    for (const [field, wrong] of [
      ['address', { address: 'example.org' }],
      ['address', { address: '239.1.1.1' }],
      ['port', { port: 0 }],
      ['rtcpAddress', { rtcpAddress: '' }],
      ['rtcpPort', { rtcpPort: 70_000 }],
      ['payloadTypes', { payloadTypes: new Map([[128, AUDIO_TYPES.get(8)!]]) }],
    ] as const) {
      let caught: unknown;
      try {
        session.start({ ...remote, ...wrong });
      } catch (error) {
        caught = error;
      }
      expect((caught as MediaError | undefined)?.field).toBe(field);
    }
  });
});

describe('receiving', () => {
  it('keeps the newest of what comes before start, in order and bounded', async () => {
    const phone = await openPhone();
    const { session, packets } = await openSession({ earlyPackets: 10 });
    for (let index = 0; index < 12; index++)
      phone.rtp.socket.send(audio(index), session.localPort, '127.0.0.1');
    await until(() => session.stats.faults['rtp-early'] === 2, 'two packets too many');
    expect(packets).toEqual([]);
    session.start(phone.remote());
    expect(packets.map((packet) => packet.sequenceNumber)).toEqual([
      2, 3, 4, 5, 6, 7, 8, 9, 10, 11,
    ]);
    expect(session.stats).toMatchObject({ packets: 10, bytes: 1720, lost: 0, foreign: 0 });
  });

  it('leaves out what came more than a second before start', async () => {
    const phone = await openPhone();
    let nowMs = 0;
    let early = 0;
    const { session, packets } = await openSession(
      { now: () => nowMs },
      { onEarly: () => void early++ },
    );
    for (const [index, atMs] of [0, 500, 1499, 1500].entries()) {
      nowMs = atMs;
      phone.rtp.socket.send(audio(index), session.localPort, '127.0.0.1');
      await setTimeout(30);
    }
    expect(early).toBe(1);
    nowMs = 2499;
    session.start(phone.remote());
    expect(packets.map((packet) => packet.sequenceNumber)).toEqual([2, 3]);
    expect(session.stats).toMatchObject({ packets: 2, lost: 0 });
  });

  it('takes nothing from others while the address of the SDP sends', async () => {
    const phone = await openPhone();
    const attacker = await openSocket();
    const { session, packets } = await openSession({ latchAfterMs: 0 });
    session.start(phone.remote());
    phone.rtp.socket.send(audio(0), session.localPort, '127.0.0.1');
    await until(() => packets.length === 1, 'the first packet');
    for (let index = 1; index <= 1000; index++) {
      attacker.socket.send(audio(index, { ssrc: 66 }), session.localPort, '127.0.0.1');
      if (index % 50 === 0) await setTimeout(1);
    }
    await until(() => session.stats.foreign === 1000, 'all of the attack');
    expect(packets).toHaveLength(1);
    expect(session.source).toEqual({ address: '127.0.0.1', port: phone.rtp.port });
  });

  it('latches on one other source behind NAT, once, and sends there', async () => {
    const phone = await openPhone();
    const natted = await openSocket();
    const attacker = await openSocket();
    const latched: number[] = [];
    const { session, packets } = await openSession(
      { latchAfterMs: 50 },
      { onLatched: (_address, port) => latched.push(port) },
    );
    session.start(phone.remote({ send: { codec: 'pcma', payloadType: 8 } }));
    for (let index = 0; index < 30 && packets.length < 5; index++) {
      natted.socket.send(audio(index), session.localPort, '127.0.0.1');
      await setTimeout(10);
    }
    expect(latched).toEqual([natted.port]);
    const before = packets.length;
    for (let index = 0; index < 100; index++)
      attacker.socket.send(audio(index), session.localPort, '127.0.0.1');
    await until(() => natted.received.length > 5, 'silence at the latched source');
    const leaked = attacker.received.length;
    expect([leaked, packets.length - before]).toEqual([0, 0]);
    const sentToSdp = phone.rtp.received.length;
    await setTimeout(60);
    expect(phone.rtp.received).toHaveLength(sentToSdp);
  });

  it('counts unknown payload types and garbage by name, and reports an example', async () => {
    const phone = await openPhone();
    const examples: string[] = [];
    const { session, packets } = await openSession(
      {},
      { onFault: (fault) => examples.push(fault) },
    );
    session.start(phone.remote());
    const send = (datagram: Uint8Array): void =>
      phone.rtp.socket.send(datagram, session.localPort, '127.0.0.1');
    send(audio(0, { payloadType: 99 }));
    send(Buffer.from('hello'));
    send(audio(1, { payloadType: 13 }));
    // A STUN binding request, by which phones open their NAT: nothing is wrong with it.
    send(Buffer.from('000100002112a442fc0d178ca39e9d30235ba1f2', 'hex'));
    send(audio(2));
    await until(() => packets.length === 2, 'the good packets');
    expect(session.stats.foreign).toBe(1);
    expect(session.stats.faults).toEqual({ 'rtp-payload-type': 1, 'rtp-short': 1 });
    expect(examples).toEqual(['rtp-payload-type', 'rtp-short']);
  });

  it('takes illegible packets for a sign of the peer, and keep-alives that are no RTP for none', async () => {
    const phone = await openPhone();
    let nowMs = 1000;
    const { session } = await openSession({ now: () => nowMs });
    session.start(phone.remote());
    const send = async (datagram: Uint8Array, fault: string): Promise<number | null> => {
      nowMs += 1000;
      phone.rtp.socket.send(datagram, session.localPort, '127.0.0.1');
      await until(() => (session.stats.faults[fault] ?? 0) > 0, fault);
      return session.stats.lastRtpMs;
    };
    expect(await send(Buffer.from('\r\n\r\n'), 'rtp-short')).toBeNull();
    expect(await send(new Uint8Array(20), 'rtp-version')).toBeNull();
    const truncated = audio(1).subarray(0, 14);
    truncated[0] = 0x9f;
    expect(await send(truncated, 'rtp-csrc')).toBe(4000);
    expect(await send(audio(2, { payloadType: 99 }), 'rtp-payload-type')).toBe(5000);
  });

  it('lives through 20,000 mutated datagrams on both ports', async () => {
    const phone = await openPhone();
    const { session, packets } = await openSession();
    session.start(phone.remote());
    const seeds = [
      audio(1),
      encodeRtcp([
        { type: 'rr', ssrc: 77, reports: [] },
        { type: 'bye', ssrcs: [77] },
      ]),
    ];
    let sent = 0;
    for (const datagram of mutations(seeds, 20_000, 6)) {
      phone.rtp.socket.send(datagram, session.localPort, '127.0.0.1');
      phone.rtcp.socket.send(datagram, session.localPort + 1, '127.0.0.1');
      if (++sent % 50 === 0) await setTimeout(1);
    }
    const before = packets.length;
    await setTimeout(500);
    phone.rtp.socket.send(audio(9), session.localPort, '127.0.0.1');
    await until(() => packets.length > before, 'a good packet afterwards');
    expect(Object.keys(session.stats.faults).length).toBeGreaterThanOrEqual(6);
  });

  it('drops a flood from the peer itself', async () => {
    const phone = await openPhone();
    let nowMs = 0;
    const { session, packets } = await openSession({ now: () => nowMs });
    session.start(phone.remote());
    for (let index = 0; index < 2500; index++) {
      phone.rtp.socket.send(audio(index), session.localPort, '127.0.0.1');
      if (index % 50 === 0) await setTimeout(1);
    }
    await until(() => session.stats.faults['rtp-flood'] === 500, 'the flood');
    expect(packets).toHaveLength(2000);
    nowMs = 10;
    phone.rtp.socket.send(audio(3000), session.localPort, '127.0.0.1');
    await until(() => packets.length === 2001, 'a packet later');
  });

  it('goes on with a new peer after start is called again', async () => {
    const first = await openPhone();
    const second = await openPhone();
    const { session, packets } = await openSession();
    session.start(first.remote());
    first.rtp.socket.send(audio(0), session.localPort, '127.0.0.1');
    await until(() => packets.length === 1, 'the first phone');
    session.start(second.remote());
    first.rtp.socket.send(audio(1), session.localPort, '127.0.0.1');
    second.rtp.socket.send(audio(500, { ssrc: 5 }), session.localPort, '127.0.0.1');
    await until(() => packets.length === 2 && session.stats.foreign === 1, 'the second phone');
    session.start(second.remote({ address: '0.0.0.0' }));
    second.rtp.socket.send(audio(501, { ssrc: 5 }), session.localPort, '127.0.0.1');
    await until(() => packets.length === 3, 'the second phone on hold');
  });
});

describe('RTCP', () => {
  it('reports reception with the CNAME within a second, and echoes the sender report', async () => {
    const phone = await openPhone();
    const reports: number[] = [];
    const { session } = await openSession(
      {},
      { onSenderReport: (report) => reports.push(report.rtpTimestamp) },
    );
    session.start(phone.remote());
    for (const index of [0, 1, 3])
      phone.rtp.socket.send(audio(index), session.localPort, '127.0.0.1');
    await until(() => session.stats.packets === 3, 'audio');
    const report = (ssrc: number): Buffer =>
      encodeRtcp([
        {
          type: 'sr',
          ssrc,
          ...unixToNtp(1_700_000_000_000),
          rtpTimestamp: 480,
          packetCount: 3,
          octetCount: 480,
          reports: [],
        },
      ]);
    phone.rtcp.socket.send(report(1234), session.localPort + 1, '127.0.0.1');
    phone.rtcp.socket.send(report(77), session.localPort + 1, '127.0.0.1');
    (await openSocket()).socket.send(report(77), session.localPort + 1, '127.0.0.1');
    await until(() => phone.rtcpPackets().length >= 2, 'a report');
    expect(phone.rtcpPackets()).toMatchObject([
      {
        type: 'rr',
        ssrc: 0xabcd,
        reports: [
          { ssrc: 77, cumulativeLost: 1, fractionLost: 64, extendedHighestSequenceNumber: 3 },
        ],
      },
      { type: 'sdes', chunks: [{ ssrc: 0xabcd, cname: 'rtp/audio/call' }] },
    ]);
    const [rr] = phone.rtcpPackets();
    expect(rr?.type === 'rr' && rr.reports[0]!.lastSenderReport).not.toBe(0);
    expect(reports).toEqual([480]);
    expect(session.stats.foreign).toBe(1);
  });

  it('asks for a key frame at the first packet, by PLI, then FIR, then INFO, until it comes', async () => {
    const phone = await openPhone();
    let infos = 0;
    const { session } = await openSession({ kind: 'video' }, { onKeyFrameByInfo: () => infos++ });
    session.start(phone.remote({ payloadTypes: VIDEO_TYPES }));
    session.requestKeyFrame();
    await setTimeout(50);
    expect(session.stats.keyFrames.requests).toEqual({ pli: 0, fir: 0, info: 0, reinvite: 0 });
    const startMs = performance.now();
    phone.rtp.socket.send(audio(0, { payloadType: 112 }), session.localPort, '127.0.0.1');
    await until(() => infos === 1, 'the whole ladder');
    expect(performance.now() - startMs).toBeLessThan(1300);
    session.keyFrameArrived();
    await setTimeout(600);
    const asked = phone.rtcpPackets().filter(({ type }) => type === 'pli' || type === 'fir');
    expect(asked).toEqual([
      { type: 'pli', senderSsrc: 0xabcd, mediaSsrc: 77 },
      { type: 'fir', senderSsrc: 0xabcd, entries: [{ ssrc: 77, sequenceNumber: 0 }] },
    ]);
    expect(session.stats.keyFrames).toMatchObject({
      requests: { pli: 1, fir: 1, info: 1, reinvite: 0 },
      answeredBy: { pli: 0, fir: 0, info: 1, unasked: 0 },
    });
    expect(session.stats.keyFrames.lastWaitMs).toBeGreaterThan(1000);
    for (const datagram of phone.rtcp.received) {
      expect(
        decodeRtcp(datagram)
          .packets.map(({ type }) => type)
          .slice(1, 2),
      ).toEqual(['sdes']);
    }
  });

  it('reports a BYE of the stream only, and RTCP on the RTP port too', async () => {
    const phone = await openPhone();
    let byes = 0;
    const { session } = await openSession({}, { onBye: () => byes++ });
    session.start(phone.remote());
    phone.rtp.socket.send(audio(0), session.localPort, '127.0.0.1');
    await until(() => session.stats.packets === 1, 'audio');
    const bye = (ssrc: number): Buffer =>
      encodeRtcp([
        { type: 'rr', ssrc, reports: [] },
        { type: 'bye', ssrcs: [ssrc] },
      ]);
    phone.rtcp.socket.send(bye(5), session.localPort + 1, '127.0.0.1');
    phone.rtcp.socket.send(bye(77), session.localPort + 1, '127.0.0.1');
    await until(() => byes === 1, 'BYE on the RTCP port');
    phone.rtp.socket.send(bye(77), session.localPort, '127.0.0.1');
    await until(() => byes === 2, 'BYE on the RTP port');
    expect(session.stats.faults).toEqual({});
  });
});

describe('sending', () => {
  it('sends silence every 20 ms and sender reports', async () => {
    const phone = await openPhone();
    const { session } = await openSession();
    session.start(phone.remote({ send: { codec: 'pcma', payloadType: 8 } }));
    const startMs = performance.now();
    await until(() => phone.rtcpPackets().length >= 2, 'a report');
    await setTimeout(1000);
    const seconds = (performance.now() - startMs) / 1000;
    const packets = phone.rtpPackets();
    expect(packets.length / seconds).toBeGreaterThan(47);
    expect(packets.length / seconds).toBeLessThan(53);
    packets.forEach((packet, index) => {
      expect(packet).toMatchObject({ payloadType: 8, ssrc: 0xabcd, marker: index === 0 });
      expect([packet.sequenceNumber, packet.rtpTimestamp]).toEqual([index, index * 160]);
      expect(packet.payload.every((octet) => octet === 0xd5)).toBe(true);
    });
    const [report] = phone.rtcpPackets();
    if (report?.type !== 'sr') throw new Error('no sender report');
    expect(report.octetCount).toBe(report.packetCount * 160);
    expect(Math.abs(report.rtpTimestamp - report.packetCount * 160)).toBeLessThan(400);
  });

  it('sends digits one after the other', async () => {
    const phone = await openPhone();
    const { session } = await openSession();
    expect(session.canSendDigits).toBe(false);
    expect(() => session.sendDigits('1')).toThrow('not negotiated');
    session.start(phone.remote({ send: { codec: 'pcma', payloadType: 8, eventPayloadType: 101 } }));
    expect(() => session.sendDigits('x')).toThrow('digits');
    await Promise.all([
      session.sendDigits('12', { durationMs: 60 }),
      session.sendDigits('#', { durationMs: 60 }),
    ]);
    await until(
      () => phone.rtpPackets().filter(({ payloadType }) => payloadType === 101).length === 15,
      'all events',
    );
    const decoder = new DtmfDecoder();
    const packets = phone.rtpPackets();
    const heard = packets.map((packet) =>
      packet.payloadType === 101 ? (decoder.push(packet) ?? '') : '',
    );
    expect(heard.join('')).toBe('12#');
    expect(packets.map(({ sequenceNumber }) => sequenceNumber)).toEqual(
      packets.map((_, index) => index),
    );
  });

  it('sends nothing to a peer on hold', async () => {
    const phone = await openPhone();
    const { session } = await openSession();
    session.start(phone.remote({ address: '0.0.0.0', send: { codec: 'pcma', payloadType: 8 } }));
    await setTimeout(100);
    expect(phone.rtp.received).toEqual([]);
  });

  it('sends nothing to an address that may not be sent to, and takes what comes from it', async () => {
    const phone = await openPhone();
    const { session, packets } = await openSession({ maySendTo: () => false });
    session.start(phone.remote({ send: { codec: 'pcma', payloadType: 8 } }));
    for (let n = 0; n < 50; n++) {
      phone.rtp.socket.send(audio(n), session.localPort, '127.0.0.1');
      await setTimeout(20);
    }
    await until(() => packets.length === 50, 'what the phone sends');
    // The time of fifty packets, and of the first report; then the BYE.
    await session.close();
    expect([...phone.rtp.received, ...phone.rtcp.received]).toEqual([]);
  });
});

describe('closing', () => {
  it('says BYE, frees ports, tick and digits, and is idempotent', async () => {
    const phone = await openPhone();
    const ports = new PortPool({ min: 36_100, max: 36_101, coolDownMs: 0 });
    const { session, ticker } = await openSession({ ports });
    session.start(phone.remote({ send: { eventPayloadType: 101 } }));
    const digits = session.sendDigits('123456');
    const outcome = expect(digits).rejects.toMatchObject({ code: 'CLOSED' });
    await setTimeout(50);
    const closing = session.close();
    expect(session.close()).toBe(closing);
    await Promise.all([closing, outcome]);
    await until(() => phone.rtcpPackets().some(({ type }) => type === 'bye'), 'BYE');
    expect(phone.rtcpPackets().map(({ type }) => type)).toEqual(['sr', 'sdes', 'bye']);
    expect([ports.taken, ticker.size]).toEqual([0, 0]);
    await expect(session.sendDigits('1')).rejects.toMatchObject({ code: 'CLOSED' });
    expect(() => session.start(phone.remote())).toThrow('closed');
    await (await openSession({ ports })).session.close();
  });

  it('asks for nothing any more while it closes and afterwards, and does not mind being asked to', async () => {
    const phone = await openPhone();
    const received: RtpPacket[] = [];
    const { session } = await openSession(
      { kind: 'video' },
      { onPacket: (packet) => void received.push(packet) },
    );
    session.start(phone.remote({ payloadTypes: VIDEO_TYPES, nack: true }));
    phone.rtp.socket.send(audio(0, { payloadType: 112 }), session.localPort, '127.0.0.1');
    await until(() => received.length === 1, 'a packet');
    await until(() => phone.rtcpPackets().some(({ type }) => type === 'pli'), 'the first request');
    const askForAll = (): void => {
      session.requestKeyFrame();
      session.sendKeyFrame();
      session.sendNack([{ packetId: 1, bitmask: 0 }]);
    };
    const closing = session.close();
    askForAll();
    await closing;
    // The next request is due by now.
    await setTimeout(600);
    askForAll();
    await until(() => phone.rtcpPackets().some(({ type }) => type === 'bye'), 'BYE');
    expect(phone.rtcpPackets().at(-1)).toMatchObject({ type: 'bye' });
    await expect(session.sendDigits('1')).rejects.toMatchObject({ code: 'CLOSED' });
  });

  it('closes before it was started', async () => {
    const { session } = await openSession();
    await session.close();
    expect(pool.taken).toBe(0);
  });

  it('leaves nothing after 200 sessions', async () => {
    const phone = await openPhone();
    const ports = new PortPool({ min: 36_200, max: 36_239, coolDownMs: 0 });
    const count = (): number =>
      process.getActiveResourcesInfo().filter((name) => name === 'UDPWrap').length;
    // Handles that were closed go with the next turn of the event loop.
    await setTimeout(10);
    const before = count();
    for (let round = 0; round < 20; round++) {
      const sessions = await Promise.all(Array.from({ length: 10 }, () => openSession({ ports })));
      for (const { session } of sessions)
        session.start(phone.remote({ send: { codec: 'pcma', payloadType: 8 } }));
      await Promise.all(sessions.map(({ session }) => session.close()));
    }
    await setTimeout(10);
    expect([count(), ports.taken]).toEqual([before, 0]);
  });
});
