import { describe, expect, it } from 'vitest';
import type { RtpPacket } from '../codec/frame.ts';
import { ReceptionStats } from './reception-stats.ts';

const EMPTY = new Uint8Array(0);
const packet = (sequenceNumber: number, arrivalMs: number, ssrc = 1): RtpPacket => ({
  datagram: EMPTY,
  payloadType: 8,
  marker: false,
  sequenceNumber: sequenceNumber & 0xffff,
  rtpTimestamp: (sequenceNumber * 160) >>> 0,
  ssrc,
  payload: EMPTY,
  arrivalMs,
});

describe('ReceptionStats', () => {
  it('has no report before the first packet', () => {
    expect(new ReceptionStats(8000).reportBlock(0)).toBeUndefined();
  });

  it('counts loss over the wrap, per interval and in total', () => {
    const stats = new ReceptionStats(8000);
    for (let index = 0; index < 100; index++) {
      if (index % 4 !== 1) stats.push(packet(65_500 + index, index * 20));
    }
    expect(stats.reportBlock(2000)).toMatchObject({
      ssrc: 1,
      fractionLost: 64,
      cumulativeLost: 25,
      extendedHighestSequenceNumber: 65_599,
      jitter: 0,
    });
    for (let index = 100; index < 200; index++) stats.push(packet(65_500 + index, index * 20));
    expect(stats.reportBlock(4000)).toMatchObject({ fractionLost: 0, cumulativeLost: 25 });
    expect(stats.lost).toBe(25);
  });

  it('distinguishes reordered packets from duplicates', () => {
    const stats = new ReceptionStats(8000);
    for (const sequence of [10, 12, 11, 11, 12, 13]) stats.push(packet(sequence, sequence * 20));
    expect([stats.reordered, stats.duplicates, stats.lost]).toEqual([1, 2, 0]);
  });

  it('follows RFC 3550 A.8 for jitter', () => {
    const stats = new ReceptionStats(8000);
    for (let index = 0; index < 2000; index++) {
      stats.push(packet(index, index * 20 + (index % 2) * 10));
    }
    expect(stats.jitterMs).toBeCloseTo(10, 1);
  });

  it('ignores one stray packet, and follows two', () => {
    const stats = new ReceptionStats(8000);
    stats.push(packet(1, 0));
    stats.push(packet(30_000, 20));
    stats.push(packet(2, 40));
    stats.push(packet(50, 50, 9));
    stats.push(packet(3, 60));
    expect(stats.reportBlock(60)).toMatchObject({ ssrc: 1, cumulativeLost: 0 });
    stats.push(packet(700, 80, 9));
    stats.push(packet(701, 100, 9));
    expect(stats.ssrc).toBe(9);
    expect(stats.lost).toBe(0);
  });

  it('echoes the last sender report', () => {
    const stats = new ReceptionStats(8000);
    stats.push(packet(1, 0));
    stats.onSenderReport(
      {
        type: 'sr',
        ssrc: 1,
        ntpSeconds: 0x11112222,
        ntpFraction: 0x33334444,
        rtpTimestamp: 0,
        packetCount: 0,
        octetCount: 0,
        reports: [],
      },
      1000,
    );
    expect(stats.reportBlock(1500)).toMatchObject({
      lastSenderReport: 0x22223333,
      delaySinceLastSenderReport: 32_768,
    });
  });
});
