import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MediaError } from '../errors.ts';
import type { RtpPacket } from '../codec/frame.ts';
import { JITTER_BUFFER_SLOTS, JitterBuffer, type JitterBufferOptions } from './jitter-buffer.ts';
import { seededRandom } from '../test-random.ts';

const EMPTY = new Uint8Array(0);

function packet(sequenceNumber: number, arrivalMs = 0, fields: Partial<RtpPacket> = {}): RtpPacket {
  return {
    datagram: EMPTY,
    payloadType: 96,
    marker: false,
    sequenceNumber: sequenceNumber & 0xffff,
    rtpTimestamp: sequenceNumber * 160,
    ssrc: 1,
    payload: EMPTY,
    arrivalMs,
    ...fields,
  };
}

function rig(options: JitterBufferOptions = {}) {
  const out: number[] = [];
  const gaps: string[] = [];
  const buffer = new JitterBuffer((item) => out.push(item.sequenceNumber), {
    ...options,
    onGap: (cause, missing) => gaps.push(`${cause} ${missing}`),
  });
  return { buffer, out, gaps };
}

describe('JitterBuffer', () => {
  it('passes packets in order at once, over the wrap of the sequence', () => {
    const { buffer, out, gaps } = rig();
    for (let sequence = 65530; sequence < 65546; sequence++) {
      buffer.push(packet(sequence));
      expect(out.at(-1)).toBe(sequence & 0xffff);
    }
    expect(gaps).toEqual([]);
    expect(buffer.expire(1e9)).toBe(Number.POSITIVE_INFINITY);
  });

  it('repairs reordering and drops duplicates, also held ones', () => {
    const { buffer, out } = rig();
    for (const sequence of [1, 3, 3, 2, 2, 1, 6, 5, 4]) buffer.push(packet(sequence));
    expect(out).toEqual([1, 2, 3, 4, 5, 6]);
    expect(buffer.stats).toMatchObject({ duplicates: 3, reordered: 3, lost: 0, late: 0 });
  });

  it('gives a gap up after the delay, not before, and says when to come back', () => {
    const { buffer, out, gaps } = rig();
    buffer.push(packet(1, 0));
    buffer.push(packet(4, 100));
    expect(buffer.expire(130)).toBe(30);
    expect(out).toEqual([1]);
    expect(buffer.expire(160)).toBe(Number.POSITIVE_INFINITY);
    expect(out).toEqual([1, 4]);
    expect(gaps).toEqual(['loss 2']);
    buffer.push(packet(2, 161));
    expect(buffer.stats).toMatchObject({ lost: 2, late: 1 });
  });

  it('gives up by the arrival of later packets without a tick', () => {
    const { buffer, out } = rig();
    buffer.push(packet(1, 0));
    buffer.push(packet(3, 20));
    buffer.push(packet(4, 79));
    expect(out).toEqual([1]);
    buffer.push(packet(5, 80));
    expect(out).toEqual([1, 3, 4, 5]);
  });

  it('takes the missing packet even when the delay has just passed', () => {
    const { buffer, out } = rig();
    buffer.push(packet(1, 0));
    buffer.push(packet(3, 20));
    buffer.push(packet(2, 500));
    expect(out).toEqual([1, 2, 3]);
  });

  it('gives up by count', () => {
    const { buffer, out } = rig({ maxHeldPackets: 3 });
    for (const sequence of [1, 3, 4, 5]) buffer.push(packet(sequence));
    expect(out).toEqual([1]);
    buffer.push(packet(6));
    expect(out).toEqual([1, 3, 4, 5, 6]);
  });

  it('waits for each of several gaps', () => {
    const { buffer, out, gaps } = rig();
    buffer.push(packet(1, 0));
    buffer.push(packet(3, 10));
    buffer.push(packet(5, 50));
    expect(buffer.expire(70)).toBe(40);
    expect(out).toEqual([1, 3]);
    buffer.expire(110);
    expect(out).toEqual([1, 3, 5]);
    expect(gaps).toEqual(['loss 1', 'loss 1']);
  });

  it('follows a new SSRC at its second packet and loses neither', () => {
    const { buffer, out, gaps } = rig();
    buffer.push(packet(1));
    buffer.push(packet(2));
    buffer.push(packet(900, 20, { ssrc: 9 }));
    expect(out).toEqual([1, 2]);
    buffer.push(packet(901, 40, { ssrc: 9 }));
    expect(out).toEqual([1, 2, 900, 901]);
    expect(gaps).toEqual(['ssrc 0']);
  });

  it('ignores single strangers between good packets', () => {
    const { buffer, out } = rig();
    for (let sequence = 1; sequence <= 50; sequence++) {
      buffer.push(packet(sequence));
      buffer.push(packet(sequence + 30_000, 0));
      buffer.push(packet(sequence + 7, 0, { ssrc: 9 }));
    }
    expect(out).toEqual(Array.from({ length: 50 }, (_, index) => index + 1));
    expect(buffer.stats.resyncs).toBe(0);
  });

  it.each([30_000, 32_768, 40_000, 600, 65_536 - 150])('follows a jump of %i', (jump) => {
    const { buffer, out, gaps } = rig();
    buffer.push(packet(10));
    buffer.push(packet(10 + jump, 20));
    buffer.push(packet(11 + jump, 40));
    expect(out).toEqual([10, (10 + jump) & 0xffff, (11 + jump) & 0xffff]);
    expect(gaps).toEqual(['restart 0']);
  });

  it.each([1, 5, 60, 100])('follows a restart %i packets back within a second', (back) => {
    const { buffer, out } = rig();
    for (let sequence = 1000; sequence < 1100; sequence++) {
      buffer.push(packet(sequence, sequence * 20));
    }
    const before = out.length;
    for (let step = 0; step < 50; step++) {
      const fields = { rtpTimestamp: step * 160 + 7 };
      buffer.push(packet(1100 - back + step, (1100 + step) * 20, fields));
    }
    expect(out.length).toBeGreaterThan(before);
    expect(out.at(-1)).toBe(1100 - back + 49);
  });

  it('does not take a replay of old packets for a restart', () => {
    const { buffer, out } = rig();
    for (let sequence = 0; sequence < 100; sequence++) buffer.push(packet(sequence, sequence));
    for (let sequence = 20; sequence < 100; sequence++) buffer.push(packet(sequence, 1000));
    expect(out).toHaveLength(100);
    expect(buffer.stats).toMatchObject({ duplicates: 80, resyncs: 0 });
  });

  it('holds a bounded number of packets', () => {
    const { buffer } = rig({ maxHeldPackets: JITTER_BUFFER_SLOTS - 1 });
    buffer.push(packet(0));
    for (let sequence = 2; sequence < 5000; sequence += 2) buffer.push(packet(sequence));
    const { delivered, lost } = buffer.stats;
    expect(2500 - delivered).toBeLessThan(JITTER_BUFFER_SLOTS);
    expect(lost).toBeGreaterThan(2000);
  });

  it('hands on what it holds at reset', () => {
    const { buffer, out } = rig();
    for (const sequence of [1, 3, 4]) buffer.push(packet(sequence));
    buffer.reset();
    buffer.push(packet(2));
    expect(out).toEqual([1, 3, 4, 2]);
  });

  it('rejects wrong options by name', () => {
    for (const [options, field] of [
      [{ delayMs: -1 }, 'delayMs'],
      [{ delayMs: Number.NaN }, 'delayMs'],
      [{ maxHeldPackets: 0 }, 'maxHeldPackets'],
      [{ maxHeldPackets: JITTER_BUFFER_SLOTS }, 'maxHeldPackets'],
    ] as const) {
      let caught: unknown;
      try {
        rig(options);
      } catch (error) {
        caught = error;
      }
      expect(caught).toBeInstanceOf(MediaError);
      expect((caught as MediaError).field).toBe(field);
    }
  });

  it('repairs any reordering inside the window completely', () => {
    fc.assert(
      fc.property(fc.nat(), fc.integer({ min: 0, max: 65535 }), (seed, first) => {
        const random = seededRandom(seed);
        const sent = Array.from({ length: 300 }, (_, index) => ({
          item: packet(first + index, 0, { rtpTimestamp: index }),
          at: index === 0 ? -1 : index + random() * 20,
        }));
        const doubled = sent.flatMap((entry) =>
          random() < 0.05 ? [entry, { ...entry, at: entry.at + random() * 20 }] : [entry],
        );
        doubled.sort((left, right) => left.at - right.at);
        const out: number[] = [];
        const buffer = new JitterBuffer((item) => out.push(item.rtpTimestamp));
        for (const { item } of doubled) buffer.push(item);
        expect(out).toEqual(sent.map(({ item }) => item.rtpTimestamp));
      }),
    );
  });

  it('never goes backwards and counts every packet, whatever comes of one stream', () => {
    fc.assert(
      fc.property(fc.nat(), (seed) => {
        const random = seededRandom(seed);
        const out: number[] = [];
        const buffer = new JitterBuffer((item) => out.push(item.rtpTimestamp));
        const pending: { item: RtpPacket; at: number }[] = [];
        for (let index = 0; index < 500; index++) {
          if (index > 0 && random() < 0.1) continue;
          const at = index * 5 + (index === 0 ? 0 : random() * 150);
          pending.push({ item: packet(65_400 + index, at, { rtpTimestamp: index }), at });
        }
        pending.sort((left, right) => left.at - right.at);
        for (const { item } of pending) buffer.push(item);
        buffer.expire(1e9);
        expect(out.toSorted((left, right) => left - right)).toEqual(out);
        const { delivered, late, duplicates } = buffer.stats;
        expect(delivered).toBe(out.length);
        expect(delivered + late + duplicates).toBe(pending.length);
      }),
    );
  });
});
