import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AudioTimeline, type AudioTimelineOptions } from './audio-timeline.ts';
import { AUDIO_CODECS } from '../codec/codec.ts';
import type { AudioCodec } from '../codec/codec.ts';
import type { AudioFrame } from '../codec/frame.ts';
import { audioSilence } from '../codec/silence.ts';
import { seededRandom } from '../test-random.ts';

const frame = (mark = 1, octets = 160): AudioFrame => ({
  codec: 'pcmu',
  payload: new Uint8Array(octets).fill(mark),
  durationMs: octets / 8,
  rtpTimestamp: 0,
  arrivalMs: 0,
});

function rig(options: Partial<AudioTimelineOptions> = {}) {
  const out: { mark: number; atMs: number; codec: string; octets: number }[] = [];
  const timeline = new AudioTimeline(
    ({ payload, codec }, atMs) =>
      out.push({ mark: payload[0]!, atMs, codec, octets: payload.length }),
    { codec: 'pcma', ...options },
  );
  const marks = (): number[] => out.map(({ mark }) => mark);
  return { timeline, out, marks };
}

describe('AudioTimeline', () => {
  it('reports how long all audio has been too late: for a backlog, no time at all', () => {
    const { timeline } = rig({ delayMs: 0 });
    timeline.tick(1000);
    const at = (arrivalMs: number) => ({ ...frame(), arrivalMs });
    for (let late = 0; late < 500; late += 20) timeline.push(at(1000), late);
    expect(timeline.lateForMs).toBe(0);
    timeline.push(at(1400), 500);
    expect(timeline.lateForMs).toBe(400);
    timeline.push(at(1420), 1000);
    expect(timeline.lateForMs).toBe(0);
  });

  it('is silent in the codec that is expected from now on', () => {
    const { timeline, out } = rig({ delayMs: 0 });
    timeline.push(frame(7), 0);
    timeline.expect('pcma');
    timeline.tick(60);
    expect(out.map(({ codec }) => codec)).toEqual(['pcmu', 'pcma', 'pcma']);
  });

  it('is silent from 0 in the given codec until audio comes', () => {
    const { timeline, out } = rig({ delayMs: 100 });
    timeline.tick(119);
    expect(out).toEqual([]);
    timeline.tick(160);
    expect(out).toEqual(
      [0, 20, 40].map((atMs) => ({ mark: 0xd5, atMs, codec: 'pcma', octets: 160 })),
    );
    timeline.push(frame(7), 60);
    expect(out.at(-1)).toEqual({ mark: 7, atMs: 60, codec: 'pcmu', octets: 160 });
  });

  it('starts with the first frame if `fromZero` is false', () => {
    const { timeline, out } = rig({ fromZero: false });
    timeline.tick(1000);
    timeline.push(frame(7), 500);
    expect(out).toEqual([{ mark: 7, atMs: 500, codec: 'pcmu', octets: 160 }]);
  });

  it('passes a steady line through unchanged, at any packet size and with a wobbling clock', () => {
    for (const octets of [80, 160, 240, 320]) {
      const { timeline, out } = rig();
      for (let index = 0; index < 100; index++) {
        const atMs = (index * octets) / 8;
        timeline.push(frame(index + 1, octets), atMs + (index % 3) * 4 - 4);
        timeline.tick(atMs + 60);
      }
      expect(out.map(({ mark }) => mark)).toEqual(
        Array.from({ length: 100 }, (_, index) => index + 1),
      );
      expect(timeline.stats).toEqual({ filledMs: 0, droppedMs: 0, skippedMs: 0 });
    }
  });

  it('fills loss and DTX in the codec of the stream', () => {
    const { timeline, marks } = rig();
    timeline.push(frame(1), 0);
    timeline.push(frame(2), 40);
    timeline.push(frame(3), 140);
    expect(marks()).toEqual([1, 0xff, 2, 0xff, 0xff, 0xff, 0xff, 3]);
    expect(timeline.stats.filledMs).toBe(100);
  });

  it('fills in the codec of the last frame, through changes of it', () => {
    for (const codec of Object.keys(AUDIO_CODECS) as AudioCodec[]) {
      const { timeline, out } = rig();
      timeline.push(frame(1), 0);
      timeline.push({ ...frame(2, 60), codec, durationMs: 60 }, 20);
      timeline.tick(100 + 120);
      timeline.push({ ...frame(3), codec: 'pcma' }, 120);
      expect(out.map((one) => [one.codec, one.atMs])).toEqual([
        ['pcmu', 0],
        [codec, 20],
        [codec, 80],
        ['pcma', 100],
        ['pcma', 120],
      ]);
      expect(out[2]).toMatchObject({
        mark: audioSilence(codec)[0],
        octets: audioSilence(codec).length,
      });
    }
  });

  it('loses no sound after a gap that is up to 15 ms off', () => {
    for (const offMs of [-15, -7.5, 0, 7.5, 15]) {
      const { timeline, marks } = rig();
      timeline.push(frame(1), 0);
      for (let index = 0; index < 10; index++)
        timeline.push(frame(10 + index), 200 + index * 20 + offMs);
      expect(marks().filter((mark) => mark >= 10 && mark < 20)).toHaveLength(10);
      expect(timeline.stats.droppedMs).toBe(0);
      expect(Math.abs(timeline.positionMs - 400 - offMs)).toBeLessThanOrEqual(15);
    }
  });

  it('follows a change of its delay from one tick to the next', () => {
    const { timeline } = rig({ delayMs: 200 });
    timeline.tick(1000);
    expect(timeline.positionMs).toBe(800);
    timeline.delayMs = 40;
    timeline.tick(1020);
    expect(timeline.positionMs).toBe(980);
    timeline.delayMs = 220;
    timeline.tick(1040);
    expect(timeline.positionMs).toBe(980);
    timeline.push(frame(5), 980);
    expect(timeline.stats.droppedMs).toBe(0);
  });

  it('drops audio that arrives after its time was filled', () => {
    const { timeline, marks } = rig({ delayMs: 100 });
    timeline.push(frame(1), 0);
    timeline.tick(200);
    for (let index = 1; index < 8; index++) timeline.push(frame(index + 1), index * 20);
    expect(marks()).toEqual([1, 0xff, 0xff, 0xff, 0xff, 6, 7, 8]);
    expect(timeline.stats.droppedMs).toBe(80);
  });

  it('stays within one step of a drifting sender for an hour', () => {
    const { timeline } = rig({ fromZero: false });
    let worstMs = 0;
    for (let index = 0; index < 180_000; index++) {
      const atMs = index * 20 * 1.0002;
      timeline.push(frame(), atMs);
      worstMs = Math.max(worstMs, Math.abs(timeline.positionMs - 20 - atMs));
    }
    expect(worstMs).toBeLessThanOrEqual(20);
    expect(timeline.stats.filledMs).toBeGreaterThan(600);
    expect(timeline.stats.filledMs).toBeLessThan(800);
  });

  it('skips absurd holes instead of filling them', () => {
    const { timeline, out } = rig();
    timeline.push(frame(1), 0);
    timeline.push(frame(2), 10_000_000);
    timeline.tick(20_000_000);
    expect(out.length).toBeLessThan(10);
    expect(timeline.stats.skippedMs).toBeGreaterThan(19_000_000);
    expect(out.at(1)).toMatchObject({ mark: 2, atMs: 10_000_000 });
  });

  it('never has a hole or an overlap and never lags, whatever comes', () => {
    fc.assert(
      fc.property(fc.nat(), (seed) => {
        const random = seededRandom(seed);
        const { timeline, out } = rig({ delayMs: 100 });
        for (let nowMs = 0; nowMs < 5000; nowMs += 20) {
          if (random() < 0.7)
            timeline.push(frame(1, 80 + Math.floor(random() * 240)), nowMs - random() * 300);
          if (random() < 0.1) timeline.delayMs = 20 + random() * 80;
          timeline.tick(nowMs);
          expect(timeline.positionMs).toBeGreaterThan(nowMs - 100 - 20);
        }
        let expectedMs = 0;
        for (const { atMs, octets } of out) {
          expect(atMs).toBeCloseTo(expectedMs, 6);
          expectedMs = atMs + octets / 8;
        }
      }),
    );
  });
});
