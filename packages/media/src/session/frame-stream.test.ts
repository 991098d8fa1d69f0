import { describe, expect, it } from 'vitest';
import { annexB } from '../codec/annex-b.ts';
import type { FlvTag, StreamAudio } from '../codec/frame.ts';
import { FrameStream } from './frame-stream.ts';
import type { FrameStreamOptions } from './frame-stream.ts';
import { decodeSpropParameterSets } from '../codec/h264.ts';
import { audioSilence } from '../codec/silence.ts';

const SETS = decodeSpropParameterSets('Z0LAHtoCgL/lwEQAAAMABAAAAwDIPFi6gA==,aM4PyA==');
const KEY = [...SETS, Uint8Array.of(0x65, 0x88)];
const INTER = [Uint8Array.of(0x41, 0x9a)];

/** A stream whose clock is moved by the test. */
function rig(media: FrameStreamOptions['media'], options: Partial<FrameStreamOptions> = {}) {
  let nowMs = 10_000;
  const ticks = new Set<(nowMs: number) => void>();
  const wanted: number[] = [];
  const stream = new FrameStream(
    {
      media,
      form: { audio: 'passthrough', video: 'passthrough' },
      ticker: { add: (tick) => ticks.add(tick), remove: (tick) => ticks.delete(tick) },
      now: () => nowMs,
      ...options,
    },
    { onKeyFrameWanted: () => wanted.push(nowMs) },
  );
  const tags: FlvTag[] = [];
  const watch = (): void => stream.stream.addOutput({ push: (tag) => tags.push(tag) });
  const pass = (ms: number): void => {
    for (const endMs = nowMs + ms; nowMs < endMs; ) {
      nowMs += 20;
      for (const tick of ticks) tick(nowMs);
    }
  };
  return { stream, tags, wanted, watch, pass, ticks };
}

const H264 = { video: { codec: 'h264' } } as const;

describe('FrameStream', () => {
  it("starts at 0 with the first frame, whatever the application's clock, and keeps both media on it", () => {
    const { stream, tags, watch, pass } = rig({ ...H264, audio: { codec: 'pcma' } });
    watch();
    stream.pushVideo(annexB(KEY), 1_700_000_000_000);
    stream.pushAudio(new Uint8Array(160), 1_700_000_000_020);
    pass(40);
    stream.pushVideo(INTER, 1_700_000_000_040);
    expect(tags.map(({ role, timestampMs }) => `${role} ${timestampMs}`)).toEqual([
      'metadata 0',
      'sequence-header 0',
      'key-frame 0',
      'audio 20',
      'inter-frame 40',
    ]);
    expect(stream.stream.figures()).toMatchObject({
      audioCodec: 'pcma',
      videoCodec: 'h264',
      width: 640,
    });
  });

  it('accepts reordered pictures with their decoding times', () => {
    const { stream, tags, watch } = rig(H264);
    const shown: [number, number][] = [];
    stream.stream.tapVideo(({ decodeMs, presentMs }) => shown.push([decodeMs, presentMs]));
    watch();
    stream.pushVideo(KEY, 80, { decodeMs: 0 });
    stream.pushVideo(INTER, 200, { decodeMs: 40 });
    stream.pushVideo(INTER, 120, { decodeMs: 80 });
    expect(shown).toEqual([
      [0, 80],
      [40, 200],
      [80, 120],
    ]);
    const pictures = tags.filter(({ type, body }) => type === 9 && body[1] === 1);
    expect(pictures.map(({ body }) => Buffer.from(body).readUIntBE(2, 3))).toEqual([80, 160, 40]);
  });

  it('fills holes of the sound when they are half a second old, or when what follows them comes', () => {
    const { stream, pass } = rig({ audio: { codec: 'pcma' } });
    const sounds: StreamAudio[] = [];
    const end = stream.stream.tapAudio((frame) => sounds.push(frame));
    const loud = new Uint8Array(160).fill(0x2a);
    stream.pushAudio(loud, 0);
    pass(60);
    stream.pushAudio(loud, 60);
    const silence = audioSilence('pcma')[0];
    expect(sounds.map(({ timestampMs, payload }) => [timestampMs, payload[0]])).toEqual([
      [0, 0x2a],
      [20, silence],
      [40, silence],
      [60, 0x2a],
    ]);
    pass(400);
    expect(sounds).toHaveLength(4);
    pass(200);
    expect(sounds.length).toBeGreaterThan(4);
    expect(sounds.slice(4).every(({ payload }) => payload[0] === silence)).toBe(true);
    end();
    const { length } = sounds;
    pass(200);
    expect(sounds).toHaveLength(length);
  });

  it('requests a key frame: for an output that joins, at most twice a second, and at the interval that an output needs', () => {
    const { stream, wanted, watch, pass } = rig(H264);
    watch();
    watch();
    expect(wanted).toEqual([10_000]);
    stream.pushVideo(KEY, 0);
    const end = stream.stream.wantKeyFrames(2000);
    pass(1980);
    expect(wanted).toHaveLength(1);
    pass(40);
    expect(wanted).toHaveLength(2);
    stream.pushVideo(KEY, 2020);
    end();
    pass(1900);
    expect(wanted).toHaveLength(2);
  });

  it('shows the last key frame again when no picture comes, and goes on with the next one', () => {
    const { stream, tags, watch, pass } = rig(H264, { videoFreezeMs: 1000 });
    watch();
    stream.pushVideo(KEY, 0);
    pass(1100);
    const frozen = tags.filter(({ role }) => role === 'key-frame');
    expect(frozen).toHaveLength(2);
    expect(frozen[1]?.body).toBe(frozen[0]?.body);
    stream.pushVideo(INTER, 1120);
    stream.pushVideo(KEY, 1160);
    expect(tags.slice(-1).map(({ role, timestampMs }) => `${role} ${timestampMs}`)).toEqual([
      'key-frame 1160',
    ]);
    expect(tags.some(({ role }) => role === 'inter-frame')).toBe(false);
  });

  it('adds a silent track to video without audio, if wanted', () => {
    const { stream, tags, watch, pass } = rig(H264, { silentAudio: true });
    expect(stream.stream.contents(stream.stream.form)).toEqual({ hasAudio: true, hasVideo: true });
    watch();
    stream.pushVideo(KEY, 0);
    pass(500);
    expect(tags.filter(({ type }) => type === 8).length).toBeGreaterThan(10);
  });

  it('reports at once if its form needs encoders', () => {
    expect(() => rig({ audio: { codec: 'opus' } })).toThrow(/opus audio needs encoding/);
    expect(() => rig({ video: { codec: 'vp8' } })).toThrow(/vp8 video needs encoding/);
    const enhanced = {
      audio: 'aac',
      video: 'passthrough',
      enhanced: { vp8: true, opus: true },
    } as const;
    const { stream } = rig({ video: { codec: 'vp8' } }, { form: enhanced });
    stream.pushVideo(Buffer.from('10340b9d012a80026801ff', 'hex'), 0);
    expect(stream.stream.pictureSize(enhanced)).toMatchObject({ width: 640, height: 360 });
    expect(() => stream.pushVideo(KEY, 40)).toThrow(/octets of one frame/);
  });

  it('accepts nothing once it is closed, and leaves the ticker', () => {
    const { stream, tags, watch, ticks } = rig(H264);
    watch();
    stream.close();
    stream.close();
    expect(ticks.size).toBe(0);
    expect(() => stream.pushVideo(KEY, 0)).toThrow(expect.objectContaining({ code: 'CLOSED' }));
    expect(() => stream.stream.prepare(stream.stream.form)).toThrow(
      expect.objectContaining({ code: 'CLOSED' }),
    );
    expect(tags).toEqual([]);
  });
});
