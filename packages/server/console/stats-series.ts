// Measured values over time: what the plots show.

import type { CallView } from '@sipcast/core';

type MediaStats = NonNullable<CallView['media']>;

/** One moment of one medium; `null` where nothing was measured. */
export interface MediumPoint {
  /** Of the packets since the point before, in percent. */
  readonly lossPercent: number | null;
  readonly jitterMs: number | null;
  readonly bitrateKbps: number | null;
}

/** One moment of a call. */
export interface StatsPoint {
  /** Unix milliseconds. */
  readonly atMs: number;
  readonly audio: MediumPoint;
  readonly video: MediumPoint;
}

/** What is counted and measured of one medium. */
type Measured = Pick<
  NonNullable<MediaStats['audio']>,
  'packets' | 'lost' | 'jitterMs' | 'bitrateBps'
>;
/** The same of a call. */
export interface MeasuredCall {
  readonly audio: Measured | null;
  readonly video: Measured | null;
}

const NOTHING: MediumPoint = { lossPercent: null, jitterMs: null, bitrateKbps: null };

/** The values of a moment. @param before - Measured at the point before: losses are counted from there. */
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
  // A late packet takes a loss back.
  const lost = Math.max(0, now.lost - (before?.lost ?? 0));
  const expected = packets + lost;
  return {
    lossPercent: before && expected > 0 ? (100 * lost) / expected : null,
    jitterMs: now.jitterMs,
    bitrateKbps: now.bitrateBps === null ? null : now.bitrateBps / 1000,
  };
}

/** Adds a point, and lets go of those that are older than `windowMs`. */
export function withPoint(
  points: readonly StatsPoint[],
  point: StatsPoint,
  windowMs: number,
): readonly StatsPoint[] {
  return [...points.filter(({ atMs }) => atMs >= point.atMs - windowMs), point];
}
