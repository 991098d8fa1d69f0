import { describe, expect, it } from 'vitest';
import { readFlvTags } from '../flv/flv-file.ts';
import type { H264AccessUnit, Vp8Frame } from '../codec/frame.ts';
import { createTranscoderInput } from './transcoder-input.ts';

const hex = (text: string): Uint8Array =>
  Uint8Array.from(Buffer.from(text.replaceAll(' ', ''), 'hex'));

const KEY = hex('10 00 00 9d 01 2a 80 02 68 01');
const INTER = hex('31 00 00');

const vp8 = (payload: Uint8Array): Vp8Frame => ({
  codec: 'vp8',
  payload,
  isKeyFrame: (payload[0]! & 1) === 0,
  rtpTimestamp: 0,
  arrivalMs: 0,
});

describe('VP8 for the transcoder', () => {
  it('is IVF in milliseconds; no two pictures have one time', () => {
    const input = createTranscoderInput({ codec: 'vp8' });
    expect(input.format(vp8(INTER), 0)).toEqual([]);
    expect(input.sizeAt(vp8(KEY))).toMatchObject({ width: 640, height: 360 });
    const octets = [
      ...input.format(vp8(KEY), 0.4),
      ...input.format(vp8(INTER), 0.3),
      ...input.format(vp8(INTER), 2 ** 33),
    ];
    expect(Buffer.concat(octets).toString('hex')).toBe(
      [
        '444b4946 0000 2000 56503830 8002 6801 e8030000 01000000 00000000 00000000',
        '0a000000 0000000000000000',
        Buffer.from(KEY).toString('hex'),
        '03000000 0100000000000000 310000',
        '03000000 0000000002000000 310000',
      ]
        .join('')
        .replaceAll(' ', ''),
    );
    input.restart();
    expect(input.format(vp8(KEY), 0)).toHaveLength(3);
  });
});

// 640×360 Constrained Baseline, and Main 320×240 with two reordered pictures, from x264.
const SPS_360 = hex('6742c01eda0280bfe5c044000003000400000300c83c58ba80');
const SPS_REORDERED = hex('674d400deca0a0fd80880000030008000003019078a14cb0');
const PPS = hex('68ce0fc8');

const unit = (...nalus: Uint8Array[]): H264AccessUnit => ({
  codec: 'h264',
  nalus,
  isKeyFrame: nalus.some((nal) => (nal[0]! & 0x1f) === 5),
  rtpTimestamp: 0,
  arrivalMs: 0,
});
const IDR = hex('6588 84');
const SLICE = hex('419a 00');

describe('H.264 for the transcoder', () => {
  const tagsOf = (octets: readonly Uint8Array[]) =>
    [...readFlvTags(Buffer.concat(octets))].map(({ type, timestampMs, body }) => ({
      type,
      timestampMs,
      kind: body[1],
      compositionMs: type === 9 ? Buffer.from(body).readIntBE(2, 3) : 0,
    }));

  it('is FLV; each child gets the parameter sets again, also those that came once', () => {
    const input = createTranscoderInput({ codec: 'h264', parameterSets: [SPS_360, PPS] });
    expect(input.sizeAt(unit(IDR))).toMatchObject({ width: 640, height: 360 });
    for (let child = 0; child < 2; child++) {
      const octets = [...input.format(unit(IDR), 0), ...input.format(unit(SLICE), 40)];
      expect(tagsOf(octets)).toMatchObject([
        { type: 18, timestampMs: 0 },
        { type: 9, timestampMs: 0, kind: 0 },
        { type: 9, timestampMs: 0, kind: 1 },
        { type: 9, timestampMs: 40, kind: 1, compositionMs: 0 },
      ]);
      input.restart();
    }
  });

  it('has decoding times, by the parameter sets of the key frame', () => {
    const input = createTranscoderInput({ codec: 'h264' });
    const key = unit(SPS_REORDERED, PPS, IDR);
    expect(input.sizeAt(key)).toMatchObject({ width: 320, height: 240 });
    const octets = [0, 160, 80, 40, 120].flatMap((ms, at) =>
      input.format(at === 0 ? key : unit(SLICE), ms),
    );
    const pictures = tagsOf(octets).filter(({ kind, type }) => type === 9 && kind === 1);
    expect(pictures.map(({ timestampMs }) => timestampMs)).toEqual([0, 1, 2, 40, 80]);
    expect(pictures.map(({ compositionMs }) => compositionMs)).toEqual([0, 159, 78, 0, 40]);
  });

  it('cannot write pictures without parameter sets, nor those of another codec', () => {
    const input = createTranscoderInput({ codec: 'h264' });
    expect(input.sizeAt(unit(IDR))).toBeUndefined();
    expect(input.format(unit(IDR), 0)).toEqual([]);
    expect(input.format(vp8(KEY), 0)).toEqual([]);
  });
});
