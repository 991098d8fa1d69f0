import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { JitterDelay } from './jitter-delay.ts';
import { seededRandom } from '../test-random.ts';

describe('JitterDelay', () => {
  it('starts at 60 ms and falls slowly to the lower bound on a clean line', () => {
    const delay = new JitterDelay();
    expect(delay.valueMs).toBe(60);
    for (let nowMs = 0; nowMs <= 1000; nowMs += 20) delay.update(nowMs, 0);
    expect(delay.valueMs).toBeCloseTo(55);
    for (let nowMs = 1020; nowMs <= 10_000; nowMs += 20) delay.update(nowMs, 0);
    expect(delay.valueMs).toBe(20);
  });

  it('goes up at once, holds for ten seconds, and then comes down by 5 ms a second', () => {
    const delay = new JitterDelay();
    delay.update(0, 0);
    delay.onLate(120, 0);
    expect(delay.valueMs).toBe(130);
    for (let nowMs = 20; nowMs < 10_000; nowMs += 20) delay.update(nowMs, 0);
    expect(delay.valueMs).toBe(130);
    for (let nowMs = 10_000; nowMs < 16_000; nowMs += 20) delay.update(nowMs, 0);
    expect(delay.valueMs).toBeCloseTo(100, 0);
  });

  it('ignores packets that it could never wait for', () => {
    const delay = new JitterDelay({ minMs: 20, maxMs: 200 });
    delay.onLate(201, 0);
    expect(delay.valueMs).toBe(60);
    delay.onLate(199, 0);
    expect(delay.valueMs).toBe(200);
  });

  it('stays at twice the jitter and at what a retransmission takes', () => {
    const delay = new JitterDelay();
    delay.update(0, 40);
    expect(delay.valueMs).toBe(80);
    delay.update(20, 0, 150);
    expect(delay.valueMs).toBe(150);
    delay.update(40, 500, 500);
    expect(delay.valueMs).toBe(200);
  });

  it('is a constant when given a number, and refuses what is no delay', () => {
    const fixed = new JitterDelay(35);
    fixed.onLate(30, 0);
    fixed.update(0, 100, 100);
    expect(fixed.valueMs).toBe(35);
    expect(new JitterDelay(0).valueMs).toBe(0);
    for (const wrong of [-1, Number.NaN, { minMs: 30, maxMs: 20 }, { minMs: 0, maxMs: 1e6 }]) {
      expect(() => new JitterDelay(wrong)).toThrow('delayMs');
    }
  });

  it('stays within its bounds, whatever happens', () => {
    const event = fc.record({
      lateMs: fc.double({ noNaN: true }),
      jitterMs: fc.nat(1000),
      stepMs: fc.nat(3000),
    });
    fc.assert(
      fc.property(fc.array(event), (events) => {
        const delay = new JitterDelay({ minMs: 30, maxMs: 90 });
        let nowMs = 0;
        for (const { lateMs, jitterMs, stepMs } of events) {
          nowMs += stepMs;
          delay.onLate(lateMs, nowMs);
          delay.update(nowMs, jitterMs);
          expect(delay.valueMs).toBeGreaterThanOrEqual(30);
          expect(delay.valueMs).toBeLessThanOrEqual(90);
        }
      }),
    );
  });

  it('on a line whose packets are up to 80 ms late: gives up few of them, and waits no longer than needed', () => {
    const random = seededRandom(5);
    const delay = new JitterDelay();
    let tooLate = 0;
    let all = 0;
    let longestMs = 0;
    for (let nowMs = 0; nowMs < 60_000; nowMs += 20) {
      delay.update(nowMs, 5);
      if (random() > 0.02) continue;
      const lateMs = random() * 80;
      all++;
      if (lateMs > delay.valueMs) tooLate++;
      delay.onLate(lateMs, nowMs);
      longestMs = Math.max(longestMs, delay.valueMs);
    }
    console.log(
      `jitter delay: ${tooLate} of ${all} late packets given up, longest ${longestMs.toFixed(0)} ms`,
    );
    expect(tooLate / all).toBeLessThan(0.1);
    expect(longestMs).toBeLessThanOrEqual(90);
  });

  it('once a packet was late, does not fall below what reordering takes, for half a minute', () => {
    const delay = new JitterDelay();
    let nowMs = 0;
    for (; nowMs <= 10_000; nowMs += 20) delay.update(nowMs, 0);
    expect(delay.valueMs).toBe(20);
    delay.onLate(12, nowMs);
    expect(delay.valueMs).toBe(60);
    for (; nowMs < 39_000; nowMs += 20) delay.update(nowMs, 0);
    expect(delay.valueMs).toBe(60);
    for (; nowMs < 60_000; nowMs += 20) delay.update(nowMs, 0);
    expect(delay.valueMs).toBe(20);
  });
});
