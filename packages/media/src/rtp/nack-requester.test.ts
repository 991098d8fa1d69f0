import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { nackItems, NackRequester } from './nack-requester.ts';
import { decodeRtcp, encodeRtcp } from './rtcp.ts';

/** Sequence numbers of NACK items. */
function expand(items: readonly { packetId: number; bitmask: number }[]): number[] {
  return items.flatMap(({ packetId, bitmask }) => [
    packetId,
    ...Array.from({ length: 16 }, (_, bit) => bit)
      .filter((bit) => (bitmask & (1 << bit)) !== 0)
      .map((bit) => (packetId + bit + 1) & 0xffff),
  ]);
}

/** Polls every millisecond; what was asked and when. */
function run(requester: NackRequester, fromMs: number, toMs: number, roundTripMs = 40): string[] {
  const asked: string[] = [];
  for (let nowMs = fromMs; nowMs < toMs; nowMs++) {
    const items = requester.poll(nowMs, roundTripMs, 200);
    if (items !== undefined) asked.push(`${nowMs}: ${expand(items).join(' ')}`);
  }
  return asked;
}

describe('nackItems', () => {
  it.each([
    [[5], [{ packetId: 5, bitmask: 0 }]],
    [[5, 6, 21], [{ packetId: 5, bitmask: 0x8001 }]],
    [
      [5, 22],
      [
        { packetId: 5, bitmask: 0 },
        { packetId: 22, bitmask: 0 },
      ],
    ],
    [[65_535, 0, 15], [{ packetId: 65_535, bitmask: 0x8001 }]],
    [[], []],
  ])('writes %j', (numbers, items) => {
    expect(nackItems(numbers)).toEqual(items);
  });

  it('asks for exactly what is missing, over the wire and the wrap, in as few items as can be', () => {
    const gaps = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 64 });
    fc.assert(
      fc.property(fc.nat(0xffff), gaps, (first, steps) => {
        let at = first;
        const numbers = steps.map((step) => (at = (at + step) & 0xffff));
        const items = nackItems(numbers);
        const [packet] = decodeRtcp(
          encodeRtcp([{ type: 'nack', senderSsrc: 1, mediaSsrc: 2, lost: items }]),
        ).packets;
        expect(packet?.type === 'nack' && expand(packet.lost)).toEqual(numbers);
        // No item could have taken the first number of the next one.
        items.slice(1).forEach(({ packetId }, index) => {
          expect((packetId - items[index]!.packetId) & 0xffff).toBeGreaterThan(16);
        });
      }),
    );
  });
});

describe('NackRequester', () => {
  it('asks after the tolerance, again each round trip, three times', () => {
    const requester = new NackRequester();
    requester.onMissing(65_535, 2, 100);
    expect(run(requester, 100, 400)).toEqual(['110: 65535 0', '150: 65535 0', '190: 65535 0']);
    expect(requester.stats).toEqual({ nacksSent: 3, requested: 2, recovered: 0, refused: 0 });
    expect(requester.pending).toBe(0);
  });

  it('asks for nothing that was only out of order', () => {
    const requester = new NackRequester();
    requester.onMissing(7, 1, 0);
    requester.onArrived(7);
    expect(run(requester, 0, 300)).toEqual([]);
    expect(requester.stats.recovered).toBe(0);
  });

  it('asks for the rest when some came, and counts those', () => {
    const requester = new NackRequester();
    requester.onMissing(10, 3, 0);
    expect(run(requester, 0, 40)).toEqual(['10: 10 11 12']);
    requester.onArrived(11);
    expect(run(requester, 40, 60)).toEqual(['50: 10 12']);
    requester.onArrived(10);
    requester.onArrived(12);
    requester.onArrived(99);
    expect([run(requester, 60, 300), requester.stats.recovered]).toEqual([[], 3]);
  });

  it('asks no longer than is waited for, and at least every 20 ms apart', () => {
    const requester = new NackRequester();
    requester.onMissing(1, 1, 0);
    expect(requester.poll(10, 0, 30)).toBeDefined();
    expect(requester.poll(29, 0, 30)).toBeUndefined();
    expect(requester.poll(30, 0, 30)).toBeUndefined();
    expect(requester.pending).toBe(0);
  });

  it('never asks for large gaps, nor for more than a bound', () => {
    const requester = new NackRequester();
    requester.onMissing(0, 65, 0);
    expect(requester.pending).toBe(0);
    for (let gap = 0; gap < 10; gap++) requester.onMissing(gap * 100, 64, 0);
    expect(requester.pending).toBe(256);
    expect(requester.stats.refused).toBe(65 + 6 * 64);
    requester.reset();
    expect(run(requester, 0, 300)).toEqual([]);
  });
});
