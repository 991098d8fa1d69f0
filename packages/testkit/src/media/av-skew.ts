// Measures the audio-video skew in a recording of the clip `scene` from its flashes and beeps, decoded by ffmpeg.

import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

/** The result of {@link measureAvSkew}, in milliseconds of the recording's own time. */
export interface AvSkew {
  /** First picture of each white flash. */
  readonly flashesMs: readonly number[];
  /** Start of each beep. */
  readonly beepsMs: readonly number[];
  /** For each flash with a beep within 500 ms, in order: beep minus flash. Positive: the audio is late. */
  readonly skewsMs: readonly number[];
  /** Median of `skewsMs`. */
  readonly medianMs: number;
  /** The value of `skewsMs` furthest from 0, with its sign. */
  readonly worstMs: number;
}

/** The scene flashes and beeps once a second. */
const MIN_DISTANCE_MS = 500;
const SAMPLE_RATE_HZ = 8000;
/** The beep is at half of full scale, everything else far below. */
const LOUD = 10_000;
/** Mean luma at the square's position: it is black, and white during a flash. */
const BRIGHT = 128;
const TIMEOUT_MS = 120_000;
const MAX_OUTPUT_BYTES = 256 * 1024 * 1024;

/**
 * Measures a recording of the clip `scene`, in which a white square flashes in the top left corner while a tone beeps,
 * once a second. The picture may be scaled, but not cropped.
 *
 * @param file - Path of a file that ffmpeg can read: FLV, MP4, …
 * @param options - `ffmpegPath` defaults to the environment's `FFMPEG_PATH`, else `ffmpeg` on the `PATH`.
 * @throws Error (rejection) if ffmpeg does not run or cannot read the file, or there is no flash, no beep, or no flash
 * with a beep nearby.
 */
export async function measureAvSkew(
  file: string,
  options: { readonly ffmpegPath?: string } = {},
): Promise<AvSkew> {
  const ffmpeg = options.ffmpegPath ?? process.env['FFMPEG_PATH'] ?? 'ffmpeg';
  const [flashesMs, beepsMs] = await Promise.all([
    findFlashes(ffmpeg, file),
    findBeeps(ffmpeg, file),
  ]);
  if (flashesMs.length === 0) throw new Error(`No flash in ${file}`);
  if (beepsMs.length === 0) throw new Error(`No beep in ${file}`);
  const skewsMs = flashesMs
    .map((flash) =>
      beepsMs
        .map((beep) => beep - flash)
        .reduce((best, skew) => (Math.abs(skew) < Math.abs(best) ? skew : best)),
    )
    .filter((skew) => Math.abs(skew) <= MIN_DISTANCE_MS);
  if (skewsMs.length === 0) throw new Error(`No flash with a beep nearby in ${file}`);
  const sorted = skewsMs.toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  return {
    flashesMs,
    beepsMs,
    skewsMs,
    medianMs: (sorted[Math.ceil(middle) - 1]! + sorted[Math.floor(middle)]!) / 2,
    worstMs: skewsMs.reduce((worst, skew) => (Math.abs(skew) > Math.abs(worst) ? skew : worst)),
  };
}

/** The square covers 15–95 of 640×360: scale its middle to one grey pixel per picture. */
async function findFlashes(ffmpeg: string, file: string): Promise<number[]> {
  const filters = 'crop=iw*60/640:ih*60/360:iw*25/640:ih*25/360,scale=1:1,format=gray,showinfo';
  // The null output may round its times; showinfo reports the decoder's.
  const output = ['-an', '-vf', filters, '-f', 'null', '-'];
  const { stderr } = await run(ffmpeg, ['-v', 'info', '-copyts', '-i', file, ...output]);
  const flashes: number[] = [];
  for (const [, seconds, luma] of stderr.matchAll(/pts_time:\s*([\d.]+)[^\n]*?mean:\[(\d+)/g)) {
    if (Number(luma) > BRIGHT) note(flashes, Number(seconds) * 1000);
  }
  return flashes;
}

async function findBeeps(ffmpeg: string, file: string): Promise<number[]> {
  // Gaps become silence, so that a sample's position equals its time; by itself, ffmpeg ignores gaps up to 100 ms.
  const filters = `aresample=${SAMPLE_RATE_HZ}:async=1:min_hard_comp=0.01:first_pts=0`;
  const output = ['-vn', '-af', filters, '-f', 's16le', '-ac', '1', 'pipe:1'];
  const { stdout } = await run(ffmpeg, ['-v', 'error', '-copyts', '-i', file, ...output]);
  const beeps: number[] = [];
  for (let at = 0; at + 1 < stdout.length; at += 2) {
    if (Math.abs(stdout.readInt16LE(at)) > LOUD) note(beeps, (at / 2 / SAMPLE_RATE_HZ) * 1000);
  }
  return beeps;
}

/** Keeps only the first time of each event. */
function note(times: number[], ms: number): void {
  if (ms - (times.at(-1) ?? -MIN_DISTANCE_MS) >= MIN_DISTANCE_MS) times.push(ms);
}

async function run(
  ffmpeg: string,
  args: readonly string[],
): Promise<{ stdout: Buffer; stderr: string }> {
  try {
    const { stdout, stderr } = await promisify(execFile)(
      ffmpeg,
      ['-nostdin', '-hide_banner', ...args],
      {
        encoding: 'buffer',
        timeout: TIMEOUT_MS,
        maxBuffer: MAX_OUTPUT_BYTES,
      },
    );
    return { stdout, stderr: stderr.toString() };
  } catch (cause) {
    throw new Error(`${ffmpeg} does not run, or cannot read this file`, { cause });
  }
}
