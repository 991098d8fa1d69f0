// The player example in a real Chromium: moving pictures and audible sound, soon after the page has loaded.

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import type { Browser } from 'playwright-core';
import { afterEach, expect, it } from 'vitest';
import { describeWith, findProgram } from '../support/programs.ts';
import { Script } from '../support/script.ts';

const ARGUMENTS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--autoplay-policy=no-user-gesture-required',
];

/** Looks at the player of the page for two seconds: how many different pictures, and how loud. */
const LOOK = `(async () => {
  const video = document.querySelector('video');
  const canvas = document.createElement('canvas');
  canvas.width = 64;
  canvas.height = 36;
  const painter = canvas.getContext('2d', { willReadFrequently: true });
  video.muted = false;
  const audio = new AudioContext();
  const source = audio.createMediaElementSource(video);
  const analyser = audio.createAnalyser();
  source.connect(analyser);
  await audio.resume();
  const samples = new Float32Array(analyser.fftSize);
  const pictures = new Set();
  let brightest = 0;
  let loudest = 0;
  const endMs = performance.now() + 2500;
  while (performance.now() < endMs) {
    painter.drawImage(video, 0, 0, 64, 36);
    const { data } = painter.getImageData(0, 0, 64, 36);
    let sum = 0;
    for (let at = 0; at < data.length; at += 4) {
      sum = (sum * 31 + data[at] + data[at + 1] * 3 + data[at + 2] * 7) % 1e9;
      brightest = Math.max(brightest, data[at]);
    }
    pictures.add(sum);
    analyser.getFloatTimeDomainData(samples);
    for (const sample of samples) loudest = Math.max(loudest, Math.abs(sample));
    await new Promise((resolve) => setTimeout(resolve, 15));
  }
  return { pictures: pictures.size, brightest, loudest, state: document.querySelector('output').value };
})()`;

describeWith(['chromium'], 'a browser', () => {
  let browser: Browser | undefined;
  let script: Script | undefined;
  let dir = '';
  afterEach(async () => {
    await browser?.close();
    script?.signal('SIGTERM');
    await script?.exited;
    await rm(dir, { recursive: true, force: true });
  });

  for (const query of ['', '?ws']) {
    it(`plays a call over ${query === '' ? 'HTTP' : 'a WebSocket'} within two seconds`, {
      timeout: 60_000,
    }, async () => {
      dir = await mkdtemp(join(tmpdir(), 'chromium-'));
      script = new Script('examples/player.ts', [], { PORT: '0' });
      const [, url = ''] = await script.line(/^open (http:\S+)$/);
      await script.line(/^call ESTABLISHED$/);
      browser = await chromium.launch({
        executablePath: findProgram('chromium') ?? '',
        args: ARGUMENTS,
      });
      const page = await browser.newPage({ viewport: { width: 1100, height: 760 } });
      const problems: string[] = [];
      page.on('pageerror', (error) => problems.push(error.message));
      await page.goto(url + query);
      const startMs = performance.now();
      await page.waitForFunction('document.querySelector("video").currentTime > 0.1', undefined, {
        polling: 20,
        timeout: 15_000,
      });
      const firstMs = performance.now() - startMs;
      const seen = await page.evaluate<{
        pictures: number;
        brightest: number;
        loudest: number;
        state: string;
      }>(LOOK);
      console.log(`playing ${firstMs.toFixed(0)} ms after the page was loaded`, seen);
      const shot = process.env['SCREENSHOT'];
      if (shot !== undefined) await writeFile(shot, await page.screenshot());
      expect(firstMs).toBeLessThan(2000);
      expect(seen.pictures).toBeGreaterThan(20);
      expect(seen.brightest).toBeGreaterThan(100);
      expect(seen.loudest).toBeGreaterThan(0.05);
      expect(seen.state).toContain('640×360');
      expect(problems).toEqual([]);
    });
  }
});
