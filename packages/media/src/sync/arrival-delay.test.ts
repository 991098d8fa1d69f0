import { describe, expect, it } from 'vitest';
import { ArrivalDelay } from './arrival-delay.ts';
import type { RtpPacket } from '../codec/frame.ts';
import { seededRandom } from '../test-random.ts';

const EMPTY = new Uint8Array(0);
const packet = (rtpTimestamp: number, arrivalMs: number, ssrc = 1): RtpPacket => ({
  datagram: EMPTY,
  payloadType: 8,
  marker: false,
  sequenceNumber: 0,
  rtpTimestamp: rtpTimestamp >>> 0,
  ssrc,
  payload: EMPTY,
  arrivalMs,
});

/** Packets of 20 ms from `fromMs` to `toMs`, each `lateMs(ms)` behind its time. */
function play(
  delay: ArrivalDelay,
  fromMs: number,
  toMs: number,
  lateMs: (ms: number) => number,
  firstTicks = 0,
): void {
  for (let ms = fromMs; ms < toMs; ms += 20) {
    delay.push(packet(firstTicks + ms * 8, 1000 + ms + lateMs(ms)));
  }
}

describe('ArrivalDelay', () => {
  it('is the lower bound on a line without jitter, over the wrap of the timestamp', () => {
    const delay = new ArrivalDelay(8000);
    play(delay, 0, 30_000, () => 7, 0xffff_0000);
    expect(delay.valueMs).toBe(20);
  });

  it('goes up with the first late packet, and down slowly when the line is good again', () => {
    const delay = new ArrivalDelay(8000);
    play(delay, 0, 3000, () => 0);
    play(delay, 3000, 3020, () => 150);
    expect(delay.valueMs).toBe(160);
    play(delay, 3020, 7000, () => 0);
    expect(delay.valueMs).toBe(160);
    play(delay, 7000, 10_000, () => 0);
    expect(delay.valueMs).toBeLessThan(140);
    expect(delay.valueMs).toBeGreaterThan(60);
    play(delay, 10_000, 20_000, () => 0);
    expect(delay.valueMs).toBe(20);
  });

  it('is bounded', () => {
    const delay = new ArrivalDelay(8000);
    play(delay, 0, 10_000, (ms) => (ms % 1000 === 0 ? 900 : 0));
    expect(delay.valueMs).toBe(400);
    expect(() => new ArrivalDelay(8000, { minMs: 2, maxMs: 1 })).toThrow('range');
  });

  it('takes neither silence suppression nor a stopped clock nor another source for lateness', () => {
    const delay = new ArrivalDelay(8000);
    play(delay, 0, 1000, () => 0);
    play(delay, 6000, 7000, () => 0); // Five seconds of DTX: timestamps went on.
    // The sender's clock stood still for 3 s.
    for (let ms = 0; ms < 1000; ms += 20) delay.push(packet(7000 * 8 + ms * 8, 11_000 + ms));
    for (let ms = 0; ms < 1000; ms += 20) delay.push(packet(ms * 8 + 5, 12_000 + ms, 2));
    expect(delay.valueMs).toBe(20);
  });

  it('follows a clock that drifts by 300 ppm without taking it for lateness', () => {
    const delay = new ArrivalDelay(8000);
    play(delay, 0, 600_000, (ms) => ms * 0.0003);
    expect(delay.valueMs).toBeLessThan(30);
    play(delay, 600_000, 1_200_000, (ms) => 360 - ms * 0.0003);
    expect(delay.valueMs).toBeLessThan(30);
  });

  it('covers nearly all packets of lines with jitter, and little more', () => {
    for (const jitterMs of [20, 60, 150]) {
      const random = seededRandom(jitterMs);
      const delay = new ArrivalDelay(8000);
      let uncovered = 0;
      let dueMs = 0;
      for (let ms = 0; ms < 120_000; ms += 20) {
        dueMs = Math.max(dueMs, ms + random() * random() * jitterMs);
        if (dueMs - ms > delay.valueMs) uncovered++;
        delay.push(packet(ms * 8, 1000 + dueMs));
      }
      console.log(
        `arrival delay: jitter up to ${jitterMs} ms, ${uncovered} of 6000 packets later than the delay, now ${delay.valueMs.toFixed(0)} ms`,
      );
      expect(uncovered).toBeLessThan(60);
      expect(delay.valueMs).toBeLessThanOrEqual(jitterMs + 10);
    }
  });
});
