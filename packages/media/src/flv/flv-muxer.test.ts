import { describe, expect, it } from 'vitest';
import type { EcmaArray } from './amf0.ts';
import { decodeAmf0 } from './amf0.ts';
import { monoAacFormat } from '../codec/aac.ts';
import { FlvMuxer } from './flv-muxer.ts';
import type { FlvMuxerOptions } from './flv-muxer.ts';
import { NAL_HEADROOM_BYTES } from '../codec/frame.ts';
import type { FlvTag, H264AccessUnit } from '../codec/frame.ts';

// 640×360 and 320×240 Constrained Baseline, from x264.
const SPS_360 = Buffer.from('6742c01eda0280bfe5c044000003000400000300c83c58ba80', 'hex');
const SPS_240 = Buffer.from('6742c00dda0507e840000003004000000ca3c50aa8', 'hex');
const PPS = Buffer.from('68ce0fc8', 'hex');
const PPS_1 = Buffer.from('685ce0fc80', 'hex'); // pic_parameter_set_id 1
const IDR = Buffer.from('6588840012345678', 'hex');
const SLICE = Buffer.from('419a0011', 'hex');

function mux(options: Partial<FlvMuxerOptions> = {}): { muxer: FlvMuxer; tags: FlvTag[] } {
  const tags: FlvTag[] = [];
  const muxer = new FlvMuxer({ audioCodec: 'pcma', hasVideo: true, ...options }, (tag) =>
    tags.push(tag),
  );
  return { muxer, tags };
}

const unit = (...nalus: Uint8Array[]): H264AccessUnit => ({
  codec: 'h264',
  nalus,
  isKeyFrame: nalus.some((nalu) => ((nalu[0] as number) & 0x1f) === 5),
  rtpTimestamp: 0,
  arrivalMs: 0,
});

const metadataOf = (tag: FlvTag | undefined): Record<string, unknown> => {
  const [name, value] = decodeAmf0(tag?.body ?? new Uint8Array()) as [string, EcmaArray];
  expect(name).toBe('onMetaData');
  return Object.fromEntries(value.entries);
};

describe('FlvMuxer', () => {
  it('keeps what is neither SPS nor PPS out of the sequence header', () => {
    const { muxer, tags } = mux();
    const spsExtension = Uint8Array.of(0x6d, 0x80, 0x11);
    muxer.setParameterSets([SPS_360, spsExtension, PPS]);
    muxer.push(unit(IDR), 0);
    expect(Buffer.from(tags[1]?.body ?? []).toString('hex')).toBe(
      `17000000000142c01effe10019${SPS_360.toString('hex')}010004${PPS.toString('hex')}`,
    );
  });

  it('sends metadata with the size, the sequence header, then the key frame', () => {
    const { muxer, tags } = mux();
    muxer.push(unit(SPS_360, PPS, IDR), 40);
    expect(tags.map((tag) => [tag.role, tag.timestampMs])).toEqual([
      ['metadata', 40],
      ['sequence-header', 40],
      ['key-frame', 40],
    ]);
    expect(metadataOf(tags[0])).toEqual({
      encoder: 'sipcast',
      videocodecid: 7,
      width: 640,
      height: 360,
      audiocodecid: 7,
      audiosamplerate: 8000,
      audiosamplesize: 16,
      stereo: false,
    });
    expect(Buffer.from(tags[1]?.body ?? []).toString('hex')).toBe(
      `17000000000142c01effe10019${SPS_360.toString('hex')}010004${PPS.toString('hex')}`,
    );
    expect(Buffer.from(tags[2]?.body ?? []).toString('hex')).toBe(
      `170100000000000008${IDR.toString('hex')}`,
    );
    expect(muxer.video).toEqual({ width: 640, height: 360, profileLevelId: '42c01e' });
    expect(muxer.preamble).toEqual([tags[0], tags[1]]);
  });

  it('writes the composition time between the rounded times, never below 0', () => {
    const { muxer, tags } = mux();
    muxer.push(unit(SPS_360, PPS, IDR), 0.4, 80.2);
    muxer.push(unit(SLICE), 40.5, 0.4);
    muxer.push(unit(SLICE), 80, -5);
    muxer.push(unit(SLICE), 120, 1e9);
    const compositions = tags.slice(2).map(({ body }) => Buffer.from(body).readIntBE(2, 3));
    expect(compositions).toEqual([81, 0, 0, 0x7fffff]);
    expect(tags.slice(2).map(({ body }) => body[0])).toEqual([0x17, 0x27, 0x27, 0x27]);
  });

  it('writes the header in front of a NAL unit with headroom, without a copy', () => {
    const { muxer, tags } = mux();
    const { buffer } = Buffer.allocUnsafeSlow(NAL_HEADROOM_BYTES + IDR.length).fill(0xee);
    const roomy = new Uint8Array(buffer, NAL_HEADROOM_BYTES);
    roomy.set(IDR);
    muxer.push({ ...unit(SPS_360, PPS, roomy), withHeadroom: roomy }, 0);
    muxer.push({ ...unit(roomy, SLICE), withHeadroom: roomy }, 40);
    const [inPlace, copied] = tags.slice(2).map((tag) => tag.body);
    expect(inPlace?.buffer).toBe(buffer);
    expect(Buffer.from(inPlace ?? []).toString('hex')).toBe(
      `170100000000000008${IDR.toString('hex')}`,
    );
    // Beside another NAL unit it has to be copied.
    expect(copied?.buffer).not.toBe(buffer);
    expect(Buffer.from(copied ?? []).toString('hex')).toBe(
      `170100000000000008${IDR.toString('hex')}00000004${SLICE.toString('hex')}`,
    );
  });

  it('repeats no header for repeated parameter sets, and removes them from the frames', () => {
    const { muxer, tags } = mux();
    muxer.push(unit(SPS_360, PPS, IDR), 0);
    muxer.push(unit(Buffer.from([9, 0xf0]), SLICE), 40);
    muxer.push(unit(SPS_360, PPS, IDR), 80);
    expect(tags.slice(3).map((tag) => tag.role)).toEqual(['inter-frame', 'key-frame']);
    expect(Buffer.from(tags[3]?.body ?? []).toString('hex')).toBe('270100000000000004419a0011');
  });

  it('sends a new header before the IDR of a new size, not before', () => {
    const { muxer, tags } = mux();
    muxer.push(unit(SPS_360, PPS, IDR), 0);
    muxer.push(unit(SPS_240, PPS), 40); // on its own, as some phones send it
    expect(tags).toHaveLength(3);
    muxer.push(unit(IDR), 80);
    expect(tags.slice(3).map((tag) => tag.role)).toEqual([
      'metadata',
      'sequence-header',
      'key-frame',
    ]);
    expect(metadataOf(tags[3])).toMatchObject({ width: 320, height: 240 });
  });

  it('keeps a new picture parameter set in the middle of a GOP in the stream', () => {
    const { muxer, tags } = mux();
    muxer.push(unit(SPS_360, PPS, IDR), 0);
    muxer.push(unit(PPS_1, SLICE), 40);
    expect(Buffer.from(tags[3]?.body ?? []).includes(PPS_1)).toBe(true);
    muxer.push(unit(IDR), 80);
    const header = Buffer.from(tags.findLast((tag) => tag.role === 'sequence-header')?.body ?? []);
    expect(header.includes(PPS_1) && header.includes(PPS)).toBe(true);
  });

  it('takes parameter sets from the session description, in-band ones win', () => {
    const { muxer, tags } = mux();
    muxer.setParameterSets([SPS_240, PPS]);
    muxer.push(unit(IDR), 0);
    expect(metadataOf(tags[0])).toMatchObject({ width: 320 });
    muxer.push(unit(SPS_360, PPS, IDR), 40);
    expect(metadataOf(tags[3])).toMatchObject({ width: 640 });
  });

  it('drops and counts video without parameter sets, and survives garbage ones', () => {
    const { muxer, tags } = mux();
    muxer.push(unit(IDR), 0);
    muxer.push(unit(Buffer.from([0x67]), Buffer.from([0x68]), IDR), 0);
    expect(tags).toEqual([]);
    expect(muxer.framesWithoutParameterSets).toBe(2);
    for (let id = 0; id < 256; id++) {
      // Exp-Golomb codes of 0–255 as picture parameter set ids.
      const bits = (id + 1).toString(2);
      const code = ('0'.repeat(bits.length - 1) + bits).padEnd(24, '1');
      muxer.push(
        unit(
          Buffer.from([
            0x68,
            ...(code.match(/.{8}/g) ?? []).map((octet) => Number.parseInt(octet, 2)),
          ]),
        ),
        0,
      );
    }
    muxer.push(unit(SPS_360, IDR), 0);
    expect(tags.map((tag) => tag.role)).toEqual(['metadata', 'sequence-header', 'key-frame']);
  });

  const audio: ['pcma' | 'pcmu' | 'speex-wb', number][] = [
    ['pcma', 0x72],
    ['pcmu', 0x82],
    ['speex-wb', 0xb2],
  ];
  for (const [codec, head] of audio) {
    it(`writes ${codec} with metadata first`, () => {
      const { muxer, tags } = mux({ audioCodec: codec, hasVideo: false });
      const frame = {
        codec,
        payload: Buffer.from('abcd'),
        durationMs: 20,
        rtpTimestamp: 0,
        arrivalMs: 0,
      };
      muxer.push({ ...frame, codec: 'g722' }, 0);
      muxer.push(frame, 20);
      expect(tags.map((tag) => tag.role)).toEqual(['metadata', 'audio']);
      expect(Buffer.from(tags[1]?.body ?? [])).toEqual(
        Buffer.concat([Buffer.from([head]), Buffer.from('abcd')]),
      );
      expect(metadataOf(tags[0])).not.toHaveProperty('videocodecid');
    });
  }

  it('sends the AAC configuration before the first frame, and again only when it changes', () => {
    const { muxer, tags } = mux({ audioCodec: 'aac', hasVideo: false });
    muxer.pushAac(Buffer.from('early'), 0);
    expect(tags).toEqual([]);
    const format = {
      sampleRateHz: 44_100,
      channels: 1,
      audioSpecificConfig: Uint8Array.of(0x12, 0x08),
    };
    muxer.setAacFormat(format);
    muxer.pushAac(Buffer.from('a'), 20);
    muxer.setAacFormat(format);
    muxer.pushAac(Buffer.from('b'), 43);
    muxer.setAacFormat({
      ...format,
      sampleRateHz: 48_000,
      audioSpecificConfig: Uint8Array.of(0x11, 0x88),
    });
    muxer.pushAac(Buffer.from('c'), 66);
    expect(
      tags.map((tag) => [tag.role, tag.timestampMs, Buffer.from(tag.body).toString('hex')]),
    ).toEqual([
      ['metadata', 20, expect.anything()],
      ['sequence-header', 20, 'af001208'],
      ['audio', 20, 'af0161'],
      ['audio', 43, 'af0162'],
      ['metadata', 66, expect.anything()],
      ['sequence-header', 66, 'af001188'],
      ['audio', 66, 'af0163'],
    ]);
    expect(metadataOf(tags[0])).toMatchObject({
      audiocodecid: 10,
      audiosamplerate: 44_100,
      stereo: false,
    });
    expect(muxer.preamble.map((tag) => tag.role)).toEqual(['metadata', 'sequence-header']);
  });

  it('states no sampling rate of AAC before it is known', () => {
    const { muxer, tags } = mux({ audioCodec: 'aac' });
    muxer.push(unit(SPS_360, PPS, IDR), 0);
    expect(metadataOf(tags[0])).not.toHaveProperty('audiosamplerate');
    muxer.setAacFormat({
      sampleRateHz: 48_000,
      channels: 1,
      audioSpecificConfig: Uint8Array.of(0x11, 0x88),
    });
    muxer.pushAac(Buffer.from('a'), 20);
    expect(metadataOf(tags[3])).toMatchObject({ audiosamplerate: 48_000, width: 640 });
  });
});

describe('stream time', () => {
  it('is 0 or more, headers included, and never decreases for audio', () => {
    const { muxer, tags } = mux({ audioCodec: 'aac' });
    muxer.setAacFormat(monoAacFormat(44_100));
    for (const at of [-6, 17, 12, 40]) muxer.pushAac(Buffer.from([1]), at);
    for (const at of [-40, 0, 33]) muxer.push(unit(SPS_360, PPS, IDR), at);
    const times = (type: number): number[] =>
      tags.filter((tag) => tag.type === type).map(({ timestampMs }) => timestampMs);
    expect(times(8)).toEqual([0, 0, 17, 17, 40]);
    expect(times(9)).toEqual([0, 0, 0, 33]);
    expect(muxer.preamble.every(({ timestampMs }) => timestampMs >= 0)).toBe(true);
  });
});
