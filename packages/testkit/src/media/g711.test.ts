import { describe, expect, it } from 'vitest';
import { aLawToLinear, aLawToMuLaw, linearToMuLaw } from './g711.ts';

/** µ-law to linear, by the table's definition. */
function muLawToLinear(octet: number): number {
  const bits = ~octet & 0xff;
  const magnitude = ((((bits & 0x0f) << 3) + 0x84) << ((bits >> 4) & 7)) - 0x84;
  return (bits & 0x80) !== 0 ? -magnitude : magnitude;
}

describe('G.711', () => {
  it('reads A-law: silence, both signs, the loudest', () => {
    expect(aLawToLinear(0xd5)).toBe(8);
    expect(aLawToLinear(0x55)).toBe(-8);
    expect(aLawToLinear(0xaa)).toBe(32_256);
    expect(aLawToLinear(0x2a)).toBe(-32_256);
  });

  it('writes µ-law: silence and the ends', () => {
    expect(linearToMuLaw(0)).toBe(0xff);
    expect(linearToMuLaw(-1)).toBe(0x7f);
    expect(linearToMuLaw(32_767)).toBe(0x80);
    expect(linearToMuLaw(-32_768)).toBe(0x00);
  });

  it('writes back every µ-law octet that it can read', () => {
    for (let octet = 0; octet < 256; octet++) {
      // Minus zero has no separate linear value.
      const expected = octet === 0x7f ? 0xff : octet;
      expect(linearToMuLaw(muLawToLinear(octet))).toBe(expected);
    }
  });

  it('converts within one step of either law', () => {
    const all = Uint8Array.from({ length: 256 }, (_, octet) => octet);
    const converted = aLawToMuLaw(all);
    for (const octet of all) {
      const before = aLawToLinear(octet);
      const after = muLawToLinear(converted[octet]!);
      expect(Math.abs(after - before)).toBeLessThanOrEqual(Math.max(16, Math.abs(before) / 16));
    }
  });
});
