import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DecodeTimestamps, MAX_REORDER_FRAMES } from './decode-timestamps.ts';

/** Pictures in decoding order as their places in the order of presentation; times 40 ms apart. */
function run(order: readonly number[], told?: number, keyInterval = Number.POSITIVE_INFINITY) {
  const timestamps = new DecodeTimestamps();
  timestamps.setReorderFrames(told);
  const decoded = order.map((picture, index) => {
    const decodeMs = timestamps.push(picture * 40, index % keyInterval === 0);
    return [decodeMs, decodeMs + timestamps.compositionMs];
  });
  return { timestamps, decodeMs: decoded.map(([ms]) => ms), shownMs: decoded.map(([, ms]) => ms) };
}

const times = (order: readonly number[]): number[] => order.map((picture) => picture * 40);

describe('DecodeTimestamps', () => {
  it('decodes pictures that are not reordered when they are shown', () => {
    const order = Array.from({ length: 100 }, (_, index) => index);
    const { decodeMs, shownMs, timestamps } = run(order, undefined, 25);
    expect(decodeMs).toEqual(times(order));
    expect(shownMs).toEqual(times(order));
    expect(timestamps.reorderFrames).toBe(0);
  });

  it('goes back by the given number of pictures', () => {
    const simple = run([0, 3, 1, 2, 6, 4, 5, 9, 7, 8], 1);
    expect(simple.decodeMs).toEqual([0, 1, ...times([1, 2, 3, 4, 5, 6, 7, 8])]);
    expect(simple.shownMs).toEqual(times([0, 3, 1, 2, 6, 4, 5, 9, 7, 8]));
    const pyramid = run([0, 4, 2, 1, 3, 8, 6, 5, 7], 2);
    expect(pyramid.decodeMs).toEqual([0, 1, 2, ...times([1, 2, 3, 4, 5, 6])]);
    expect(pyramid.shownMs).toEqual(times([0, 4, 2, 1, 3, 8, 6, 5, 7]));
  });

  it('learns the depth if it is not given; only the pictures that reveal it are late', () => {
    const { decodeMs, shownMs, timestamps } = run([0, 3, 1, 2, 6, 4, 5, 9, 7, 8]);
    expect(decodeMs).toEqual([...times([0, 3, 3, 3]), 121, ...times([4, 5, 6, 7, 8])]);
    expect(shownMs).toEqual(times([0, 3, 3, 3, 6, 4, 5, 9, 7, 8]));
    expect(timestamps.reorderFrames).toBe(1);
  });

  it.each([
    [[0, 3, 1, 2, 6, 4, 5, 9, 7, 8], 1],
    [[0, 4, 2, 1, 3, 8, 6, 5, 7], 2],
  ])('guesses the depth: none of %j is late', (order, depth) => {
    const timestamps = new DecodeTimestamps();
    timestamps.guess();
    for (const picture of order) {
      const decodeMs = timestamps.push(picture * 40, picture === 0);
      expect(decodeMs + timestamps.compositionMs).toBe(picture * 40);
    }
    expect(timestamps.reorderFrames).toBe(depth);
  });

  it('gives the guess up after a hundred pictures in order, and never goes far back for it', () => {
    const timestamps = new DecodeTimestamps();
    timestamps.guess();
    timestamps.push(0, true);
    timestamps.push(5000, false);
    expect(timestamps.compositionMs).toBe(200);
    for (let picture = 1; picture < 98; picture++) timestamps.push(5000 + picture * 40, false);
    expect(timestamps.compositionMs).toBe(80);
    timestamps.guess();
    for (let picture = 98; picture < 102; picture++) timestamps.push(5000 + picture * 40, false);
    expect(timestamps.compositionMs).toBe(0);
  });

  it('keeps its depth at a parameter set with a smaller one', () => {
    const timestamps = new DecodeTimestamps();
    for (const picture of [0, 4, 2, 1]) timestamps.push(picture, false);
    timestamps.setReorderFrames(0);
    timestamps.setReorderFrames(undefined);
    expect(timestamps.reorderFrames).toBe(2);
    timestamps.setReorderFrames(99);
    expect(timestamps.reorderFrames).toBe(MAX_REORDER_FRAMES);
  });

  it('keeps its even steps over key frames', () => {
    const { decodeMs, shownMs } = run([0, 2, 1, 3, 5, 4, 6, 8, 7], 1, 3);
    expect(decodeMs).toEqual([0, 1, ...times([1, 2, 3, 4, 5, 6, 7])]);
    expect(shownMs).toEqual(times([0, 2, 1, 3, 5, 4, 6, 8, 7]));
  });

  it('recognizes a step back in time', () => {
    const timestamps = new DecodeTimestamps();
    for (let picture = 0; picture < 50; picture++) timestamps.push(picture * 40, false);
    // At a key frame, and in mid-stream when too many pictures would have to wait.
    expect(timestamps.push(1000, true)).toBe(1960);
    expect(timestamps.compositionMs).toBe(0);
    for (let picture = 0; picture < 50; picture++) timestamps.push(2000 + picture * 40, false);
    expect(timestamps.push(100, false)).toBe(3960);
    expect(timestamps.reorderFrames).toBe(0);
    expect(timestamps.push(4000, false)).toBe(4000);
  });

  it('forgets at a reset, but does not go back', () => {
    const timestamps = new DecodeTimestamps();
    for (const picture of [0, 4, 2, 1]) timestamps.push(picture * 40, false);
    timestamps.reset();
    expect(timestamps.reorderFrames).toBe(0);
    expect(timestamps.push(40, false)).toBe(160);
    expect(timestamps.push(200, false)).toBe(200);
  });

  it('never decreases; once the depth is known, all is shown at its time', () => {
    const permutation = fc
      .tuple(
        fc.integer({ min: 0, max: MAX_REORDER_FRAMES }),
        fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 40, maxLength: 120 }),
      )
      .map(([depth, choices]) => {
        // Each picture may be overtaken by at most `depth` later ones: take one of the next, force the oldest in time.
        const order: number[] = [0];
        const waiting = Array.from(choices, (_, index) => index + 1);
        for (const choice of choices) {
          const oldest = waiting[0]!;
          const ahead = order.filter((picture) => picture > oldest).length;
          order.push(
            ...waiting.splice(
              ahead >= depth ? 0 : Math.floor(choice * Math.min(depth + 1, waiting.length)),
              1,
            ),
          );
        }
        return { depth, order };
      });
    fc.assert(
      fc.property(permutation, fc.boolean(), ({ depth, order }, told) => {
        const { decodeMs, shownMs, timestamps } = run(order, told ? depth : undefined);
        expect(decodeMs).toEqual(decodeMs.toSorted((a, b) => a! - b!));
        expect(timestamps.reorderFrames).toBeLessThanOrEqual(depth);
        if (told) expect(shownMs).toEqual(times(order));
        else shownMs.forEach((ms, index) => expect(ms).toBeGreaterThanOrEqual(order[index]! * 40));
      }),
    );
  });
});
