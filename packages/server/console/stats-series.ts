// Measurements over time, for the plots.

import type { CallView } from '@sipcast/core';

type MediaStats = NonNullable<CallView['media']>;

/** One sample of one medium. `null`: not measured. */
export interface MediumPoint {
  /** Loss since the previous sample, in percent. */
  readonly lossPercent: number | null;
  readonly jitterMs: number | null;
  readonly bitrateKbps: number | null;
}

/** One sample of a call. */
export interface StatsPoint {
  /** Unix milliseconds. */
  readonly atMs: number;
  readonly audio: MediumPoint;
  readonly video: MediumPoint;
}

/** The measured fields of one medium. */
type Measured = Pick<
  NonNullable<MediaStats['audio']>,
  'packets' | 'lost' | 'jitterMs' | 'bitrateBps'
>;
/** The measured fields of a call. */
export interface MeasuredCall {
  readonly audio: Measured | null;
  readonly video: Measured | null;
}

const NOTHING: MediumPoint = { lossPercent: null, jitterMs: null, bitrateKbps: null };

/** The sample of a moment. @param before - The previous measurement, from which losses are counted. */
export function statsPoint(
  before: MeasuredCall | null,
  now: MeasuredCall | null,
  atMs: number,
): StatsPoint {
  return {
    atMs,
    audio: mediumPoint(before?.audio ?? null, now?.audio ?? null),
    video: mediumPoint(before?.video ?? null, now?.video ?? null),
  };
}

function mediumPoint(before: Measured | null, now: Measured | null): MediumPoint {
  if (!now) return NOTHING;
  const packets = now.packets - (before?.packets ?? 0);
  // A late packet can reduce the loss.
  const lost = Math.max(0, now.lost - (before?.lost ?? 0));
  const expected = packets + lost;
  return {
    lossPercent: before && expected > 0 ? (100 * lost) / expected : null,
    jitterMs: now.jitterMs,
    bitrateKbps: now.bitrateBps === null ? null : now.bitrateBps / 1000,
  };
}

/** Adds a sample, and drops those older than `windowMs`. */
export function withPoint(
  points: readonly StatsPoint[],
  point: StatsPoint,
  windowMs: number,
): readonly StatsPoint[] {
  return [...points.filter(({ atMs }) => atMs >= point.atMs - windowMs), point];
}
