import { describe, expect, it } from 'vitest';
import { monoAacFormat } from '../codec/aac.ts';
import { decodeSpropParameterSets } from '../codec/h264.ts';
import type { AudioFrame, FlvTag, H264AccessUnit, Vp8Frame } from '../codec/frame.ts';
import { passesAudio } from './output-form.ts';
import type { OutputForm } from './output-form.ts';
import { Rendition, requireTranscoders } from './rendition.ts';
import type { RenditionOptions } from './rendition.ts';
import type {
  AudioTranscoderHandler,
  VideoSource,
  VideoTranscoderHandler,
} from '../ffmpeg/transcoder.ts';

const SETS = decodeSpropParameterSets('Z0LAHtoCgL/lwEQAAAMABAAAAwDIPFi6gA==,aM4PyA==');
const picture = (isKeyFrame: boolean): H264AccessUnit => ({
  codec: 'h264',
  nalus: isKeyFrame ? [...SETS, Uint8Array.of(0x65, 0x88)] : [Uint8Array.of(0x41, 0x9a)],
  isKeyFrame,
  rtpTimestamp: 0,
  arrivalMs: 0,
});
const vp8 = (isKeyFrame: boolean): Vp8Frame => ({
  codec: 'vp8',
  payload: Uint8Array.of(isKeyFrame ? 0 : 1),
  isKeyFrame,
  rtpTimestamp: 0,
  arrivalMs: 0,
});
const sound = (codec: AudioFrame['codec']): AudioFrame => ({
  codec,
  payload: new Uint8Array(160),
  durationMs: 20,
  rtpTimestamp: 0,
  arrivalMs: 0,
});
const AAC: OutputForm = { audio: 'aac', video: 'passthrough' };
const PLAIN: OutputForm = { audio: 'passthrough', video: 'passthrough' };

/** A rendition whose encoders are played by the test. */
function rig(form: OutputForm, options: Partial<RenditionOptions> = {}) {
  const tags: FlvTag[] = [];
  const told: string[] = [];
  const audio: { handler: AudioTranscoderHandler; frames: AudioFrame[]; closed: boolean }[] = [];
  const video: {
    source: VideoSource;
    handler: VideoTranscoderHandler;
    frames: [boolean, number][];
    closed: boolean;
  }[] = [];
  const stats = { framesIn: 0, framesOut: 0, framesDropped: 0, restarts: 0, load: null };
  const rendition = new Rendition(
    {
      form,
      transcoders: {
        openAudio: (handler) => {
          const one = { handler, frames: [] as AudioFrame[], closed: false };
          audio.push(one);
          return {
            stats,
            push: (frame) => one.frames.push(frame),
            close: () => {
              one.closed = true;
            },
          };
        },
        openVideo: (source, handler) => {
          const one = { source, handler, frames: [] as [boolean, number][], closed: false };
          video.push(one);
          return {
            stats,
            push: (frame, atMs) => one.frames.push([frame.isKeyFrame, atMs]),
            close: () => {
              one.closed = true;
            },
          };
        },
      },
      silentAudio: false,
      videoFreezeMs: 0,
      videoLoss: 'wait',
      ...options,
    },
    {
      onKeyFrameWanted: () => told.push('key-frame'),
      onFrozen: () => told.push('frozen'),
      onOutputFailed: () => told.push('output failed'),
      onFailure: () => told.push('failure'),
    },
  );
  rendition.add({ push: (tag) => tags.push(tag) });
  const of = (type: 8 | 9): [string, number][] =>
    tags.filter((tag) => tag.type === type).map(({ role, timestampMs }) => [role, timestampMs]);
  return { rendition, tags, told, audio, video, of };
}

describe('which media pass', () => {
  it('is what FLV can carry, where that is wanted', () => {
    const passing = (['pcma', 'pcmu', 'g722', 'opus', 'speex-nb', 'speex-wb'] as const).filter(
      (codec) => passesAudio(PLAIN, codec),
    );
    expect(passing).toEqual(['pcma', 'pcmu', 'speex-wb']);
    expect(passesAudio(AAC, 'pcma')).toBe(false);
  });

  it('needs transcoders for the rest', () => {
    const disabled = expect.objectContaining({ code: 'TRANSCODING_DISABLED' });
    const check = (form: OutputForm, audio: AudioFrame['codec'], video: 'h264' | 'vp8') => () =>
      requireTranscoders(form, { audio, video }, undefined);
    expect(check(PLAIN, 'pcma', 'h264')).not.toThrow();
    expect(check(PLAIN, 'opus', 'h264')).toThrow(disabled);
    expect(check(AAC, 'pcma', 'h264')).toThrow(disabled);
    expect(check(PLAIN, 'pcma', 'vp8')).toThrow(disabled);
    expect(check({ ...PLAIN, video: 'reencode' }, 'pcma', 'h264')).toThrow(disabled);
  });
});

describe('encoders', () => {
  it('run from the first hold to the last release', () => {
    const { rendition, audio } = rig(AAC);
    rendition.expect({ audio: 'pcma', video: 'h264' });
    expect(audio).toHaveLength(0);
    const one = rendition.hold();
    const two = rendition.hold();
    rendition.pushAudio(sound('pcma'), 0);
    one();
    one();
    expect(audio.map(({ frames, closed }) => [frames.length, closed])).toEqual([[1, false]]);
    two();
    expect(audio[0]?.closed).toBe(true);
    rendition.hold();
    expect(audio).toHaveLength(2);
  });

  it('are opened when the media come to need them', () => {
    const { rendition, audio, video, told, of } = rig(PLAIN);
    rendition.expect({ audio: 'pcma', video: 'h264' });
    rendition.hold();
    rendition.pushAudio(sound('pcma'), 0);
    expect([audio.length, video.length]).toEqual([0, 0]);
    rendition.expect({ audio: 'opus', video: 'vp8' });
    expect([audio.length, video[0]?.source.codec]).toEqual([1, 'vp8']);
    expect(told).toEqual(['key-frame']);
    rendition.pushVideo(vp8(true), 1000, 0);
    rendition.pushVideo(vp8(false), 1040, 5);
    expect(video[0]?.frames).toEqual([
      [true, 1000],
      [false, 1045],
    ]);
    video[0]?.handler.onFrame(picture(true), 1000);
    audio[0]?.handler.onFormat(monoAacFormat(44_100));
    audio[0]?.handler.onFrame(Uint8Array.of(1), 1001);
    expect(of(9)).toEqual([
      ['sequence-header', 1000],
      ['key-frame', 1000],
    ]);
    expect(of(8).at(-1)).toEqual(['audio', 1001]);
  });

  it('that are unavailable leave nothing held', () => {
    let free = false;
    const { rendition } = rig(AAC, {
      transcoders: {
        openAudio: () => {
          if (!free) throw new Error('busy');
          return { stats: null as never, push: () => {}, close: () => {} };
        },
      },
    });
    rendition.expect({ audio: 'pcma' });
    expect(() => rendition.hold()).toThrow('busy');
    free = true;
    expect(() => rendition.hold()).not.toThrow();
  });

  it('end when the media no longer need them, and with them their silence', () => {
    const { rendition, audio, video, of } = rig(PLAIN);
    rendition.expect({ audio: 'opus', video: 'vp8' });
    const release = rendition.hold();
    audio[0]?.handler.onFrame(Uint8Array.of(1), 0);
    rendition.expect({ audio: 'pcma', video: 'h264' });
    expect([audio[0]?.closed, video[0]?.closed]).toEqual([true, true]);
    const { length } = of(8);
    rendition.tick(5000);
    expect(of(8)).toHaveLength(length);
    rendition.expect({ audio: 'opus', video: 'vp8' });
    expect([audio.length, video.length]).toEqual([2, 2]);
    release();
    expect([audio[1]?.closed, video[1]?.closed]).toEqual([true, true]);
  });

  it('that are unavailable for a change leave everything as it was', () => {
    let free = false;
    const encoder = { stats: null as never, push: () => {}, close: () => {} };
    let audioOpen = 0;
    const { rendition } = rig(PLAIN, {
      transcoders: {
        openAudio: () => {
          audioOpen++;
          return { ...encoder, close: () => audioOpen-- };
        },
        openVideo: () => {
          if (!free) throw new Error('busy');
          return encoder;
        },
      },
    });
    const before = { audio: 'pcma', video: 'h264' } as const;
    rendition.expect(before);
    rendition.hold();
    const wanted = { audio: 'opus', video: 'vp8' } as const;
    expect(() => rendition.expect(wanted)).toThrow('busy');
    expect([rendition.expected, audioOpen]).toEqual([before, 0]);
    expect(() => rendition.expect(wanted)).toThrow('busy');
    free = true;
    rendition.expect(wanted);
    expect([rendition.expected, audioOpen]).toEqual([wanted, 1]);
  });

  it('leave no old pictures for outputs that join after they have ended', () => {
    const { rendition, video, told, of } = rig(
      { audio: 'aac', video: 'reencode' },
      { videoFreezeMs: 2000 },
    );
    rendition.expect({ video: 'h264' });
    const release = rendition.hold();
    rendition.tick(0);
    video[0]?.handler.onFrame(picture(true), 0);
    release();
    rendition.tick(10_000);
    const late: FlvTag[] = [];
    rendition.add({ push: (tag) => late.push(tag) });
    expect(late).toEqual([]);
    expect(of(9)).toHaveLength(2);
    expect(told).not.toContain('frozen');
  });
});

describe('no hole', () => {
  it('is left in the AAC by an encoder that hangs; its late output is dropped', () => {
    const { rendition, audio, of } = rig(AAC);
    rendition.expect({ audio: 'pcma' });
    rendition.hold();
    const { handler } = audio[0]!;
    handler.onFormat(monoAacFormat(48_000));
    const frameMs = 1024 / 48;
    for (let frame = 0; frame < 10; frame++) handler.onFrame(Uint8Array.of(1), frame * frameMs);
    const endMs = 10 * frameMs;
    rendition.tick(endMs + 900);
    expect(of(8).filter(([role]) => role === 'audio')).toHaveLength(10);
    rendition.tick(endMs + 2000);
    const filled = of(8).map(([, atMs]) => atMs);
    expect(filled.at(-1)).toBeGreaterThan(endMs + 1600);
    expect(rendition.stats.silenceMs).toBeGreaterThan(1600);
    handler.onFrame(Uint8Array.of(1), endMs + 500);
    expect(of(8)).toHaveLength(filled.length);
    handler.onFrame(Uint8Array.of(1), endMs + 1710);
    const gaps = of(8)
      .filter(([role]) => role === 'audio')
      .map(([, atMs]) => atMs);
    for (const [at, ms] of gaps.slice(1).entries())
      expect(ms - gaps[at]!).toBeLessThan(1.6 * frameMs);
  });

  it('remains if an encoder never starts: silence from the time it was opened', () => {
    const { rendition, audio, of } = rig(AAC);
    rendition.expect({ audio: 'pcma' });
    rendition.tick(5000);
    rendition.hold();
    rendition.tick(6000);
    expect(of(8)).toEqual([]);
    rendition.tick(6020);
    const sounds = (): number[] =>
      of(8)
        .filter(([role]) => role === 'audio')
        .map(([, timestampMs]) => timestampMs);
    expect(sounds()[0]).toBe(5000);
    expect(sounds().at(-1)).toBeGreaterThan(5650);
    expect(sounds().at(-1)).toBeLessThanOrEqual(5720);
    // When it begins it goes on from there.
    audio[0]!.handler.onFrame(Uint8Array.of(1), sounds().at(-1)! + 30);
    expect(of(8).at(-1)![1]).toBeLessThan(5760);
  });

  it('is left in video without audio: a silent track, if wanted', () => {
    const silent = rig(AAC, { silentAudio: true });
    silent.rendition.expect({ video: 'h264' });
    for (let ms = 0; ms <= 2000; ms += 20) silent.rendition.tick(ms);
    expect(silent.of(8).filter(([role]) => role === 'audio').length).toBeGreaterThan(35);
    expect(silent.of(8)[0]?.[0]).toBe('sequence-header');
    const none = rig(AAC, { silentAudio: false });
    none.rendition.expect({ video: 'h264' });
    for (let ms = 0; ms <= 2000; ms += 20) none.rendition.tick(ms);
    expect(none.tags).toEqual([]);
  });

  it('is left when the audio is removed: a silent track', () => {
    const { rendition, of } = rig(PLAIN, { silentAudio: true });
    rendition.expect({ audio: 'pcma', video: 'h264' });
    rendition.pushVideo(picture(true), 0, 0);
    rendition.pushAudio(sound('pcma'), 0);
    rendition.expect({ video: 'h264' });
    const { length } = of(8);
    rendition.pushAudio(sound('pcma'), 20);
    expect(of(8)).toHaveLength(length);
    for (let ms = 1000; ms <= 2000; ms += 20) rendition.tick(ms);
    expect(of(8).length).toBeGreaterThan(length + 30);
  });

  it('is assumed for a slow source, which has not stopped', () => {
    const { rendition, of } = rig(PLAIN, { videoFreezeMs: 2000 });
    rendition.expect({ video: 'h264' });
    // One picture in 3.3 s; the first two that follow a frozen one are key frames, as were asked for.
    for (let ms = 0; ms < 33_000; ms += 20) {
      rendition.tick(ms);
      if (ms % 3300 === 0) rendition.pushVideo(picture(ms < 8000), ms, 0);
    }
    expect(rendition.stats.frozenFrames).toBe(2);
    const inter = of(9).filter(([role]) => role === 'inter-frame');
    expect(inter).toHaveLength(7);
    // It stops: longer than it was slow.
    for (let ms = 33_000; ms < 42_000; ms += 20) rendition.tick(ms);
    expect(rendition.stats.frozenFrames).toBeGreaterThan(3);
  });

  it('lets pictures that may be broken through after a frozen picture', () => {
    const { rendition, of } = rig(PLAIN, { videoFreezeMs: 1000, videoLoss: 'continue' });
    rendition.expect({ video: 'h264' });
    rendition.pushVideo(picture(true), 0, 0);
    for (let ms = 0; ms <= 1100; ms += 20) rendition.tick(ms);
    rendition.pushVideo(picture(false), 1110, 0);
    expect(of(9).at(-1)).toEqual(['inter-frame', 1110]);
  });

  it('shows the last key frame while no picture comes, and then none but from the next one on', () => {
    const { rendition, of, told } = rig(PLAIN, { videoFreezeMs: 2000 });
    rendition.expect({ audio: 'pcma', video: 'h264' });
    rendition.tick(0);
    rendition.pushVideo(picture(true), 0, 0);
    rendition.tick(40);
    rendition.pushVideo(picture(false), 40, 0);
    for (let ms = 60; ms < 6100; ms += 20) rendition.tick(ms);
    const frozen = of(9).slice(3);
    expect(frozen).toEqual([
      ['key-frame', 2040],
      ['key-frame', 4040],
      ['key-frame', 6040],
    ]);
    expect([told, rendition.stats.frozenFrames]).toEqual([['frozen'], 3]);
    rendition.pushVideo(picture(false), 6050, 0);
    expect(of(9)).toHaveLength(6);
    // The path is behind the frozen picture by its own delay: never backwards, and no two at one time.
    rendition.pushVideo(picture(true), 6000, 0);
    rendition.pushVideo(picture(false), 6040, 0);
    rendition.pushVideo(picture(false), 6080, 0);
    expect(of(9).slice(6)).toEqual([
      ['key-frame', 6041],
      ['inter-frame', 6042],
      ['inter-frame', 6080],
    ]);
  });

  const whole: Vp8Frame = {
    ...vp8(true),
    payload: Buffer.from('10340b9d012a80026801ff', 'hex'),
  };

  it('passes VP8 and Opus in enhanced tags if the form says so, and encodes them otherwise', () => {
    const form: OutputForm = { ...AAC, enhanced: { vp8: true, opus: true } };
    const both = rig(form);
    both.rendition.expect({ audio: 'opus', video: 'vp8' });
    const release = both.rendition.hold();
    both.rendition.pushVideo(vp8(false), 0, 0);
    both.rendition.pushAudio(sound('opus'), 0);
    both.rendition.pushVideo(whole, 40, 0);
    both.rendition.pushVideo(whole, 80, 0);
    expect([both.audio, both.video]).toEqual([[], []]);
    expect(both.rendition.video).toEqual({ width: 640, height: 360 });
    release();
    const late: FlvTag[] = [];
    both.rendition.add({ push: (tag) => late.push(tag) });
    const shape = ({ type, body, role }: FlvTag): string =>
      `${role} ${type === 18 ? '' : Buffer.from(body).toString('latin1', 1, 5)}`;
    expect(late.map(shape)).toEqual([
      'metadata ',
      'sequence-header vp08',
      'sequence-header Opus',
      'key-frame vp08',
    ]);

    const opusOnly = rig({ ...AAC, enhanced: { vp8: false, opus: true } });
    opusOnly.rendition.expect({ audio: 'opus', video: 'vp8' });
    opusOnly.rendition.hold();
    expect([opusOnly.audio.length, opusOnly.video.length]).toEqual([0, 1]);
    // Re-encoding is a separate wish.
    const reencoded = rig({ ...form, video: 'reencode' });
    reencoded.rendition.expect({ audio: 'opus', video: 'vp8' });
    reencoded.rendition.hold();
    expect([reencoded.audio.length, reencoded.video.length]).toEqual([0, 1]);
  });

  it('starts over when the source changes from VP8 to H.264: no output starts with a picture of the other codec', () => {
    const { rendition } = rig({ ...PLAIN, enhanced: { vp8: true, opus: true } });
    rendition.expect({ video: 'vp8' });
    rendition.setParameterSets(SETS);
    rendition.pushVideo(whole, 0, 0);
    rendition.expect({ video: 'h264' });
    const late: FlvTag[] = [];
    rendition.add({ push: (tag) => late.push(tag) });
    expect(late).toEqual([]);
    rendition.pushVideo(picture(true), 40, 0);
    expect(late.map(({ role, body }) => [role, role === 'metadata' ? 0 : body[0]])).toEqual([
      ['metadata', 0],
      ['sequence-header', 0x17],
      ['key-frame', 0x17],
    ]);
    rendition.expect({ video: 'vp8' });
    rendition.pushVideo(whole, 80, 0);
    expect(
      late.slice(3).map(({ role, body }) => [role, role === 'metadata' ? 0 : body[0]]),
    ).toEqual([
      ['metadata', 0],
      ['sequence-header', 0x90],
      ['key-frame', 0x91],
    ]);
  });
});
