import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { MediaError } from '../errors.ts';
import {
  beginsPicture,
  decodeAvcConfiguration,
  decodeSpropParameterSets,
  encodeAvcConfiguration,
  parseSps,
  unescapeNal,
} from './h264.ts';
import { mutations } from '../test-random.ts';

const hex = (text: string): Uint8Array =>
  new Uint8Array(Buffer.from(text.replaceAll(' ', ''), 'hex'));

/** Parameter sets written by x264. */
const BASELINE = hex('6742c01ed900a02ff97011000003000100000300320f162e48');
const HIGH = hex('67640028acd940780227e5c044000003000400000300c83c60c658');
const MAIN = hex('674d4015eca0d8ff2780880000030008000003019078b16cb0');
const HIGH_444_10 = hex('67f4000d90d9b282833f1b8088000003000800000301e078a14cb0');
const INTERLACED = hex('6764001eacd940b424d8088000000300800000190f8a14cb');
const PPS = hex('68cb83cb20');

describe('parseSps', () => {
  it.each([
    [
      'Baseline 640×360',
      BASELINE,
      { profileIdc: 66, constraintFlags: 0xc0, levelIdc: 30, width: 640, height: 360, fps: 25 },
    ],
    [
      'High 1920×1080, cropped from 1088',
      HIGH,
      { profileIdc: 100, levelIdc: 40, width: 1920, height: 1080, fps: 25, chromaFormat: 1 },
    ],
    [
      'Main 426×240, cropped from 432',
      MAIN,
      { profileIdc: 77, levelIdc: 21, width: 426, height: 240, fps: 25 },
    ],
    [
      'High 4:4:4, 10 bit',
      HIGH_444_10,
      {
        profileIdc: 244,
        width: 320,
        height: 180,
        fps: 30,
        chromaFormat: 3,
        bitDepthLuma: 10,
        bitDepthChroma: 10,
      },
    ],
    ['coded as fields', INTERLACED, { profileIdc: 100, width: 720, height: 576, fps: 25 }],
    ['without VUI', hex('67 42 00 1e da 02 80 f6 80'), { width: 640, height: 480, fps: undefined }],
  ])('reads %s', (_name, sps, expected) => {
    expect(parseSps(sps)).toMatchObject(expected);
  });

  it.each([
    ['a pyramid of B slices', '674d400deca0a0fd80880000030008000003019078a14cb0', 2],
    ['B slices', '674d400de98283f60220000003002000000641e28527', 1],
    ['Main without B slices', '674d400dda0507ec0440000003004000000c83c50aa8', 0],
    [
      'HRD parameters before it',
      '674d400deca0a0fd80880000030008000003019301000f420003d09498600f142996',
      2,
    ],
    ['no VUI, Baseline', '6742001eda0280f680', 0],
    ['no VUI, Main', '674d001ef40501e880', undefined],
    ['a VUI that is cut short', '674d400deca0a0fd80880000030008000003019078', undefined],
  ])('reports how far pictures are reordered: %s', (_name, sps, frames) => {
    expect(parseSps(hex(sps))?.maxReorderFrames).toBe(frames);
  });

  it('refuses other NAL units, truncated ones and absurd sizes', () => {
    expect(parseSps(PPS)).toBeUndefined();
    expect(parseSps(new Uint8Array(0))).toBeUndefined();
    expect(parseSps(BASELINE.subarray(0, 7))).toBeUndefined();
    expect(parseSps(hex('67 42 00 1e 00 00 00 00 00'))).toBeUndefined();
    const long = new Uint8Array(5000).fill(0xff);
    long[0] = 0x67;
    expect(parseSps(long)).toBeUndefined();
  });

  it('never throws and keeps its ranges on 100,000 mutations', () => {
    let parsed = 0;
    let absurd = 0;
    for (const nal of mutations([BASELINE, HIGH, MAIN, HIGH_444_10], 100_000, 5)) {
      const parameters = parseSps(nal);
      if (parameters === undefined) continue;
      parsed++;
      const { width, height, fps = 1 } = parameters;
      if (width < 1 || width > 16_384 || height < 1 || height > 16_384 || !(fps > 0)) absurd++;
    }
    expect(parsed).toBeGreaterThan(10_000);
    expect(absurd).toBe(0);
  });
});

describe('unescapeNal', () => {
  it.each([
    ['000003', '0000'],
    ['00000301', '000001'],
    ['0000030000030000', '000000000000'],
    ['0000030003', '00000003'],
    ['000003000003', '00000000'],
    ['0003', '0003'],
    ['', ''],
  ])('turns %s into %s', (escaped, plain) => {
    expect(Buffer.from(unescapeNal(hex(escaped))).toString('hex')).toBe(plain);
  });

  it('undoes the encoder of §7.4.1', () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom(0, 0, 0, 1, 2, 3, 4), { maxLength: 60 }), (octets) => {
        const escaped: number[] = [];
        let zeros = 0;
        for (const octet of octets) {
          if (zeros === 2 && octet <= 3) {
            escaped.push(3);
            zeros = 0;
          }
          escaped.push(octet);
          zeros = octet === 0 ? zeros + 1 : 0;
        }
        expect([...unescapeNal(Uint8Array.from(escaped))]).toEqual(octets);
      }),
    );
  });

  it('does not copy what needs no change', () => {
    expect(unescapeNal(PPS)).toBe(PPS);
  });
});

describe('encodeAvcConfiguration', () => {
  it('writes the record for Baseline', () => {
    expect(encodeAvcConfiguration([BASELINE], [PPS]).toString('hex')).toBe(
      `0142c01effe10019${Buffer.from(BASELINE).toString('hex')}0100 05${Buffer.from(PPS).toString('hex')}`.replace(
        ' ',
        '',
      ),
    );
  });

  it('adds chroma and bit depth for High profiles', () => {
    expect(encodeAvcConfiguration([HIGH], [PPS]).subarray(-4).toString('hex')).toBe('fdf8f800');
    expect(encodeAvcConfiguration([HIGH_444_10], [PPS]).subarray(-4).toString('hex')).toBe(
      'fffafa00',
    );
  });

  it('names the missing set', () => {
    const field = (sps: Uint8Array[], pps: Uint8Array[]): string | undefined => {
      try {
        encodeAvcConfiguration(sps, pps);
      } catch (error) {
        return (error as MediaError).field;
      }
      return undefined;
    };
    expect(field([], [PPS])).toBe('sps');
    expect(field([BASELINE], [])).toBe('pps');
    expect(field([BASELINE], [new Uint8Array(70_000)])).toBe('pps');
  });
});

describe('decodeSpropParameterSets', () => {
  const sets = (value: string): string[] =>
    decodeSpropParameterSets(value).map((nal) => Buffer.from(nal).toString('hex'));

  it('reads SPS and PPS', () => {
    const value = `${Buffer.from(BASELINE).toString('base64')}, ${Buffer.from(PPS).toString('base64')}`;
    expect(sets(value)).toEqual([Buffer.from(BASELINE).toString('hex'), '68cb83cb20']);
  });

  it.each(['', ',', 'x', '====', 'Zm9v', 'aA==', '\u0000', 'Z0IA!', 'ZYgA'])(
    'ignores %j',
    (value) => {
      expect(sets(value)).toEqual([]);
    },
  );

  it('takes a bounded number, and any text', () => {
    expect(sets('Z0LAHg==,'.repeat(100))).toHaveLength(16);
    fc.assert(fc.property(fc.string(), (value) => void decodeSpropParameterSets(value)));
  });
});

describe('beginsPicture', () => {
  it('looks at first_mb_in_slice of slices only', () => {
    expect(
      ['6588', '6508', '419a', '411a', '439a', '67ff', '65', ''].map((nal) =>
        beginsPicture(hex(nal)),
      ),
    ).toEqual([true, false, true, false, false, false, false, false]);
  });
});

describe('decodeAvcConfiguration', () => {
  const record = encodeAvcConfiguration([BASELINE, HIGH], [PPS]);

  it('returns the parameter sets, SPS first', () => {
    const sets = decodeAvcConfiguration(record).map((set) => Buffer.from(set).toString('hex'));
    expect(sets).toEqual([BASELINE, HIGH, PPS].map((set) => Buffer.from(set).toString('hex')));
  });

  it('returns nothing for a truncated record, short lengths, or something else', () => {
    for (let cut = 0; cut < record.length; cut++) {
      expect(decodeAvcConfiguration(record.subarray(0, cut))).toEqual([]);
    }
    const shortLengths = Buffer.from(record);
    shortLengths[4] = 0xfd;
    expect(decodeAvcConfiguration(shortLengths)).toEqual([]);
    for (const bytes of mutations([record], 2000, 9)) decodeAvcConfiguration(bytes);
  });
});
