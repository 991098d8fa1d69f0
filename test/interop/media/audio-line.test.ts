// Sound over RTP in every codec, both ways: from the phone to AAC, and a file to the phone; judged by ffmpeg's decoders.

import { setTimeout as sleep } from 'node:timers/promises';
import { execFileSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  AUDIO_CODECS,
  findFfmpeg,
  formatFlvHeader,
  formatFlvTag,
  openFfmpegTranscoders,
  openFileSound,
  PortPool,
  Ticker,
} from '@sipcast/media';
import {
  AUDIO_STEP_MS,
  AudioDepacketizer,
  AudioTimeline,
  audioSilence,
  FlvMuxer,
  JitterBuffer,
  openRtpSession,
  SyncClock,
} from '@sipcast/media/wire';
import type { AudioCodec, FlvTag } from '@sipcast/media';
import type { AudioUnit, RtpCodec, RtpPacket } from '@sipcast/media/wire';
import { loadClip, RtpPort, RtpSender } from '@sipcast/testkit';
import type { Impairments, PhoneAudioCodec } from '@sipcast/testkit';
import { expect, it } from 'vitest';
import { describeWith } from '../../support/programs.ts';
import { beeps, decodeSound, ffmpeg, findBeeps, soundFrames } from '../../support/sound.ts';

const LINES: readonly [PhoneAudioCodec, AudioCodec, number][] = [
  ['PCMA', 'pcma', 8],
  ['PCMU', 'pcmu', 0],
  ['G722', 'g722', 9],
  ['opus', 'opus', 97],
  ['speex/8000', 'speex-nb', 98],
  ['speex/16000', 'speex-wb', 99],
];
const EVENTS = 101;

async function openLine(codec: AudioCodec, payloadType: number, ticker: Ticker) {
  const { clockRateHz } = AUDIO_CODECS[codec];
  const payloadTypes = new Map<number, RtpCodec>([
    [payloadType, { codec, clockRateHz }],
    [EVENTS, { codec: 'telephone-event', clockRateHz }],
  ]);
  let onPacket: (packet: RtpPacket) => void = () => {};
  let onTick: (nowMs: number) => void = () => {};
  const ports = new PortPool({ min: 41_000, max: 48_999 });
  const session = await openRtpSession(
    { kind: 'audio', ports, ticker, ssrc: 7, cname: 'c', bindAddress: '127.0.0.1' },
    { onPacket: (packet) => onPacket(packet), onTick: (nowMs) => onTick(nowMs) },
  );
  const phone = await RtpPort.open({ eventPayloadType: EVENTS });
  phone.eventClockHz = clockRateHz;
  session.start({
    address: phone.host,
    port: phone.port,
    payloadTypes,
    send: { codec, payloadType, eventPayloadType: EVENTS, eventClockRateHz: clockRateHz },
  });
  return {
    session,
    phone,
    payloadTypes,
    listen: (packet: typeof onPacket, tick: typeof onTick) => {
      onPacket = packet;
      onTick = tick;
    },
    close: async () => {
      await session.close();
      await phone.close();
    },
  };
}

function beepsOfAac(tags: readonly FlvTag[]): number[] {
  const header = formatFlvHeader({ hasAudio: true, hasVideo: false });
  const flv = Buffer.concat([header, ...tags.map((tag) => formatFlvTag(tag))]);
  const inTime = 'aresample=8000:async=1:min_hard_comp=0.005:first_pts=0';
  const input = ['-copyts', '-f', 'flv', '-i', '-', '-af', inTime, '-ac', '1'];
  const raw = ffmpeg([...input, '-f', 's16le', '-'], flv);
  return findBeeps(new Int16Array(raw.buffer, raw.byteOffset, raw.length >> 1));
}

describeWith(['ffmpeg', 'ps'], 'the line of sound', () => {
  const impaired: Impairments = { loss: 0.02, reorder: 0.03, jitterMs: 20, seed: 7 };
  const cases: [
    string,
    { impairments?: Impairments; dtx?: { talkMs: number; silenceMs: number } },
  ][] = [
    ['a good line', {}],
    ['a bad line', { impairments: impaired }],
    ['discontinuous transmission', { dtx: { talkMs: 700, silenceMs: 300 } }],
  ];
  for (const [name, how] of cases) {
    it(`carries the phone's sound to AAC: ${name}`, { timeout: 30_000 }, async () => {
      const { openAudio } = await openFfmpegTranscoders();
      const ticker = new Ticker();
      await Promise.all(
        LINES.map(async ([phoneCodec, codec, payloadType]) => {
          const line = await openLine(codec, payloadType, ticker);
          const tags: FlvTag[] = [];
          const muxer = new FlvMuxer({ audioCodec: 'aac', hasVideo: false }, (tag) =>
            tags.push(tag),
          );
          const transcoder = openAudio({
            onFormat: (format) => muxer.setAacFormat(format),
            onFrame: (frame, ms) => muxer.pushAac(frame, Math.max(0, ms)),
            onFailed: (error) => {
              throw error;
            },
          });
          const clock = new SyncClock({ audioClockRateHz: AUDIO_CODECS[codec].clockRateHz });
          let firstArrivalMs = Number.NaN;
          const timeline = new AudioTimeline((frame, ms) => transcoder.push(frame, ms), {
            codec,
            delayMs: 140,
          });
          const faults: string[] = [];
          const digits: string[] = [];
          const depacketizer = new AudioDepacketizer(line.payloadTypes);
          const take = (unit: AudioUnit): void => {
            if (typeof unit === 'string') faults.push(unit);
            else if ('digit' in unit) digits.push(unit.digit);
            else {
              const { rtpTimestamp, arrivalMs } = unit;
              if (Number.isNaN(firstArrivalMs)) firstArrivalMs = arrivalMs;
              timeline.push(unit, clock.mediaTimeMs('audio', rtpTimestamp, arrivalMs));
            }
          };
          const jitter = new JitterBuffer((packet) => depacketizer.push(packet).forEach(take), {
            delayMs: 60,
          });
          line.listen(
            (packet) => jitter.push(packet),
            (nowMs) => {
              jitter.expire(nowMs);
              if (firstArrivalMs > 0) timeline.tick(nowMs - firstArrivalMs, nowMs);
            },
          );
          // Starting a process holds up this one: not while arrival times count.
          const [silence] = soundFrames(codec, [audioSilence(codec)]);
          transcoder.push(silence!, -AUDIO_STEP_MS);
          await sleep(300);
          const sender = RtpSender.start({
            audio: {
              from: line.phone,
              address: '127.0.0.1',
              rtpPort: line.session.localPort,
              codec: phoneCodec,
              payloadType,
              eventPayloadType: EVENTS,
              eventClockHz: AUDIO_CODECS[codec].clockRateHz,
              ...(how.impairments && { impairments: how.impairments }),
              ...(how.dtx && { dtx: how.dtx }),
            },
          });
          await sleep(3300);
          if (name === 'a good line') await sender.sendDigits('1,#', { pauseMs: 40 });
          await sleep(1100);
          sender.stop();
          await sleep(400);
          transcoder.close();
          await line.close();
          const found = beepsOfAac(tags);
          console.log(
            `${codec.padEnd(9)} beeps at ${found.map((ms) => ms.toFixed(0)).join(', ')} ms, ` +
              `silence ${timeline.stats.filledMs} ms, dropped ${timeline.stats.droppedMs} ms, ` +
              `${faults.length} faults, digits ${digits.join('')}`,
          );
          const late = found.filter((ms) => ms > 500);
          expect(late.length, codec).toBeGreaterThanOrEqual(name === 'a bad line' ? 2 : 3);
          // The timeline corrects itself in steps of 20 ms, and the first second is aligned by arrival times.
          const worstMs = 32;
          for (const [at, ms] of late.entries()) {
            const offMs = ((ms + 500) % 1000) - 500;
            expect(Math.abs(offMs), `${codec} ${ms}`).toBeLessThan(80);
            if (at === 0) continue;
            const spacing = ((ms - late[at - 1]! + 500) % 1000) - 500;
            expect(Math.abs(spacing), `${codec} ${ms}`).toBeLessThan(worstMs);
          }
          expect(timeline.stats.droppedMs).toBeLessThanOrEqual(name === 'a bad line' ? 200 : 40);
          if (how.dtx) expect(timeline.stats.filledMs).toBeGreaterThan(900);
          if (name === 'a good line') expect(digits).toEqual(['1', '#']);
        }),
      );
    });
  }

  it('plays a file to the phone in every codec, and presses keys', {
    timeout: 30_000,
  }, async () => {
    const dir = await mkdtemp(join(tmpdir(), 'line-'));
    const path = join(dir, 'beeps.mp3');
    await writeFile(
      path,
      ffmpeg(['-f', 'lavfi', '-i', beeps([500, 1500], 2000), '-f', 'mp3', '-']),
    );
    const binary = await findFfmpeg({ encode: ['opus', 'speex', 'g722'] });
    const ticker = new Ticker();
    await Promise.all(
      LINES.map(async ([, codec, payloadType]) => {
        const line = await openLine(codec, payloadType, ticker);
        const packets: RtpPacket[] = [];
        line.phone.listen({
          onRtp: (packet) => {
            if (packet.payloadType === payloadType) packets.push(packet);
          },
        });
        line.session.play(openFileSound({ ffmpeg: binary, path, codec }));
        await sleep(3000);
        await line.session.sendDigits('7', { durationMs: 2000 });
        await line.close();
        const step = AUDIO_CODECS[codec].clockRateHz / 50;
        const before = packets.slice(0, 140);
        const steps = before
          .slice(1)
          .map(
            (packet, at) => (packet.rtpTimestamp - before[at]!.rtpTimestamp + 2 ** 32) % 2 ** 32,
          );
        expect(new Set(steps), codec).toEqual(new Set([step]));
        const found = findBeeps(
          decodeSound(
            codec,
            packets.map(({ payload }) => payload),
          ),
        );
        console.log(
          `${codec.padEnd(9)} beeps at ${found.map((ms) => ms.toFixed(0)).join(', ')} ms`,
        );
        expect(found, codec).toHaveLength(2);
        expect(Math.abs(found[1]! - found[0]! - 1000), codec).toBeLessThan(5);
        // At 48 kHz the field holds 1.4 s: a longer tone goes on in another segment.
        const { digits } = line.phone.received;
        const segments = Math.ceil((2 * AUDIO_CODECS[codec].clockRateHz) / 0xffff);
        expect(digits.map(({ digit }) => digit)).toEqual(
          Array.from({ length: segments }, () => '7'),
        );
        expect(digits.map(({ marker }) => marker)).toEqual([true, false].slice(0, segments));
        const ms = digits.reduce((sum, { durationMs }) => sum + (durationMs ?? 0), 0);
        expect(ms).toBeCloseTo(2000, 0);
        expect(digits.at(-1)?.endPackets).toBe(3);
      }),
    );
    await rm(dir, { recursive: true });
    const left = execFileSync('ps', ['-o', 'args=', '--ppid', String(process.pid)]).toString();
    expect(left).not.toContain('protocol_whitelist');
  });

  it('has the beep of the clip in the same place in every codec', () => {
    const { audio, sounds } = loadClip();
    const reference = findBeeps(decodeSound('pcma', [audio]));
    for (const [phoneCodec, codec] of LINES.slice(2)) {
      const found = findBeeps(decodeSound(codec, sounds[phoneCodec] ?? []));
      for (const ms of reference.slice(1))
        expect(Math.min(...found.map((other) => Math.abs(other - ms))), codec).toBeLessThan(4);
    }
  });
});
