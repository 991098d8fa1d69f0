// Summarizes an FLV file from its contents.

import { readFileSync } from 'node:fs';
import { parseSps, readFlvTags } from '@sipcast/media';

const VIDEO_CODECS: Readonly<Record<number, string>> = { 7: 'H.264' };
const AUDIO_CODECS: Readonly<Record<number, string>> = {
  7: 'G.711 A-law',
  8: 'G.711 µ-law',
  10: 'AAC',
};

/** The summary of a file. */
export interface FlvSummary {
  readonly videoCodec: string | undefined;
  readonly audioCodec: string | undefined;
  /** Pixels, from the sequence header. */
  readonly width: number | undefined;
  readonly height: number | undefined;
  readonly frames: number;
  readonly keyFrames: number;
  /** From the first to the last media tag. */
  readonly durationMs: number;
  readonly bytes: number;
}

/** Reads the whole file. */
export function summarizeFlv(path: string): FlvSummary {
  const file = readFileSync(path);
  let videoCodec: string | undefined;
  let audioCodec: string | undefined;
  let size: { width: number; height: number } | undefined;
  let frames = 0;
  let keyFrames = 0;
  let firstMs: number | undefined;
  let lastMs = 0;
  for (const { type, timestampMs, body } of readFlvTags(file)) {
    const head = body[0] ?? 0;
    if (type === 8) audioCodec ??= AUDIO_CODECS[head >> 4] ?? `FLV sound format ${head >> 4}`;
    else if (type === 9) {
      videoCodec ??= VIDEO_CODECS[head & 15] ?? `FLV video codec ${head & 15}`;
      if (body[1] === 0) {
        // Sequence header: five octets of tag, six of AVCDecoderConfigurationRecord, length and SPS.
        const length = ((body[11] ?? 0) << 8) | (body[12] ?? 0);
        size ??= parseSps(body.subarray(13, 13 + length));
        continue;
      }
      frames++;
      if (head >> 4 === 1) keyFrames++;
    } else continue;
    firstMs ??= timestampMs;
    lastMs = Math.max(lastMs, timestampMs);
  }
  const { width, height } = size ?? {};
  const durationMs = lastMs - (firstMs ?? 0);
  return {
    videoCodec,
    audioCodec,
    width,
    height,
    frames,
    keyFrames,
    durationMs,
    bytes: file.length,
  };
}
