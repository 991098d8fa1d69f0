import { describe, expect, it } from 'vitest';
import type { RtpPacket } from '../codec/frame.ts';
import { ReceptionLine, type ReceptionLineOptions } from './reception-line.ts';
import type { Nack } from './rtcp.ts';
import { seededRandom } from '../test-random.ts';

const EMPTY = new Uint8Array(0);
const packet = (sequenceNumber: number, arrivalMs: number, ssrc = 1): RtpPacket => ({
  datagram: EMPTY,
  payloadType: 96,
  marker: false,
  sequenceNumber: sequenceNumber & 0xffff,
  rtpTimestamp: sequenceNumber * 160,
  ssrc,
  payload: EMPTY,
  arrivalMs,
});

function rig(options: ReceptionLineOptions = {}) {
  const out: number[] = [];
  const asked: number[] = [];
  const line = new ReceptionLine((item) => out.push(item.sequenceNumber), {
    sendNack: (lost: Nack['lost']) => {
      for (const { packetId, bitmask } of lost) {
        asked.push(packetId);
        for (let bit = 0; bit < 16; bit++) {
          if ((bitmask & (1 << bit)) !== 0) asked.push((packetId + bit + 1) & 0xffff);
        }
      }
    },
    ...options,
  });
  return { line, out, asked };
}

describe('ReceptionLine', () => {
  it('delivers packets in order within the same call, whatever the delay', () => {
    const { line, out } = rig({ delayMs: 200 });
    for (let sequence = 0; sequence < 100; sequence++) {
      line.push(packet(sequence, sequence * 20));
      expect(out.at(-1)).toBe(sequence);
    }
  });

  it('asks for a missing packet only where NACK was negotiated', () => {
    for (const nack of [false, true]) {
      const { line, out, asked } = rig({ delayMs: 100 });
      line.nack = nack;
      for (const sequence of [1, 2, 4]) line.push(packet(sequence, 0));
      for (let nowMs = 0; nowMs <= 60; nowMs += 20) line.tick(nowMs);
      expect(asked).toEqual(nack ? [3] : []);
      line.push(packet(3, 70));
      expect(out).toEqual([1, 2, 3, 4]);
      expect(line.stats).toMatchObject({
        lost: 0,
        reordered: 1,
        recovered: nack ? 1 : 0,
        nacksSent: nack ? 1 : 0,
        delayMs: 100,
      });
    }
  });

  it('waits longer once a packet came too late, and for a retransmission from the start', () => {
    const { line } = rig();
    line.push(packet(1, 0));
    line.push(packet(3, 0));
    line.tick(70);
    expect(line.stats.lost).toBe(1);
    line.push(packet(2, 120));
    expect([line.delayMs, line.stats.late]).toEqual([130, 1]);
    const asking = rig().line;
    asking.nack = true;
    asking.tick(0, 0, 120);
    expect(asking.delayMs).toBe(150);
  });

  it('forgets what was missing when another source begins', () => {
    const { line, asked } = rig({ delayMs: 500 });
    line.nack = true;
    for (const sequence of [1, 5]) line.push(packet(sequence, 0));
    for (const sequence of [900, 901]) line.push(packet(sequence, 5, 2));
    line.tick(100);
    expect([asked, line.stats.resyncs]).toEqual([[], 1]);
  });

  it.each([0.01, 0.05, 0.1])('recovers nearly all of a simulated line with loss %d', (loss) => {
    const random = seededRandom(11);
    const { line, out, asked } = rig();
    line.nack = true;
    const coming: { atMs: number; sequence: number }[] = [];
    const total = 5000;
    let lost = 0;
    for (let sequence = 0; sequence < total; sequence++) {
      if (sequence > 0 && random() < loss) lost++;
      else coming.push({ atMs: sequence * 5 + random() * 8, sequence });
    }
    const byTime = (one: { atMs: number }, other: { atMs: number }): number =>
      one.atMs - other.atMs;
    coming.sort(byTime);
    let done = 0;
    for (let nowMs = 0; nowMs < total * 5 + 500; nowMs++) {
      while (coming.length > 0 && coming[0]!.atMs <= nowMs) {
        line.push(packet(coming.shift()!.sequence, nowMs));
      }
      if (nowMs % 20 === 0) line.tick(nowMs, 4, 60);
      // A retransmission is 60 ms on its way, and may be lost as well.
      for (; done < asked.length; done++) {
        if (random() < loss) continue;
        coming.push({ atMs: nowMs + 60, sequence: asked[done]! });
        coming.sort(byTime);
      }
    }
    const { recovered, nacksSent } = line.stats;
    console.log(
      `NACK at ${loss * 100} % loss, 60 ms round trip: ${lost} lost, ${recovered} recovered by ${nacksSent} NACKs, ${total - out.length} never came`,
    );
    expect(out.length).toBeGreaterThan(total - Math.max(2, lost * loss * loss * 3));
    expect(out).toEqual(out.toSorted((one, other) => one - other));
  });

  it.each([1, 2, 3])(
    'loses nothing where 5 %% of the packets come one to three packets late (run %i)',
    (seed) => {
      const random = seededRandom(seed);
      const { line, out } = rig();
      const arrivals = Array.from({ length: 10_000 }, (_, sequence) => {
        const lateMs = random() < 0.05 ? 15 * (1 + Math.floor(random() * 3)) + 0.5 : 0;
        return { sequence, atMs: sequence * 15 + lateMs };
      }).toSorted((one, other) => one.atMs - other.atMs);
      let tickMs = 0;
      for (const { sequence, atMs } of arrivals) {
        for (; tickMs <= atMs; tickMs += 20) line.tick(tickMs, 3);
        line.push(packet(sequence, atMs));
      }
      line.tick(tickMs + 1000);
      expect(line.stats).toMatchObject({ lost: 0, late: 0 });
      expect(out).toHaveLength(10_000);
      expect(line.delayMs).toBeLessThanOrEqual(60);
    },
  );
});
