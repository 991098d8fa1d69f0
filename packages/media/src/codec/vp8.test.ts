import { describe, expect, it } from 'vitest';
import { mutations } from '../test-random.ts';
import { isVp8KeyFrame, parseVp8FrameTag } from './vp8.ts';

const hex = (text: string): Uint8Array =>
  Uint8Array.from(Buffer.from(text.replaceAll(' ', ''), 'hex'));

describe('the VP8 frame tag', () => {
  it('of a key frame has the size; scaling is left out of it', () => {
    // The first octets of what libvpx made of a picture of 640×360.
    expect(parseVp8FrameTag(hex('b0 7c 01 9d 01 2a 80 02 68 01 00'))).toEqual({
      isKeyFrame: true,
      version: 0,
      showFrame: true,
      firstPartitionBytes: 0x017cb0 >> 5,
      width: 640,
      height: 360,
    });
    expect(parseVp8FrameTag(hex('16 00 00 9d 01 2a 01 c0 ff bf'))).toMatchObject({
      version: 3,
      width: 1,
      height: 16_383,
    });
  });

  it('of an inter frame has none', () => {
    const tag = { isKeyFrame: false, showFrame: true, firstPartitionBytes: 1, width: 0, height: 0 };
    expect(parseVp8FrameTag(hex('31 00 00'))).toMatchObject(tag);
    expect(parseVp8FrameTag(hex('01 00 00'))).toMatchObject({ showFrame: false });
  });

  it.each([
    ['nothing', ''],
    ['two octets', '31 00'],
    ['a key frame cut short', '10 00 00 9d 01 2a 80 02 68'],
    ['a key frame with another start code', '10 00 00 9d 01 2b 80 02 68 01'],
    ['a key frame without width', '10 00 00 9d 01 2a 00 40 68 01'],
    ['a key frame without height', '10 00 00 9d 01 2a 80 02 00 00'],
  ])('of %s is refused', (_name, octets) => {
    expect(parseVp8FrameTag(hex(octets))).toBeUndefined();
  });

  it('agrees with the quick look, and throws for nothing', () => {
    for (const bytes of mutations([hex('b0 7c 01 9d 01 2a 80 02 68 01 00')], 2000, 1)) {
      const tag = parseVp8FrameTag(bytes);
      if (tag) expect(isVp8KeyFrame(bytes)).toBe(tag.isKeyFrame);
    }
    expect(isVp8KeyFrame(new Uint8Array(0))).toBe(false);
  });
});
