import { describe, expect, it } from 'vitest';
import { seededRandom } from '../test-random.ts';
import { ClockRate } from './clock-rate.ts';
import { SyncClock } from './sync-clock.ts';

/** Twenty seconds of pictures; what is reported, and when. */
function run(
  rate: (nowMs: number) => number,
  delay: (nowMs: number) => number = () => 0,
  { everyMs = 40, seed = 1 } = {},
): string[] {
  const random = seededRandom(seed);
  const watch = new ClockRate(90_000);
  const found: string[] = [];
  let assumed = 1;
  let ticks = 2 ** 32 - 90_000;
  let lastMs = 0;
  for (let sentMs = 0; sentMs < 20_000; sentMs += everyMs) {
    const arrivalMs = Math.max(lastMs, sentMs + delay(sentMs) + random() * 15);
    lastMs = arrivalMs;
    const measured = watch.push(Math.round(ticks) >>> 0, arrivalMs, assumed);
    if (measured !== undefined) {
      assumed = measured;
      found.push(`${Math.floor(arrivalMs / 1000)} s: ${measured.toFixed(2)}`);
    }
    ticks += everyMs * 90 * rate(sentMs);
  }
  return found;
}

describe('ClockRate', () => {
  it.each([1.25, 0.75, 0.1, 1.08])('finds a rate of %f within three seconds, once', (rate) => {
    const found = run(() => rate);
    expect(found).toHaveLength(1);
    expect(Number.parseInt(found[0]!)).toBeLessThanOrEqual(3);
    expect(Math.abs(Number.parseFloat(found[0]!.split(': ')[1]!) - rate)).toBeLessThan(0.03);
  });

  it('finds nothing in an exact clock, drift, jitter, a slow picture rate, or a stall', () => {
    expect(run(() => 1)).toEqual([]);
    expect(run(() => 1.03)).toEqual([]);
    expect(
      run(
        () => 1,
        () => 0,
        { everyMs: 200 },
      ),
    ).toEqual([]);
    expect(
      run(
        () => 1,
        (nowMs) => (nowMs > 5000 && nowMs < 5800 ? 5800 - nowMs : 0),
      ),
    ).toEqual([]);
    expect(
      run(
        () => 1,
        (nowMs) => (nowMs > 7000 ? 300 : 0),
      ),
    ).toEqual([]);
    const random = seededRandom(9);
    expect(
      run(
        () => 1,
        () => random() * 60,
      ),
    ).toEqual([]);
  });

  it('finds the way back', () => {
    const found = run((nowMs) => (nowMs < 10_000 ? 1.25 : 1));
    expect(found.map((line) => line.split(': ')[1])).toEqual([
      expect.stringMatching(/1.2./),
      '1.00',
    ]);
  });
});

describe('SyncClock with a wrong rate', () => {
  it.each([
    [1.25, 90_000],
    [0.1, 90_000],
    [0.8, 90_000],
    [2, 90_000],
    [10, 90_000],
    // A millisecond, a picture, nothing.
    [1 / 90, 90_000],
    [25 / 90_000, 90_000],
    [0, 90_000],
  ])('follows the arrival of timestamps at %f of their rate', (rate, clockRateHz) => {
    const said: string[] = [];
    const clock = new SyncClock({
      onRate: (kind, hz) => said.push(`${kind} ${Math.round(hz / 10)}`),
    });
    let worstMs = 0;
    let last = 0;
    for (let nowMs = 0; nowMs < 16_000; nowMs += 40) {
      const shownMs = clock.presentationTimeMs(
        'video',
        ((nowMs * clockRateHz * rate) / 1000) >>> 0,
        500 + nowMs,
      );
      expect(shownMs).toBeGreaterThanOrEqual(last);
      last = shownMs;
      if (nowMs >= 4000) worstMs = Math.max(worstMs, Math.abs(shownMs - nowMs));
    }
    const expected = Math.round((clockRateHz * rate) / 10);
    expect(said).toEqual([`video ${expected}`]);
    expect(worstMs).toBeLessThan(60);
  });

  it.each([
    ['audio', 1.25, 8000, 20],
    ['audio', 0.8, 8000, 20],
    ['audio', 1.25, 48_000, 60],
    ['audio', 2, 8000, 20],
    ['audio', 0, 8000, 20],
  ] as const)(
    'follows %s at %f of %i Hz in packets of %i ms',
    (kind, rate, clockRateHz, everyMs) => {
      const said: string[] = [];
      const clock = new SyncClock({
        audioClockRateHz: clockRateHz,
        onRate: (medium, hz) => said.push(`${medium} ${Math.round(hz / 100)}`),
      });
      let worstMs = 0;
      for (let nowMs = 0; nowMs < 16_000; nowMs += everyMs) {
        const heardMs = clock.mediaTimeMs(kind, ((nowMs * clockRateHz * rate) / 1000) >>> 0, nowMs);
        if (nowMs >= 4000) worstMs = Math.max(worstMs, Math.abs(heardMs - nowMs));
      }
      expect(said).toEqual([`${kind} ${Math.round((clockRateHz * rate) / 100)}`]);
      expect(worstMs).toBeLessThan(60);
    },
  );

  it('takes pauses of the sound for no other rate', () => {
    const said: string[] = [];
    const clock = new SyncClock({ onRate: (kind) => said.push(kind) });
    for (let nowMs = 0; nowMs < 30_000; nowMs += 20) {
      // Half a second of speech, then a packet of comfort noise every 160 ms.
      if (nowMs % 1500 < 500 || nowMs % 160 === 0) clock.mediaTimeMs('audio', nowMs * 8, nowMs);
    }
    expect(said).toEqual([]);
  });

  it('finds the way back from timestamps that stood still', () => {
    const clock = new SyncClock();
    let worstMs = 0;
    for (let nowMs = 0; nowMs < 16_000; nowMs += 40) {
      const ticks = nowMs < 8000 ? 7 : nowMs * 90;
      const shownMs = clock.presentationTimeMs('video', ticks, nowMs);
      if (nowMs >= 11_500) worstMs = Math.max(worstMs, Math.abs(shownMs - nowMs));
    }
    expect(worstMs).toBeLessThan(60);
  });
});
