import { describe, expect, it } from 'vitest';
import { AAC_FRAME_SAMPLES, AAC_SILENCE, monoAacFormat } from '../codec/aac.ts';
import type { FlvTag } from '../codec/frame.ts';
import { Rendition } from './rendition.ts';
import type { AudioTranscoderHandler } from '../ffmpeg/transcoder.ts';

const FRAME_MS = (AAC_FRAME_SAMPLES * 1000) / 44_100;
const SOUND = Uint8Array.of(1, 2, 3);

/** A rendition in AAC, whose encoder is played by the test. */
function aacRendition() {
  let encoder!: AudioTranscoderHandler;
  const rendition = new Rendition(
    {
      form: { audio: 'aac', video: 'passthrough' },
      transcoders: {
        openAudio: (handler) => {
          encoder = handler;
          return {
            push: () => {},
            close: () => {},
            stats: { framesIn: 0, framesOut: 0, framesDropped: 0, restarts: 0, load: null },
          };
        },
      },
      silentAudio: false,
      videoLoss: 'wait',
      videoFreezeMs: 0,
    },
    {
      onKeyFrameWanted: () => {},
      onFrozen: () => {},
      onOutputFailed: (error) => {
        throw error;
      },
      onFailure: (error) => expect.unreachable(String(error)),
    },
  );
  rendition.expect({ audio: 'pcma' });
  rendition.hold();
  encoder.onFormat(monoAacFormat(44_100));
  const tags: FlvTag[] = [];
  rendition.add({ push: (tag) => void (tag.role === 'audio' && tags.push(tag)) });
  /** Frames of the encoder from a time on. */
  const encode = (fromMs: number, count: number): void => {
    for (let at = 0; at < count; at++) encoder.onFrame(SOUND, fromMs + at * FRAME_MS);
  };
  const steps = (): number[] =>
    tags.slice(1).map(({ timestampMs }, at) => timestampMs - tags[at]!.timestampMs);
  /** Behind the two octets of the tag's head: RFC 3640 calls it an access unit. */
  const sounds = (): boolean[] => tags.map(({ body }) => body.length === SOUND.length + 2);
  return { rendition, encode, tags, steps, sounds };
}

describe('AAC of a rendition', () => {
  it('has no hole between one encoder and the next', () => {
    for (const lostMs of [5, 12, 30, 250, 357.3, 5000]) {
      const { rendition, encode, tags, steps, sounds } = aacRendition();
      encode(100, 10);
      const resumeMs = 100 + 10 * FRAME_MS + lostMs;
      encode(resumeMs, 10);
      expect(Math.max(...steps()), `${lostMs} ms`).toBeLessThanOrEqual(24);
      expect(Math.min(...steps()), `${lostMs} ms`).toBeGreaterThanOrEqual(23);
      const silence = sounds().filter((sound) => !sound).length;
      expect(silence).toBe(Math.round(lostMs / FRAME_MS));
      expect(rendition.stats.silenceMs).toBeCloseTo(silence * FRAME_MS, 6);
      // The sound after it is in its place, to half a frame.
      const first = tags[10 + silence]!;
      expect(Math.abs(first.timestampMs - resumeMs)).toBeLessThanOrEqual(FRAME_MS / 2 + 1);
      expect(first.body.length).not.toBe(AAC_SILENCE.length + 2);
    }
  });

  it('fills while an encoder hangs, and drops its late output for that time', () => {
    const { rendition, encode, tags, steps } = aacRendition();
    encode(0, 10);
    for (let nowMs = 200; nowMs <= 4000; nowMs += 20) rendition.tick(nowMs);
    const filledMs = tags.at(-1)!.timestampMs + FRAME_MS;
    expect(filledMs).toBeGreaterThan(2900);
    encode(2000, 100);
    expect(Math.max(...steps())).toBeLessThanOrEqual(24);
    expect(Math.min(...steps())).toBeGreaterThanOrEqual(23);
    expect(Math.abs(tags.at(-1)!.timestampMs - 2000 - 99 * FRAME_MS)).toBeLessThan(
      FRAME_MS / 2 + 1,
    );
  });

  it('skips more than a minute', () => {
    const { encode, steps, tags } = aacRendition();
    encode(0, 10);
    encode(100_000, 10);
    expect(steps().filter((ms) => ms > 24)).toHaveLength(1);
    expect(tags.length).toBeLessThan(25);
  });
});
