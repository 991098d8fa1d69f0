// Node-Media-Server: it accepts before it refuses, acknowledges nothing, ignores pings, and hands enhanced tags on.

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import type { Call, CallGateway, RtmpStreamStatus } from '@sipcast/core';
import { FlvReader } from '@sipcast/media/wire';
import type { FlvFileTag } from '@sipcast/media/wire';
import { loadClip } from '@sipcast/testkit';
import type { CallScript } from '@sipcast/testkit';
import { chromium } from 'playwright-core';
import { beforeEach, describe, expect, it } from 'vitest';
import { openGateway, openPhone } from '../../support/call-ends.ts';
import { afterTest } from '../../support/cleanup.ts';
import { formatIvf, formatOggOpus, readEnhanced } from '../../support/enhanced-flv.ts';
import { decodeErrors, summarizeFlv } from '../../support/flv-check.ts';
import { makeFolder } from '../../support/folder.ts';
import { startNodeMediaServer } from '../../support/node-media-server.ts';
import type { NodeMediaServer } from '../../support/node-media-server.ts';
import { describeWith, findProgram, run } from '../../support/programs.ts';

let dir = '';
beforeEach(async () => {
  dir = await makeFolder();
});

async function openServer(publishSecret?: string): Promise<NodeMediaServer> {
  const server = await startNodeMediaServer(
    dir,
    publishSecret === undefined ? {} : { publishSecret },
  );
  afterTest(() => server.stop());
  return server;
}

async function publish(
  gateway: CallGateway,
  server: NodeMediaServer,
  rtmpStream: string,
  script: CallScript = {},
  more = {},
): Promise<{ call: Call; statuses: RtmpStreamStatus[] }> {
  const phone = await openPhone({ script });
  const call = await gateway.startup({
    callee: phone.uri,
    rtmpUrl: server.url,
    rtmpStream,
    ...more,
  });
  const statuses: RtmpStreamStatus[] = [];
  call.on('rtmpStreamStatus', (status) => statuses.push(status));
  await call.established();
  return { call, statuses };
}

/** Takes the live file of a stream until the test ends. */
async function watch(server: NodeMediaServer, name: string): Promise<FlvFileTag[]> {
  const tags: FlvFileTag[] = [];
  const leave = new AbortController();
  afterTest(() => leave.abort());
  const reader = new FlvReader({ onTag: (tag) => tags.push(tag), onFault: () => {} }, 4_000_000);
  const response = await fetch(`${server.httpUrl}/${name}.flv`, { signal: leave.signal });
  void (async () => {
    for await (const octets of response.body!) reader.push(octets);
  })().catch(() => {});
  return tags;
}

describeWith(['ffmpeg', 'ffprobe'], 'Node-Media-Server plays', () => {
  it('H.264 and AAC, to a player that joins late', async () => {
    const server = await openServer();
    const { call } = await publish(await openGateway({ transcoding: {} }), server, 'cam');
    await expect.poll(() => call.rtmpStreamStatus, { timeout: 5000 }).toBe('RTMP_STREAM_ACTIVE');
    await expect
      .poll(() => call.stats()?.video?.frames ?? 0, { timeout: 5000 })
      .toBeGreaterThan(50);
    const file = join(dir, 'played.flv');
    await run('ffmpeg', ['-v', 'error', '-i', `${server.url}/cam`, '-t', '4', '-c', 'copy', file]);
    expect(await decodeErrors(file)).toBe('');
    const played = summarizeFlv(file);
    expect(played.video.slice(0, 2)).toEqual(['header', 'key']);
    expect(played.videoTimesMs.length).toBeGreaterThan(80);
    expect(played.audioTags).toBeGreaterThan(150);
    const entries = ['-show_entries', 'stream=codec_name,width,sample_rate', '-of', 'csv', file];
    const { stdout } = await run('ffprobe', ['-v', 'error', ...entries]);
    expect(stdout.toString()).toContain('h264,640');
    expect(stdout.toString()).toContain('aac,44100');
  });

  it('VP8 and Opus in enhanced tags, which are what the phone sent, and decode', async () => {
    const server = await openServer();
    const tags = await watch(server, 'cam');
    const gateway = await openGateway({ transcoding: false });
    const script: CallScript = { videoCodec: 'VP8', audioCodec: 'opus' };
    // It says nothing of what it takes, and takes everything.
    const rtmp = { enhanced: 'force' } as const;
    const { call } = await publish(gateway, server, 'cam', script, { rtmp });
    await expect
      .poll(() => readEnhanced(tags).vp8.length, { timeout: 10_000 })
      .toBeGreaterThan(100);
    await call.terminate();
    const media = readEnhanced(tags);
    expect([...media.plain]).toEqual([]);
    const sent = new Set(loadClip().video.map(({ vp8 }) => Buffer.from(vp8!).toString('hex')));
    expect(media.vp8.filter(({ octets }) => !sent.has(octets.toString('hex')))).toEqual([]);
    const firstKey = media.vp8.findIndex(({ isKey }) => isKey);
    const frames = media.vp8.slice(firstKey);
    const [ivf, ogg] = [join(dir, 'video.ivf'), join(dir, 'sound.ogg')];
    await writeFile(ivf, formatIvf(frames, { width: 640, height: 360 }));
    await writeFile(ogg, formatOggOpus(media.opus));
    const count = [
      '-count_frames',
      '-show_entries',
      'stream=nb_read_frames,width',
      '-of',
      'csv=p=0',
    ];
    const { stdout, stderr } = await run('ffprobe', ['-v', 'error', ...count, ivf]);
    expect([stdout.toString().trim(), stderr]).toEqual([`640,${frames.length}`, '']);
    expect(await decodeErrors(ogg)).toBe('');
  });

  it('only whom the query of the name lets in; a refusal ends a push that may not try for ever', async () => {
    const server = await openServer('canary-secret');
    const gateway = await openGateway({ transcoding: false });
    const expires = Math.floor(Date.now() / 1000) + 600;
    const sign = (secret: string): string =>
      createHash('md5').update(`/live/cam-${expires}-${secret}`).digest('hex');
    const wrong = await publish(
      gateway,
      server,
      `cam?sign=${expires}-${sign('other')}`,
      {},
      { rtmp: { maxReconnects: 2 } },
    );
    // It says Publish.Start first, and hangs up then.
    await expect
      .poll(() => wrong.call.rtmpStreamStatus, { timeout: 10_000 })
      .toBe('RTMP_CONNECTION_FAILED');
    expect(wrong.call.status).toBe('ESTABLISHED');
    const right = await publish(gateway, server, `cam?sign=${expires}-${sign('canary-secret')}`);
    const tags = await watch(server, 'cam');
    await expect.poll(() => tags.length, { timeout: 8000 }).toBeGreaterThan(50);
    expect(right.call.rtmpStreamStatus).toBe('RTMP_STREAM_ACTIVE');
    expect(right.statuses).not.toContain('RTMP_CONNECTION_LOST');
  });

  it('a name that was in use, when its publisher is gone', async () => {
    const server = await openServer();
    const gateway = await openGateway({ transcoding: false });
    const first = await publish(gateway, server, 'cam');
    await expect
      .poll(() => first.call.rtmpStreamStatus, { timeout: 5000 })
      .toBe('RTMP_STREAM_ACTIVE');
    // A second gateway, since one does not publish a name twice.
    const second = await publish(await openGateway({ transcoding: false }), server, 'cam');
    await expect.poll(() => second.statuses, { timeout: 5000 }).toContain('RTMP_CONNECTION_LOST');
    await first.call.terminate();
    const tags = await watch(server, 'cam');
    await expect.poll(() => tags.length, { timeout: 10_000 }).toBeGreaterThan(50);
    await expect
      .poll(() => second.call.rtmpStreamStatus, { timeout: 5000 })
      .toBe('RTMP_STREAM_ACTIVE');
  });
});

describe('Node-Media-Server that reads nothing any more', () => {
  it('is found out within ten seconds, and published to again when it is back', {
    timeout: 60_000,
  }, async () => {
    const server = await openServer();
    const { call, statuses } = await publish(
      await openGateway({ transcoding: false }),
      server,
      'cam',
    );
    await expect.poll(() => call.rtmpStreamStatus, { timeout: 5000 }).toBe('RTMP_STREAM_ACTIVE');
    await expect
      .poll(() => call.view().pushes[0]!.bytesSent, { timeout: 5000 })
      .toBeGreaterThan(50_000);
    // By then it is known what it answers.
    await expect
      .poll(() => call.stats()?.video?.frames ?? 0, { timeout: 8000 })
      .toBeGreaterThan(100);
    server.pause();
    const pausedMs = performance.now();
    afterTest(() => server.unpause());
    await expect
      .poll(() => statuses, { timeout: 15_000, interval: 50 })
      .toContain('RTMP_CONNECTION_LOST');
    expect(performance.now() - pausedMs).toBeLessThan(10_000);
    expect(call.view().pushes[0]?.lastError).toMatch(/^STALLED/);
    server.unpause();
    await expect.poll(() => call.rtmpStreamStatus, { timeout: 10_000 }).toBe('RTMP_STREAM_ACTIVE');
    const tags = await watch(server, 'cam');
    await expect.poll(() => tags.length, { timeout: 10_000 }).toBeGreaterThan(50);
    expect(call.status).toBe('ESTABLISHED');
  });
});

/** How loud the page's video is, and how many different times it shows, over two seconds. */
const LISTEN = `(async () => {
  const video = document.querySelector('video');
  const audio = new AudioContext();
  const analyser = audio.createAnalyser();
  audio.createMediaElementSource(video).connect(analyser);
  await audio.resume();
  const samples = new Float32Array(analyser.fftSize);
  let loudest = 0;
  const times = new Set();
  const endMs = performance.now() + 2500;
  while (performance.now() < endMs) {
    analyser.getFloatTimeDomainData(samples);
    for (const sample of samples) loudest = Math.max(loudest, Math.abs(sample));
    times.add(video.currentTime);
    await new Promise((resolve) => setTimeout(resolve, 15));
  }
  return { loudest, times: times.size, width: video.videoWidth };
})()`;

describeWith(['chromium'], 'mpegts.js in Chromium', () => {
  it('plays Opus of a call in enhanced tags beside H.264, by way of Node-Media-Server', {
    timeout: 60_000,
  }, async () => {
    const server = await openServer();
    const gateway = await openGateway({ transcoding: false });
    const script: CallScript = { audioCodec: 'opus' };
    const rtmp = { enhanced: 'force' } as const;
    const { call } = await publish(gateway, server, 'cam', script, { rtmp });
    await expect
      .poll(() => call.stats()?.video?.frames ?? 0, { timeout: 5000 })
      .toBeGreaterThan(30);
    const browser = await chromium.launch({
      executablePath: findProgram('chromium') ?? '',
      args: ['--no-sandbox', '--disable-gpu', '--autoplay-policy=no-user-gesture-required'],
    });
    afterTest(() => browser.close());
    const page = await browser.newPage();
    const examples = createRequire(new URL('../../../examples/player.ts', import.meta.url));
    const player = readFileSync(examples.resolve('mpegts.js/dist/mpegts.js'), 'utf8');
    await page.setContent('<video></video>');
    await page.addScriptTag({ content: player });
    await page.evaluate(`(() => {
      const video = document.querySelector('video');
      const player = mpegts.createPlayer({ type: 'flv', isLive: true, url: ${JSON.stringify(`${server.httpUrl}/cam.flv`)} });
      player.on(mpegts.Events.ERROR, (...words) => { document.title = words.join(' '); });
      player.attachMediaElement(video);
      player.load();
      void video.play();
    })()`);
    await page.waitForFunction(
      `document.title || document.querySelector('video').currentTime > 0.5`,
    );
    expect(await page.title()).toBe('');
    const seen = await page.evaluate<{ loudest: number; times: number; width: number }>(LISTEN);
    expect(seen.width).toBe(640);
    expect(seen.times).toBeGreaterThan(20);
    expect(seen.loudest).toBeGreaterThan(0.05);
  });
});
