// RtpSender against real sockets: what it sends is what it says, in real time, whatever the line does to it.

import { setTimeout as sleep } from 'node:timers/promises';
import { encodeRtcp, H264Depacketizer, ntpMs, Vp8Depacketizer } from '@sipcast/media/wire';
import type {
  H264AccessUnit,
  RtcpPacket,
  RtpPacket,
  SenderReport,
  Vp8Frame,
} from '@sipcast/media/wire';
import { aLawToMuLaw, loadClip, RtpPort, RtpSender } from '@sipcast/testkit';
import type { RtpSenderOptions } from '@sipcast/testkit';
import { describe, expect, it } from 'vitest';
import { afterTest } from '../../support/cleanup.ts';

async function openPort(): Promise<RtpPort> {
  const port = await RtpPort.open();
  afterTest(() => port.close());
  return port;
}

type VideoMarks = Partial<NonNullable<RtpSenderOptions['video']>>;
type AudioMarks = Partial<NonNullable<RtpSenderOptions['audio']>>;

/** A sender and a receiver of both media; `rtp` and `rtcp` are what the receiver got. */
async function openPair(
  options: Omit<RtpSenderOptions, 'video' | 'audio'> & {
    video?: VideoMarks;
    audio?: AudioMarks;
  } = {},
) {
  const from = { video: await openPort(), audio: await openPort() };
  const to = { video: await openPort(), audio: await openPort() };
  const rtp = { video: [] as RtpPacket[], audio: [] as RtpPacket[] };
  const rtcp = { video: [] as RtcpPacket[], audio: [] as RtcpPacket[] };
  for (const kind of ['video', 'audio'] as const) {
    to[kind].listen({
      onRtp: (packet) => rtp[kind].push(packet),
      onRtcp: (packet) => rtcp[kind].push(packet),
    });
  }
  const line = (kind: 'video' | 'audio') => ({
    from: from[kind],
    address: '127.0.0.1',
    rtpPort: to[kind].port,
  });
  const sender = RtpSender.start({
    ...options,
    video: { ...line('video'), ...options.video },
    audio: { ...line('audio'), ...options.audio },
  });
  afterTest(() => Promise.resolve(sender.stop()));
  return { sender, from, to, rtp, rtcp };
}

/** Access units out of packets. */
function depacketize(packets: readonly RtpPacket[]): H264AccessUnit[] {
  const units: H264AccessUnit[] = [];
  const depacketizer = new H264Depacketizer();
  for (const packet of packets)
    for (const unit of depacketizer.push(packet))
      if (typeof unit === 'object' && 'codec' in unit) units.push(unit);
  return units;
}

const hex = (nalus: readonly Uint8Array[]) => nalus.map((nal) => Buffer.from(nal).toString('hex'));

describe('RtpSender', () => {
  it('sends the clip in real time, bit-exact, over the wrap of sequence and timestamp', async () => {
    const { sender, rtp } = await openPair({
      video: {
        firstSequenceNumber: 65_530,
        firstTimestamp: 2 ** 32 - 45_000,
        payloadType: 112,
        ssrc: 7,
      },
      audio: { firstSequenceNumber: 65_530, firstTimestamp: 2 ** 32 - 4000 },
    });
    await sleep(1500);
    sender.stop();
    await sleep(50);
    const elapsedMs = performance.now() - sender.startedAtMs;
    expect(sender.sent.length).toBeGreaterThan(1500 / 40 - 3);
    expect(sender.sent.length).toBeLessThanOrEqual(elapsedMs / 40 + 1);
    expect(rtp.video.map((packet) => packet.sequenceNumber)).toEqual(
      rtp.video.map((_, at) => (65_530 + at) & 0xffff),
    );
    expect(new Set(rtp.video.map((packet) => `${packet.payloadType} ${packet.ssrc}`))).toEqual(
      new Set(['112 7']),
    );
    const units = depacketize(rtp.video);
    expect(units.map((unit) => hex(unit.nalus))).toEqual(
      sender.sent.map(({ unit }) => hex(unit.nalus)),
    );
    expect(units.map((unit) => unit.rtpTimestamp)).toEqual(
      units.map((_, at) => (2 ** 32 - 45_000 + at * 3600) % 2 ** 32),
    );
    expect(rtp.audio.map((packet) => packet.rtpTimestamp)).toEqual(
      rtp.audio.map((_, at) => (2 ** 32 - 4000 + at * 160) % 2 ** 32),
    );
    expect(rtp.audio.map((packet) => packet.marker)).toEqual(rtp.audio.map((_, at) => at === 0));
    const sound = Buffer.concat(rtp.audio.map((packet) => packet.payload));
    expect(Buffer.compare(sound, loadClip().audio.subarray(0, sound.length))).toBe(0);
    const { video } = sender.stats;
    expect(video).toMatchObject({ packets: rtp.video.length, frames: sender.sent.length, lost: 0 });
  });

  it('sends VP8 bit-exact, numbered over the wrap, and jumps to a key frame', async () => {
    const { sender, rtp } = await openPair({
      video: { codec: 'VP8', firstSequenceNumber: 65_530, vp8: { layers: true } },
    });
    await sleep(400);
    sender.requestKeyFrame();
    await sleep(400);
    sender.stop();
    await sleep(30);
    const frames: Vp8Frame[] = [];
    const depacketizer = new Vp8Depacketizer();
    for (const packet of rtp.video)
      for (const unit of depacketizer.push(packet)) {
        if (typeof unit === 'string') expect.unreachable(unit);
        else frames.push(unit);
      }
    expect(frames.map((frame) => hex([frame.payload]))).toEqual(
      sender.sent.map(({ unit }) => hex([unit.vp8!])),
    );
    expect(frames.filter((frame) => frame.isKeyFrame)).toHaveLength(2);
    expect(sender.sent.map(({ packets }) => packets).every((packets) => packets > 0)).toBe(true);
    expect(rtp.video[0]!.payload.subarray(0, 2)).toEqual(Uint8Array.of(0x90, 0xf0));
  });

  it('converts to PCMU', async () => {
    const { sender, rtp } = await openPair({ audio: { codec: 'PCMU' } });
    await sleep(200);
    sender.stop();
    await sleep(30);
    const sound = Buffer.concat(rtp.audio.map((packet) => packet.payload));
    expect(rtp.audio[0]!.payloadType).toBe(0);
    const expected = aLawToMuLaw(loadClip().audio.subarray(0, sound.length));
    expect(Buffer.compare(sound, expected)).toBe(0);
  });

  it('reports both media by one clock, with CNAME, and says BYE', async () => {
    const { sender, rtp, rtcp } = await openPair({ reportIntervalMs: 200, cname: 'me@here' });
    await sleep(600);
    sender.stop();
    await sleep(50);
    const skews: number[] = [];
    for (const [kind, hz] of [
      ['video', 90_000],
      ['audio', 8000],
    ] as const) {
      const reports = rtcp[kind].filter((packet): packet is SenderReport => packet.type === 'sr');
      expect(reports.length).toBeGreaterThanOrEqual(3);
      const first = rtp[kind][0]!;
      for (const report of reports) {
        expect(report.ssrc).toBe(first.ssrc);
        const mediaMs = (((report.rtpTimestamp - first.rtpTimestamp) >>> 0) * 1000) / hz;
        skews.push(ntpMs(report) - mediaMs);
      }
      expect(reports.at(-1)).toMatchObject({
        packetCount: rtp[kind].length,
        octetCount: rtp[kind].reduce((sum, packet) => sum + packet.payload.length, 0),
      });
      const cnames = rtcp[kind].flatMap((packet) =>
        packet.type === 'sdes' ? packet.chunks.map((chunk) => chunk.cname) : [],
      );
      expect(new Set(cnames)).toEqual(new Set(['me@here']));
      expect(rtcp[kind].filter((packet) => packet.type === 'bye')).toEqual([
        { type: 'bye', ssrcs: [first.ssrc] },
      ]);
    }
    // Media time 0 is the same wall-clock instant in every report of both.
    expect(Math.max(...skews) - Math.min(...skews)).toBeLessThan(1);
  });

  it('sends no report when told so', async () => {
    const { sender, rtcp } = await openPair({ senderReports: false, bye: false });
    await sleep(200);
    sender.stop();
    await sleep(30);
    expect([...rtcp.video, ...rtcp.audio]).toEqual([]);
  });

  it('jumps to the next IDR on PLI and on each new FIR, the sound with it', async () => {
    const { sender, to, from, rtp } = await openPair();
    await sleep(200);
    const ask = (packet: RtcpPacket): void =>
      to.video.sendRtcp(
        encodeRtcp([{ type: 'rr', ssrc: 9, reports: [] }, packet]),
        from.video.rtcpPort,
        '127.0.0.1',
      );
    const fir = (sequenceNumber: number): RtcpPacket => ({
      type: 'fir',
      senderSsrc: 9,
      entries: [{ ssrc: sender.videoSsrc!, sequenceNumber }],
    });
    ask({ type: 'pli', senderSsrc: 9, mediaSsrc: sender.videoSsrc! });
    await sleep(200);
    ask(fir(1));
    ask(fir(1));
    await sleep(200);
    sender.stop();
    await sleep(30);
    expect(sender.keyFrameRequests).toBe(2);
    const keyFrames = sender.sent
      .filter(({ unit }) => unit.isKeyFrame)
      .map(({ unit }) => unit.index);
    expect(keyFrames).toEqual([0, 50, 100]);
    // The timestamps know nothing of the jump.
    const steps = sender.sent
      .slice(1)
      .map((one, at) => (one.rtpTimestamp - sender.sent[at]!.rtpTimestamp) >>> 0);
    expect(new Set(steps)).toEqual(new Set([3600]));
    const audio = Buffer.from(loadClip().audio);
    const place = audio.indexOf(rtp.audio.at(-1)!.payload);
    expect(Math.abs(place - sender.sent.at(-1)!.unit.index * 320)).toBeLessThanOrEqual(640);
  });

  it('counts but does not answer when told so', async () => {
    const { sender } = await openPair({ answerKeyFrameRequests: false });
    sender.requestKeyFrame();
    await sleep(120);
    expect(sender.keyFrameRequests).toBe(1);
    expect(sender.sent.map(({ unit }) => unit.index)).toEqual(sender.sent.map((_, at) => at));
  });

  it('answers only the configured requests', async () => {
    const { sender, to, from } = await openPair({ keyFrameBy: ['fir', 'info'] });
    const jumped = (): number => sender.sent.filter(({ unit }) => unit.isKeyFrame).length - 1;
    const mediaSsrc = sender.videoSsrc!;
    for (const [packet, jumps] of [
      [{ type: 'pli', senderSsrc: 9, mediaSsrc }, 0],
      [{ type: 'fir', senderSsrc: 9, entries: [{ ssrc: mediaSsrc, sequenceNumber: 1 }] }, 1],
    ] as const) {
      to.video.sendRtcp(encodeRtcp([packet]), from.video.rtcpPort, '127.0.0.1');
      await sleep(150);
      expect(jumped()).toBe(jumps);
    }
    sender.requestKeyFrame('pli');
    sender.requestKeyFrame('info');
    await sleep(100);
    expect([jumped(), sender.keyFrameRequests]).toEqual([2, 4]);
  });

  it('sends again what a NACK names, after its time, and only that', async () => {
    const { sender, to, from, rtp } = await openPair({
      video: { answerNack: true, nackDelayMs: 60, firstSequenceNumber: 65_530 },
    });
    await sleep(300);
    const nack = (mediaSsrc: number): Buffer =>
      encodeRtcp([
        { type: 'nack', senderSsrc: 9, mediaSsrc, lost: [{ packetId: 65_534, bitmask: 0b101 }] },
      ]);
    to.video.sendRtcp(nack(sender.videoSsrc!), from.video.rtcpPort, '127.0.0.1');
    to.video.sendRtcp(nack(1), from.video.rtcpPort, '127.0.0.1');
    const again = (): number[] =>
      rtp.video
        .map(({ sequenceNumber }) => sequenceNumber)
        .filter((sequence, at, all) => all.indexOf(sequence) < at);
    await sleep(30);
    expect(again()).toEqual([]);
    await sleep(100);
    expect(again()).toEqual([65_534, 65_535, 1]);
    expect(sender.stats.video).toMatchObject({ retransmitted: 3 });
  });

  it('goes on as another source', async () => {
    const { sender, rtp } = await openPair();
    await sleep(200);
    sender.changeSsrc('video');
    await sleep(200);
    sender.stop();
    await sleep(30);
    expect(new Set(rtp.video.map(({ ssrc }) => ssrc)).size).toBe(2);
    expect(rtp.video.at(-1)!.ssrc).toBe(sender.videoSsrc);
    expect(depacketize(rtp.video).length).toBe(sender.sent.length);
    expect(new Set(rtp.audio.map(({ ssrc }) => ssrc)).size).toBe(1);
  });

  it('loses, repeats and reorders what it says it does', async () => {
    const bad = { loss: 0.1, duplicate: 0.05, reorder: 0.1, jitterMs: 15, seed: 3 };
    const { sender, rtp } = await openPair({ video: { impairments: bad } });
    await sleep(1000);
    sender.stop();
    await sleep(50);
    const { packets, lost, duplicated, reordered } = sender.stats.video!;
    expect(lost).toBeGreaterThan(0);
    expect(duplicated).toBeGreaterThan(0);
    expect(reordered).toBeGreaterThan(0);
    expect(rtp.video).toHaveLength(packets - lost + duplicated);
    expect(new Set(rtp.video.map((packet) => packet.sequenceNumber)).size).toBe(packets - lost);
    expect(sender.sent.reduce((sum, one) => sum + one.lostPackets, 0)).toBe(lost);
    expect(sender.stats.audio).toMatchObject({ lost: 0, duplicated: 0, reordered: 0 });
  });

  it('pauses one medium while its time goes on', async () => {
    const { sender, rtp } = await openPair();
    await sleep(100);
    sender.pause('audio');
    await sleep(200);
    sender.resume('audio');
    await sleep(100);
    sender.stop();
    await sleep(30);
    const gaps = rtp.audio.slice(1).map((packet, at) => ({
      ticks: (packet.rtpTimestamp - rtp.audio[at]!.rtpTimestamp) >>> 0,
      sequence: (packet.sequenceNumber - rtp.audio[at]!.sequenceNumber) & 0xffff,
      marker: packet.marker,
    }));
    const pause = gaps.filter((gap) => gap.ticks !== 160);
    expect(pause).toHaveLength(1);
    expect(pause[0]!.ticks).toBeGreaterThanOrEqual(7 * 160);
    expect(pause[0]).toMatchObject({ sequence: 1, marker: true });
  });

  it('refuses what cannot be sent', async () => {
    const from = await openPort();
    const audio = { from, address: '127.0.0.1', rtpPort: 5000 };
    expect(() => new RtpSender({})).toThrow(/video or audio/);
    expect(() => new RtpSender({ audio: { ...audio, rtpPort: 0 } })).toThrow(/rtpPort/);
    expect(() => new RtpSender({ audio: { ...audio, payloadType: 128 } })).toThrow(/payloadType/);
    expect(() => new RtpSender({ audio, mtu: 10 })).toThrow(/mtu/);
    expect(() => new RtpSender({ audio, reportIntervalMs: 0 })).toThrow(/reportIntervalMs/);
  });

  it('ends with the clip, without loop', async () => {
    const clip = loadClip();
    const short = {
      ...clip,
      name: 'short',
      video: clip.video.slice(0, 10),
      audio: clip.audio.subarray(0, 3200),
    };
    const { sender, rtp } = await openPair({ clip: short, loop: false });
    await sender.done;
    await sleep(50);
    expect(sender.sent).toHaveLength(10);
    expect(rtp.audio).toHaveLength(20);
  });

  it('drives a hundred senders by one timer', async () => {
    const to = await openPort();
    const from = await openPort();
    const line = { from, address: '127.0.0.1', rtpPort: to.port };
    const before = process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
    const senders = Array.from({ length: 100 }, () =>
      RtpSender.start({ audio: line, keepSent: false, bye: false, senderReports: false }),
    );
    const during = process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
    expect(during - before).toBeLessThanOrEqual(1);
    await sleep(1000);
    for (const sender of senders) {
      expect(sender.stats.audio!.packets).toBeGreaterThanOrEqual(48);
      sender.stop();
    }
  });
});
