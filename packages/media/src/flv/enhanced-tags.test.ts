import { describe, expect, it } from 'vitest';
import {
  ENHANCED_CODEC_ID,
  enhancedOpusHeader,
  enhancedOpusTag,
  enhancedVp8Header,
  enhancedVp8Tag,
} from './enhanced-tags.ts';
import { silencedTag } from './audio-tag.ts';
import type { FlvTag, Vp8Frame } from '../codec/frame.ts';

/** An independent reader of these tags, written from the tables of the specification. */
function read({ type, body }: FlvTag): Record<string, unknown> {
  const bits = [...body].map((octet) => octet.toString(2).padStart(8, '0')).join('');
  let at = 0;
  const take = (count: number): number => {
    at += count;
    return Number.parseInt(bits.slice(at - count, at), 2);
  };
  const fourCc = (): string => String.fromCharCode(take(8), take(8), take(8), take(8));
  if (type === 9) {
    const isExVideoHeader = take(1);
    const [videoFrameType, videoPacketType] = [take(3), take(4)];
    const videoFourCc = fourCc();
    const rest = body.subarray(at / 8);
    return { isExVideoHeader, videoFrameType, videoPacketType, videoFourCc, rest };
  }
  const [soundFormat, audioPacketType] = [take(4), take(4)];
  const audioFourCc = fourCc();
  return { soundFormat, audioPacketType, audioFourCc, rest: body.subarray(at / 8) };
}

// RFC 6386 §9.1: a key frame of version 1, 640 × 360.
const keyFrame: Vp8Frame = {
  codec: 'vp8',
  payload: Buffer.from('12340b9d012a80026801ff', 'hex'),
  isKeyFrame: true,
  rtpTimestamp: 0,
  arrivalMs: 0,
};
const interFrame: Vp8Frame = {
  ...keyFrame,
  payload: Buffer.from('110a0b', 'hex'),
  isKeyFrame: false,
};

describe('Enhanced RTMP tags', () => {
  it('begin VP8 with its configuration record', () => {
    const tag = enhancedVp8Header(keyFrame, 40);
    expect(tag).toMatchObject({ type: 9, timestampMs: 40, role: 'sequence-header' });
    expect(read(tag as FlvTag)).toMatchObject({
      isExVideoHeader: 1,
      videoFrameType: 1,
      videoPacketType: 0,
      videoFourCc: 'vp08',
    });
    // profile 1, level 0, 8 bit 4:2:0 limited range, colours unspecified, no initialization data.
    expect(
      Buffer.from(tag?.body ?? [])
        .subarray(5)
        .toString('hex'),
    ).toBe('0100820202020000');
    expect(enhancedVp8Header(interFrame, 0)).toBeUndefined();
    expect(enhancedVp8Header({ ...keyFrame, payload: new Uint8Array(2) }, 0)).toBeUndefined();
  });

  for (const [name, frame, videoFrameType, role] of [
    ['key', keyFrame, 1, 'key-frame'],
    ['inter', interFrame, 2, 'inter-frame'],
  ] as const) {
    it(`carry a VP8 ${name} frame as it is`, () => {
      const tag = enhancedVp8Tag(frame, 40);
      expect(tag).toMatchObject({ type: 9, role });
      expect(read(tag)).toEqual({
        isExVideoHeader: 1,
        videoFrameType,
        videoPacketType: 1,
        videoFourCc: 'vp08',
        rest: Buffer.from(frame.payload),
      });
    });
  }

  it('begin Opus with its head (RFC 7845 §5.1), and carry packets as they are', () => {
    const head = enhancedOpusHeader(0);
    expect(read(head)).toMatchObject({ soundFormat: 9, audioPacketType: 0, audioFourCc: 'Opus' });
    expect(Buffer.from(head.body).subarray(5).toString('hex')).toBe(
      `${Buffer.from('OpusHead').toString('hex')}0102000080bb0000000000`,
    );
    expect(enhancedOpusHeader(0, 1).body[5 + 9]).toBe(1);
    const packet = Uint8Array.of(0xf8, 1, 2);
    const tag = enhancedOpusTag(packet, 20);
    expect(tag).toMatchObject({ type: 8, timestampMs: 20, role: 'audio' });
    expect(read(tag)).toMatchObject({ soundFormat: 9, audioPacketType: 1, audioFourCc: 'Opus' });
    expect(tag.body.subarray(5)).toEqual(Buffer.from(packet));
  });

  it('fall silent when the push is muted', () => {
    const muted = silencedTag(enhancedOpusTag(Uint8Array.of(0x78, 1, 2, 3), 20));
    expect(read(muted)).toMatchObject({ audioPacketType: 1, audioFourCc: 'Opus' });
    expect(Buffer.from(muted.body).subarray(5).toString('hex')).toBe('f8fffe');
    expect(silencedTag(enhancedOpusHeader(0))).toEqual(enhancedOpusHeader(0));
  });

  it('have numbers for the metadata', () => {
    // From the specification's own example: 'Opus' == 0x4F707573 == 1332770163.
    expect(ENHANCED_CODEC_ID).toEqual({ vp8: 0x76703038, opus: 1_332_770_163 });
  });
});
