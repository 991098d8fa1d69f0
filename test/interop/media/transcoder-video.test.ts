// The H.264 encoder as a real ffmpeg child process: its picture, its time, its faults.

import { execFileSync, spawn } from 'node:child_process';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { formatFlvHeader, formatFlvTag, openFfmpegTranscoders, parseSps } from '@sipcast/media';
import { FlvMuxer } from '@sipcast/media/wire';
import type { MediaError, VideoFrame } from '@sipcast/media';
import type {
  FfmpegVideoOptions,
  H264AccessUnit,
  H264Picture,
  SequenceParameters,
  VideoSource,
} from '@sipcast/media/wire';
import { loadClip, splitIvf } from '@sipcast/testkit';
import { beforeEach, expect, it } from 'vitest';
import { decodeErrors } from '../../support/flv-check.ts';
import { describeWith, findProgram, run } from '../../support/programs.ts';
import { makeReorderedVideo } from '../../support/reordered-video.ts';
import { afterTest } from '../../support/cleanup.ts';
import { makeFolder } from '../../support/folder.ts';

const FRAME_MS = 40;
const BASE_MS = 5000.4;
const scene = loadClip();
/** The one that encodes; the judge is the one on the `PATH`. */
const ffmpeg = process.env['FFMPEG_PATH'] ?? findProgram('ffmpeg') ?? '';

const listChildren = (): string[] =>
  execFileSync('ps', ['-o', 'pid=,stat=,args=', '--ppid', String(process.pid)])
    .toString()
    .split('\n');
const encoderRows = (): string[] => listChildren().filter((row) => row.includes('-c:v libx264'));
const encoders = (): number[] => encoderRows().map((row) => Number.parseInt(row, 10));

/** The scene, or other frames, as they come out of the depacketizer. */
function vp8Frames(count: number, octets = scene.video.map((unit) => unit.vp8!)): VideoFrame[] {
  return octets.slice(0, count).map((payload) => ({
    codec: 'vp8',
    payload,
    isKeyFrame: (payload[0]! & 1) === 0,
    rtpTimestamp: 0,
    arrivalMs: 0,
  }));
}

const h264Frame = (nalus: readonly Uint8Array[], isKeyFrame: boolean): H264AccessUnit => ({
  codec: 'h264',
  nalus,
  isKeyFrame,
  rtpTimestamp: 0,
  arrivalMs: 0,
});

const spsOf = (picture: H264Picture): SequenceParameters | undefined => {
  const sps = picture.nalus.find((nal) => (nal[0]! & 0x1f) === 7);
  return sps && parseSps(sps);
};

async function findEncoder(ffmpegPath: string, options: FfmpegVideoOptions = {}) {
  const { openVideo } = await openFfmpegTranscoders({ ffmpegPath, ...options });
  if (!openVideo) throw new Error('no H.264 encoder');
  return openVideo;
}

interface Taken {
  readonly picture: H264Picture;
  readonly atMs: number;
  readonly arrivalMs: number;
}

describeWith(['ffmpeg', 'ffprobe', 'ps'], 'the H.264 encoder', () => {
  let dir: string;
  beforeEach(async () => {
    dir = await makeFolder();
    afterTest(() => expect.poll(encoders).toEqual([]));
  });

  async function open(
    source: VideoSource = { codec: 'vp8' },
    options: FfmpegVideoOptions = {},
    path = ffmpeg,
  ) {
    const openVideo = await findEncoder(path, options);
    const taken: Taken[] = [];
    const failures: MediaError[] = [];
    let wanted = 0;
    const transcoder = openVideo(source, {
      onFrame: (picture, atMs) => taken.push({ picture, atMs, arrivalMs: performance.now() }),
      onKeyFrameWanted: () => wanted++,
      onFailed: (error) => failures.push(error),
    });
    afterTest(() => transcoder.close());
    let timeMs = BASE_MS;
    const feed = async (frames: readonly VideoFrame[], everyMs = 10, stepMs = FRAME_MS) => {
      for (const frame of frames) {
        transcoder.push(frame, timeMs);
        timeMs += stepMs;
        await sleep(everyMs);
      }
    };
    const got = (count: number) =>
      expect.poll(() => taken.length, { timeout: 5000 }).toBeGreaterThanOrEqual(count);
    return { transcoder, taken, failures, feed, got, wanted: () => wanted };
  }

  /** Writes pictures as an output does. */
  async function record(taken: readonly Taken[], name = 'out.flv'): Promise<string> {
    const octets = [formatFlvHeader({ hasAudio: false, hasVideo: true })];
    const muxer = new FlvMuxer({ audioCodec: null, hasVideo: true }, (tag) =>
      octets.push(formatFlvTag(tag)),
    );
    for (const { picture, atMs } of taken) muxer.push(picture, atMs - taken[0]!.atMs);
    const file = join(dir, name);
    await writeFile(file, Buffer.concat(octets));
    return file;
  }

  const luma = async (file: string, filters: string[] = []): Promise<Buffer> => {
    const output = ['-vsync', 'passthrough', '-f', 'rawvideo', '-pix_fmt', 'gray', 'pipe:1'];
    return (await run('ffmpeg', ['-v', 'error', '-i', file, ...filters, ...output])).stdout;
  };

  /** Of each picture, in dB. */
  function psnr(one: Buffer, other: Buffer, pixels: number): number[] {
    return Array.from({ length: one.length / pixels }, (_, index) => {
      let squares = 0;
      for (let at = index * pixels; at < (index + 1) * pixels; at++) {
        squares += (one[at]! - other[at]!) ** 2;
      }
      return 10 * Math.log10((255 * 255 * pixels) / Math.max(squares, 1));
    });
  }

  it('shows what VP8 showed, picture by picture, at its time, without delay', async () => {
    const { transcoder, taken, feed, failures, got } = await open();
    await feed(vp8Frames(120), 15);
    await got(120);
    expect(transcoder.stats).toMatchObject({ framesIn: 120, framesOut: 120, framesDropped: 0 });
    expect(transcoder.stats.load).toBeGreaterThan(0);
    expect(failures).toEqual([]);
    expect(taken.map(({ atMs }) => atMs)).toEqual(taken.map((_, at) => 5000 + at * FRAME_MS));
    const keys = taken.flatMap(({ picture }, at) => (picture.isKeyFrame ? [at] : []));
    expect(keys).toEqual([0, 50, 100]);
    expect(taken.every(({ picture }) => picture.nalus.every((nal) => nal.length > 0))).toBe(true);
    expect(spsOf(taken[50]!.picture)).toMatchObject({
      profileIdc: 66,
      width: 640,
      height: 360,
      maxReorderFrames: 0,
    });

    const file = await record(taken);
    expect(await decodeErrors(file)).toBe('');
    const source = join(import.meta.dirname, '../../../packages/testkit/clips/scene.ivf');
    const shown = await luma(file);
    const given = await luma(source, ['-frames:v', '120']);
    expect(shown.length).toBe(given.length);
    const quality = psnr(shown, given, 640 * 360);
    console.log(`PSNR of the luma: ${Math.min(...quality).toFixed(1)} dB and better`);
    expect(Math.min(...quality)).toBeGreaterThan(28);
  });

  it('keeps odd steps of time, one picture each, and follows a jump', async () => {
    const { transcoder, taken, got } = await open();
    const frames = vp8Frames(60);
    const times = frames.map(
      (_, at) => 7 + at * 33.37 + (at % 3) + (at < 30 ? 0 : 20_000) + (at === 40 ? -60 : 0),
    );
    for (const [at, frame] of frames.entries()) {
      transcoder.push(frame, times[at]!);
      await sleep(8);
    }
    await got(60);
    for (const [at, { atMs }] of taken.entries()) {
      // One picture came with a time before that of the last one.
      expect(Math.abs(atMs - times[at]!)).toBeLessThan(at === 40 ? 100 : at === 41 ? 5 : 1.01);
    }
    expect(taken.map(({ atMs }) => atMs)).toEqual(
      taken.map(({ atMs }) => atMs).toSorted((a, b) => a - b),
    );
    expect(taken.filter(({ picture }) => picture.isKeyFrame).length).toBeLessThanOrEqual(3);
  });

  it('hands on each picture as soon as it has it', async () => {
    const { transcoder, taken, got } = await open();
    const sentMs: number[] = [];
    for (const [at, frame] of vp8Frames(75).entries()) {
      sentMs.push(performance.now());
      transcoder.push(frame, at * FRAME_MS);
      await sleep(FRAME_MS);
    }
    await got(75);
    const delays = taken.map(({ arrivalMs }, at) => arrivalMs - sentMs[at]!).slice(10);
    const sorted = delays.toSorted((a, b) => a - b);
    const { load } = transcoder.stats;
    console.log(`encoded in ${sorted[32]!.toFixed(1)} ms, load ${load?.toFixed(2)} of a core`);
    // A picture held back for the next one would take 40 ms and more.
    expect(sorted[32]).toBeLessThan(FRAME_MS);
  });

  it('makes the picture smaller and leaves pictures out, evenly, as the options say', async () => {
    const options = { videoWidth: 300, videoHeight: 300, videoFps: 10, videoBitrateBps: 100_000 };
    const { taken, feed, got } = await open({ codec: 'vp8' }, options);
    await feed(vp8Frames(100));
    await got(40);
    await sleep(50);
    expect(taken).toHaveLength(40);
    expect(spsOf(taken[0]!.picture)).toMatchObject({ width: 300, height: 168 });
    const steps = taken.slice(1).map(({ atMs }, at) => atMs - taken[at]!.atMs);
    expect(new Set(steps)).toEqual(new Set([80, 120]));
    const octets = taken
      .flatMap(({ picture }) => picture.nalus)
      .reduce((sum, nal) => sum + nal.length, 0);
    expect(octets * 8).toBeLessThan(100_000 * 4 * 1.5);
  });

  it('neither enlarges nor fills up with pictures', async () => {
    const options = { videoWidth: 1280, videoHeight: 1280, videoFps: 60 };
    const { taken, feed, got } = await open({ codec: 'vp8' }, options);
    await feed(vp8Frames(50));
    await got(50);
    expect(spsOf(taken[0]!.picture)).toMatchObject({ width: 640, height: 360 });
    expect(taken).toHaveLength(50);
  });

  /** Some frames of VP8 of a size, each run a key frame and what follows it. */
  async function vp8OfSize(size: string, count: number): Promise<VideoFrame[]> {
    const file = join(dir, `${size}.ivf`);
    const input = ['-f', 'lavfi', '-i', `testsrc2=s=${size}:r=25`, '-frames:v', String(count)];
    const encoder = ['-c:v', 'libvpx', '-deadline', 'realtime', '-auto-alt-ref', '0', file];
    await run('ffmpeg', ['-v', 'error', ...input, ...encoder]);
    return vp8Frames(count, splitIvf(await readFile(file)));
  }

  it('restarts when the source changes its size, and scales when that happens too often', async () => {
    const { transcoder, taken, feed, got, wanted } = await open();
    const small = await vp8OfSize('322x181', 20);
    const upright = await vp8OfSize('180x320', 20);
    for (const frames of [vp8Frames(20), small, upright]) await feed(frames);
    await got(60);
    expect(taken).toHaveLength(60);
    expect(transcoder.stats).toMatchObject({ framesDropped: 0, restarts: 0 });
    expect(wanted()).toBe(0);
    const sizes = taken.flatMap(({ picture }, at) => {
      const { width, height } = spsOf(picture) ?? {};
      return width === undefined ? [] : [`${at} ${width}x${height}`];
    });
    expect(sizes).toEqual(['0 640x360', '20 322x180', '40 180x320']);
    const times = taken.map(({ atMs }) => atMs);
    expect(times).toEqual(taken.map((_, at) => 5000 + at * FRAME_MS));
    expect(await decodeErrors(await record(taken))).toBe('');

    for (let turn = 0; turn < 4; turn++) {
      for (const frames of [small, upright]) {
        await feed(frames.slice(0, 3));
        await got(60 + turn * 6 + (frames === small ? 3 : 6));
      }
    }
    const after = taken.slice(60).flatMap(({ picture }) => spsOf(picture)?.width ?? []);
    // Four more processes, then the last size stays.
    expect(after).toEqual([322, 180, 322, 180]);
    expect(await decodeErrors(await record(taken))).toBe('');
  });

  it('refuses a picture that no level would allow', async () => {
    const { transcoder, feed, wanted } = await open();
    const huge = Uint8Array.of(0x10, 0, 0, 0x9d, 1, 0x2a, 0xff, 0x3f, 0xff, 0x3f);
    await feed(vp8Frames(1, [huge]));
    expect(transcoder.stats.framesDropped).toBe(1);
    expect(wanted()).toBe(1);
  });

  it('waits for a key frame at the start, and after each end of the child', async () => {
    const { transcoder, taken, feed, got, failures, wanted } = await open();
    const frames = vp8Frames(150);
    await feed(frames.slice(45, 60));
    expect(wanted()).toBe(5);
    expect(transcoder.stats.framesDropped).toBe(5);
    await got(10);
    expect(taken[0]).toMatchObject({ atMs: 5200 });
    for (const signal of ['SIGKILL', 'SIGSEGV'] as const) {
      const before = taken.length;
      const [pid] = encoders();
      process.kill(pid!, signal);
      await expect.poll(() => encoders().filter((one) => one !== pid).length).toBe(1);
      await feed(frames.slice(60, 65));
      expect(taken).toHaveLength(before);
      await feed(frames.slice(100, 120));
      await got(before + 20);
      expect(taken[before]!.picture.isKeyFrame).toBe(true);
      expect(spsOf(taken[before]!.picture)).toBeDefined();
    }
    expect(transcoder.stats.restarts).toBe(2);
    const times = taken.map(({ atMs }) => atMs);
    expect(times).toEqual(times.toSorted((a, b) => a - b));
    expect(failures).toEqual([]);
    expect(await decodeErrors(await record(taken))).toBe('');
  });

  it('drops what a child does not take, and replaces one that hangs', async () => {
    const { transcoder, taken, feed, got, wanted } = await open();
    const frames = vp8Frames(500);
    await feed(frames.slice(0, 20));
    await got(20);
    process.kill(encoders()[0]!, 'SIGSTOP');
    const before = taken.length;
    // 3.3 MB in all: more than may wait here and in the kernel.
    for (let turn = 0; turn < 3; turn++) await feed(frames, 0);
    const { framesDropped } = transcoder.stats;
    expect(framesDropped).toBeGreaterThan(0);
    expect(framesDropped).toBeLessThan(750);
    expect(wanted()).toBe(framesDropped);
    await expect.poll(() => transcoder.stats.restarts, { timeout: 6000, interval: 100 }).toBe(1);
    await feed(frames.slice(0, 20));
    await got(before + 20);
    expect(taken[before]!.picture.isKeyFrame).toBe(true);
  });

  it('gives up a child that ends again and again, with its last words', async () => {
    const path = join(dir, 'ffmpeg');
    const script = `#!/bin/sh
case "$*" in
  *-version*|*-encoders*|*-decoders*) exec ffmpeg "$@" ;;
esac
: -c:v libx264
head -c 3000000 /dev/zero | tr '\\0' 'x' >&2
echo >&2; echo 'no more' >&2
exit 3
`;
    await writeFile(path, script, { mode: 0o755 });
    const { feed, failures } = await open({ codec: 'vp8' }, {}, path);
    await feed(vp8Frames(100), 30);
    await expect.poll(() => failures.length, { timeout: 5000 }).toBe(1);
    expect(failures[0]).toMatchObject({ code: 'TRANSCODER_FAILED' });
    expect(failures[0]?.message).toMatch(/3: no more$/);
  });

  it('takes output that is no FLV for a fault of the child', async () => {
    const path = join(dir, 'ffmpeg');
    const script = `#!/bin/sh
case "$*" in
  *-version*|*-encoders*|*-decoders*) exec ffmpeg "$@" ;;
esac
: -c:v libx264
echo 'this is no FLV'
exec cat >/dev/null
`;
    await writeFile(path, script, { mode: 0o755 });
    const { transcoder, failures } = await open({ codec: 'vp8' }, {}, path);
    await expect.poll(() => failures.length, { timeout: 5000 }).toBe(1);
    expect(failures[0]?.message).toContain('SIGKILL');
    expect(transcoder.stats.restarts).toBe(3);
  });

  it('reports an invalid option or binary before the first call', async () => {
    const wrong: [field: string, options: object][] = [
      ['videoBitrateBps', { videoBitrateBps: 1 }],
      ['videoBitrateBps', { videoBitrateBps: '800000 -i /etc/passwd' }],
      ['videoWidth', { videoWidth: 321 }],
      ['videoHeight', { videoHeight: 5000 }],
      ['videoFps', { videoFps: 0.5 }],
      ['videoPreset', { videoPreset: 'placebo' }],
    ];
    for (const [field, options] of wrong) {
      await expect(findEncoder(ffmpeg, options)).rejects.toMatchObject({
        code: 'INVALID_ARGUMENT',
        field,
      });
    }
    await expect(findEncoder(join(dir, 'missing'))).rejects.toMatchObject({
      code: 'NO_TRANSCODER',
    });
    const without = join(dir, 'without');
    await writeFile(without, '#!/bin/sh\necho " V..... mpeg4 "\n', { mode: 0o755 });
    await expect(findEncoder(without)).rejects.toMatchObject({ code: 'NO_TRANSCODER' });
  });

  it('runs with nothing of the call in its arguments, behind everything else', async () => {
    const first = await open();
    await first.feed(vp8Frames(5));
    const second = await open();
    await second.feed(await vp8OfSize('180x320', 5));
    const rows = encoderRows().map((row) => row.replace(/^\s*\d+\s+\S+\s+/, ''));
    expect(rows).toHaveLength(2);
    expect(rows[0]).toBe(rows[1]);
    expect(rows[0]).not.toMatch(/640|360|180|320/);
    const nice = execFileSync('ps', ['-o', 'ni=', '-p', String(encoders()[0])]).toString();
    expect(Number(nice)).toBeGreaterThanOrEqual(10);
  });

  it('leaves no zombie and no file descriptor behind after many starts', async () => {
    const openVideo = await findEncoder(ffmpeg);
    const descriptors = (): number =>
      execFileSync('ls', [`/proc/${process.pid}/fd`])
        .toString()
        .trim()
        .split('\n').length;
    const handler = { onFrame: () => {}, onKeyFrameWanted: () => {}, onFailed: () => {} };
    const before = descriptors();
    for (let start = 0; start < 40; start++) {
      const transcoder = openVideo({ codec: 'vp8' }, handler);
      for (const [at, frame] of vp8Frames(3).entries()) transcoder.push(frame, at * FRAME_MS);
      if (start % 4 === 0) await sleep(100);
      transcoder.close();
      transcoder.push(vp8Frames(1)[0]!, 0);
    }
    await expect.poll(encoders).toEqual([]);
    // One that has just ended is a zombie until the event loop comes to collect it.
    await expect.poll(() => listChildren().filter((row) => row.includes('defunct'))).toEqual([]);
    await expect.poll(descriptors).toBeLessThanOrEqual(before + 2);
  });

  it('leaves no child when its parent is killed', async () => {
    const program = `
      import { openFfmpegTranscoders } from '@sipcast/media';
      import { loadClip } from '@sipcast/testkit';
      const { openVideo } = await openFfmpegTranscoders();
      const t = openVideo({ codec: 'vp8' }, { onFrame() {}, onKeyFrameWanted() {}, onFailed() {} });
      let at = 0;
      setInterval(() => {
        const { vp8, isKeyFrame } = loadClip().video[at % 500];
        t.push({ codec: 'vp8', payload: vp8, isKeyFrame, rtpTimestamp: 0, arrivalMs: 0 }, at++ * 40);
      }, 40);
      setTimeout(() => console.log('ready'), 500);
    `;
    const file = join(import.meta.dirname, `../../parent-video-${process.pid}.mts`);
    await writeFile(file, program);
    const parent = spawn(process.execPath, ['--conditions=source', '--import', 'tsx', file], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await new Promise((resolve) => {
      parent.stdout.once('data', resolve);
    });
    const list = (): string[] =>
      execFileSync('ps', ['-e', '-o', 'pid=,ppid=,args=']).toString().split('\n');
    const child = list().find(
      (row) => row.includes('-c:v libx264') && row.includes(` ${parent.pid} `),
    );
    expect(child).toBeDefined();
    const pid = Number.parseInt(child ?? '', 10);
    parent.kill('SIGKILL');
    await rm(file);
    await expect
      .poll(() => list().some((row) => Number.parseInt(row, 10) === pid), { timeout: 2000 })
      .toBe(false);
  });

  it('encodes H.264 again, its B-pictures in their places, with parameter sets from the description', async () => {
    const { clip, mp4, places } = await makeReorderedVideo(dir, 60);
    const { transcoder, taken, got } = await open({
      codec: 'h264',
      parameterSets: clip.parameterSets,
    });
    for (const [at, { nalus, isKeyFrame }] of clip.video.entries()) {
      const pictures = nalus.filter((nal) => ![7, 8].includes(nal[0]! & 0x1f));
      transcoder.push(h264Frame(pictures, isKeyFrame), 1000 + places[at]! * FRAME_MS);
      await sleep(10);
    }
    // The decoder keeps back what may still be overtaken.
    await got(56);
    expect(taken.map(({ atMs }) => atMs)).toEqual(taken.map((_, at) => 1000 + at * FRAME_MS));
    const shown = await luma(await record(taken));
    const given = await luma(mp4);
    const quality = psnr(shown, given.subarray(0, shown.length), 320 * 240);
    console.log(`PSNR of the luma: ${Math.min(...quality).toFixed(1)} dB and better`);
    expect(Math.min(...quality)).toBeGreaterThan(25);
    expect(transcoder.stats).toMatchObject({ framesDropped: 0, restarts: 0 });
  });
});
