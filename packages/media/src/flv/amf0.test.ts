import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { amf0Object, decodeAmf0, EcmaArray, encodeAmf0, MAX_AMF0_DEPTH } from './amf0.ts';
import type { Amf0Value } from './amf0.ts';

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

describe('AMF0', () => {
  const table: [string, Amf0Value, string][] = [
    ['number', 1, '003ff0000000000000'],
    ['boolean', true, '0101'],
    ['string', 'live', '0200046c697665'],
    ['null', null, '05'],
    ['undefined', undefined, '06'],
    ['object', amf0Object({ a: 1 }), '03000161003ff0000000000000000009'],
    ['ecma array', new EcmaArray(amf0Object({ a: false })), '08000000010001610100000009'],
    ['strict array', [null, true], '0a00000002050101'],
    ['date', new Date(0), '0b00000000000000000000'],
  ];

  for (const [name, value, octets] of table) {
    it(`encodes and decodes ${name}`, () => {
      expect(hex(encodeAmf0(value))).toBe(octets);
      expect(decodeAmf0(Buffer.from(octets, 'hex'))).toEqual([value]);
    });
  }

  it('uses a long string above 65,535 octets', () => {
    const text = 'x'.repeat(70_000);
    expect(encodeAmf0(text)[0]).toBe(12);
    expect(decodeAmf0(encodeAmf0(text))).toEqual([text]);
  });

  it('keeps __proto__ as a plain key', () => {
    const [decoded] = decodeAmf0(encodeAmf0(new Map([['__proto__', 'x']]))) as [
      Map<string, string>,
    ];
    expect(decoded.get('__proto__')).toBe('x');
    expect(({} as Record<string, unknown>)['x']).toBeUndefined();
  });

  it('names truncation at every cut', () => {
    const whole = encodeAmf0('connect', 1, amf0Object({ app: 'live', list: [1, 'two'] }));
    const cleanCuts = new Set([0, encodeAmf0('connect').length, encodeAmf0('connect', 1).length]);
    for (let cut = 0; cut < whole.length; cut++) {
      const result = decodeAmf0(whole.subarray(0, cut));
      if (cleanCuts.has(cut)) expect(Array.isArray(result)).toBe(true);
      else expect(result).toBe('amf0-truncated');
    }
  });

  it('refuses deep nesting and unknown types', () => {
    const deep = Buffer.alloc(50_000, Buffer.from('0a00000001', 'hex'));
    expect(decodeAmf0(deep)).toBe('amf0-too-deep');
    expect(decodeAmf0(Buffer.from([0x7f]))).toBe('amf0-unknown-type');
    let nested: Amf0Value = 1;
    for (let i = 0; i < MAX_AMF0_DEPTH; i++) nested = [nested];
    expect(decodeAmf0(encodeAmf0(nested))).toEqual([nested]);
  });

  it('never throws on arbitrary octets, and a huge array count does not allocate', () => {
    expect(decodeAmf0(Buffer.from('0affffffff', 'hex'))).toBe('amf0-truncated');
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        decodeAmf0(bytes);
      }),
    );
  });
});
