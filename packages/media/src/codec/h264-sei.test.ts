import { describe, expect, it } from 'vitest';
import { recoveryFrameCount } from './h264-sei.ts';
import { mutations } from '../test-random.ts';

const sei = (...octets: number[]): Uint8Array => Uint8Array.of(0x06, ...octets);

describe('recoveryFrameCount', () => {
  it.each([
    ['0, as `1`', sei(6, 1, 0b1000_0100, 0x80), 0],
    ['9, as `0001010`', sei(6, 2, 0b0001_0100, 0b0100_0000, 0x80), 9],
    [
      'behind user data of 300 octets',
      sei(5, 0xff, 45, ...Array<number>(300).fill(7), 6, 1, 0xc4, 0x80),
      0,
    ],
    ['with an emulation prevention octet before it', sei(5, 3, 0, 0, 3, 1, 6, 1, 0xc4, 0x80), 0],
    // ue(21), which x264 writes for CIF with intra refresh: 000010110
    ['21', sei(6, 2, 0b0000_1011, 0b0000_0100, 0x80), 21],
  ])('reads %s', (_name, nal, count) => {
    expect(recoveryFrameCount([Uint8Array.of(0x67, 1), nal, Uint8Array.of(0x41)])).toBe(count);
  });

  it.each([
    ['no SEI', Uint8Array.of(0x41, 6, 1, 0xc4, 0x80)],
    ['another message', sei(5, 1, 0xc4, 0x80)],
    ['a size past the end', sei(6, 9, 0xc4, 0x80)],
    ['a count beyond 2^16', sei(6, 4, 0, 0, 0x40, 4, 0x80)],
    ['nothing', sei()],
    ['only 0xff', sei(0xff, 0xff, 0xff, 0xff)],
  ])('finds none in %s', (_name, nal) => {
    expect(recoveryFrameCount([nal])).toBeUndefined();
  });

  it('never throws on 20,000 mutated messages', () => {
    let found = 0;
    for (const nal of mutations(
      [sei(6, 2, 0x14, 0x40, 0x80), sei(5, 2, 1, 1, 6, 1, 0xc4, 0x80)],
      20_000,
      4,
    )) {
      if (recoveryFrameCount([nal]) !== undefined) found++;
    }
    expect(found).toBeGreaterThan(1000);
  });
});
