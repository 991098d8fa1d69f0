// nginx-rtmp is killed and comes back, again and again, in the middle of one call. `KILLS=50` for a long run.

import { mkdtemp, rm } from 'node:fs/promises';
import { statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createCallGateway } from '@sipcast/core';
import { seededRandom, SipPeer } from '@sipcast/testkit';
import { expect, it } from 'vitest';
import { decodeErrors, summarizeFlv } from '../../support/flv-check.ts';
import { startNginxRtmp } from '../../support/nginx-rtmp.ts';
import { describeWith } from '../../support/programs.ts';

const KILLS = Number(process.env['KILLS'] ?? 5);

function describeTimes(name: string, timesMs: readonly number[]): [p95: number, max: number] {
  const sorted = timesMs.toSorted((a, b) => a - b);
  const at = (share: number): number => sorted[Math.ceil(share * sorted.length) - 1] ?? Number.NaN;
  console.log(
    `${name} after ${timesMs.length} kills: p50 ${at(0.5).toFixed(0)}, p95 ${at(0.95).toFixed(0)}, max ${at(1).toFixed(0)} ms`,
  );
  return [at(0.95), at(1)];
}

describeWith(['nginx'], 'nginx-rtmp that is stopped and goes on', () => {
  it('is known to be lost within 10 s, and is used again within a second', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'stopped-'));
    const nginx = await startNginxRtmp(dir);
    const peer = await SipPeer.open({ t1Ms: 100 });
    const gateway = await createCallGateway({ bindAddress: '127.0.0.1', transcoding: false });
    try {
      const rtmp = { rtmpUrl: nginx.url, rtmpStream: 'cam' };
      const call = await gateway.startup({ callee: peer.uri, ...rtmp });
      await call.established();
      await expect.poll(() => call.rtmpStreamStatus).toBe('RTMP_STREAM_ACTIVE');
      await sleep(6000);
      nginx.pause();
      const stoppedMs = performance.now();
      await expect
        .poll(() => call.rtmpStreamStatus, { timeout: 15_000, interval: 10 })
        .toBe('RTMP_CONNECTION_LOST');
      const lostMs = performance.now() - stoppedMs;
      await sleep(3000);
      expect(call.rtmpStreamStatus).toBe('RTMP_CONNECTION_LOST');
      nginx.unpause();
      const goesOnMs = performance.now();
      await expect
        .poll(() => call.rtmpStreamStatus, { timeout: 10_000, interval: 10 })
        .toBe('RTMP_STREAM_ACTIVE');
      const backMs = performance.now() - goesOnMs;
      console.log(
        `SIGSTOP: lost after ${lostMs.toFixed(0)} ms; SIGCONT: back after ${backMs.toFixed(0)} ms`,
      );
      expect(lostMs).toBeLessThan(10_000);
      expect(backMs).toBeLessThan(1000);
    } finally {
      await gateway.close();
      await peer.close();
      await nginx.stop();
      await rm(dir, { recursive: true, force: true });
    }
  }, 60_000);
});

describeWith(['nginx', 'ffmpeg'], `${KILLS} kills of nginx-rtmp`, () => {
  it(
    'the call lives, publishing resumes within a second (p95), and every recording begins at a key frame',
    async () => {
      const dir = await mkdtemp(join(tmpdir(), 'restarts-'));
      const nginx = await startNginxRtmp(dir);
      const peer = await SipPeer.open({ t1Ms: 100 });
      const gateway = await createCallGateway({ bindAddress: '127.0.0.1', transcoding: false });
      try {
        const random = seededRandom(5);
        const call = await gateway.startup({
          callee: peer.uri,
          rtmpUrl: nginx.url,
          rtmpStream: 'cam',
        });
        await call.established();
        const until = async (condition: () => boolean, what: string): Promise<number> => {
          for (let waited = 0; waited < 15_000; waited += 5) {
            if (condition()) return performance.now();
            await sleep(5);
          }
          throw new Error(`Never came true: ${what}`);
        };
        const status = (): string | null => call.rtmpStreamStatus;
        await until(() => status() === 'RTMP_STREAM_ACTIVE', 'active');
        const acceptedMs: number[] = [];
        const recordedMs: number[] = [];
        for (let kill = 0; kill < KILLS; kill++) {
          await sleep(1500);
          const before = nginx.recordings().length;
          await nginx.kill();
          await until(() => status() === 'RTMP_CONNECTION_LOST', 'lost');
          // From a restart in place to an outage of three seconds.
          await sleep(3000 * random() ** 2);
          await nginx.restart();
          const openMs = performance.now();
          acceptedMs.push((await until(() => status() === 'RTMP_STREAM_ACTIVE', 'back')) - openMs);
          const isRecorded = (): boolean => {
            const files = nginx.recordings();
            return files.length > before && statSync(files.at(-1) ?? '').size > 20_000;
          };
          recordedMs.push((await until(isRecorded, 'recorded')) - openMs);
          expect(call.status).toBe('ESTABLISHED');
        }
        await sleep(1500);
        await call.terminate();
        await sleep(300);
        const [p95, max] = describeTimes('accepted', acceptedMs);
        describeTimes('20 kB recorded', recordedMs);
        const files = nginx.recordings();
        let errors = 0;
        for (const file of files) {
          expect(summarizeFlv(file).video.slice(0, 2), file).toEqual(['header', 'key']);
          if ((await decodeErrors(file)) !== '') errors++;
        }
        console.log(`${files.length} recordings, ${errors} with decode errors`);
        expect(files).toHaveLength(KILLS + 1);
        expect(errors).toBe(0);
        expect(p95).toBeLessThan(1000);
        expect(max).toBeLessThan(2000);
      } finally {
        await gateway.close();
        await peer.close();
        await nginx.stop();
        await rm(dir, { recursive: true, force: true });
      }
    },
    60_000 + KILLS * 20_000,
  );
});
