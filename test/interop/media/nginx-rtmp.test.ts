// baresip as the phone, nginx-rtmp as the server that is killed and comes back in the middle of the call.

import { setTimeout as sleep } from 'node:timers/promises';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createCallGateway } from '@sipcast/core';
import type { CallGateway, RtmpStreamStatus } from '@sipcast/core';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { startBaresip } from '../../support/baresip.ts';
import type { Baresip } from '../../support/baresip.ts';
import { decodeErrors, summarizeFlv } from '../../support/flv-check.ts';
import { startNginxRtmp } from '../../support/nginx-rtmp.ts';
import type { NginxRtmp } from '../../support/nginx-rtmp.ts';
import { freeTcpPort } from '../../support/ports.ts';
import { describeWith, run, start } from '../../support/programs.ts';

describeWith(['baresip', 'nginx', 'ffmpeg', 'ffprobe'], 'baresip to nginx-rtmp', () => {
  let dir: string;
  let gateway: CallGateway;
  let nginx: NginxRtmp;
  let phone: Baresip;

  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'nginx-'));
    nginx = await startNginxRtmp(dir);
    phone = await startBaresip(join(dir, 'baresip'));
    gateway = await createCallGateway({ bindAddress: '127.0.0.1', transcoding: false });
  });
  afterEach(async () => {
    await gateway.close();
    await phone.stop();
    await nginx.stop();
    await rm(dir, { recursive: true, force: true });
  });

  it('records what the phone sends, in sync and without a decode error', async () => {
    const call = await gateway.startup({
      callee: phone.uri,
      rtmpUrl: nginx.url,
      rtmpStream: 'cam',
    });
    await call.established();
    await expect.poll(() => call.rtmpStreamStatus).toBe('RTMP_STREAM_ACTIVE');
    await sleep(6000);
    expect(call.stats()?.video).toMatchObject({
      width: 640,
      height: 360,
      lost: 0,
    });
    // baresip's first picture on the wire can be one that refers to a key frame which it never sent.
    expect(call.stats()?.video?.droppedFrames).toBeLessThanOrEqual(1);
    expect(call.stats()?.video?.keyFrameRequests).toBeGreaterThan(0);
    await call.terminate();
    // nginx closes the file when the publisher has left.
    const [file = ''] = await nginx.finished();
    expect(await decodeErrors(file)).toBe('');
    const recorded = summarizeFlv(file);
    expect(recorded.video.slice(0, 2)).toEqual(['header', 'key']);
    const frames = recorded.videoTimesMs.length;
    const seconds = ((recorded.videoTimesMs.at(-1) ?? 0) - (recorded.videoTimesMs[0] ?? 0)) / 1000;
    expect(seconds).toBeGreaterThan(5);
    expect(frames / seconds).toBeGreaterThan(23);
    expect(frames / seconds).toBeLessThan(27);
    const { stdout } = await run('ffprobe', [
      '-v',
      'error',
      '-show_entries',
      'stream=codec_name,width,sample_rate',
      '-of',
      'csv',
      file,
    ]);
    expect(stdout.toString()).toContain('h264,640');
    expect(stdout.toString()).toContain('pcm_alaw,8000');
  });

  it('survives the death of the server: publishing resumes within 2 s of its return', async () => {
    const call = await gateway.startup({
      callee: phone.uri,
      rtmpUrl: nginx.url,
      rtmpStream: 'cam',
    });
    await call.established();
    const statuses: [RtmpStreamStatus, number][] = [];
    call.on('rtmpStreamStatus', (status) => statuses.push([status, performance.now()]));
    await expect.poll(() => call.rtmpStreamStatus).toBe('RTMP_STREAM_ACTIVE');
    const opened: number[] = [];
    for (let round = 0; round < 2; round++) {
      await sleep(2500);
      await nginx.kill();
      await expect.poll(() => call.rtmpStreamStatus).toBe('RTMP_CONNECTION_LOST');
      await sleep(1500);
      await nginx.restart();
      opened.push(performance.now());
      await expect.poll(() => call.rtmpStreamStatus, { timeout: 5000 }).toBe('RTMP_STREAM_ACTIVE');
      expect(call.status).toBe('ESTABLISHED');
    }
    await sleep(2500);
    await call.terminate();
    const files = await nginx.finished();
    const active = statuses
      .filter(([status]) => status === 'RTMP_STREAM_ACTIVE')
      .map(([, at]) => at);
    const resumedMs = opened.map((at, i) => (active[i + 1] ?? Number.NaN) - at);
    for (const ms of resumedMs) expect(ms).toBeLessThan(2000);
    console.log(
      `publishing resumed ${resumedMs.map((ms) => ms.toFixed(0)).join(', ')} ms after the port was open`,
    );
    expect(files).toHaveLength(3);
    for (const file of files) {
      expect(summarizeFlv(file).video.slice(0, 2), file).toEqual(['header', 'key']);
      expect(await decodeErrors(file), file).toBe('');
    }
    expect(call.view().pushes).toEqual([]);
    expect(call.status).toBe('FINISH');
  });

  it('publishes to ffmpeg -listen as well', async () => {
    const port = await freeTcpPort();
    const file = join(dir, 'listen.flv');
    const url = `rtmp://127.0.0.1:${port}/live`;
    const server = start('ffmpeg', [
      '-y',
      '-v',
      'error',
      '-listen',
      '1',
      '-i',
      `${url}/cam`,
      '-c',
      'copy',
      file,
    ]);
    const call = await gateway.startup({ callee: phone.uri, rtmpUrl: url, rtmpStream: 'cam' });
    await call.established();
    await expect.poll(() => call.rtmpStreamStatus, { timeout: 5000 }).toBe('RTMP_STREAM_ACTIVE');
    await sleep(4000);
    await call.terminate();
    expect(await server.exited, server.output()).toBe(0);
    expect(await decodeErrors(file)).toBe('');
    expect(summarizeFlv(file).videoTimesMs.length).toBeGreaterThan(50);
  });
});
