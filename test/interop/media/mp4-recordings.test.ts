// MP4 recordings as ffmpeg reads them: hours of sound, pictures that come late or seldom, another size, and what a crash leaves.

import { copyFile, readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Mp4Recorder } from '@sipcast/media';
import type { FlvRecording } from '@sipcast/media';
import { AAC_SILENCE, FlvMuxer, monoAacFormat, splitAnnexB } from '@sipcast/media/wire';
import { loadClip } from '@sipcast/testkit';
import { expect, it } from 'vitest';
import { makeFolder } from '../../support/folder.ts';
import { describeWith, run } from '../../support/programs.ts';

const LIMIT = { timeout: 60_000 };
const AAC_FRAME_MS = 1024 / 44.1;
const CLIP = loadClip().video.map((unit) => ({ ...unit, codec: 'h264' }) as const);

/** A recorder with a stream whose time is the test's. */
async function open() {
  const dir = await makeFolder();
  const files: FlvRecording[] = [];
  const problems: unknown[] = [];
  const recorder = new Mp4Recorder(
    { pathOf: (index) => join(dir, `${index}.mp4`) },
    { onFile: (file) => files.push(file), onFailed: (error) => problems.push(error) },
  );
  const muxer = new FlvMuxer({ audioCodec: 'aac', hasVideo: true }, (tag) => recorder.push(tag));
  muxer.setAacFormat(monoAacFormat(44_100));
  let sounds = 0;
  const soundUntil = async (ms: number): Promise<void> => {
    for (; sounds * AAC_FRAME_MS < ms; sounds++) {
      muxer.pushAac(AAC_SILENCE, sounds * AAC_FRAME_MS);
      // As in life, others have turns.
      if (sounds % 50 === 0) {
        await new Promise((resolve) => {
          setTimeout(resolve, 1);
        });
      }
    }
  };
  return { dir, files, problems, recorder, muxer, soundUntil };
}

/** Decodes a file. */
async function judge(path: string) {
  const { stderr } = await run('ffmpeg', `-v error -i ${path} -f null -`.split(' '));
  const asked = 'stream=codec_name,width,nb_read_packets:format=duration';
  const words = `-v error -count_packets -of json -show_entries ${asked} ${path}`.split(' ');
  const { stdout } = await run('ffprobe', words);
  const { streams, format } = JSON.parse(stdout.toString()) as {
    streams: { codec_name: string; width?: number; nb_read_packets: string }[];
    format: { duration: string };
  };
  const of = (codec: string) => streams.find((stream) => stream.codec_name === codec);
  return { stderr, video: of('h264'), audio: of('aac'), durationS: Number(format.duration) };
}

describeWith(['ffmpeg'], 'an MP4 recording', () => {
  it('of sound alone plays to the end after ten minutes', LIMIT, async () => {
    const { files, problems, recorder, soundUntil } = await open();
    await soundUntil(600_000);
    await recorder.close();
    const { stderr, audio, durationS } = await judge(files[0]!.path);
    expect([stderr, problems, files.length]).toEqual(['', [], 1]);
    expect(durationS).toBeGreaterThan(597);
    expect(Number(audio?.nb_read_packets)).toBeGreaterThan(25_000);
    expect(files[0]!.bytes).toBe((await stat(files[0]!.path)).size);
  });

  it('has both where the picture begins 100 s behind the sound', LIMIT, async () => {
    const { files, problems, recorder, muxer, soundUntil } = await open();
    await soundUntil(100_000);
    for (let at = 0; at < 100; at++) {
      muxer.push(CLIP[at]!, 100_000 + at * 40);
      await soundUntil(100_000 + at * 40);
    }
    await recorder.close();
    expect([problems, files.length]).toEqual([[], 2]);
    const [first, second] = await Promise.all(files.map(({ path }) => judge(path)));
    expect([first!.stderr, second!.stderr]).toEqual(['', '']);
    expect(first!.durationS).toBeGreaterThan(97);
    expect([Number(second!.video?.nb_read_packets), second!.audio !== undefined]).toEqual([
      100,
      true,
    ]);
  });

  it('plays with one key frame in 70 s', LIMIT, async () => {
    const { files, problems, recorder, muxer, soundUntil } = await open();
    const inter = CLIP.filter(({ isKeyFrame }) => !isKeyFrame);
    for (let at = 0; at < 1750; at++) {
      muxer.push(at === 0 ? CLIP[0]! : inter[at % inter.length]!, at * 40);
      await soundUntil(at * 40);
    }
    await recorder.close();
    expect(problems).toEqual([]);
    const { video, audio, durationS } = await judge(files[0]!.path);
    expect([problems, Number(video?.nb_read_packets)]).toEqual([[], 1750]);
    expect(Number(audio?.nb_read_packets)).toBeGreaterThan(2900);
    expect(durationS).toBeGreaterThan(69);
  });

  it('goes on in a file of its own where the size changes, and both decode', LIMIT, async () => {
    const dir = await makeFolder();
    const path = join(dir, 'small.h264');
    const source =
      '-v error -f lavfi -i testsrc=size=320x240:rate=25 -pix_fmt yuv420p -frames:v 50 -c:v libx264';
    await run('ffmpeg', `${source} -profile:v baseline -g 25 ${path}`.split(' '));
    const nalus = splitAnnexB(await readFile(path));
    const { files, problems, recorder, muxer, soundUntil } = await open();
    for (let at = 0; at < 100; at++) {
      muxer.push(CLIP[at]!, at * 40);
      await soundUntil(at * 40);
    }
    const isSlice = (nal: Uint8Array) => [1, 5].includes(nal[0]! & 0x1f);
    const sets = nalus.filter((nal) => [7, 8].includes(nal[0]! & 0x1f)).slice(0, 2);
    const slices = nalus.filter(isSlice);
    for (const [at, slice] of slices.entries()) {
      const isKeyFrame = (slice[0]! & 0x1f) === 5;
      const picture = { codec: 'h264', nalus: isKeyFrame ? [...sets, slice] : [slice], isKeyFrame };
      muxer.push(picture as Parameters<typeof muxer.push>[0], 4000 + at * 40);
      await soundUntil(4000 + at * 40);
    }
    await recorder.close();
    const seen = await Promise.all(files.map((file) => judge(file.path)));
    expect(problems).toEqual([]);
    expect(seen.map(({ stderr, video }) => [stderr, video?.width])).toEqual([
      ['', 640],
      ['', 320],
    ]);
  });

  it('that a crash leaves plays up to its last fragment', LIMIT, async () => {
    const { dir, recorder, muxer, soundUntil } = await open();
    for (let at = 0; at < 400; at++) {
      muxer.push(CLIP[at]!, at * 40);
      await soundUntil(at * 40);
    }
    const file = join(dir, '0.mp4');
    await expect.poll(async () => (await stat(file)).size).toBeGreaterThan(600_000);
    const left = join(dir, 'left.mp4');
    await copyFile(file, left);
    const { stderr, video, durationS } = await judge(left);
    expect(stderr).toBe('');
    expect(Number(video?.nb_read_packets)).toBeGreaterThanOrEqual(250);
    expect(durationS).toBeGreaterThan(9);
    await recorder.close();
    expect(await readdir(dir)).toEqual(['0.mp4', 'left.mp4']);
  });
});
