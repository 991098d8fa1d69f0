import { describe, expect, it } from 'vitest';
import type { MediaError } from '../errors.ts';
import { PortPool } from './port-pool.ts';

describe('PortPool', () => {
  it('hands out even ports, each once, and then none', () => {
    const pool = new PortPool({ min: 10_001, max: 10_007 });
    expect([pool.take(), pool.take(), pool.take(), pool.take()]).toEqual([
      10_002,
      10_004,
      10_006,
      undefined,
    ]);
    expect([pool.size, pool.taken]).toEqual([3, 3]);
  });

  it('lets a returned pair rest, longest rested first', () => {
    let nowMs = 0;
    const pool = new PortPool({ min: 10_000, max: 10_003, coolDownMs: 100, now: () => nowMs });
    pool.take();
    pool.take();
    pool.release(10_002);
    nowMs = 50;
    pool.release(10_000);
    nowMs = 99;
    expect(pool.take()).toBeUndefined();
    nowMs = 100;
    expect(pool.take()).toBe(10_002);
    expect(pool.take()).toBeUndefined();
    nowMs = 150;
    expect(pool.take()).toBe(10_000);
  });

  it('ignores what was not taken', () => {
    const pool = new PortPool({ min: 10_000, max: 10_001 });
    pool.release(10_000);
    pool.release(80);
    expect([pool.size, pool.take(), pool.take()]).toEqual([1, 10_000, undefined]);
  });

  it.each([
    ['min', { min: 0, max: 10 }],
    ['min', { min: 1.5, max: 10 }],
    ['max', { min: 10, max: 10 }],
    ['max', { min: 11, max: 12 }],
    ['max', { min: 10, max: 70_000 }],
    ['coolDownMs', { min: 10, max: 20, coolDownMs: -1 }],
  ])('names a wrong %s', (field, options) => {
    let caught: unknown;
    try {
      expect(new PortPool(options)).toBeUndefined();
    } catch (error) {
      caught = error;
    }
    expect((caught as MediaError | undefined)?.field).toBe(field);
  });
});
