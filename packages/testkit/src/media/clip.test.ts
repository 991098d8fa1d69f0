import { statSync } from 'node:fs';
import { CLIPS_FOLDER } from '../clips-folder.ts';
import { describe, expect, it } from 'vitest';
import { createClip, loadClip, splitIvf, splitNalUnits } from './clip.ts';
import { oggPackets } from './phone-audio.ts';

/** An IVF file with the relevant header fields. */
function ivfOf(...frames: number[][]): Uint8Array {
  const head = Buffer.alloc(32);
  head.write('DKIF');
  head[6] = 32;
  return Uint8Array.from([
    ...head,
    ...frames.flatMap((frame) => [frame.length, ...new Uint8Array(11), ...frame]),
  ]);
}

describe('the clip scene', () => {
  const clip = loadClip();

  it('has 20 s of video and audio', () => {
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

  it('keeps every octet except start codes and zeros between NAL units', () => {
    const nalus = clip.video.flatMap((unit) => unit.nalus);
    const octets = nalus.reduce((sum, nal) => sum + nal.length, 0);
    const { size } = statSync(new URL('scene.h264', CLIPS_FOLDER));
    expect(size - octets).toBeGreaterThanOrEqual(3 * nalus.length);
    expect(size - octets).toBeLessThanOrEqual(4 * nalus.length);
  });

  it('has the same audio in 20 ms frames of every other codec', () => {
    for (const codec of ['G722', 'opus', 'speex/8000', 'speex/16000'] as const) {
      const frames = clip.sounds[codec] ?? [];
      expect(frames.length, codec).toBeGreaterThanOrEqual(1000);
      expect(frames.length, codec).toBeLessThanOrEqual(1002);
    }
    expect(clip.sounds.G722?.every((frame) => frame.length === 160)).toBe(true);
    expect(() => oggPackets(Buffer.from('RIFF and no more'))).toThrow(RangeError);
  });

  it('is loaded once', () => {
    expect(loadClip('scene')).toBe(clip);
    expect(clip.video.every((unit) => unit.vp8 !== undefined)).toBe(true);
    expect(() => loadClip('none')).toThrow(RangeError);
  });
});

describe('Annex B', () => {
  const sps = [0x67, 0x42, 0xc0, 0x1e, 1];
  const pps = [0x68, 0xce];
  const idr = [0x65, 0x88, 0, 0, 3, 1];
  const slice = [0x41, 0x9a];
  const start = [0, 0, 1];

  it('accepts start codes of three and four octets, trailing zeros, and emulation prevention', () => {
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

  it('splits access units: a slice with macroblock 0 starts the next picture, others do not', () => {
    const more = [0x41, 0x1a];
    const parts = [sps, pps, idr, slice, more, slice];
    const h264 = Uint8Array.from(parts.flatMap((nal) => [...start, ...nal]));
    const clip = createClip({ name: 'own', fps: 10, h264, aLaw: new Uint8Array(0) });
    expect(clip.video.map((unit) => unit.nalus.length)).toEqual([3, 2, 1]);
    expect(clip.video.map((unit) => unit.isKeyFrame)).toEqual([true, false, false]);
    expect(clip.profileLevelId).toBe('42C01E');
    expect(clip.durationMs).toBe(300);
  });

  it('reads the frames of IVF, up to a truncation', () => {
    const file = ivfOf([1, 2, 3], [4]);
    expect(splitIvf(file).map((frame) => [...frame])).toEqual([[1, 2, 3], [4]]);
    expect(splitIvf(file.subarray(0, -1))).toHaveLength(1);
    expect(splitIvf(new Uint8Array(40))).toEqual([]);
  });

  it('refuses a stream that cannot be played', () => {
    const aLaw = new Uint8Array(0);
    const h264 = Uint8Array.from([...start, ...slice]);
    expect(() => createClip({ name: 'x', fps: 25, h264, aLaw })).toThrow(/SPS/);
    expect(() => createClip({ name: 'x', fps: 0, h264, aLaw })).toThrow(/fps/);
    const pictures = Uint8Array.from([sps, pps, idr, slice].flatMap((nal) => [...start, ...nal]));
    const parts = { name: 'x', fps: 25, h264: pictures, aLaw };
    expect(() => createClip({ ...parts, ivf: ivfOf([0], [1], [1]) })).toThrow(/frame per picture/);
    expect(() => createClip({ ...parts, ivf: ivfOf([1], [0]) })).toThrow(/key frames/);
    expect(createClip({ ...parts, ivf: ivfOf([0], [1]) }).video[1]?.vp8).toEqual(Uint8Array.of(1));
  });
});
