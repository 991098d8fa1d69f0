// sipp with media that ffmpeg packetized, through a gateway with its default options to nginx-rtmp, judged by ffmpeg:
// also on hold, when nothing comes.

import { setTimeout as sleep } from 'node:timers/promises';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createCallGateway } from '@sipcast/core';
import type { CallGateway, CallStatus } from '@sipcast/core';
import { measureAvSkew } from '@sipcast/testkit';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startNginxRtmp } from '../../support/nginx-rtmp.ts';
import type { NginxRtmp } from '../../support/nginx-rtmp.ts';
import { describeWith, run } from '../../support/programs.ts';
import { describeRecording, probeRecording } from '../../support/recording.ts';
import { captureFfmpegRtp, writePcap } from '../../support/rtp-capture.ts';
import { startSipp } from '../../support/sipp.ts';
import type { SippOptions } from '../../support/sipp.ts';

const clips = new URL('../../../packages/testkit/clips/', import.meta.url).pathname;
const AAC_STEP_MS = 24;
const HOLD_AFTER_MS = 3000;
const HOLD_FOR_MS = 6500;

describeWith(['sipp', 'nginx', 'ffmpeg', 'ffprobe'], 'sipp with default options', () => {
  let dir: string;
  let gateway: CallGateway;
  let nginx: NginxRtmp;
  const pcap = (name: string): string => join(dir, `${name}.pcap`);

  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'media-sipp-'));
    nginx = await startNginxRtmp(dir);
    gateway = await createCallGateway({ bindAddress: '127.0.0.1' });
    // 12.5 seconds of the scene, as ffmpeg sends them.
    const cut = ['-framerate', '25', '-i', `${clips}scene.h264`, '-frames:v', '313', '-c', 'copy'];
    await run('ffmpeg', ['-y', '-v', 'error', ...cut, join(dir, 'cut.h264')]);
    const sound = ['-f', 'alaw', '-ar', '8000', '-t', '12.5', '-i', `${clips}scene.alaw`];
    const [video, speex] = await Promise.all([
      captureFfmpegRtp(
        ['-framerate', '25', '-i', join(dir, 'cut.h264')],
        ['-c', 'copy', '-payload_type', '112'],
      ),
      captureFfmpegRtp(sound, ['-c:a', 'libspeex', '-ar', '16000', '-payload_type', '98']),
    ]);
    const zeroMs = video[0]!.atMs;
    writePcap(pcap('speex'), speex);
    writePcap(pcap('video'), video);
    // The phone sends nothing while it holds, and the timestamps of its video go on.
    writePcap(
      pcap('video-before'),
      video.filter(({ atMs }) => atMs - zeroMs < HOLD_AFTER_MS),
    );
    writePcap(
      pcap('video-after'),
      video.filter(({ atMs }) => atMs - zeroMs >= HOLD_AFTER_MS + HOLD_FOR_MS),
    );
  });
  afterAll(async () => {
    await gateway.close();
    await nginx.stop();
    await rm(dir, { recursive: true, force: true });
  });

  async function record(name: string, options: Omit<SippOptions, 'transport'>, playMs: number) {
    const own = join(dir, name);
    await mkdir(own);
    const sipp = await startSipp(own, { transport: 'udp', ...options });
    const call = await gateway.startup({
      callee: sipp.uri,
      rtmpUrl: nginx.url,
      rtmpStream: name,
    });
    const statuses: CallStatus[] = [];
    call.on('status', (status) => statuses.push(status));
    await call.established();
    await expect.poll(() => call.rtmpStreamStatus).toBe('RTMP_STREAM_ACTIVE');
    const startMs = performance.now();
    await sleep(playMs);
    const stats = call.stats();
    const callMs = performance.now() - startMs;
    await call.terminate();
    expect(await sipp.running.exited, sipp.running.output()).toBe(0);
    const files = await nginx.finished(`${name}-`);
    expect(files).toHaveLength(1);
    const file = files[0]!;
    const recording = await probeRecording(file);
    console.log(`sipp ${name}: call ${callMs.toFixed(0)} ms; ${describeRecording(recording)}`);
    expect(recording.errors).toBe('');
    const { audio, video } = recording;
    expect(audio).toMatchObject({ codec: 'aac', sampleRateHz: 44_100, backwards: 0 });
    expect(audio!.largestStepMs).toBeLessThanOrEqual(AAC_STEP_MS);
    expect(Math.abs(audio!.spanMs / callMs - 1)).toBeLessThan(0.05);
    return { file, stats, statuses, callMs, audio: audio!, video };
  }

  it('records H.264 and G.711', async () => {
    const { video, callMs, stats, file } = await record(
      'pcma',
      { videoPcap: pcap('video'), audioFile: `${clips}scene.alaw` },
      8000,
    );
    expect(stats?.audio).toMatchObject({ codec: 'pcma', lost: 0 });
    expect(stats?.video).toMatchObject({ lost: 0, droppedFrames: 0 });
    expect(video).toMatchObject({ codec: 'h264', width: 640, height: 360, backwards: 0 });
    expect(Math.abs(video!.spanMs / callMs - 1)).toBeLessThan(0.05);
    const { medianMs, worstMs, skewsMs } = await measureAvSkew(file);
    console.log(
      `sipp pcma: skew with its own median ${medianMs.toFixed(0)}, worst ${worstMs.toFixed(0)} ms of ${skewsMs.length}`,
    );
    expect(skewsMs.length).toBeGreaterThan(4);
    // sipp has no sender reports, and its own timers.
    for (const ms of skewsMs) expect(Math.abs(ms - medianMs)).toBeLessThanOrEqual(80);
  });

  it('records audio alone, of G.711 and of Speex', async () => {
    const plain = { audioOnly: true, audioFile: `${clips}scene.alaw` };
    const speex = { audioOnly: true, audioPcap: pcap('speex'), audioMap: '98 speex/16000' };
    const [first, second] = await Promise.all([
      record('alone', plain, 6000),
      record('speex', speex, 6000),
    ]);
    expect(first.video).toBeUndefined();
    expect(first.stats).toMatchObject({ audio: { codec: 'pcma', lost: 0 }, video: null });
    expect(second.stats?.audio).toMatchObject({ codec: 'speex-wb', lost: 0, faults: {} });
  });

  it('goes on through every form of hold: one file, silence, the last key frame again', async () => {
    const forms = ['sendonly', 'inactive', '0.0.0.0'] as const;
    const results = await Promise.all(
      forms.map((form) =>
        record(
          `hold-${form}`,
          {
            videoPcap: pcap('video-before'),
            audioFile: `${clips}scene.alaw`,
            hold: {
              form,
              afterMs: HOLD_AFTER_MS,
              forMs: HOLD_FOR_MS,
              videoPcap: pcap('video-after'),
            },
          },
          HOLD_AFTER_MS + HOLD_FOR_MS + 2900,
        ),
      ),
    );
    for (const [at, { statuses, video, callMs, stats, audio }] of results.entries()) {
      const form = forms[at]!;
      const frozen = stats?.video?.frozenFrames ?? 0;
      console.log(
        `hold by ${form}: ${frozen} frozen pictures, keys at ${video!.keysMs.join(', ')} ms, ${stats?.silenceInsertedMs} ms of silence`,
      );
      expect(statuses, form).toEqual(['RING', 'ESTABLISHED', 'HOLD', 'ESTABLISHED', 'FINISH']);
      expect(video!.backwards).toBe(0);
      expect(Math.abs(video!.spanMs / callMs - 1)).toBeLessThan(0.05);
      expect(Math.abs(video!.spanMs - audio.spanMs)).toBeLessThan(400);
      // Every two seconds: so long may a platform wait, and a little for the beat.
      expect(frozen).toBeGreaterThanOrEqual(3);
      expect(video!.largestStepMs).toBeGreaterThan(1900);
      expect(video!.largestStepMs).toBeLessThan(2200);
      // A key frame before the hold, the frozen ones, and one behind it.
      expect(video!.keysMs.length).toBeGreaterThanOrEqual(frozen + 2);
      const shownMs = video!.timesMs.filter((ms) => ms > HOLD_AFTER_MS + HOLD_FOR_MS + 500);
      expect(shownMs.length).toBeGreaterThan(20);
      expect(stats?.silenceInsertedMs).toBeGreaterThan(HOLD_FOR_MS - 500);
    }
  });
});
