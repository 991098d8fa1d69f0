import { describe, expect, it } from 'vitest';
import type { RtpPacket } from '../codec/frame.ts';
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
const create = (afterMs = 500, signallingAddress?: string) =>
  new SourceLatch({ address: '192.0.2.1', port: 4000, startMs: 0, afterMs, signallingAddress });

/** `count` packets in sequence, 20 ms apart. @returns when one of them was latched on; -1: never. */
function play(
  latch: SourceLatch,
  address: string,
  port: number,
  fromMs: number,
  count: number,
): number {
  for (let index = 0; index < count; index++) {
    const nowMs = fromMs + index * 20;
    if (latch.matches(address, port)) continue;
    if (latch.consider(address, port, packet(index, nowMs))) return nowMs;
  }
  return -1;
}

describe('SourceLatch', () => {
  it('accepts only the address of the SDP once it has sent', () => {
    const latch = create();
    expect(latch.matches('192.0.2.1', 4000)).toBe(true);
    expect(latch.matches('192.0.2.1', 4001)).toBe(false);
    expect(play(latch, '203.0.113.9', 4000, 10_000, 1000)).toBe(-1);
    expect([latch.address, latch.port, latch.latched]).toEqual(['192.0.2.1', 4000, false]);
  });

  it('takes another source after silence and three packets in sequence, over the wrap, and then no third', () => {
    const latch = create();
    expect(play(latch, '203.0.113.9', 9, 400, 5)).toBe(-1);
    const taken = [65_535, 0, 1].map((sequence, index) =>
      latch.consider('203.0.113.9', 9, packet(sequence, 500 + index * 20)),
    );
    expect(taken).toEqual([false, false, true]);
    expect([latch.address, latch.port, latch.latched]).toEqual(['203.0.113.9', 9, true]);
    expect(latch.matches('203.0.113.9', 9)).toBe(true);
    expect(play(latch, '203.0.113.10', 9, 2000, 100)).toBe(-1);
  });

  it('is not taken by a spray of sources, sequences, SSRCs, or without the pace of media', () => {
    const latch = create();
    for (let index = 0; index < 1000; index++) {
      const nowMs = 1000 + index / 50;
      expect(latch.consider('203.0.113.9', 1000 + index, packet(index, nowMs))).toBe(false);
      expect(latch.consider('203.0.113.9', 9, packet(index * 7, nowMs))).toBe(false);
      expect(latch.consider('203.0.113.8', 9, packet(index, nowMs, index))).toBe(false);
      expect(latch.consider('203.0.113.7', 9, packet(index, nowMs))).toBe(false);
    }
  });

  it('finds the peer among sources that spray', () => {
    const latch = create();
    let takenMs = -1;
    for (let nowMs = 500; takenMs < 0 && nowMs < 2000; nowMs++) {
      const index = nowMs - 500;
      latch.consider('203.0.113.9', 9, packet(index * 3, nowMs));
      latch.consider('203.0.113.8', 9, packet(index, nowMs, index));
      if (index % 20 === 0 && latch.consider('203.0.113.1', 9, packet(index / 20, nowMs, 5))) {
        takenMs = nowMs;
      }
    }
    expect(takenMs).toBe(540);
  });

  it('prefers the address that signalling comes from, and the IP address of the SDP', () => {
    for (const [address, takenMs] of [
      ['198.51.100.7', 540],
      ['192.0.2.1', 540],
      ['203.0.113.9', 2040],
    ] as const) {
      const latch = create(500, '198.51.100.7');
      expect(play(latch, address, 9, 0, 1000)).toBe(takenMs);
    }
  });

  it('goes back to the address of the SDP when that begins to send, for good', () => {
    const latch = create();
    expect(play(latch, '203.0.113.9', 9, 600, 5)).toBe(640);
    expect(latch.consider('192.0.2.1', 4000, packet(50, 700))).toBe(true);
    expect([latch.address, latch.latched]).toEqual(['192.0.2.1', false]);
    expect(play(latch, '203.0.113.9', 9, 5000, 100)).toBe(-1);
  });

  it('never moves when latching is off', () => {
    const latch = create(Number.POSITIVE_INFINITY, '203.0.113.9');
    expect(play(latch, '203.0.113.9', 9, 1e9, 100)).toBe(-1);
  });

  it('latches no address that may not be sent to, and does not return to one', () => {
    const latch = new SourceLatch({
      address: '192.168.7.7',
      port: 4000,
      startMs: 0,
      afterMs: 500,
      maySendTo: (address) => address === '203.0.113.9',
    });
    expect(play(latch, '169.254.169.254', 9, 1000, 500)).toBe(-1);
    expect(play(latch, '203.0.113.9', 9, 11_000, 5)).toBe(11_040);
    expect(play(latch, '192.168.7.7', 4000, 12_000, 500)).toBe(-1);
    expect([latch.address, latch.port]).toEqual(['203.0.113.9', 9]);
  });
});
