// baresip's own encoders through a gateway with its default options to nginx-rtmp, judged by ffmpeg.

import { setTimeout as sleep } from 'node:timers/promises';
import { statSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createCallGateway } from '@sipcast/core';
import type { CallGateway } from '@sipcast/core';
import { measureAvSkew } from '@sipcast/testkit';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startBaresip } from '../../support/baresip.ts';
import type { BaresipOptions } from '../../support/baresip.ts';
import { startNginxRtmp } from '../../support/nginx-rtmp.ts';
import type { NginxRtmp } from '../../support/nginx-rtmp.ts';
import { describeWith } from '../../support/programs.ts';
import { describeRecording, probeRecording } from '../../support/recording.ts';

const PLAY_MS = 8000;
/** Its VP8 encoder leaves out 4 pictures of 10, and flashes with them. */
const PLAY_VP8_MS = 20_000;
/** One AAC frame of 44.1 kHz, in whole milliseconds. */
const AAC_STEP_MS = 24;

describeWith(['baresip', 'nginx', 'ffmpeg', 'ffprobe'], 'baresip with default options', () => {
  let dir: string;
  let gateway: CallGateway;
  let nginx: NginxRtmp;

  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'media-baresip-'));
    nginx = await startNginxRtmp(dir);
    gateway = await createCallGateway({ bindAddress: '127.0.0.1' });
  });
  afterAll(async () => {
    await gateway.close();
    await nginx.stop();
    await rm(dir, { recursive: true, force: true });
  });

  /** Resolves when the recording holds its first pictures. */
  async function begun(name: string): Promise<string> {
    let file = '';
    await expect
      .poll(
        () => {
          file = nginx.recordings().find((path) => path.includes(`${name}-`)) ?? '';
          return file === '' ? 0 : statSync(file).size;
        },
        { timeout: 5000, interval: 20 },
      )
      .toBeGreaterThan(2000);
    return file;
  }

  const CASES: readonly [audio: string, video: string, options: BaresipOptions][] = [
    ['pcma', 'h264', {}],
    ['pcma', 'vp8', { videoCodec: 'vp8' }],
    ['opus', 'h264', { audioCodec: 'opus' }],
    ['g722', 'h264', { audioCodec: 'G722' }],
  ];
  /** Each attempt has a name of its own: another one must not judge its recording. */
  let attempts = 0;
  for (const [audioCodec, videoCodec, options] of CASES) {
    it(`records ${videoCodec} with ${audioCodec}`, async () => {
      const name = `${videoCodec}-${audioCodec}-${++attempts}`;
      const phone = await startBaresip(join(dir, name), options);
      try {
        const call = await gateway.startup({
          callee: phone.uri,
          rtmpUrl: nginx.url,
          rtmpStream: name,
        });
        await call.established();
        const file = await begun(name);
        const startMs = performance.now();
        await sleep(videoCodec === 'vp8' ? PLAY_VP8_MS : PLAY_MS);
        const stats = call.stats();
        const callMs = performance.now() - startMs;
        await call.terminate();
        // nginx closes the file when the publisher has left.
        await nginx.finished(`${name}-`);
        const recording = await probeRecording(file);
        console.log(
          `baresip ${name}: call ${callMs.toFixed(0)} ms; ${describeRecording(recording)}`,
        );
        expect(stats?.audio?.codec).toBe(audioCodec);
        expect(stats?.video).toMatchObject({ codec: videoCodec, lost: 0 });
        const { audio, video, errors } = recording;
        expect(errors).toBe('');
        expect(audio).toMatchObject({ codec: 'aac', sampleRateHz: 44_100, backwards: 0 });
        expect(video).toMatchObject({ codec: 'h264', width: 640, height: 360, backwards: 0 });
        expect(audio!.largestStepMs).toBeLessThanOrEqual(AAC_STEP_MS);
        for (const { spanMs } of [audio!, video!])
          expect(Math.abs(spanMs / callMs - 1)).toBeLessThan(0.05);
        const { medianMs, worstMs, skewsMs } = await measureAvSkew(file);
        // Its camera and microphone begin when they like: what is ours of this is measured with the testkit's phone.
        console.log(
          `baresip ${name}: skew with its own median ${medianMs.toFixed(0)}, worst ${worstMs.toFixed(0)} ms of ${skewsMs.length}`,
        );
        expect(skewsMs.length).toBeGreaterThan(4);
        for (const ms of skewsMs) expect(Math.abs(ms - medianMs)).toBeLessThanOrEqual(60);
      } finally {
        await phone.stop();
      }
    });
  }
});
