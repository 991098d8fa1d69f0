import { describe, expect, it } from 'vitest';
import type { RtpPacket } from './frame.ts';
import { SourceLatch } from './source-latch.ts';

const EMPTY = new Uint8Array(0);
const packet = (sequenceNumber: number, arrivalMs: number, ssrc = 1): RtpPacket => ({
  datagram: EMPTY,
  payloadType: 8,
  marker: false,
  sequenceNumber: sequenceNumber & 0xffff,
  rtpTimestamp: 0,
  ssrc,
  payload: EMPTY,
  arrivalMs,
});
const create = (afterMs = 500) => new SourceLatch('192.0.2.1', 4000, 0, afterMs);

describe('SourceLatch', () => {
  it('takes only the address of the SDP once it has sent', () => {
    const latch = create();
    expect(latch.matches('192.0.2.1', 4000)).toBe(true);
    expect(latch.matches('192.0.2.1', 4001)).toBe(false);
    for (let index = 0; index < 1000; index++) {
      expect(latch.consider('203.0.113.9', 4000, packet(index, 10_000 + index))).toBe(false);
    }
    expect([latch.address, latch.port, latch.latched]).toEqual(['192.0.2.1', 4000, false]);
  });

  it('takes another source after silence and three packets in sequence, over the wrap, and then no third', () => {
    const latch = create();
    expect(
      [1, 2, 3, 4].map((index) => latch.consider('203.0.113.9', 9, packet(index, 499))),
    ).toEqual([false, false, false, false]);
    expect(
      [65_535, 0, 1].map((index) => latch.consider('203.0.113.9', 9, packet(index, 500))),
    ).toEqual([false, false, true]);
    expect([latch.address, latch.port, latch.latched]).toEqual(['203.0.113.9', 9, true]);
    expect(latch.matches('203.0.113.9', 9)).toBe(true);
    for (let index = 0; index < 10; index++) {
      expect(latch.consider('203.0.113.10', 9, packet(index, 2000))).toBe(false);
    }
  });

  it('is not taken by a spray of sources, sequences or SSRCs', () => {
    const latch = create();
    for (let index = 0; index < 1000; index++) {
      expect(latch.consider('203.0.113.9', 1000 + index, packet(index, 1000))).toBe(false);
      expect(latch.consider('203.0.113.9', 9, packet(index * 7, 1000))).toBe(false);
      expect(latch.consider('203.0.113.8', 9, packet(index, 1000, index))).toBe(false);
    }
  });

  it('goes back to the address of the SDP when that begins to send, for good', () => {
    const latch = create();
    for (const index of [1, 2, 3]) latch.consider('203.0.113.9', 9, packet(index, 600));
    expect(latch.consider('192.0.2.1', 4000, packet(50, 700))).toBe(true);
    expect([latch.address, latch.latched]).toEqual(['192.0.2.1', false]);
    for (const index of [4, 5, 6, 7]) {
      expect(latch.consider('203.0.113.9', 9, packet(index, 5000))).toBe(false);
    }
  });

  it('never moves when told so', () => {
    const latch = create(Number.POSITIVE_INFINITY);
    for (let index = 0; index < 10; index++) {
      expect(latch.consider('203.0.113.9', 9, packet(index, 1e9))).toBe(false);
    }
  });
});
