// What a figure of the fault run is, and the table that they make.

import type { Random } from '@sipcast/testkit';
import type { Workshop } from './workshop.ts';

/** How a figure is taken. */
export interface FaultRun {
  /** Seeds everything that is random. */
  readonly random: Random;
  /** A short run: smaller counts, and bounds of time are told but not judged, as they say little of a busy machine. */
  readonly quick: boolean;
  readonly workshop: Workshop;
  /** For servers of this figure: nobody else here takes them. */
  readonly rtpPorts: { readonly min: number; readonly max: number };
}

/** One line of the table. */
export interface Measurement {
  /** What was done, with its counts. */
  readonly what: string;
  /** What must come out. */
  readonly bound: string;
  readonly found: string;
  /** undefined: not judged. */
  readonly holds: boolean | undefined;
}

/** One attack or fault, and what it comes to. */
export interface Figure {
  /** E.g. `ssrf`, for `--only`. */
  readonly name: string;
  /** What is at stake, in a few words. */
  readonly title: string;
  measure(run: FaultRun): Promise<readonly Measurement[]>;
}

/** A measurement whose bound is one of time or memory: judged in a full run alone. */
export function timed(
  run: FaultRun,
  measurement: Measurement & { readonly holds: boolean },
): Measurement {
  return run.quick ? { ...measurement, holds: undefined } : measurement;
}

/** A table in Markdown. */
export function formatTable(rows: readonly { figure: Figure; measurement: Measurement }[]): string {
  const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('\n', ' ');
  const verdict = (holds: boolean | undefined): string =>
    holds === undefined ? 'not judged' : holds ? 'holds' : '**missed**';
  return [
    '| fault | what was done | bound | found | |',
    '|---|---|---|---|---|',
    ...rows.map(({ figure, measurement: { what, bound, found, holds } }) =>
      ['', figure.title, what, bound, found, verdict(holds), ''].map(cell).join(' | ').trim(),
    ),
  ].join('\n');
}

/** The value below which a share of the sorted values lies. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN;
}

export function mebibytes(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}
