// The console in a real Chromium, with real calls: what an operator does with it all day.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import { loadClip } from '@sipcast/testkit';
import { serve } from 'sipcast';
import type { ServeHandle, ServeOptions } from 'sipcast';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { buildConsole } from '../../../packages/server/console-build.ts';
import { openGateway, openPhone, openSink } from '../../support/call-ends.ts';
import { launchChromium, LOOK, POOR_CONTRAST } from '../../support/chromium.ts';
import type { Seen } from '../../support/chromium.ts';
import { afterTest } from '../../support/cleanup.ts';
import { describeWith } from '../../support/programs.ts';

const DESKTOP = { width: 1440, height: 900 };
const PHONE = { width: 375, height: 740 };
/** What polls wait for: a machine with neighbours is slow. */
const PATIENCE = { timeout: 15_000 };

let browser: Browser;
let dir = '';

async function openServer(options: ServeOptions = {}): Promise<ServeHandle> {
  const server = await serve({
    log: { write: () => {} },
    ...options,
    http: { port: 0, consoleDir: dir, ...options.http },
    // Whether this machine is busy decides nothing here.
    gateway: { bindAddress: '127.0.0.1', maxLoopLagMs: 0, ...options.gateway },
  });
  afterTest(() => server.close(500));
  return server;
}

/** A page; scripts that fail, and whatever the policy forbids, are found in `problems`. */
async function openPage(
  url: string,
  options: BrowserContextOptions = {},
): Promise<{ page: Page; problems: string[] }> {
  const context = await browser.newContext({ viewport: DESKTOP, ...options });
  afterTest(() => context.close());
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE.timeout);
  const problems: string[] = [];
  page.on('pageerror', (error) => problems.push(error.message));
  page.on('console', (message) => {
    if (/Security Policy|Trusted/.test(message.text())) problems.push(message.text());
  });
  await page.goto(url);
  return { page, problems };
}

const consoleOf = (server: ServeHandle): string => server.consoleUrl ?? '';
const text = (page: Page, selector: string): Promise<string> =>
  page.locator(selector).first().innerText();
const isPlaying = (page: Page): Promise<boolean> =>
  page.evaluate<boolean>('document.querySelector("video").currentTime > 0.1');
/** Octets of sound that the player has decoded. */
const DECODED_AUDIO = 'document.querySelector("video").webkitAudioDecodedByteCount';
const overflow = (page: Page): Promise<number> =>
  page.evaluate<number>('document.documentElement.scrollWidth - innerWidth');

/**
 * Waits until a button that asks first has asked, and then for longer than a double click takes. The page's own clock
 * counts: on a busy machine it hears of a key late.
 */
async function untilArmed(page: Page): Promise<void> {
  await page.locator('button[data-armed]').waitFor();
  await page.evaluate(
    () =>
      new Promise<void>((resolve) => {
        setTimeout(resolve, 400);
      }),
  );
}

describeWith(['chromium', 'ffmpeg'], 'the console', () => {
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'console-'));
    await buildConsole(dir);
    browser = await launchChromium();
  });
  afterAll(async () => {
    await browser.close();
    await rm(dir, { recursive: true, force: true });
  });

  it('plays the call of its address within two seconds, with moving pictures and sound', async () => {
    const phone = await openPhone();
    const server = await openServer();
    const call = await server.gateway.startup({ callId: 'c1', callee: phone.uri, toStream: 's' });
    await call.established();
    const { page, problems } = await openPage(`${consoleOf(server)}?call=c1`);
    const startMs = performance.now();
    while (!(await isPlaying(page)) && performance.now() - startMs < 15_000)
      await page.waitForTimeout(20);
    const firstMs = performance.now() - startMs;
    await expect.poll(() => text(page, '.player-state'), PATIENCE).toBe('640×360');
    const level =
      'new DOMMatrix(getComputedStyle(document.querySelector(".meter span")).transform).a';
    await expect.poll(() => page.evaluate(level), PATIENCE).toBeGreaterThan(0.3);
    const seen = await page.evaluate<Seen>(LOOK);
    console.log(`playing ${firstMs.toFixed(0)} ms after the page was loaded`, seen);
    expect(firstMs).toBeLessThan(2000);
    expect(seen.pictures).toBeGreaterThan(20);
    expect(seen.brightest).toBeGreaterThan(100);
    expect(seen.loudest).toBeGreaterThan(0.05);
    expect(problems).toEqual([]);
  });

  it('plays a call that is older than ten seconds, sound alone, and pictures alone', async () => {
    const both = await openPhone();
    const sound = await openPhone({ user: 'sound', script: { video: false } });
    const picture = await openPhone({ user: 'picture', script: { audio: false } });
    const server = await openServer();
    const start = async (callee: string, toStream: string): Promise<void> => {
      const call = await server.gateway.startup({ callId: toStream, callee, toStream });
      await call.established();
    };
    await start(both.uri, 'old');
    await start(sound.uri, 'sound');
    await start(picture.uri, 'picture');
    await new Promise((resolve) => setTimeout(resolve, 10_500));
    const { page, problems } = await openPage(`${consoleOf(server)}?call=sound`);
    await expect.poll(() => text(page, '.player-state'), PATIENCE).toBe('Sound only');
    await expect.poll(() => isPlaying(page), PATIENCE).toBe(true);
    const seen = await page.evaluate<Seen>(LOOK);
    expect(seen.loudest).toBeGreaterThan(0.05);
    // Who looks through the calls goes on watching.
    for (const callId of ['old', 'picture']) {
      await page.locator(`tr[data-call-id=${callId}]`).click();
      await expect.poll(() => text(page, '.player-state'), PATIENCE).toBe('640×360');
      await expect.poll(() => isPlaying(page), PATIENCE).toBe(true);
    }
    expect(problems).toEqual([]);
  });

  it('plays the sound of a camera that is off, and a call whose peer ignores requests for key frames', async () => {
    const server = await openServer();
    const clip = loadClip();
    const oneKeyFrame = clip.video.filter(({ isKeyFrame }, index) => index === 0 || !isKeyFrame);
    const scripts = {
      off: { sender: { video: { impairments: { loss: 1 } } } },
      old: {
        sender: {
          answerKeyFrameRequests: false,
          clip: { ...clip, video: oneKeyFrame.map((unit, index) => ({ ...unit, index })) },
        },
      },
    };
    for (const [callId, script] of Object.entries(scripts)) {
      const phone = await openPhone({ script });
      const call = await server.gateway.startup({ callId, callee: phone.uri, toStream: callId });
      await call.established();
      await expect.poll(() => call.stats()?.audio?.packets ?? 0, PATIENCE).toBeGreaterThan(150);
      const { page } = await openPage(`${consoleOf(server)}?call=${callId}`);
      const startMs = performance.now();
      await expect.poll(() => isPlaying(page), PATIENCE).toBe(true);
      await expect.poll(() => page.evaluate<number>(DECODED_AUDIO), PATIENCE).toBeGreaterThan(1000);
      console.log(`${callId}: plays after ${((performance.now() - startMs) / 1000).toFixed(1)} s`);
    }
  });

  it('starts a call by its form, shows errors at the field, and remembers all but the password', async () => {
    const phone = await openPhone();
    const server = await openServer();
    const { page } = await openPage(consoleOf(server));
    await page.fill('#f-callee', 'sip:no host');
    await page.click('#start-button');
    const problem = page.locator('.field:has(#f-callee) .field-problem');
    await problem.waitFor();
    expect(await problem.innerText()).toContain('INVALID_ARGUMENT');
    expect(await page.getAttribute('#f-callee', 'aria-invalid')).toBe('true');
    expect(await page.getAttribute('#f-callee', 'aria-describedby')).toBe(
      await problem.getAttribute('id'),
    );
    expect(await page.evaluate('document.activeElement.id')).toBe('f-callee');

    await page.fill('#f-callee', phone.uri);
    expect(await problem.count()).toBe(0);
    expect(await page.inputValue('#f-toStream')).toMatch(/^phone-\d{6}$/);
    // At a field of a group that is closed.
    await page.evaluate('for (const one of document.querySelectorAll("details")) one.open = true');
    await page.fill('#f-sipPort', '99999');
    await page.fill('#f-sipLogin', 'operator');
    await page.fill('#f-sipPassword', 'secret-word');
    await page.evaluate('for (const one of document.querySelectorAll("details")) one.open = false');
    await page.click('#start-button');
    await page.locator('.field:has(#f-sipPort) .field-problem').waitFor();
    await page.fill('#f-sipPort', '');
    await page.click('#start-button');
    await expect.poll(() => text(page, '#call-status'), PATIENCE).toBe('Established');
    await expect.poll(() => isPlaying(page), PATIENCE).toBe(true);
    const kept = await page.evaluate<string>('JSON.stringify(localStorage)');
    expect(kept).toContain('operator');
    expect(kept).not.toContain('secret-word');
    await page.reload();
    expect(await page.inputValue('#f-callee')).toBe(phone.uri);
    expect(await page.inputValue('#f-sipLogin')).toBe('operator');
    expect(await page.inputValue('#f-sipPassword')).toBe('');
    expect(server.gateway.calls.live).toHaveLength(1);
  });

  it('is worked by keyboard alone: call, choose, keys, hang up', async () => {
    const phone = await openPhone();
    const server = await openServer();
    const other = await server.gateway.startup({ callId: 'other', callee: phone.uri });
    await other.established();
    await (await phone.nextCall()).confirmed;
    const { page } = await openPage(consoleOf(server));
    await page.locator('tr[data-call-id=other]').waitFor();
    await page.keyboard.press('n');
    await page.keyboard.type(phone.uri);
    await page.keyboard.press('Enter');
    await expect.poll(() => text(page, '#call-status'), PATIENCE).toBe('Established');
    const peer = await phone.nextCall();
    await peer.confirmed;

    await page.keyboard.press('k');
    await page.keyboard.press('5');
    await page.keyboard.press('#');
    await expect.poll(() => peer.digits.map(({ digit }) => digit).join(''), PATIENCE).toBe('5#');
    await expect.poll(() => text(page, '#keypad-sent'), PATIENCE).toBe('5#');
    await peer.sendDigits('7');
    await expect.poll(() => text(page, '#keypad-heard'), PATIENCE).toBe('7');

    // To the other call, by arrows, and back.
    await page.keyboard.press('l');
    await page.keyboard.press('Home');
    expect(await page.getAttribute('tr[data-call-id=other]', 'aria-selected')).toBe('true');
    await page.keyboard.press('ArrowDown');
    expect(await page.getAttribute('tr[data-call-id=other]', 'aria-selected')).toBe('false');
    expect(await page.evaluate('getComputedStyle(document.activeElement).outlineStyle')).not.toBe(
      'none',
    );

    await page.keyboard.press('/');
    expect(await page.evaluate('document.activeElement.id')).toBe('filter');
    await page.keyboard.type('other');
    await expect.poll(() => page.locator('#calls tr').count()).toBe(1);
    await page.fill('#filter', '');
    await page.keyboard.press('Escape');

    await page.keyboard.press('?');
    expect(await page.locator('#help').isVisible()).toBe(true);
    await page.keyboard.press('Escape');
    expect(await page.locator('#help').isVisible()).toBe(false);

    // One press asks, and a second one much later than a double click does it.
    await page.keyboard.press('x');
    await page.keyboard.press('Enter');
    await page.keyboard.press('Enter');
    expect(await text(page, '#hang-up')).toBe('Really hang up?');
    await untilArmed(page);
    await page.keyboard.press('Enter');
    expect(await peer.ended).toMatchObject({ by: 'caller', how: 'bye' });
    await expect.poll(() => text(page, '#ended'), PATIENCE).toContain('Normal call clearing');
    expect(server.gateway.calls.live.map(({ callId }) => callId)).toEqual(['other']);
  });

  it('shows calls that come in as such, and offers for them what it offers for others', async () => {
    const attack = '<b onclick=x>Alice';
    const incoming = { rules: [{ accept: { toStream: 'in-{caller}' } }] };
    const server = await openServer({ gateway: { incoming } });
    const sink = await openSink();
    const caller = await openGateway({ transcoding: {} });
    const { page, problems } = await openPage(consoleOf(server));
    await expect.poll(() => text(page, '#link-words')).toBe('Connected');
    const call = await caller.startup({
      callId: 'c1',
      callee: `sip:studio@127.0.0.1:${server.gateway.sipPort}`,
      sipLogin: 'alice',
      visibleName: attack,
    });
    const digits: string[] = [];
    call.on('dtmf', ({ digit }) => digits.push(digit));
    const row = page.locator('tr[data-call-id=c1]');
    await expect
      .poll(() => row.locator('.direction').getAttribute('title'), PATIENCE)
      .toBe('Incoming');
    expect(await row.locator('.strong').innerText()).toBe(`${attack} · alice`);
    await expect
      .poll(() => row.locator('.cell-callee .faint').innerText(), PATIENCE)
      .toBe('for studio · in-alice');
    await row.click();
    await expect.poll(() => text(page, '#call-direction'), PATIENCE).toBe('Incoming, for studio');
    await page.keyboard.press('p');
    await page.keyboard.press('k');
    await page.keyboard.press('3');
    await expect.poll(() => digits, PATIENCE).toEqual(['3']);
    await page.keyboard.press('u');
    await page.fill('#push-url', sink.url);
    await page.keyboard.press('Enter');
    await expect.poll(() => text(page, '#pushes .badge'), PATIENCE).toBe('On air');
    await page.keyboard.press('Escape');
    // Only the button has words for it: the call may be on air.
    await page.keyboard.press('x');
    await page.keyboard.press('Enter');
    await untilArmed(page);
    await page.keyboard.press('Enter');
    await call.closed();
    expect(call.view()).toMatchObject({ status: 'FINISH', endedBy: 'remote' });
    const ended = page.locator('#ended tr').first();
    await expect.poll(() => ended.innerText(), PATIENCE).toContain(attack);
    expect(await ended.locator('.direction').getAttribute('title')).toBe('Incoming');
    expect(problems).toEqual([]);
  });

  it('holds, resumes and transfers, and says why when the peer does not agree', async () => {
    const server = await openServer();
    const peer = await openGateway({ incoming: { rules: [{ accept: {} }] }, transcoding: {} });
    const call = await server.gateway.startup({
      callId: 'c1',
      callee: `sip:studio@127.0.0.1:${peer.sipPort}`,
    });
    await call.established();
    await expect.poll(() => peer.calls.live[0]?.status).toBe('ESTABLISHED');
    const [other] = peer.calls.live;
    const { page } = await openPage(`${consoleOf(server)}?call=c1`);
    const status = () => expect.poll(() => text(page, '#call-status'), PATIENCE);
    await page.locator('#call').waitFor();
    // A key leads to the button; the button does it.
    await page.keyboard.press('h');
    await page.waitForTimeout(200);
    expect(call.status).toBe('ESTABLISHED');
    await page.keyboard.press('Enter');
    await status().toBe('Hold');
    await expect.poll(() => text(page, '#hold'), PATIENCE).toBe('Resume');
    // Both hold: one of them cannot take it back for both.
    await other!.hold();
    await expect.poll(() => page.locator('#hold').isEnabled(), PATIENCE).toBe(true);
    await page.keyboard.press('h');
    await page.keyboard.press('Enter');
    await expect
      .poll(() => text(page, '#notices'), PATIENCE)
      .toContain('The peer also holds the call');
    await other!.resume();
    await status().toBe('Established');

    await page.keyboard.press('r');
    expect(await page.evaluate('document.activeElement.id')).toBe('transfer-target');
    await page.keyboard.type('no uri');
    await page.keyboard.press('Enter');
    await expect
      .poll(() => text(page, '#transfer-problem'), PATIENCE)
      .toContain('INVALID_ARGUMENT');
    await page.fill('#transfer-target', 'sip:x@127.0.0.1');
    await page.keyboard.press('Enter');
    await expect.poll(() => text(page, '#transfer-problem'), PATIENCE).toContain('603');
    await page.keyboard.press('Escape');
    expect(await page.locator('#transfer-form').isVisible()).toBe(false);
    expect(call.status).toBe('ESTABLISHED');

    let report = (): void => {};
    other!.on('refer', (refer) => {
      report = () => refer.report(200, 'OK');
    });
    await page.click('#transfer');
    await page.fill('#transfer-target', 'sip:show@127.0.0.1');
    await page.click('#transfer-send');
    await expect
      .poll(() => text(page, '#call-direction'), PATIENCE)
      .toBe('Being transferred to sip:show@127.0.0.1 …');
    expect(await page.locator('#transfer-send').isEnabled()).toBe(false);
    report();
    await call.closed();
    await status().toBe('Finish');
    expect(await page.locator('#hold').isVisible()).toBe(false);
  });

  it('shows each change of a status by its event, without reading anything again', async () => {
    const phone = await openPhone({ script: { ring: 0, answerAfterMs: 1500 } });
    const server = await openServer();
    const { page } = await openPage(consoleOf(server));
    await expect.poll(() => text(page, '#link-words')).toBe('Connected');
    await page.route(/\/call\/(find|history)/, (route) => route.abort());
    const call = await server.gateway.startup({ callId: 'c1', callee: phone.uri, toStream: 's' });
    const row = 'tr[data-call-id=c1] .cell-status';
    await expect.poll(() => text(page, row), PATIENCE).toBe('Ring');
    await call.established();
    await expect.poll(() => text(page, row), PATIENCE).toBe('Established');
    await (await phone.nextCall()).hangUp();
    await expect.poll(() => page.locator('#calls tr').count(), PATIENCE).toBe(0);
    expect(await text(page, '#ended')).toContain('Normal call clearing');
  });

  it('shows a picture of the call, why its RTMP stream failed, and tries that again', async () => {
    const server = await openServer({ gateway: { rtmp: { firstConnectTimeoutMs: 300 } } });
    const phone = await openPhone();
    const gone = await openSink();
    await gone.close();
    const call = await server.gateway.startup({
      callee: phone.uri,
      rtmpUrl: gone.url,
      rtmpStream: 'cam',
    });
    const { page, problems } = await openPage(consoleOf(server));
    const width = 'document.querySelector(".calls .thumbnail").naturalWidth';
    await expect.poll(() => page.evaluate<number>(width), PATIENCE).toBe(640);
    await expect.poll(() => text(page, '.calls .cell-error'), PATIENCE).toMatch(/ECONNREFUSED/);
    await page.locator(`[data-call-id="${call.callId}"]`).click();
    if (process.env['SHOW'] !== undefined) await page.screenshot({ path: process.env['SHOW'] });
    await openSink({ port: Number(new URL(gone.url).port) });
    await page.keyboard.press('u');
    await page.getByRole('button', { name: 'Try now' }).click();
    await expect.poll(() => call.rtmpStreamStatus, PATIENCE).toBe('RTMP_STREAM_ACTIVE');
    expect(problems).toEqual([]);
  });

  it('adds, mutes and ends pushes, and shows errors at the field', async () => {
    const phone = await openPhone();
    const sink = await openSink();
    const server = await openServer();
    const call = await server.gateway.startup({ callId: 'c1', callee: phone.uri, toStream: 's' });
    await call.established();
    const { page } = await openPage(`${consoleOf(server)}?call=c1`);
    await page.locator('#call').waitFor();
    await page.keyboard.press('u');
    await page.fill('#push-url', 'http://no.rtmp');
    await page.keyboard.press('Enter');
    await expect.poll(() => text(page, '#push-problem'), PATIENCE).toContain('INVALID_ARGUMENT');
    await page.fill('#push-url', sink.url);
    await page.keyboard.press('Enter');
    await expect.poll(() => text(page, '#pushes .badge'), PATIENCE).toBe('On air');
    await page.getByRole('button', { name: 'Mute' }).click();
    await expect.poll(() => server.gateway.pushes.find()[0]?.muted, PATIENCE).toBe(true);
    await page.getByRole('button', { name: 'Unmute' }).click();
    await expect.poll(() => server.gateway.pushes.find()[0]?.muted, PATIENCE).toBe(false);
    await page.getByRole('button', { name: 'End', exact: true }).click();
    await untilArmed(page);
    await page.getByRole('button', { name: 'Really end?' }).click();
    await expect.poll(() => server.gateway.pushes.find(), PATIENCE).toEqual([]);
    await expect.poll(() => page.locator('#pushes li').count(), PATIENCE).toBe(0);
  });

  it('draws the SIP messages of a call, and plots what was measured', async () => {
    const phone = await openPhone();
    const server = await openServer();
    const call = await server.gateway.startup({ callId: 'c1', callee: phone.uri, toStream: 's' });
    await call.established();
    const { page } = await openPage(`${consoleOf(server)}?call=c1`);
    await page.locator('#call').waitFor();
    await page.keyboard.press('s');
    await expect
      .poll(() => page.locator('#ladder .arrow-label').allInnerTexts(), PATIENCE)
      .toEqual(expect.arrayContaining(['INVITESDP', '200 OKSDP', 'ACK']));
    await page.locator('#ladder button').first().click();
    const message = await text(page, '#ladder pre');
    expect(message).toContain('INVITE sip:phone@');
    expect(message).toContain('m=video');
    await page.keyboard.press('q');
    await expect
      .poll(() => page.getAttribute('#plots figure:last-child path.line-video', 'd'), PATIENCE)
      .toMatch(/^M[\d.]+ [\d.]+(L[\d.]+ [\d.]+){2,}$/);
    expect(await text(page, '#figures')).toMatch(/H\.264 640×360/);
    await call.terminate();
    // The ladder of a call that has ended can still be read.
    await page.keyboard.press('s');
    await expect
      .poll(() => page.locator('#ladder .arrow-label').allInnerTexts(), PATIENCE)
      .toContain('BYE');
  });

  it('shows what a hostile peer says, and runs none of it', async () => {
    const attack = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>';
    const reason = `${attack} ${'R'.repeat(2000)}`;
    const phone = await openPhone({ script: { answer: 486, reason } });
    const server = await openServer();
    const { page, problems } = await openPage(consoleOf(server));
    await expect.poll(() => text(page, '#link-words')).toBe('Connected');
    const call = await server.gateway.startup({
      callId: '<b>bold</b>',
      callee: phone.uri,
      visibleName: attack,
      custom: { text: attack },
    });
    await call.closed();
    await page.locator('#ended button').click();
    await expect.poll(() => text(page, '#facts'), PATIENCE).toContain(attack);
    expect(await text(page, '#ended')).toContain(attack);
    // However much it says, there is room for others.
    // A row has no box in the moment when the list is drawn anew.
    for (const selector of ['#ended tr', '#call-reason'])
      await expect
        .poll(async () => (await page.locator(selector).boundingBox())?.height, {
          message: selector,
        })
        .toBeLessThan(150);
    await page.keyboard.press('s');
    await page.locator('#ladder button').first().click();
    expect(await text(page, '#ladder pre')).toContain('onerror');
    expect(await page.locator('main img, main script, #facts b').count()).toBe(0);
    expect(await page.evaluate('window.hacked')).toBeUndefined();
    expect(problems).toEqual([]);
    // And markup that got in all the same would be refused by the browser.
    const refused = `(() => { try { document.body.innerHTML += '<b>'; return false; } catch { return true; } })()`;
    expect(await page.evaluate(refused)).toBe(true);
  });

  it('says that the gateway is gone, and goes on when it is back', async () => {
    const phone = await openPhone();
    const first = await openServer();
    const { page } = await openPage(consoleOf(first));
    await expect.poll(() => text(page, '#link-words')).toBe('Connected');
    await first.close(500);
    await expect.poll(() => text(page, '#link-words'), PATIENCE).toBe('Connection lost');
    expect(await page.locator('#link-now').isVisible()).toBe(true);
    const second = await openServer({ http: { port: first.port } });
    await expect.poll(() => text(page, '#link-words'), PATIENCE).toBe('Connected');
    await second.gateway.startup({ callId: 'c2', callee: phone.uri });
    await page.locator('tr[data-call-id=c2]').waitFor();
  });

  it('asks for the account where there is one, and plays by a token', async () => {
    const phone = await openPhone();
    const basicAuth = { username: 'user', password: 'pass-word' };
    const server = await openServer({ basicAuth });
    const call = await server.gateway.startup({ callId: 'c1', callee: phone.uri, toStream: 's' });
    await call.established();
    expect((await fetch(consoleOf(server))).status).toBe(401);
    const asked: string[] = [];
    const { page } = await openPage(`${consoleOf(server)}?call=c1`, { httpCredentials: basicAuth });
    page.on('request', (request) => asked.push(request.url()));
    await expect.poll(() => isPlaying(page), PATIENCE).toBe(true);
    await expect.poll(() => text(page, '#link-words'), PATIENCE).toBe('Connected');
    await page.keyboard.press('p');
    await page.keyboard.press('p');
    await expect
      .poll(() => asked.find((url) => url.includes('.flv')), PATIENCE)
      .toMatch(/\?token=/);
  });

  for (const colorScheme of ['light', 'dark'] as const) {
    it(`is ${colorScheme} as the system is, readable, and fits a telephone`, async () => {
      const phone = await openPhone();
      const busy = await openPhone({ user: 'reception', script: { answer: 486 } });
      const caller = await openGateway({ transcoding: {} });
      const ringing = await openPhone({ user: 'boardroom', script: { answer: 'none' } });
      const sink = await openSink();
      const incoming = { rules: [{ accept: { toStream: 'guest-{caller}' } }] };
      const server = await openServer({ gateway: { incoming } });
      const { gateway } = server;
      const call = await gateway.startup({
        callId: 'c1',
        callee: phone.uri,
        toStream: 'studio-1',
        rtmpUrl: sink.url,
        rtmpStream: 'evening-show',
        visibleName: 'Evening show',
      });
      await call.established();
      await gateway.startup({ callee: busy.uri });
      await gateway.startup({ callee: ringing.uri, toStream: 'boardroom' });
      const guest = await caller.startup({
        callee: `sip:studio@127.0.0.1:${gateway.sipPort}`,
        sipLogin: 'anna',
        visibleName: 'Anna Berg',
      });
      await guest.established();
      gateway.pushes.start({ streamName: 'studio-1', rtmpUrl: 'rtmp://127.0.0.1:9/backup' });
      const { page } = await openPage(`${consoleOf(server)}?call=c1`, { colorScheme });
      await expect.poll(() => isPlaying(page), PATIENCE).toBe(true);
      const shots = process.env['SCREENSHOTS'];
      const look = async (name: string): Promise<void> => {
        // Colours that are still changing are nobody's.
        await page.waitForTimeout(300);
        expect(await page.evaluate(POOR_CONTRAST), name).toEqual([]);
        expect(await overflow(page), name).toBeLessThanOrEqual(0);
        if (shots !== undefined)
          await page.screenshot({ path: join(shots, `${colorScheme}-${name}.png`) });
      };
      const views = ['overview', 'pushes', 'keypad', 'quality', 'sip'];
      for (const view of views) {
        await page.click(`#tab-${view}`);
        await look(view);
      }
      const back = 'getComputedStyle(document.body).backgroundColor';
      const [red = 0] = /\d+/.exec(await page.evaluate<string>(back)) ?? [];
      expect(Number(red) > 128).toBe(colorScheme === 'light');
      await page.click('#transfer');
      await look('transfer');
      await page.setViewportSize(PHONE);
      await look('phone-transfer');
      await page.click('#transfer');
      for (const view of views) {
        await page.click(`#tab-${view}`);
        await look(`phone-${view}`);
      }
      await page.click('#call .back');
      await look('phone-list');
      await page.click('#new-call');
      await page.evaluate(
        'for (const one of document.querySelectorAll("details")) one.open = true',
      );
      await look('phone-form');
      // And the other theme, by the switch.
      for (let n = 0; n < 3; n++) {
        await page.click('#theme');
        const theme = await page.getAttribute('html', 'data-theme');
        const [now = 0] = /\d+/.exec(await page.evaluate<string>(back)) ?? [];
        const isLight = theme === null ? colorScheme === 'light' : theme === 'light';
        expect(Number(now) > 128, String(theme)).toBe(isLight);
      }
    });
  }
});
