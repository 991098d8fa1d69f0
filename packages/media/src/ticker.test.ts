import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Ticker } from './ticker.ts';

describe('Ticker', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  it('ticks without drift although each timer is late', () => {
    let lateMs = 0;
    const ticker = new Ticker({ now: () => Date.now() + lateMs });
    const startMs = Date.now();
    const ticks: number[] = [];
    ticker.add((nowMs) => {
      ticks.push(nowMs - startMs);
      lateMs = 0.4;
    });
    vi.advanceTimersByTime(10_000);
    expect(ticks.length).toBeGreaterThanOrEqual(499);
    expect(ticks.length).toBeLessThanOrEqual(501);
  });

  it('has no timer without listeners, and can start again', () => {
    const ticker = new Ticker();
    let ticks = 0;
    const listen = (): void => void ticks++;
    ticker.add(listen);
    ticker.add(listen);
    expect([ticker.size, vi.getTimerCount()]).toEqual([1, 1]);
    vi.advanceTimersByTime(60);
    ticker.remove(listen);
    expect([ticker.size, vi.getTimerCount(), ticks]).toEqual([0, 0, 3]);
    ticker.add(listen);
    vi.advanceTimersByTime(20);
    expect(ticks).toBe(4);
    ticker.remove(listen);
  });

  it('lets a listener remove itself and others', () => {
    const ticker = new Ticker();
    const calls: string[] = [];
    const second = (): void => void calls.push('second');
    const first = (): void => {
      calls.push('first');
      ticker.remove(first);
      ticker.remove(second);
    };
    ticker.add(first);
    ticker.add(second);
    vi.advanceTimersByTime(100);
    expect([calls, vi.getTimerCount()]).toEqual([['first'], 0]);
  });

  it('ticks after a stall once everything that waited has run', () => {
    let extraMs = 0;
    const ticker = new Ticker({ now: () => Date.now() + extraMs });
    const order: string[] = [];
    const listen = (): void => void order.push('beat');
    ticker.add(listen);
    setTimeout(() => order.push('timer'), 20);
    extraMs = 500;
    // Each turn of the loop is a millisecond here.
    vi.advanceTimersByTime(25);
    expect(order.slice(0, 2)).toEqual(['timer', 'beat']);
    order.length = 0;
    extraMs = 5000;
    vi.advanceTimersToNextTimer();
    expect(vi.getTimerCount()).toBe(1);
    // Between the two, no listener is left; then one is added again.
    ticker.remove(listen);
    expect(vi.getTimerCount()).toBe(0);
    ticker.add(listen);
    vi.advanceTimersByTime(20);
    expect(order).toEqual(['beat']);
    ticker.remove(listen);
  });

  it('does not catch up on a stall in a burst', () => {
    let extraMs = 0;
    const ticker = new Ticker({ now: () => Date.now() + extraMs });
    let ticks = 0;
    const listen = (): void => void ticks++;
    ticker.add(listen);
    vi.advanceTimersByTime(100);
    extraMs = 5000;
    vi.advanceTimersByTime(100);
    expect(ticks).toBeLessThanOrEqual(12);
    ticker.remove(listen);
  });
});
