// How fast something grows, by values that scatter: the estimator of Theil and Sen, with the confidence interval of Sen.

/** Growth in units of the value for each unit of time. */
export interface Slope {
  readonly perUnit: number;
  /** The 95 % confidence interval, for values whose scatter is independent. */
  readonly low: number;
  readonly high: number;
}

/** Quantile 0.975 of the normal distribution. */
const Z = 1.96;

/**
 * The median of the slopes between all pairs (P. K. Sen, 1968), which a few outliers do not move.
 *
 * @param points - `[time, value]` with different times, three at least.
 * @throws RangeError for fewer.
 */
export function theilSen(points: readonly (readonly [number, number])[]): Slope {
  const count = points.length;
  if (count < 3) throw new RangeError('A slope needs three points');
  const slopes: number[] = [];
  for (const [index, [time, value]] of points.entries())
    for (const [later, reached] of points.slice(index + 1))
      slopes.push((reached - value) / (later - time));
  slopes.sort((a, b) => a - b);
  // The variance of Kendall's S without ties.
  const spread = Z * Math.sqrt((count * (count - 1) * (2 * count + 5)) / 18);
  const at = (rank: number): number =>
    slopes[Math.min(slopes.length - 1, Math.max(0, Math.round(rank)))] ?? Number.NaN;
  const middle = (slopes.length - 1) / 2;
  return {
    perUnit: (at(Math.floor(middle)) + at(Math.ceil(middle))) / 2,
    low: at((slopes.length - spread) / 2 - 1),
    high: at((slopes.length + spread) / 2),
  };
}
