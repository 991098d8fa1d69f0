// Converts values over time to lines in a box. No DOM.

/** A value at a time. `null` breaks the line. */
export interface PlotValue {
  readonly atMs: number;
  readonly value: number | null;
}

/** The box, in drawing units. Its time range ends at `nowMs`. */
export interface PlotBox {
  readonly width: number;
  readonly height: number;
  readonly windowMs: number;
  readonly nowMs: number;
}

/** A finished plot. */
export interface Plot {
  /** Value at the upper edge. The lower edge is 0. */
  readonly top: number;
  /** SVG path data, one per line. */
  readonly paths: readonly string[];
}

/** The smallest of 1, 2, 2.5 and 5 times a power of ten that is at least `value`. */
export function niceCeiling(value: number): number {
  if (!(value > 0) || !Number.isFinite(value)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  for (const step of [1, 2, 2.5, 5]) {
    // Tolerates rounding: 0.3 is not exactly three times 0.1.
    if (value <= step * power * (1 + 1e-9)) return step * power;
  }
  return 10 * power;
}

/** Lays out lines on a common scale. @param leastTop - Minimum of the scale's upper end. */
export function scalePlot(
  lines: readonly (readonly PlotValue[])[],
  box: PlotBox,
  leastTop: number,
): Plot {
  const startMs = box.nowMs - box.windowMs;
  let highest = 0;
  for (const line of lines) {
    for (const { atMs, value } of line) {
      if (value !== null && atMs >= startMs) highest = Math.max(highest, value);
    }
  }
  const top = niceCeiling(Math.max(highest, leastTop));
  const paths = lines.map((line) => {
    let path = '';
    let isDrawing = false;
    for (const { atMs, value } of line) {
      if (value === null || !Number.isFinite(value) || atMs < startMs) {
        isDrawing = false;
        continue;
      }
      const x = ((atMs - startMs) / box.windowMs) * box.width;
      const y = box.height - (Math.max(0, value) / top) * box.height;
      path += `${isDrawing ? 'L' : 'M'}${x.toFixed(1)} ${y.toFixed(1)}`;
      isDrawing = true;
    }
    return path;
  });
  return { top, paths };
}

/** A number with at most three digits. */
export function shortNumber(value: number): string {
  if (value >= 100 || Number.isInteger(value)) return Math.round(value).toString();
  return value >= 10 ? value.toFixed(1) : value.toFixed(2).replace(/0$/, '');
}
