// HLS in players that we did not write: hls.js in Chromium, from a page of another origin, and ffmpeg.

import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { Browser } from 'playwright-core';
import type { CallScript } from '@sipcast/testkit';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { openGateway, openPhone } from '../../support/call-ends.ts';
import { launchChromium, LOOK } from '../../support/chromium.ts';
import type { Seen } from '../../support/chromium.ts';
import { afterTest } from '../../support/cleanup.ts';
import { makeFolder } from '../../support/folder.ts';
import { describeWith, run } from '../../support/programs.ts';
import { startRestServer } from '../../support/rest-server.ts';

const LIMIT = { timeout: 90_000 };
const PATIENCE = { timeout: 30_000 };
let browser: Browser;

/** A page with hls.js, on an origin of its own. */
async function servePage(): Promise<string> {
  const script = await readFile(createRequire(import.meta.url).resolve('hls.js/dist/hls.min.js'));
  const page = '<!doctype html><video muted playsinline></video><script src="/hls.js"></script>';
  const server = createServer((request, response) => {
    const isScript = request.url === '/hls.js';
    response.setHeader('content-type', isScript ? 'text/javascript' : 'text/html');
    response.end(isScript ? script : page);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  afterTest(async () => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function onAir(script: CallScript, origin?: string) {
  const phone = await openPhone({ script });
  const gateway = await openGateway({ transcoding: {} });
  const server = await startRestServer(gateway, origin === undefined ? {} : { cors: [origin] });
  afterTest(() => server.close());
  const call = await gateway.startup({ callee: phone.uri, toStream: 'cam' });
  await call.established();
  return { gateway, call, url: `${server.url}/stream/cam/index.m3u8` };
}

describeWith(['chromium', 'ffmpeg'], 'HLS', () => {
  beforeAll(async () => {
    browser = await launchChromium();
  });
  afterAll(() => browser.close());

  it.each<[string, CallScript]>([
    ['H.264 and PCMA', {}],
    ['VP8 and Opus', { videoCodec: 'VP8', audioCodec: 'opus' }],
  ])('plays %s in hls.js: moving pixels and audible sound', LIMIT, async (name, script) => {
    const origin = await servePage();
    const { url } = await onAir(script, origin);
    const page = await browser.newPage();
    afterTest(() => page.close());
    await page.goto(origin);
    const startMs = performance.now();
    await page.evaluate(`
      window.errors = [];
      const video = document.querySelector('video');
      const hls = new Hls({ liveSyncDurationCount: 2 });
      hls.on(Hls.Events.ERROR, (_, data) => errors.push(data.details + ' ' + data.fatal));
      hls.loadSource(${JSON.stringify(url)});
      hls.attachMedia(video);
      video.play();
    `);
    const timeOf = () => page.evaluate<number>('document.querySelector("video").currentTime');
    const at = await (async () => {
      await expect.poll(timeOf, PATIENCE).toBeGreaterThan(0.1);
      return timeOf();
    })();
    console.log(`${name}: plays after ${((performance.now() - startMs) / 1000).toFixed(1)} s`);
    await expect.poll(timeOf, PATIENCE).toBeGreaterThan(at + 1);
    const seen = await page.evaluate<Seen>(LOOK);
    expect(seen.pictures).toBeGreaterThan(10);
    expect(seen.loudest).toBeGreaterThan(0.05);
    const width = await page.evaluate<number>('document.querySelector("video").videoWidth');
    expect(width).toBe(640);
    const errors = await page.evaluate<string[]>('errors');
    expect(errors.filter((error) => error.endsWith('true'))).toEqual([]);
    if (process.env['SHOW'] !== undefined) await page.screenshot({ path: process.env['SHOW'] });
  });

  it('is read by ffmpeg without a complaint, in sync, to the end', LIMIT, async () => {
    const { url, call } = await onAir({});
    const path = join(await makeFolder(), 'out.mp4');
    const reading = run('ffmpeg', `-v error -y -i ${url} -c copy ${path}`.split(' '));
    await new Promise((resolve) => {
      setTimeout(resolve, 9000);
    });
    await call.terminate();
    await reading;
    const { stderr } = await run('ffmpeg', `-v error -i ${path} -f null -`.split(' '));
    expect(stderr).toBe('');
    const asked = 'stream=codec_name,start_time,nb_read_frames';
    const words = `-v error -count_frames -of json -show_entries ${asked} ${path}`.split(' ');
    const { stdout } = await run('ffprobe', words);
    const { streams } = JSON.parse(stdout.toString()) as {
      streams: { codec_name: string; start_time: string; nb_read_frames: string }[];
    };
    expect(streams.map((stream) => stream.codec_name).toSorted()).toEqual(['aac', 'h264']);
    const [one, other] = streams.map((stream) => Number(stream.start_time));
    expect(Math.abs(one! - other!)).toBeLessThan(0.1);
    const pictures = streams.find((stream) => stream.codec_name === 'h264');
    expect(Number(pictures?.nb_read_frames)).toBeGreaterThan(150);
  });
});
