import { describe, expect, it } from 'vitest';
import { decodeG711 } from './g711.ts';

describe('decodeG711', () => {
  // Extremes and silence of ITU-T G.711, scaled to 16 bits as every implementation does.
  const cases: ['pcma' | 'pcmu', number, number][] = [
    ['pcma', 0xd5, 8],
    ['pcma', 0x55, -8],
    ['pcma', 0xaa, 32_256],
    ['pcma', 0x2a, -32_256],
    ['pcmu', 0xff, 0],
    ['pcmu', 0x7f, 0],
    ['pcmu', 0x80, 32_124],
    ['pcmu', 0x00, -32_124],
  ];
  for (const [codec, octet, sample] of cases) {
    it(`${codec} 0x${octet.toString(16)} is ${sample}`, () => {
      expect(decodeG711(codec, Uint8Array.of(octet)).readInt16LE(0)).toBe(sample);
    });
  }

  it('rises with the code in both halves', () => {
    const all = Uint8Array.from({ length: 128 }, (_, n) => (n | 0x80) ^ 0x55);
    const samples = decodeG711('pcma', all);
    for (let n = 1; n < 128; n++) {
      expect(samples.readInt16LE(n * 2)).toBeGreaterThan(samples.readInt16LE(n * 2 - 2));
    }
  });
});
