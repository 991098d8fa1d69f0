// Chromium behind Janus, whose SIP plugin is sofia-sip, the stack of FreeSWITCH: both directions, judged by ffmpeg.

import { setTimeout as sleep } from 'node:timers/promises';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createCallGateway } from '@sipcast/core';
import type { Call, CallGateway, CallGatewayOptions } from '@sipcast/core';
import type { FlvRecording } from '@sipcast/media';
import { measureAvSkew } from '@sipcast/testkit';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { openGateway } from '../../support/call-ends.ts';
import { launchChromium } from '../../support/chromium.ts';
import { JanusPhone, startJanus } from '../../support/janus.ts';
import type { Janus, JanusMedia } from '../../support/janus.ts';
import { describeWith, run } from '../../support/programs.ts';
import { describeRecording, probeRecording } from '../../support/recording.ts';

const LIMIT = { timeout: 60_000 };
const PLAY_MS = 7000;

describeWith(['janus', 'chromium', 'ffmpeg', 'ffprobe'], 'Chromium behind Janus', () => {
  let dir = '';
  let gateway: CallGateway;
  let janus: Janus;
  let browser: Browser;
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'janus-'));
    janus = await startJanus(dir);
    browser = await launchChromium([
      '--allow-loopback-in-peer-connection',
      '--disable-features=WebRtcHideLocalIpsWithMdns',
    ]);
    gateway = await createCallGateway({
      bindAddress: '127.0.0.1',
      incoming: { rules: [{ accept: { record: true, srtp: 'optional' } }] },
      recording: { dir },
    });
  }, 30_000);
  afterAll(async () => {
    await gateway.close();
    await browser.close();
    await janus.stop();
    await rm(dir, { recursive: true, force: true });
  });

  interface Connected {
    readonly call: Call;
    readonly phone: JanusPhone;
    /** The recording, complete when the call has ended. */
    readonly file: Promise<FlvRecording>;
  }

  /** @param offered - For calls of ours: what they offer. */
  async function connect(
    direction: 'in' | 'out',
    media: JanusMedia,
    srtp: 'off' | 'required',
    offered: CallGatewayOptions['offer'] = {},
  ): Promise<Connected> {
    const caller =
      direction === 'in'
        ? gateway
        : await openGateway({ offer: offered, transcoding: {}, recording: { dir } });
    const phone = await JanusPhone.open(janus, browser, media);
    let call: Call;
    if (direction === 'out') {
      call = await caller.startup({ callee: phone.uri, record: true, srtp });
      await call.established();
    } else {
      const uri = `sip:studio@127.0.0.1:${gateway.sipPort}`;
      await phone.call(uri, srtp === 'required' ? 'sdes_mandatory' : undefined);
      await phone.event('accepted');
      await expect.poll(() => gateway.calls.live.at(-1)?.status).toBe('ESTABLISHED');
      call = gateway.calls.live.at(-1)!;
    }
    const file = new Promise<FlvRecording>((resolve) => {
      call.once('recorded', resolve);
    });
    await expect
      .poll(() => call.stats()?.video?.frames ?? 0, { timeout: 8000 })
      .toBeGreaterThan(25);
    return { call, phone, file };
  }

  const CODECS = { opus: 'opus', PCMA: 'pcma', PCMU: 'pcmu', H264: 'h264', VP8: 'vp8' } as const;
  const CASES: readonly ['in' | 'out', JanusMedia, 'off' | 'required'][] = [
    ['in', { audio: 'opus', video: 'H264' }, 'off'],
    ['out', { audio: 'PCMA', video: 'VP8' }, 'off'],
    ['in', { audio: 'PCMU', video: 'VP8' }, 'required'],
    ['out', { audio: 'opus', video: 'H264' }, 'required'],
  ];
  for (const [direction, media, srtp] of CASES) {
    const words = `${media.audio} and ${media.video}${srtp === 'off' ? '' : ' by SRTP'}`;
    it(`${direction === 'in' ? 'calls us' : 'is called'} with ${words}`, LIMIT, async () => {
      const { call, phone, file } = await connect(direction, media, srtp, {
        audioCodecs: [CODECS[media.audio]],
        videoCodecs: [media.video === 'H264' ? 'h264-mode1' : 'vp8'],
      });
      await sleep(PLAY_MS);
      const stats = call.stats()!;
      const received = await phone.received();
      if (direction === 'in') await phone.hangUp();
      else await call.terminate();
      await call.closed();
      await phone.close();
      const { path } = await file;
      const recording = await probeRecording(path);
      const { medianMs, worstMs, skewsMs } = await measureAvSkew(path);
      console.log(
        `Janus ${direction} ${words}: ${describeRecording(recording)}; skew median ${medianMs.toFixed(0)}, worst ${worstMs.toFixed(0)} ms of ${skewsMs.length}`,
      );
      const pictures = process.env['JANUS_PICTURES'];
      if (pictures !== undefined) {
        const png = join(pictures, `janus-${direction}-${media.video}-${srtp}.png`);
        await run('ffmpeg', ['-v', 'error', '-y', '-ss', '4', '-i', path, '-frames:v', '1', png]);
      }
      expect(stats.audio).toMatchObject({ codec: CODECS[media.audio], lost: 0, problem: null });
      expect(stats.video).toMatchObject({ codec: CODECS[media.video], lost: 0, problem: null });
      // Silence in its codec reaches the page.
      expect(received.audioPackets).toBeGreaterThan(100);
      const { audio, video, errors } = recording;
      expect(errors).toBe('');
      expect(audio).toMatchObject({ codec: 'aac', backwards: 0 });
      expect(video).toMatchObject({ codec: 'h264', backwards: 0 });
      expect(Math.abs(audio!.spanMs - video!.spanMs)).toBeLessThan(400);
      expect(skewsMs.length).toBeGreaterThan(4);
      expect(Math.abs(medianMs)).toBeLessThanOrEqual(60);
      for (const ms of skewsMs) expect(Math.abs(ms - medianMs)).toBeLessThanOrEqual(60);
    });
  }

  // As answerer it sends what the offer lists first, whatever its answer says.
  it('answers VP8 and Opus, and sends H.264 and PCMA: both are played', LIMIT, async () => {
    const { call, phone } = await connect('out', { audio: 'opus', video: 'VP8' }, 'off');
    const answer = call.trace().findLast(({ startLine }) => startLine === 'SIP/2.0 200 OK');
    expect(answer?.message).toContain('VP8/90000');
    expect(answer?.message).not.toContain('H264');
    await expect.poll(() => call.stats()?.audio?.packets ?? 0).toBeGreaterThan(25);
    expect(call.stats()).toMatchObject({
      audio: { codec: 'pcma', problem: null, faults: {} },
      video: { codec: 'h264', problem: null, faults: {} },
    });
    await call.terminate();
    await phone.close();
  });

  it(
    'holds and resumes, is held and resumed, and changes the call by re-INVITE',
    LIMIT,
    async () => {
      const { call, phone, file } = await connect('in', { audio: 'opus', video: 'H264' }, 'off');
      const moves = async (): Promise<void> => {
        const { frames = 0 } = call.stats()?.video ?? {};
        await expect
          .poll(() => call.stats()?.video?.frames ?? 0, { timeout: 5000 })
          .toBeGreaterThan(frames + 25);
      };
      await phone.hold(true);
      await expect.poll(() => call.status, { timeout: 5000 }).toBe('HOLD');
      await sleep(1500);
      await phone.hold(false);
      await expect.poll(() => call.status, { timeout: 5000 }).toBe('ESTABLISHED');
      await moves();
      await call.hold();
      expect(call.status).toBe('HOLD');
      await sleep(1500);
      await call.resume();
      await moves();
      const invites = (): number =>
        call.trace().filter(({ startLine }) => startLine.startsWith('INVITE ')).length;
      const before = invites();
      await phone.update();
      await expect.poll(invites).toBe(before + 1);
      await moves();
      const { video, audio } = call.stats()!;
      await call.terminate();
      await phone.close();
      const recording = await probeRecording((await file).path);
      console.log(`Janus, holds: ${describeRecording(recording)}`);
      expect([audio?.lost, video?.lost]).toEqual([0, 0]);
      expect(recording.errors).toBe('');
      expect(recording.audio?.largestStepMs).toBeLessThanOrEqual(24);
    },
  );
});
