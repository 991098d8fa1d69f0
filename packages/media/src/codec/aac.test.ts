import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AdtsReader } from './aac.ts';
import type { AacFormat } from './aac.ts';

// Two frames of ffmpeg's encoder, mono 44.1 kHz, and garbage in front.
const SILENCE = Buffer.from('fff15040017ffc01182007', 'hex');
const FIRST = Buffer.from(
  'fff15040039ffcde02004c61766335392e33372e313030000230400e'.slice(0, 56),
  'hex',
);

function read(pieces: Iterable<Uint8Array>): {
  formats: AacFormat[];
  frames: string[];
  skipped: number;
} {
  const formats: AacFormat[] = [];
  const frames: string[] = [];
  const reader = new AdtsReader({
    onFormat: (format) => formats.push(format),
    onFrame: (frame) => frames.push(Buffer.from(frame).toString('hex')),
  });
  for (const piece of pieces) reader.push(piece);
  return { formats, frames, skipped: reader.skippedBytes };
}

describe('AdtsReader', () => {
  it('reports the format once, and frames without headers, wherever the input is cut', () => {
    const stream = Buffer.concat([Buffer.from('00ff', 'hex'), FIRST, SILENCE, SILENCE]);
    for (let cut = 0; cut <= stream.length; cut++) {
      const { formats, frames, skipped } = read([stream.subarray(0, cut), stream.subarray(cut)]);
      expect(formats).toEqual([
        { sampleRateHz: 44_100, channels: 1, audioSpecificConfig: Uint8Array.of(0x12, 0x08) },
      ]);
      expect(frames.slice(1)).toEqual(['01182007', '01182007']);
      expect(skipped).toBe(2);
    }
    expect(read(Array.from(stream, (octet) => Uint8Array.of(octet))).frames).toHaveLength(3);
  });

  it('never throws, and holds at most one frame', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 50 }), { maxLength: 20 }), (pieces) => {
        read(pieces);
      }),
    );
  });
});
