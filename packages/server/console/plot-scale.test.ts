import { describe, expect, it } from 'vitest';
import { niceCeiling, scalePlot, shortNumber } from './plot-scale.ts';

const box = { width: 100, height: 50, windowMs: 1000, nowMs: 5000 };

describe('the top of a scale', () => {
  it.each([
    [0, 1],
    [-3, 1],
    [Number.NaN, 1],
    [Number.POSITIVE_INFINITY, 1],
    [1, 1],
    [1.01, 2],
    [0.3, 0.5],
    [21, 25],
    [26, 50],
    [501, 1000],
    [0.02, 0.02],
  ])('above %d is %d', (value, top) => expect(niceCeiling(value)).toBeCloseTo(top, 10));
});

describe('a plot', () => {
  it('places the newest value at the right, the oldest at the left, and the highest below the top', () => {
    const line = [
      { atMs: 4000, value: 0 },
      { atMs: 4500, value: 5 },
      { atMs: 5000, value: 10 },
    ];
    expect(scalePlot([line], box, 1)).toEqual({
      top: 10,
      paths: ['M0.0 50.0L50.0 25.0L100.0 0.0'],
    });
  });

  it('breaks a line at missing values, and drops old values', () => {
    const line = [
      { atMs: 3000, value: 900 },
      { atMs: 4000, value: 1 },
      { atMs: 4250, value: null },
      { atMs: 4500, value: 2 },
      { atMs: 5000, value: 2 },
    ];
    const { top, paths } = scalePlot([line, []], box, 1);
    expect(top).toBe(2);
    expect(paths).toEqual(['M0.0 25.0M50.0 0.0L100.0 0.0', '']);
  });

  it('uses one scale for all lines, and at least the given one', () => {
    const at = (value: number) => [{ atMs: 5000, value }];
    expect(scalePlot([at(3), at(40)], box, 1).top).toBe(50);
    expect(scalePlot([at(0.1)], box, 10).top).toBe(10);
    expect(scalePlot([], box, 10)).toEqual({ top: 10, paths: [] });
  });
});

it.each([
  [0, '0'],
  [0.5, '0.5'],
  [0.123, '0.12'],
  [12.34, '12.3'],
  [640.4, '640'],
])('%d is shown as %s', (value, text) => expect(shortNumber(value)).toBe(text));
