// Pictures that are not like those before them: none with sound, other sizes, turned, in another order. Judged by ffmpeg.

import { setTimeout as sleep } from 'node:timers/promises';
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createCallGateway } from '@sipcast/core';
import type { CallGateway } from '@sipcast/core';
import { createClip, loadClip, SipPeer } from '@sipcast/testkit';
import type { CallScript, Clip } from '@sipcast/testkit';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { summarizeFlv } from '../../support/flv-check.ts';
import { startNginxRtmp } from '../../support/nginx-rtmp.ts';
import type { NginxRtmp } from '../../support/nginx-rtmp.ts';
import { describeWith, run } from '../../support/programs.ts';
import { describeRecording, probeRecording } from '../../support/recording.ts';
import { makeReorderedVideo } from '../../support/reordered-video.ts';
import { captureFfmpegRtp, writePcap } from '../../support/rtp-capture.ts';
import { startSipp } from '../../support/sipp.ts';

const SIZES = ['640x360', '360x640', '320x240'] as const;
/** Of each size. */
const PICTURES = 30;
const IVF_HEADER_BYTES = 32;

describeWith(['nginx', 'ffmpeg', 'ffprobe', 'sipp'], 'pictures', () => {
  let dir: string;
  let gateway: CallGateway;
  let nginx: NginxRtmp;
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'media-pictures-'));
    nginx = await startNginxRtmp(dir);
    gateway = await createCallGateway({ bindAddress: '127.0.0.1' });
  });
  afterAll(async () => {
    await gateway.close();
    await nginx.stop();
    await rm(dir, { recursive: true, force: true });
  });

  /** Calls, waits, hangs up. @returns the recording. */
  async function record(name: string, callee: string, playMs: number) {
    const call = await gateway.startup({ callee, rtmpUrl: nginx.url, rtmpStream: name });
    await call.established();
    await sleep(playMs);
    const stats = call.stats();
    await call.terminate();
    const [file = ''] = await nginx.finished(`${name}-`);
    const recording = await probeRecording(file);
    console.log(`${name}: ${describeRecording(recording)}`);
    expect(recording.errors).toBe('');
    return { file, stats, ...recording };
  }

  async function recordPhone(name: string, script: CallScript, playMs: number) {
    const peer = await SipPeer.open({ script });
    try {
      return await record(name, peer.uri, playMs);
    } finally {
      await peer.close();
    }
  }

  it('alone have a track of silence beside them', async () => {
    const { audio, video, file } = await recordPhone('video-only', { audio: false }, 5000);
    expect(audio).toMatchObject({ codec: 'aac', sampleRateHz: 44_100, backwards: 0 });
    expect(audio!.largestStepMs).toBeLessThanOrEqual(24);
    expect(Math.abs(audio!.spanMs - video!.spanMs)).toBeLessThan(250);
    const decode = ['-v', 'error', '-i', file, '-vn', '-f', 's16le', '-'];
    const { stdout } = await run('ffmpeg', decode);
    expect(stdout.length).toBeGreaterThan(4 * 44_100 * 2);
    expect(stdout.every((octet) => octet === 0)).toBe(true);
  });

  /** A second and a bit of each size, in both codecs. */
  async function clipOfSizes(): Promise<Clip> {
    const h264: Buffer[] = [];
    const ivf: Buffer[] = [];
    for (const size of SIZES) {
      const path = join(dir, size);
      const source = [
        '-f',
        'lavfi',
        '-i',
        `testsrc2=s=${size}:r=25`,
        '-frames:v',
        String(PICTURES),
      ];
      const gop = ['-g', String(PICTURES), '-keyint_min', String(PICTURES)];
      const x264 = ['-c:v', 'libx264', '-profile:v', 'baseline', '-pix_fmt', 'yuv420p', ...gop];
      const scene = ['-sc_threshold', '0', '-f', 'h264', `${path}.h264`];
      const vpx = ['-c:v', 'libvpx', '-deadline', 'realtime', '-auto-alt-ref', '0', ...gop];
      await run('ffmpeg', ['-y', '-v', 'error', ...source, ...x264, ...scene]);
      await run('ffmpeg', ['-y', '-v', 'error', ...source, ...vpx, `${path}.ivf`]);
      h264.push(await readFile(`${path}.h264`));
      const file = await readFile(`${path}.ivf`);
      ivf.push(ivf.length === 0 ? file : file.subarray(IVF_HEADER_BYTES));
    }
    const { audio } = loadClip();
    return createClip({
      name: 'sizes',
      fps: 25,
      h264: Buffer.concat(h264),
      ivf: Buffer.concat(ivf),
      aLaw: audio.subarray(0, (SIZES.length * PICTURES * 8000) / 25),
    });
  }

  /** Sizes of the decoded pictures, each change once. */
  async function shownSizes(file: string): Promise<string[]> {
    const entries = ['-select_streams', 'v', '-show_entries', 'frame=width,height'];
    const { stdout } = await run('ffprobe', ['-v', 'error', ...entries, '-of', 'csv=p=0', file]);
    // Side data stand on lines of their own.
    const sizes = stdout
      .toString()
      .split('\n')
      .filter((line) => /^\d/.test(line));
    return sizes
      .map((line) => line.split(',').slice(0, 2).join('x'))
      .filter((size, at, all) => size !== all[at - 1]);
  }

  for (const [videoCodec, script] of [
    ['H264', {}],
    ['VP8', { videoCodec: 'VP8' }],
  ] as const) {
    it(`change their size and are turned: ${videoCodec}`, async () => {
      const sender = { clip: await clipOfSizes(), answerKeyFrameRequests: false };
      const name = `sizes-${videoCodec}`;
      const { file, video, stats } = await recordPhone(name, { ...script, sender }, 4900);
      const sizes = await shownSizes(file);
      const { video: roles } = summarizeFlv(file);
      console.log(`${name}: shown ${sizes.join(', ')}, ${video!.timesMs.length} pictures`);
      // Three sizes of 1.2 s, and the first again.
      expect(sizes.slice(0, 4)).toEqual([...SIZES, SIZES[0]]);
      expect(video!.backwards).toBe(0);
      expect(video!.largestStepMs).toBeLessThan(200);
      expect(stats?.video).toMatchObject({ lost: 0, droppedFrames: 0 });
      // A sequence header before each key frame that needs it, and nowhere else.
      const headers = roles.flatMap((role, at) => (role === 'header' ? [at] : []));
      expect(headers.length).toBe(sizes.length);
      for (const at of headers) expect(roles[at + 1]).toBe('key');
    });
  }

  it('in another order than they are shown keep their places and times', async () => {
    const { mp4 } = await makeReorderedVideo(dir, 180);
    const packets = await captureFfmpegRtp(
      ['-i', mp4],
      ['-c', 'copy', '-bsf:v', 'h264_mp4toannexb', '-payload_type', '112'],
    );
    const videoPcap = join(dir, 'reordered.pcap');
    writePcap(videoPcap, packets);
    const own = join(dir, 'sipp');
    await mkdir(own);
    const clips = new URL('../../../packages/testkit/clips/', import.meta.url).pathname;
    const audioFile = `${clips}scene.alaw`;
    const sipp = await startSipp(own, { transport: 'udp', videoPcap, audioFile });
    const { file, video, stats } = await record('reordered', sipp.uri, 7000);
    expect(await sipp.running.exited, sipp.running.output()).toBe(0);
    expect(stats?.video).toMatchObject({ lost: 0, droppedFrames: 0 });

    const frames = async (path: string): Promise<{ atMs: number; hash: string }[]> => {
      const output = ['-an', '-fps_mode', 'passthrough', '-enc_time_base', '1:1000'];
      const args = ['-v', 'error', '-copyts', '-i', path, ...output, '-f', 'framemd5', '-'];
      const { stdout } = await run('ffmpeg', args);
      return stdout
        .toString()
        .split('\n')
        .filter((line) => line.startsWith('0,'))
        .map((line) => {
          const fields = line.split(',').map((field) => field.trim());
          return { atMs: Number(fields[2]), hash: fields.at(-1)! };
        });
    };
    const [sent, shown] = await Promise.all([frames(mp4), frames(file)]);
    // From its first picture on, or from a later IDR picture.
    const from = sent.findIndex(({ hash }) => hash === shown[0]!.hash);
    const steps = shown.slice(1).map(({ atMs }, at) => atMs - shown[at]!.atMs);
    console.log(
      `B-pictures: ${shown.length} of ${sent.length} shown, from number ${from} on, steps of ${Math.min(...steps)} to ${Math.max(...steps)} ms`,
    );
    expect(from).toBeGreaterThanOrEqual(0);
    expect(from % 30).toBe(0);
    // Of the last ones some had not come yet when the call ended.
    const length = Math.min(shown.length, sent.length - from) - 4;
    expect(length).toBeGreaterThan(140);
    const hashes = (list: typeof sent): string[] => list.map(({ hash }) => hash);
    expect(hashes(shown).slice(0, length)).toEqual(hashes(sent).slice(from, from + length));
    expect(Math.min(...steps)).toBeGreaterThan(0);
    expect(video!.backwards).toBe(0);
    for (const step of steps.slice(40, length - 1))
      expect(Math.abs(step - 40)).toBeLessThanOrEqual(3);
  });
});
