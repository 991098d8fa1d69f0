// The AAC encoder as a real ffmpeg child process: its time, its faults, and a whole call through it.

import { setTimeout as sleep } from 'node:timers/promises';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createCallGateway } from '@sipcast/core';
import { formatFlvHeader, formatFlvTag, openFfmpegTranscoders } from '@sipcast/media';
import { audioSilence, FlvMuxer } from '@sipcast/media/wire';
import type { FlvTag, MediaError } from '@sipcast/media';
import type { AacFormat } from '@sipcast/media/wire';
import { measureAvSkew, RtmpSink, SipPeer } from '@sipcast/testkit';
import { beforeEach, expect, it } from 'vitest';
import { decodeErrors, summarizeFlv } from '../../support/flv-check.ts';
import { describeWith, findProgram, run } from '../../support/programs.ts';
import { afterTest } from '../../support/cleanup.ts';
import { makeFolder } from '../../support/folder.ts';

const STEP_MS = 20;

/** Children of this process whose command line has these words. */
function children(words: string): number[] {
  const rows = execFileSync('ps', ['-o', 'pid=,args=', '--ppid', String(process.pid)]).toString();
  return rows
    .split('\n')
    .filter((row) => row.includes(words))
    .map((row) => Number.parseInt(row, 10));
}

const encoders = (): number[] => children('-c:a aac');

/** 20 ms of A-law: silence, or a loud square wave of 1 kHz. */
function aLaw(loud: boolean): Uint8Array {
  const octets = new Uint8Array(160).fill(0xd5);
  if (loud) for (let at = 0; at < 160; at++) octets[at] = at % 8 < 4 ? 0xaa : 0x2a;
  return octets;
}

/** The longest time in which no frame came while something was done. */
async function longestGap(
  frames: readonly { readonly arrivalMs: number }[],
  doIt: () => Promise<void>,
): Promise<number> {
  const from = frames.length;
  const times = [performance.now()];
  await doIt();
  times.push(...frames.slice(from).map(({ arrivalMs }) => arrivalMs), performance.now());
  return Math.max(...times.map((time, index) => time - (times[index - 1] ?? time)));
}

describeWith(['ffmpeg', 'ps', 'taskset', 'chrt'], 'the AAC encoder', () => {
  let dir: string;
  beforeEach(async () => {
    dir = await makeFolder();
    afterTest(() => expect.poll(encoders).toEqual([]));
  });

  async function open(path?: string, codec: 'pcma' | 'opus' = 'pcma') {
    const { openAudio } = await openFfmpegTranscoders(
      path === undefined ? {} : { ffmpegPath: path },
    );
    const formats: AacFormat[] = [];
    const frames: { frame: Uint8Array; atMs: number; arrivalMs: number }[] = [];
    const failures: MediaError[] = [];
    const transcoder = openAudio({
      onFormat: (format) => formats.push(format),
      onFrame: (frame, atMs) => frames.push({ frame, atMs, arrivalMs: performance.now() }),
      onFailed: (error) => failures.push(error),
    });
    afterTest(() => transcoder.close());
    let timeMs = 5000;
    const feed = async (seconds: number, loudAtMs: (ms: number) => boolean = () => false) => {
      const startedMs = performance.now();
      for (let step = 0; step < seconds * 50; step++) {
        const payload = codec === 'opus' ? audioSilence(codec) : aLaw(loudAtMs(timeMs));
        transcoder.push({ codec, payload, durationMs: 20, rtpTimestamp: 0, arrivalMs: 0 }, timeMs);
        timeMs += STEP_MS;
        const aheadMs = (step + 1) * STEP_MS - (performance.now() - startedMs);
        if (aheadMs > 0) await sleep(aheadMs);
      }
    };
    return { transcoder, formats, frames, failures, feed };
  }

  it('keeps time: a burst comes out where it went in, the padding taken out', async () => {
    const { transcoder, formats, frames, feed } = await open();
    await feed(3, (ms) => ms >= 6000 && ms < 6200);
    await sleep(200);
    transcoder.close();
    expect(formats).toEqual([expect.objectContaining({ sampleRateHz: 44_100, channels: 1 })]);
    expect(frames[0]?.atMs).toBeCloseTo(5000, 0);
    const steps = frames.slice(1).map((one, i) => one.atMs - (frames[i]?.atMs ?? 0));
    for (const step of steps) expect(step).toBeCloseTo((1024 / 44_100) * 1000, 3);

    const tags: FlvTag[] = [];
    const muxer = new FlvMuxer({ audioCodec: 'aac', hasVideo: false }, (tag) => tags.push(tag));
    muxer.setAacFormat(formats[0] as AacFormat);
    for (const { frame, atMs } of frames) muxer.pushAac(frame, atMs - 5000);
    const file = join(dir, 'burst.flv');
    const header = formatFlvHeader({ hasAudio: true, hasVideo: false });
    await writeFile(
      file,
      Buffer.concat([
        header,
        ...tags.map((tag) =>
          formatFlvTag({ ...tag, timestampMs: tag.role === 'audio' ? tag.timestampMs : 0 }),
        ),
      ]),
    );
    const decode = ['-v', 'error', '-i', file, '-f', 's16le', '-ar', '8000', '-ac', '1', 'pipe:1'];
    const { stdout } = await run('ffmpeg', decode);
    let first = -1;
    for (let at = 0; at + 1 < stdout.length && first < 0; at += 2) {
      if (Math.abs(stdout.readInt16LE(at)) > 8000) first = at / 2;
    }
    // The burst begins one second in.
    expect(first / 8).toBeGreaterThan(990);
    expect(first / 8).toBeLessThan(1010);
  });

  it('follows a jump of the media time', async () => {
    const { transcoder, frames } = await open();
    const payload = aLaw(false);
    for (let step = 0; step < 100; step++) {
      const timeMs = step * STEP_MS + (step < 50 ? 0 : 10_000);
      transcoder.push(
        { codec: 'pcmu', payload, durationMs: 20, rtpTimestamp: 0, arrivalMs: 0 },
        timeMs,
      );
      await sleep(5);
    }
    await expect.poll(() => frames.at(-1)?.atMs, { timeout: 3000 }).toBeGreaterThan(11_700);
    transcoder.close();
    const jumps = frames
      .slice(1)
      .map((one, i) => one.atMs - (frames[i]?.atMs ?? 0))
      .filter((ms) => ms > 100);
    expect(jumps).toHaveLength(1);
    expect(jumps[0]).toBeGreaterThan(9900);
  });

  for (const codec of ['pcma', 'opus'] as const) {
    it(`starts again within a second when the child is killed, and when it hangs: ${codec}`, async () => {
      const { transcoder, frames, failures, feed } = await open(undefined, codec);
      await feed(0.6);
      const killed = encoders();
      expect(killed).toHaveLength(1);
      process.kill(killed[0] as number, 'SIGKILL');
      const beforeKill = frames.length;
      await feed(1);
      await expect.poll(() => frames.length).toBeGreaterThan(beforeKill + 10);
      process.kill(encoders()[0] as number, 'SIGSTOP');
      const beforeHang = frames.length;
      await feed(5);
      await expect.poll(() => frames.length).toBeGreaterThan(beforeHang + 10);
      expect(transcoder.stats.restarts).toBe(2);
      const times = frames.map((one) => one.atMs);
      expect(times).toEqual(times.toSorted((a, b) => a - b));
      // What was pushed while no child ran is gone, what comes now is in its place.
      const behindMs = 5000 + 6600 - (times.at(-1) ?? 0);
      expect(behindMs).toBeGreaterThan(0);
      expect(behindMs).toBeLessThan(200);
      transcoder.close();
      expect(failures).toEqual([]);
    });
  }

  it('waits for a child that the machine has no time for', async () => {
    const { transcoder, frames, failures, feed } = await open();
    await feed(0.6);
    const [pid = 0] = encoders();
    // It gets the time that others leave on one core, and there they leave none.
    execFileSync('taskset', ['-apc', '0', String(pid)]);
    execFileSync('chrt', ['-a', '-i', '-p', '0', String(pid)]);
    const busy = Array.from({ length: 12 }, () =>
      spawn('taskset', ['-c', '0', 'sh', '-c', 'while :; do :; done'], { stdio: 'ignore' }),
    );
    try {
      await feed(0.5);
      const longestMs = await longestGap(frames, () => feed(9));
      expect(longestMs).toBeGreaterThan(3000);
    } finally {
      await Promise.all(
        busy.map((child) => {
          child.kill('SIGKILL');
          return once(child, 'exit');
        }),
      );
    }
    const before = frames.length;
    await feed(0.6);
    await expect.poll(() => frames.length).toBeGreaterThan(before + 10);
    expect(encoders()).toEqual([pid]);
    expect(transcoder.stats.restarts).toBe(0);
    transcoder.close();
    expect(failures).toEqual([]);
  });

  it('gives up a child that ends again and again, with its last words; floods of stderr are drained', async () => {
    const path = join(dir, 'ffmpeg');
    const script = `#!/bin/sh
case "$*" in
  *-version*) exec ffmpeg -version ;;
  *-encoders*) exec ffmpeg -hide_banner -encoders ;;
  *-decoders*) exec ffmpeg -hide_banner -decoders ;;
esac
: -c:a aac
head -c 3000000 /dev/zero | tr '\\0' 'x' >&2
echo >&2; echo 'no more' >&2
exit 3
`;
    await writeFile(path, script, { mode: 0o755 });
    const { transcoder, failures, feed } = await open(path);
    await feed(3);
    await expect.poll(() => failures.length, { timeout: 5000 }).toBe(1);
    expect(failures[0]).toMatchObject({ code: 'TRANSCODER_FAILED' });
    expect(failures[0]?.message).toContain('no more');
    transcoder.close();
  });

  it('gives up a binary that has gone away', async () => {
    const path = join(dir, 'ffmpeg');
    await symlink(findProgram('ffmpeg') ?? '', path);
    const { openAudio } = await openFfmpegTranscoders({ ffmpegPath: path });
    await rm(path);
    const failed = new Promise<MediaError>((resolve) => {
      const transcoder = openAudio({ onFormat: () => {}, onFrame: () => {}, onFailed: resolve });
      const payload = aLaw(false);
      transcoder.push({ codec: 'pcma', payload, durationMs: 20, rtpTimestamp: 0, arrivalMs: 0 }, 0);
    });
    expect(await failed).toMatchObject({ code: 'TRANSCODER_FAILED' });
  });

  it('reports an invalid binary before the first call', async () => {
    const notFfmpeg = join(dir, 'not-ffmpeg');
    await writeFile(notFfmpeg, '#!/bin/sh\necho hello\n', { mode: 0o755 });
    for (const ffmpegPath of [join(dir, 'missing'), notFfmpeg]) {
      await expect(
        createCallGateway({ bindAddress: '127.0.0.1', transcoding: { ffmpegPath } }),
      ).rejects.toMatchObject({ code: 'NO_TRANSCODER', field: 'ffmpegPath' });
    }
    await expect(openFfmpegTranscoders({ audioBitrateBps: 1 })).rejects.toMatchObject({
      field: 'audioBitrateBps',
    });
  });

  it('leaves no child when its parent is killed', async () => {
    const program = `
      import { openFfmpegTranscoders } from '@sipcast/media';
      const { openAudio } = await openFfmpegTranscoders();
      const t = openAudio({ onFormat() {}, onFrame() {}, onFailed() {} });
      let ms = 0;
      setInterval(() => t.push({ codec: 'pcma', payload: new Uint8Array(160), durationMs: 20, rtpTimestamp: 0, arrivalMs: 0 }, (ms += 20)), 20);
      setTimeout(() => console.log('ready'), 500);
    `;
    const file = new URL(`../../parent-${process.pid}.mts`, import.meta.url).pathname;
    await writeFile(file, program);
    const parent = spawn(process.execPath, ['--conditions=source', '--import', 'tsx', file], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await new Promise((resolve) => {
      parent.stdout.once('data', resolve);
    });
    const list = (): string => execFileSync('ps', ['-e', '-o', 'pid=,ppid=,args=']).toString();
    const child = list()
      .split('\n')
      .find((row) => row.includes('-c:a aac') && row.includes(` ${parent.pid} `));
    expect(child).toBeDefined();
    const pid = Number.parseInt(child ?? '', 10);
    parent.kill('SIGKILL');
    await rm(file);
    await expect
      .poll(
        () =>
          list()
            .split('\n')
            .some((row) => Number.parseInt(row, 10) === pid),
        { timeout: 2000 },
      )
      .toBe(false);
  });

  it('carries a whole call: AAC in sync with the picture, muted without a break', {
    timeout: 60_000,
  }, async () => {
    const peer = await SipPeer.open({});
    const sink = await RtmpSink.open({ recordDir: dir });
    const gateway = await createCallGateway({ bindAddress: '127.0.0.1', audio: 'aac' });
    const call = await gateway.startup({ callee: peer.uri, rtmpUrl: sink.url, rtmpStream: 'aac' });
    await call.established();
    const publication = await sink.nextPublication();
    await sleep(4000);
    expect(call.stats()?.audioTranscoder).toMatchObject({ framesDropped: 0, restarts: 0 });
    const [push] = gateway.pushes.find();
    gateway.pushes.get(push?.mediaSessionId ?? '').mute();
    await sleep(1500);
    await call.terminate();
    await publication.ended;
    await gateway.close();
    await sink.close();
    await peer.close();

    const file = publication.filePath ?? '';
    expect(await decodeErrors(file)).toBe('');
    const probe = await run('ffprobe', [
      '-v',
      'error',
      '-show_entries',
      'stream=codec_name,sample_rate,width',
      '-of',
      'csv',
      file,
    ]);
    expect(probe.stdout.toString()).toContain('aac,44100');
    const { audioTimesMs, videoTimesMs } = summarizeFlv(file);
    const gaps = audioTimesMs.slice(2).map((at, i) => at - (audioTimesMs[i + 1] ?? 0));
    expect(Math.max(...gaps)).toBeLessThanOrEqual(25);
    expect(Math.abs((audioTimesMs.at(-1) ?? 0) - (videoTimesMs.at(-1) ?? 0))).toBeLessThan(400);

    const { skewsMs } = await measureAvSkew(file);
    console.log(`skew of flash and beep: ${skewsMs.map((ms) => ms.toFixed(0)).join(', ')} ms`);
    expect(skewsMs.length).toBeGreaterThanOrEqual(3);
    // The first second is still aligned by arrival alone.
    expect(Math.max(...skewsMs.slice(1).map(Math.abs))).toBeLessThan(80);
  });
});
