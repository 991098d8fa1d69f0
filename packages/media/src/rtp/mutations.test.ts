// Damaged RTP and RTCP through the whole receiving path: nothing thrown, nothing kept. `MUTATIONS=1000000` for a long run.

import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, it } from 'vitest';
import { AudioDepacketizer } from './audio-depacketizer.ts';
import { H264Depacketizer } from './h264-depacketizer.ts';
import { Vp8Depacketizer } from './vp8-depacketizer.ts';
import type { RtpCodec } from './depacketizer.ts';
import type { RtpPacket } from '../codec/frame.ts';
import { KeyFrameGate } from '../sync/key-frame-gate.ts';
import { ReceptionLine } from './reception-line.ts';
import { ReceptionStats } from './reception-stats.ts';
import { decodeRtcp, encodeRtcp, type RtcpPacket } from './rtcp.ts';
import { decodeRtp, encodeRtp } from './rtp.ts';
import { audioSilence } from '../codec/silence.ts';
import { testAccessUnits, testDatagrams } from '../codec/test-h264.ts';
import { mutations, seededRandom } from '../test-random.ts';

const COUNT = Number(process.env['MUTATIONS'] ?? 100_000);
const TIMEOUT_MS = 60_000 + COUNT / 5;
const MAX_HEAP_GROWTH_BYTES = 5 * 1024 * 1024;

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;
function heapBytes(): number {
  collectGarbage();
  return process.memoryUsage().heapUsed;
}

const AUDIO_TYPES = new Map<number, RtpCodec>([
  [8, { codec: 'pcma', clockRateHz: 8000 }],
  [9, { codec: 'g722', clockRateHz: 8000 }],
  [13, { codec: 'comfort-noise', clockRateHz: 8000 }],
  [97, { codec: 'opus', clockRateHz: 48_000 }],
  [98, { codec: 'speex-nb', clockRateHz: 8000 }],
  [99, { codec: 'speex-wb', clockRateHz: 16_000 }],
  [101, { codec: 'telephone-event', clockRateHz: 8000 }],
]);

const CODECS = ['h264', 'vp8', 'pcma', 'g722', 'opus', 'speex-nb', 'speex-wb'] as const;
type TestedCodec = (typeof CODECS)[number];

/** What a sender of this codec would send: the beginning of a stream. */
function goodDatagrams(codec: TestedCodec, random: () => number): Buffer[] {
  if (codec === 'h264') return testDatagrams(testAccessUnits(40, random));
  if (codec === 'vp8') return vp8Datagrams(random);
  const payloadType = [...AUDIO_TYPES].find(([, one]) => one.codec === codec)![0];
  return Array.from({ length: 100 }, (_, index) => {
    const isEvent = index % 10 === 9;
    const sound = codec === 'opus' ? opusPacket(random) : Uint8Array.from(audioSilence(codec));
    return encodeRtp({
      payloadType: isEvent ? 101 : payloadType,
      marker: index === 0,
      sequenceNumber: index,
      rtpTimestamp: index * 160,
      ssrc: 3,
      payload: isEvent ? Uint8Array.of(1, 10, 0, 160) : sound,
    });
  });
}

/** RFC 6716 §3.2: one, two or several frames, of a constant or of various sizes. */
function opusPacket(random: () => number): Uint8Array {
  const sound = Array.from({ length: 60 }, () => Math.floor(random() * 256));
  const code = Math.floor(random() * 4);
  const head = [0x78 | code, ...(code === 2 ? [30] : []), ...(code === 3 ? [0x83, 20, 20] : [])];
  return Uint8Array.from([...head, ...sound]);
}

/** RFC 7741 §4.2: every optional field of the descriptor; pictures of one to four packets, a key frame each ten. */
function vp8Datagrams(random: () => number): Buffer[] {
  const datagrams: Buffer[] = [];
  for (let picture = 0; picture < 40; picture++) {
    const packets = 1 + Math.floor(random() * 4);
    for (let at = 0; at < packets; at++) {
      const start = at === 0 ? 0x10 : 0;
      const descriptor = [0x80 | start, 0xf0, 0x80 | (picture >> 8), picture & 0xff, picture, 0x20];
      const tag =
        picture % 10 === 0
          ? [0x10, 0x5a, 0x02, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0x68, 0x01]
          : [0x31, 0, 0];
      const octets = Array.from({ length: 300 }, () => Math.floor(random() * 256));
      datagrams.push(
        encodeRtp({
          payloadType: 96,
          marker: at === packets - 1,
          sequenceNumber: datagrams.length,
          rtpTimestamp: picture * 3600,
          ssrc: 3,
          payload: Uint8Array.from([...descriptor, ...(at === 0 ? tag : []), ...octets]),
        }),
      );
    }
  }
  return datagrams;
}

/** One medium's path, fed with damaged packets; the faults and frames that came of them. */
function path(codec: TestedCodec) {
  const faults = new Map<string, number>();
  const count = (fault: string): void => void faults.set(fault, (faults.get(fault) ?? 0) + 1);
  let frames = 0;
  const gate = new KeyFrameGate(() => {});
  const depacketizer =
    codec === 'h264'
      ? new H264Depacketizer()
      : codec === 'vp8'
        ? new Vp8Depacketizer()
        : new AudioDepacketizer(AUDIO_TYPES);
  const take = (packet: RtpPacket): void => {
    for (const unit of depacketizer.push(packet)) {
      if (typeof unit === 'string') {
        count(unit);
        gate.break();
      } else if ('durationMs' in unit) frames++;
      else if ('codec' in unit && gate.admit(unit)) frames++;
    }
  };
  const line = new ReceptionLine(take, { sendNack: () => {} });
  line.nack = true;
  const reception = new ReceptionStats(90_000);
  let nowMs = 0;
  return {
    faults,
    frames: () => frames,
    push: (datagram: Uint8Array): void => {
      nowMs += 2;
      const packet = decodeRtp(datagram, nowMs);
      if (typeof packet === 'string') {
        count(packet);
        return;
      }
      reception.push(packet);
      line.push(packet);
      if (nowMs % 20 === 0) line.tick(nowMs, reception.jitterMs, 50);
    },
  };
}

describe('mutated packets', () => {
  it.each(CODECS)(
    `RTP of ${COUNT} mutations: %s`,
    (codec) => {
      const good = goodDatagrams(codec, seededRandom(21));
      const { push, faults, frames } = path(codec);
      let at = 0;
      const before = heapBytes();
      for (const datagram of mutations(good, COUNT, 22)) {
        push(datagram);
        // Good ones in between, so that the stages are in the middle of something.
        push(good[at++ % good.length]!);
      }
      const growthBytes = heapBytes() - before;
      console.log(
        `${COUNT} mutated RTP packets, ${codec}: ${frames()} frames, heap ${(growthBytes / 1024).toFixed(0)} KiB, ${JSON.stringify(Object.fromEntries(faults))}`,
      );
      expect(growthBytes).toBeLessThan(MAX_HEAP_GROWTH_BYTES);
      expect(faults.size).toBeGreaterThan(3);
      const damaged = frames();
      for (let round = 0; round < 3; round++) for (const datagram of good) push(datagram);
      expect(frames()).toBeGreaterThan(damaged);
    },
    TIMEOUT_MS,
  );

  it(
    `RTCP of ${COUNT} mutations`,
    () => {
      const reports = [
        {
          ssrc: 1,
          fractionLost: 2,
          cumulativeLost: -3,
          extendedHighestSequenceNumber: 4,
          jitter: 5,
          lastSenderReport: 6,
          delaySinceLastSenderReport: 7,
        },
      ];
      const packets: RtcpPacket[] = [
        {
          type: 'sr',
          ssrc: 1,
          ntpSeconds: 2,
          ntpFraction: 3,
          rtpTimestamp: 4,
          packetCount: 5,
          octetCount: 6,
          reports,
        },
        { type: 'rr', ssrc: 1, reports },
        { type: 'sdes', chunks: [{ ssrc: 1, cname: 'phone@host' }] },
        { type: 'nack', senderSsrc: 1, mediaSsrc: 2, lost: [{ packetId: 3, bitmask: 5 }] },
        { type: 'pli', senderSsrc: 1, mediaSsrc: 2 },
        { type: 'fir', senderSsrc: 1, entries: [{ ssrc: 2, sequenceNumber: 3 }] },
        { type: 'app', subtype: 1, ssrc: 2, name: 'test', payload: Uint8Array.of(1, 2, 3, 4) },
        { type: 'bye', ssrcs: [1, 2], reason: 'gone' },
      ];
      const good = [encodeRtcp(packets), ...packets.map((packet) => encodeRtcp([packet]))];
      const faults = new Map<string, number>();
      let read = 0;
      const before = heapBytes();
      for (const datagram of mutations(good, COUNT, 23)) {
        const compound = decodeRtcp(datagram);
        read += compound.packets.length;
        const { fault } = compound;
        if (fault !== undefined) faults.set(fault, (faults.get(fault) ?? 0) + 1);
      }
      const growthBytes = heapBytes() - before;
      console.log(
        `${COUNT} mutated RTCP datagrams: ${read} packets read, heap ${(growthBytes / 1024).toFixed(0)} KiB, ${JSON.stringify(Object.fromEntries(faults))}`,
      );
      expect(growthBytes).toBeLessThan(MAX_HEAP_GROWTH_BYTES);
      expect(faults.size).toBeGreaterThanOrEqual(5);
      expect(read).toBeGreaterThan(COUNT / 2);
    },
    TIMEOUT_MS,
  );
});
