import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { audioSilence } from './silence.ts';
import { countSpeexFrames, MAX_SPEEX_FRAMES, splitSpeexFrames } from './speex.ts';

/** Octets of text like `0 0011 101`, filled up as RFC 5574 §3 says. */
function octets(text: string): Uint8Array {
  let digits = text.replaceAll(' ', '');
  if (digits.length % 8 !== 0) digits += '0';
  while (digits.length % 8 !== 0) digits += '1';
  return Uint8Array.from(digits.match(/.{8}/g) ?? [], (one) => Number.parseInt(one, 2));
}

/** Sizes of the Speex manual: table "bit allocation", heads included. */
const NARROW = [5, 43, 119, 160, 220, 300, 364, 492, 79];
const LAYER = [4, 36, 112, 192, 352];
const narrow = (mode: number): string =>
  `0${mode.toString(2).padStart(4, '0')}`.padEnd(NARROW[mode]!, '10');
const layer = (mode: number): string =>
  `1${mode.toString(2).padStart(3, '0')}`.padEnd(LAYER[mode]!, '01');

describe('Speex packets', () => {
  it('holds frames of every mode, with or without layers', () => {
    for (let mode = 0; mode < NARROW.length; mode++) {
      for (const layers of ['', ...LAYER.map((_, wide) => layer(wide)), layer(1) + layer(0)]) {
        const frame = narrow(mode) + layers;
        for (const count of [1, 2, 7]) {
          const packet = octets(frame.repeat(count));
          expect(countSpeexFrames(packet), `${mode} ${layers.length} ${count}`).toBe(count);
          expect(splitSpeexFrames(packet)).toEqual(
            Array.from({ length: count }, () => octets(frame)),
          );
        }
      }
    }
  });

  it('knows its own silence', () => {
    for (const codec of ['speex-nb', 'speex-wb'] as const) {
      expect(countSpeexFrames(audioSilence(codec))).toBe(1);
      expect(splitSpeexFrames(audioSilence(codec))).toEqual([audioSilence(codec)]);
    }
  });

  it('skips in-band messages', () => {
    for (const [code, bits] of [1, 1, 4, 4, 4, 4, 4, 4, 8, 8, 16, 16, 32, 32, 64, 64].entries()) {
      const message = `01110${code.toString(2).padStart(4, '0')}${'1'.repeat(bits)}`;
      expect(countSpeexFrames(octets(message + narrow(3))), `code ${code}`).toBe(1);
    }
    expect(countSpeexFrames(octets(`011010010${'1'.repeat(5 + 16)}${narrow(1)}`))).toBe(1);
  });

  it('ends at a terminator, and where less than a head is left', () => {
    expect(countSpeexFrames(octets(`${narrow(0)}01111${narrow(3)}`))).toBe(1);
    expect(countSpeexFrames(octets(''))).toBe(0);
    expect(countSpeexFrames(Uint8Array.of(0x7f))).toBe(0);
  });

  it.each([
    ['a cut frame', octets(narrow(3)).subarray(0, 19)],
    ['a cut layer', octets(narrow(3) + layer(3)).subarray(0, 30)],
    ['a cut message', octets('01110 1111 1111')],
    ['modes that do not exist', octets('01010'.padEnd(80, '0'))],
    ['layers that do not exist', octets(`${narrow(3)}1110${'0'.repeat(80)}`)],
    ['a layer without a frame', octets(layer(1) + narrow(1))],
    ['more than a second', octets(narrow(0).repeat(MAX_SPEEX_FRAMES + 1))],
  ])('takes no %s', (_, packet) => {
    expect(countSpeexFrames(packet)).toBeUndefined();
  });

  it('never throws, and splits whatever it can count', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (packet) => {
        const count = countSpeexFrames(packet);
        if (count === undefined) return;
        const frames = splitSpeexFrames(packet);
        expect(frames).toHaveLength(count);
        for (const frame of frames) expect(countSpeexFrames(frame)).toBe(1);
      }),
    );
  });
});
