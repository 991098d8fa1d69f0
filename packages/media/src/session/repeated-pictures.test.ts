import { describe, expect, it } from 'vitest';
import type { VideoFrame } from '../codec/frame.ts';
import { RepeatedPictures } from './repeated-pictures.ts';

const picture = (...nalus: Uint8Array[]): VideoFrame => ({
  codec: 'h264',
  nalus,
  isKeyFrame: false,
  rtpTimestamp: 0,
  arrivalMs: 0,
});
const SPS = Uint8Array.of(0x67, 1);
const IDR = Uint8Array.of(0x65, 0x88, 1);
const P1 = Uint8Array.of(0x41, 0x9a, 1);
const P2 = Uint8Array.of(0x41, 0x9a, 2);

describe('RepeatedPictures', () => {
  it('notices the same slices again, whatever stands around them', () => {
    const watch = new RepeatedPictures();
    const found = [
      picture(SPS, IDR),
      picture(IDR),
      picture(SPS, Uint8Array.from(IDR)),
      picture(P1),
      picture(P2),
      picture(P2, P2),
      picture(P2, P2),
      picture(P2, P1),
    ].map((one) => watch.push(one));
    expect(found).toEqual([false, true, true, false, false, false, true, false]);
  });

  it('does not judge VP8, whose pictures may well be alike', () => {
    const watch = new RepeatedPictures();
    const vp8: VideoFrame = {
      codec: 'vp8',
      payload: P1,
      isKeyFrame: false,
      rtpTimestamp: 0,
      arrivalMs: 0,
    };
    expect([vp8, vp8, picture(P1)].map((one) => watch.push(one))).toEqual([false, false, false]);
  });
});
