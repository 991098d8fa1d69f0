// linphonec's own Speex and G.711 through a gateway with its default options to nginx-rtmp, judged by ffmpeg.

import { setTimeout as sleep } from 'node:timers/promises';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createCallGateway } from '@sipcast/core';
import type { CallGateway } from '@sipcast/core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startLinphonec } from '../../support/linphonec.ts';
import { startNginxRtmp } from '../../support/nginx-rtmp.ts';
import type { NginxRtmp } from '../../support/nginx-rtmp.ts';
import { describeWith, run } from '../../support/programs.ts';
import { describeRecording, probeRecording } from '../../support/recording.ts';
import { findBeeps } from '../../support/sound.ts';

const PLAY_MS = 6000;

describeWith(['linphonec', 'nginx', 'ffmpeg', 'ffprobe'], 'linphonec', () => {
  let dir: string;
  let gateway: CallGateway;
  let nginx: NginxRtmp;

  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'media-linphonec-'));
    nginx = await startNginxRtmp(dir);
    // Speex at 8 kHz is offered where it is asked for.
    gateway = await createCallGateway({
      bindAddress: '127.0.0.1',
      offer: { audioCodecs: ['pcma', 'pcmu', 'speex-wb', 'speex-nb'] },
    });
  });
  afterAll(async () => {
    await gateway.close();
    await nginx.stop();
    await rm(dir, { recursive: true, force: true });
  });

  for (const [codec, name] of [
    ['speex/16000', 'speex-wb'],
    ['speex/8000', 'speex-nb'],
    ['PCMU/8000', 'pcmu'],
  ] as const) {
    it(`records ${codec}, each beep of it in its place`, async () => {
      const phone = await startLinphonec(join(dir, name), { codec });
      try {
        const call = await gateway.startup({
          callee: phone.uri,
          rtmpUrl: nginx.url,
          rtmpStream: name,
        });
        await call.established();
        await expect.poll(() => call.rtmpStreamStatus).toBe('RTMP_STREAM_ACTIVE');
        const startMs = performance.now();
        await sleep(PLAY_MS);
        const stats = call.stats();
        const callMs = performance.now() - startMs;
        await call.terminate();
        const [file = ''] = await nginx.finished(`${name}-`);
        const recording = await probeRecording(file);
        const decode = ['-v', 'error', '-i', file, '-f', 's16le', '-ar', '8000', '-ac', '1', '-'];
        const { stdout } = await run('ffmpeg', decode);
        const beepsMs = findBeeps(
          new Int16Array(stdout.buffer, stdout.byteOffset, stdout.length >> 1),
        );
        console.log(
          `linphonec ${codec}: call ${callMs.toFixed(0)} ms; ${describeRecording(recording)}; beeps at ${beepsMs.map((ms) => ms.toFixed(0)).join(', ')} ms`,
        );
        expect(stats?.audio).toMatchObject({ codec: name, lost: 0, faults: {} });
        const { audio, video, errors } = recording;
        expect(errors).toBe('');
        expect(video).toBeUndefined();
        expect(audio).toMatchObject({ codec: 'aac', sampleRateHz: 44_100, backwards: 0 });
        expect(audio!.largestStepMs).toBeLessThanOrEqual(24);
        expect(Math.abs(audio!.spanMs / callMs - 1)).toBeLessThan(0.05);
        expect(beepsMs.length).toBeGreaterThanOrEqual(4);
        for (const [at, ms] of beepsMs.slice(1).entries())
          expect(Math.abs(ms - beepsMs[at]! - 1000)).toBeLessThan(40);
      } finally {
        await phone.stop();
      }
    });
  }
});
