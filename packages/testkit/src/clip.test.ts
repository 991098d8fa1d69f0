import { statSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { createClip, loadClip, splitNalUnits } from './clip.ts';

describe('the clip scene', () => {
  const clip = loadClip();

  it('has 20 s of pictures and of sound', () => {
    expect(clip.video).toHaveLength(500);
    expect(clip.fps).toBe(25);
    expect(clip.durationMs).toBe(20_000);
    expect(clip.audio).toHaveLength(160_000);
  });

  it('begins with SPS, PPS and an IDR, and has an IDR every 50 pictures', () => {
    const keyFrames = clip.video.filter((unit) => unit.isKeyFrame).map((unit) => unit.index);
    expect(keyFrames).toEqual([0, 50, 100, 150, 200, 250, 300, 350, 400, 450]);
    for (const index of keyFrames) {
      const types = clip.video[index]!.nalus.map((nal) => nal[0]! & 0x1f);
      expect(types.filter((type) => type !== 6)).toEqual([7, 8, 5]);
    }
    expect(clip.profileLevelId).toMatch(/^42[C4]0/);
  });

  it('loses no octet of the stream but start codes and zeros between NAL units', () => {
    const nalus = clip.video.flatMap((unit) => unit.nalus);
    const octets = nalus.reduce((sum, nal) => sum + nal.length, 0);
    const { size } = statSync(new URL('../clips/scene.h264', import.meta.url));
    expect(size - octets).toBeGreaterThanOrEqual(3 * nalus.length);
    expect(size - octets).toBeLessThanOrEqual(4 * nalus.length);
  });

  it('is read once', () => {
    expect(loadClip('scene')).toBe(clip);
    expect(() => loadClip('none')).toThrow(RangeError);
  });
});

describe('Annex B', () => {
  const sps = [0x67, 0x42, 0xc0, 0x1e, 1];
  const pps = [0x68, 0xce];
  const idr = [0x65, 0x88, 0, 0, 3, 1];
  const slice = [0x41, 0x9a];
  const start = [0, 0, 1];

  it('takes start codes of three and four octets, zeros behind, and emulation prevention', () => {
    const stream = Uint8Array.from([
      0,
      ...start,
      ...sps,
      0,
      0,
      ...start,
      ...pps,
      ...start,
      ...idr,
      0,
    ]);
    expect(splitNalUnits(stream).map((nal) => [...nal])).toEqual([sps, pps, idr]);
    expect(splitNalUnits(new Uint8Array(5))).toEqual([]);
    expect(splitNalUnits(Uint8Array.of(1, 2, 3, 4))).toEqual([]);
  });

  it('makes access units: a second slice with macroblock 0 begins the next picture, one without does not', () => {
    const more = [0x41, 0x1a];
    const parts = [sps, pps, idr, slice, more, slice];
    const h264 = Uint8Array.from(parts.flatMap((nal) => [...start, ...nal]));
    const clip = createClip({ name: 'own', fps: 10, h264, aLaw: new Uint8Array(0) });
    expect(clip.video.map((unit) => unit.nalus.length)).toEqual([3, 2, 1]);
    expect(clip.video.map((unit) => unit.isKeyFrame)).toEqual([true, false, false]);
    expect(clip.profileLevelId).toBe('42C01E');
    expect(clip.durationMs).toBe(300);
  });

  it('refuses a stream that cannot be played', () => {
    const aLaw = new Uint8Array(0);
    const h264 = Uint8Array.from([...start, ...slice]);
    expect(() => createClip({ name: 'x', fps: 25, h264, aLaw })).toThrow(/SPS/);
    expect(() => createClip({ name: 'x', fps: 0, h264, aLaw })).toThrow(/fps/);
  });
});
