import { describe, expect, it } from 'vitest';
import type { G711Codec } from './codec.ts';
import { convertG711 } from './g711.ts';

const convert = (codec: G711Codec, octet: number): number =>
  convertG711(codec, Uint8Array.of(octet))[0]!;

describe('convertG711', () => {
  // Extremes and silence of ITU-T G.711; table 2b/3 of G.191 map loud codes onto one another.
  const cases: [G711Codec, number, number][] = [
    ['pcma', 0xd5, 0xfe],
    ['pcma', 0x55, 0x7e],
    ['pcma', 0xaa, 0x80],
    ['pcma', 0x2a, 0x00],
    ['pcmu', 0x80, 0xaa],
    ['pcmu', 0x00, 0x2a],
  ];
  for (const [codec, from, to] of cases) {
    it(`${codec} 0x${from.toString(16)} becomes 0x${to.toString(16)}`, () => {
      expect(convert(codec, from)).toBe(to);
    });
  }

  it('is off by at most one step after a round trip', () => {
    for (let code = 0; code < 0x80; code++) {
      for (const sign of [0, 0x80]) {
        const back = convert('pcmu', convert('pcma', (code | sign) ^ 0x55)) ^ 0x55;
        expect(back & 0x80).toBe(sign);
        expect(Math.abs((back & 0x7f) - code)).toBeLessThanOrEqual(1);
      }
    }
  });

  it('keeps the order of the samples', () => {
    let last = -1;
    for (let code = 0; code < 128; code++) {
      const magnitude = ~convert('pcma', (code | 0x80) ^ 0x55) & 0x7f;
      expect(magnitude).toBeGreaterThanOrEqual(last);
      last = magnitude;
    }
  });
});
