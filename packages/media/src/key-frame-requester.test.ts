import { describe, expect, it } from 'vitest';
import { KeyFrameRequester, type KeyFrameRequesterOptions } from './key-frame-requester.ts';

/** Polls every 20 ms; what was asked and when. */
function run(requester: KeyFrameRequester, fromMs: number, toMs: number): string[] {
  const asked: string[] = [];
  for (let nowMs = fromMs; nowMs < toMs; nowMs += 20) {
    const method = requester.poll(nowMs);
    if (method !== undefined) asked.push(`${nowMs} ${method}`);
  }
  return asked;
}
const create = (options: KeyFrameRequesterOptions = {}) => new KeyFrameRequester(options);

describe('KeyFrameRequester', () => {
  it('asks nothing unasked', () => {
    expect(run(create(), 0, 5000)).toEqual([]);
  });

  it('climbs the ladder at 500 ms, then slows down', () => {
    const requester = create({ methods: ['pli', 'fir', 'info'] });
    requester.request();
    expect(run(requester, 0, 6100)).toEqual([
      '0 pli',
      '500 pli',
      '1000 fir',
      '1500 fir',
      '2000 info',
      '2500 info',
      '3500 pli',
      '4500 pli',
      '5500 fir',
    ]);
  });

  it('stops at the key frame and begins next time with what worked', () => {
    const requester = create();
    requester.request();
    expect(run(requester, 0, 1200)).toEqual(['0 pli', '500 pli', '1000 fir']);
    requester.onKeyFrame();
    expect(requester.wanted).toBe(false);
    expect(run(requester, 1200, 3000)).toEqual([]);
    requester.request();
    expect(run(requester, 3000, 4200)).toEqual(['3000 fir', '3500 fir', '4000 pli']);
  });

  it('keeps the distance across separate requests', () => {
    const requester = create();
    requester.request();
    expect(run(requester, 0, 20)).toEqual(['0 pli']);
    requester.onKeyFrame();
    requester.request();
    requester.request();
    expect(run(requester, 20, 600)).toEqual(['500 pli']);
  });

  it('learns nothing from a key frame that came by itself, and never asks without a method', () => {
    const requester = create();
    requester.onKeyFrame();
    requester.request();
    requester.onKeyFrame();
    requester.request();
    expect(requester.poll(0)).toBe('pli');
    const mute = create({ methods: [] });
    mute.request();
    expect(mute.poll(0)).toBeUndefined();
  });
});
