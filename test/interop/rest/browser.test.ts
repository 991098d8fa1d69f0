// The player example in a real Chromium: moving pictures and audible sound, soon after the page has loaded.

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser } from 'playwright-core';
import { afterEach, expect, it } from 'vitest';
import { launchChromium, LOOK } from '../../support/chromium.ts';
import type { Seen } from '../../support/chromium.ts';
import { describeWith } from '../../support/programs.ts';
import { Script } from '../../support/script.ts';

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
      browser = await launchChromium();
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
      const seen = await page.evaluate<Seen>(LOOK);
      const state = await page.locator('output').textContent();
      console.log(`playing ${firstMs.toFixed(0)} ms after the page was loaded`, seen);
      const shot = process.env['SCREENSHOT'];
      if (shot !== undefined) await writeFile(shot, await page.screenshot());
      expect(firstMs).toBeLessThan(2000);
      expect(seen.pictures).toBeGreaterThan(20);
      expect(seen.brightest).toBeGreaterThan(100);
      expect(seen.loudest).toBeGreaterThan(0.05);
      expect(state).toContain('640×360');
      expect(problems).toEqual([]);
    });
  }
});
