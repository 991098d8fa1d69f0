import type { AudioTranscoder, FfmpegTranscoders, OpenAudioTranscoder } from '@sipcast/media';
import { MediaError } from '@sipcast/media';
import { describe, expect, it } from 'vitest';
import { Encoders, EncoderSlots } from './encoders.ts';
import type { EncodingOptions } from './encoders.ts';
import { silentLogger } from '../logger.ts';

const openAudio: OpenAudioTranscoder = () => ({ close: () => {} }) as unknown as AudioTranscoder;
const openVideo = (): never => ({ close: () => {} }) as never;
const found = {
  path: '/x/ffmpeg',
  version: '7',
  openAudio,
  openVideo,
} as unknown as FfmpegTranscoders;

const open = (options: EncodingOptions = {}, find = () => Promise.resolve(found)) =>
  Encoders.open(options, find, silentLogger);
const AAC = { audio: 'aac', video: 'passthrough' } as const;

it('gives out so many places, and each back once', () => {
  const slots = new EncoderSlots(1);
  const free = slots.take();
  expect([typeof free, slots.take()]).toEqual(['function', undefined]);
  free?.();
  free?.();
  expect(slots.taken).toBe(0);
});

describe('the form of a call', () => {
  it('is AAC with video passed through by default', async () => {
    expect((await open()).formOf({})).toEqual(AAC);
    const plain = await open({ audio: 'passthrough', video: 'reencode' });
    expect(plain.formOf({})).toEqual({ audio: 'passthrough', video: 'reencode' });
    expect(plain.formOf(AAC)).toEqual(AAC);
  });

  it('is as it comes while transcoding is off, and cannot be another', async () => {
    const off = await open({ transcoding: false }, () => Promise.reject(new Error('not asked')));
    expect(off.formOf({})).toEqual({ audio: 'passthrough', video: 'passthrough' });
    expect(() => off.formOf({ audio: 'aac' })).toThrow(expect.objectContaining({ field: 'audio' }));
    expect(() => off.formOf({ video: 'reencode' })).toThrow(
      expect.objectContaining({ field: 'video' }),
    );
    expect(off.reserve(off.formOf({}), true).transcoders).toBeUndefined();
    await expect(open({ audio: 'mp3' as never })).rejects.toMatchObject({ field: 'audio' });
  });
});

describe('places', () => {
  it('are reserved for a call that will need one, and used by its encoder', async () => {
    const encoders = await open({ transcoding: { maxAudioEncoders: 1 } });
    const call = encoders.reserve(AAC, true);
    expect(encoders.taken.audio).toBe(1);
    expect(() => encoders.reserve(AAC, true)).toThrow(
      expect.objectContaining({ code: 'TRANSCODERS_BUSY' }),
    );
    // One that is not published needs none yet.
    const quiet = encoders.reserve(AAC, false);
    expect(() => quiet.transcoders?.openAudio?.({} as never)).toThrow(
      expect.objectContaining({ code: 'TRANSCODERS_BUSY' }),
    );
    const transcoder = call.transcoders?.openAudio?.({} as never);
    transcoder?.close();
    call.transcoders?.openAudio?.({} as never);
    expect(encoders.taken.audio).toBe(1);
    // Closed once more, it frees nothing that another has.
    transcoder?.close();
    expect(() => call.transcoders?.openAudio?.({} as never)).toThrow();
    call.release();
    call.release();
    expect(encoders.taken.audio).toBe(0);
  });

  it('are given back when the second reservation of a call fails', async () => {
    const encoders = await open({ transcoding: { maxAudioEncoders: 1, maxVideoEncoders: 0 } });
    expect(() => encoders.reserve({ audio: 'aac', video: 'reencode' }, true)).toThrow(/encoders/);
    expect(encoders.taken).toEqual({ audio: 0, video: 0 });
  });

  it('are taken by further encoders of a call, and freed when these close', async () => {
    const encoders = await open({ transcoding: { maxVideoEncoders: 1 } });
    const call = encoders.reserve(AAC, true);
    const video = call.transcoders?.openVideo?.({ codec: 'vp8' }, {} as never);
    expect(encoders.taken.video).toBe(1);
    expect(() => call.transcoders?.openVideo?.({ codec: 'vp8' }, {} as never)).toThrow();
    video?.close();
    expect(encoders.taken.video).toBe(0);
  });
});

it('needs no ffmpeg where both encoders are brought along, and names its options', async () => {
  const none = () => Promise.reject(new MediaError('NO_TRANSCODER', 'none'));
  await expect(open({}, none)).rejects.toMatchObject({ code: 'NO_TRANSCODER' });
  await expect(open({ transcoding: { openAudio, openVideo } }, none)).resolves.toBeDefined();
  const wrong = () =>
    Promise.reject(new MediaError('INVALID_ARGUMENT', 'wrong', { field: 'videoFps' }));
  await expect(open({}, wrong)).rejects.toMatchObject({ field: 'transcoding.videoFps' });
});

it('refuses to encode video again without an encoder', async () => {
  const poor = () => Promise.resolve({ ...found, openVideo: undefined });
  const encoders = await open({}, poor);
  for (const attempt of [
    async () => encoders.formOf({ video: 'reencode' }),
    () => open({ video: 'reencode' }, poor),
  ])
    await expect(attempt()).rejects.toMatchObject({ code: 'INVALID_ARGUMENT', field: 'video' });
  await expect(
    open({ video: 'reencode', transcoding: { openVideo } }, poor),
  ).resolves.toBeDefined();
});

it('reports when the ffmpeg that it found is lost, or encodes less than before', async () => {
  let answer: () => Promise<FfmpegTranscoders> = () => Promise.resolve(found);
  const asked: (string | undefined)[] = [];
  const find = (options?: { ffmpegPath?: string }): Promise<FfmpegTranscoders> => {
    asked.push(options?.ffmpegPath);
    return answer();
  };
  const encoders = await Encoders.open({}, find, silentLogger);
  expect(await encoders.checkFfmpeg()).toBeUndefined();
  // That one and no other.
  expect(asked).toEqual([undefined, '/x/ffmpeg']);
  answer = () => Promise.reject(new MediaError('NO_TRANSCODER', 'No ffmpeg: gone'));
  expect(await encoders.checkFfmpeg()).toBe('No ffmpeg: gone');
  answer = () => Promise.resolve({ ...found, openVideo: undefined });
  expect(await encoders.checkFfmpeg()).toBe('/x/ffmpeg no longer encodes video');
  const own = await open({ transcoding: { openAudio, openVideo } });
  answer = () => Promise.reject(new Error('not asked'));
  expect(await own.checkFfmpeg()).toBeUndefined();
});

it('begins nothing that needs what is lost, until it is back', async () => {
  const gone = (): Promise<FfmpegTranscoders> =>
    Promise.reject(new MediaError('NO_TRANSCODER', 'No ffmpeg: gone'));
  const back = (): Promise<FfmpegTranscoders> => Promise.resolve(found);
  const poorer = (): Promise<FfmpegTranscoders> =>
    Promise.resolve({ ...found, openVideo: undefined });
  let answer = back;
  const encoders = await Encoders.open({}, () => answer(), silentLogger);
  const REENCODED = { audio: 'passthrough', video: 'reencode' } as const;
  const PLAIN = { audio: 'passthrough', video: 'passthrough' } as const;
  const lost = expect.objectContaining({ code: 'TRANSCODER_LOST' });
  const running = encoders.reserve(AAC, true);
  answer = gone;
  await encoders.checkFfmpeg();
  for (const form of [AAC, REENCODED]) expect(() => encoders.reserve(form, true)).toThrow(lost);
  expect(() => encoders.takeSoundSlot()).toThrow(lost);
  // Without an output, or as it comes, nothing is encoded; whoever watches later is refused then.
  const quiet = encoders.reserve(AAC, false);
  encoders.reserve(PLAIN, true).release();
  expect(() => quiet.transcoders?.openAudio?.({} as never)).toThrow(lost);
  expect(() => quiet.transcoders?.openVideo?.({} as never, {} as never)).toThrow(lost);
  // One that was promised is tried.
  running.transcoders?.openAudio?.({} as never).close();
  expect(encoders.taken).toEqual({ audio: 1, video: 0 });
  answer = poorer;
  await encoders.checkFfmpeg();
  encoders.reserve(AAC, true).release();
  expect(() => encoders.reserve(REENCODED, true)).toThrow(lost);
  answer = back;
  await encoders.checkFfmpeg();
  encoders.reserve(REENCODED, true).release();
  encoders.takeSoundSlot()();
  running.release();
  expect(encoders.taken).toEqual({ audio: 0, video: 0 });
});

it('keeps working with encoders of the application without ffmpeg', async () => {
  let find = (): Promise<FfmpegTranscoders> => Promise.resolve(found);
  const options = { transcoding: { openAudio } };
  const encoders = await Encoders.open(options, () => find(), silentLogger);
  find = () => Promise.reject(new Error('gone'));
  expect(await encoders.checkFfmpeg()).toBe('gone');
  encoders.reserve(AAC, true).release();
  const lost = expect.objectContaining({ code: 'TRANSCODER_LOST' });
  expect(() => encoders.reserve({ audio: 'aac', video: 'reencode' }, true)).toThrow(lost);
  expect(encoders.taken).toEqual({ audio: 0, video: 0 });
  // Sounds are decoded by ffmpeg whoever encodes.
  expect(() => encoders.takeSoundSlot()).toThrow(lost);
});
