import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { opusDurationMs } from './opus.ts';

const packet = (config: number, code: number, ...rest: number[]): Uint8Array =>
  Uint8Array.of((config << 3) | code, ...rest);

describe('opusDurationMs', () => {
  it.each([
    [0, 10],
    [3, 60],
    [11, 60],
    [12, 10],
    [15, 20],
    [16, 2.5],
    [31, 20],
  ])('knows the frames of configuration %i', (config, ms) => {
    expect(opusDurationMs(packet(config, 0, 1, 2))).toBe(ms);
    // DTX: nothing but the first octet.
    expect(opusDurationMs(packet(config, 0))).toBe(ms);
    expect(opusDurationMs(packet(config, 1, 1, 2))).toBe(2 * ms);
    expect(opusDurationMs(packet(config, 2, 1, 5, 6))).toBe(2 * ms);
    expect(opusDurationMs(packet(config, 3, 1, 9))).toBe(ms);
  });

  it.each<[string, number | undefined, Uint8Array]>([
    ['nothing', undefined, new Uint8Array(0)],
    ['a frame of 1275 octets', 20, new Uint8Array(1276).fill(31 << 3, 0, 1)],
    ['a frame of 1276 octets', undefined, new Uint8Array(1277).fill(31 << 3, 0, 1)],
    ['two frames of unequal size (R3)', undefined, packet(31, 1, 1, 2, 3)],
    ['a first frame beyond the end (R4)', undefined, packet(31, 2, 4, 5, 6)],
    [
      'a length of two octets',
      40,
      Uint8Array.from([(31 << 3) | 2, 252, 0, ...Array.from({ length: 252 }, () => 0)]),
    ],
    ['a length that is cut', undefined, packet(31, 2, 252)],
    ['no count', undefined, packet(31, 3)],
    ['no frames (R5)', undefined, packet(31, 3, 0)],
    ['six frames of 20 ms', 120, packet(31, 3, 6, 1, 2, 3, 4, 5, 6)],
    ['seven frames of 20 ms (R5)', undefined, packet(31, 3, 7, 1, 2, 3, 4, 5, 6, 7)],
    ['48 frames of 2.5 ms', 120, packet(16, 3, 48)],
    ['a constant rate that does not divide (R6)', undefined, packet(31, 3, 2, 1, 2, 3)],
    ['a variable rate', 60, packet(31, 3, 0x83, 1, 0, 7, 8)],
    ['a variable rate beyond the end (R7)', undefined, packet(31, 3, 0x83, 1, 9, 7, 8)],
    ['padding', 20, packet(31, 3, 0x41, 2, 9, 0, 0)],
    [
      'padding of 254 and one',
      20,
      Uint8Array.from([0xfb, 0x41, 255, 1, 9, ...Array.from({ length: 255 }, () => 0)]),
    ],
    ['padding beyond the end (R6)', undefined, packet(31, 3, 0x41, 3, 9, 0)],
    ['padding without end', undefined, packet(31, 3, 0x41, 255, 255)],
  ])('%s: %s', (_, ms, octets) => {
    expect(opusDurationMs(octets)).toBe(ms);
  });

  it('never throws', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (octets) => {
        const ms = opusDurationMs(octets);
        expect(ms === undefined || (ms >= 2.5 && ms <= 120)).toBe(true);
      }),
    );
  });
});
