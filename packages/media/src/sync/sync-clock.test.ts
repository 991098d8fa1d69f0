import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { MediaKind } from '../codec/frame.ts';
import { unixToNtp } from '../rtp/rtcp.ts';
import { SyncClock } from './sync-clock.ts';
import { seededRandom } from '../test-random.ts';

const AUDIO = { kind: 'audio' as const, rateHz: 8000, periodMs: 20 };
const VIDEO = { kind: 'video' as const, rateHz: 90_000, periodMs: 40 };

const u32 = (ticks: number): number => ((Math.round(ticks) % 2 ** 32) + 2 ** 32) % 2 ** 32;

/** A sender with its own clock, seen through a network. Times are the sender's capture times. */
class Sender {
  readonly #clock: SyncClock;
  readonly #random: () => number;
  base = { audio: 0xffff_f000, video: 0x8000_0000 };
  /** Capture → arrival, and extra random delay. */
  delayMs = { audio: 40, video: 40 };
  jitterMs = 0;
  drift = 1;

  constructor(clock: SyncClock, seed = 1) {
    this.#clock = clock;
    this.#random = seededRandom(seed);
  }

  ticks(kind: MediaKind, captureMs: number): number {
    return u32(this.base[kind] + (captureMs * (kind === 'audio' ? 8000 : 90_000)) / 1000);
  }

  arrival(kind: MediaKind, captureMs: number): number {
    return captureMs * this.drift + this.delayMs[kind] + this.#random() * this.jitterMs;
  }

  send(kind: MediaKind, captureMs: number): number {
    return this.#clock.mediaTimeMs(
      kind,
      this.ticks(kind, captureMs),
      this.arrival(kind, captureMs),
    );
  }

  report(kind: MediaKind, captureMs: number, ntpErrorMs = 0): void {
    const ntp = unixToNtp(1_700_000_000_000 + captureMs + ntpErrorMs);
    this.#clock.onSenderReport(
      kind,
      { ...ntp, rtpTimestamp: this.ticks(kind, captureMs) },
      captureMs * this.drift + this.delayMs[kind],
    );
  }

  /** Both media for a while; the media times of the last packets minus their capture times. */
  run(fromMs: number, toMs: number, reports = false): { audioMs: number; videoMs: number } {
    let audioMs = Number.NaN;
    let videoMs = Number.NaN;
    for (let captureMs = fromMs; captureMs < toMs; captureMs += 20) {
      audioMs = this.send('audio', captureMs) - captureMs;
      if (captureMs % 40 === 0) videoMs = this.send('video', captureMs) - captureMs;
      if (reports && captureMs % 5000 === 1000) {
        this.report('audio', captureMs);
        this.report('video', captureMs);
      }
    }
    return { audioMs, videoMs };
  }
}

describe('SyncClock', () => {
  it('starts at 0 with the first packet of any medium, the other where it arrives', () => {
    const clock = new SyncClock();
    expect(clock.mediaNowMs(1234)).toBe(0);
    expect(clock.mediaTimeMs('video', 5, 1000)).toBe(0);
    expect(clock.mediaTimeMs('audio', 77, 1250)).toBe(250);
    expect(clock.mediaNowMs(1300)).toBe(300);
    expect(clock.skewMs).toBeNull();
  });

  it('turns ticks into milliseconds exactly on a steady line, over the wrap', () => {
    const clock = new SyncClock();
    for (let index = 0; index < 1000; index++) {
      const atMs = clock.mediaTimeMs('video', u32(0xffff_0000 + index * 3600), 500 + index * 40);
      expect(atMs).toBeCloseTo(index * 40, 6);
    }
  });

  it('keeps time over 30 hours of packets and over 30 hours of silence', () => {
    const clock = new SyncClock();
    const hourMs = 3_600_000;
    for (let atMs = 0; atMs <= 30 * hourMs; atMs += 1000) {
      expect(clock.mediaTimeMs('video', u32(atMs * 90), atMs)).toBeCloseTo(atMs, 3);
    }
    for (const atMs of [60 * hourMs, 90 * hourMs]) {
      expect(clock.mediaTimeMs('video', u32(atMs * 90), atMs)).toBeCloseTo(atMs, 3);
    }
  });

  it('does not keep the delay of a first packet that was held up', () => {
    const clock = new SyncClock();
    const sender = new Sender(clock);
    sender.send('audio', 0);
    const late = clock.mediaTimeMs('video', sender.ticks('video', 0), 40 + 150);
    expect(late).toBe(150);
    const { videoMs } = sender.run(20, 3000);
    expect(Math.abs(videoMs)).toBeLessThan(5);
  });

  it('is not moved by jitter', () => {
    const clock = new SyncClock();
    const sender = new Sender(clock, 3);
    sender.jitterMs = 40;
    sender.run(0, 3000);
    const first = sender.run(3000, 20_000);
    const second = sender.run(20_000, 60_000);
    expect(Math.abs(second.audioMs - first.audioMs)).toBeLessThan(5);
    expect(Math.abs(second.audioMs - second.videoMs)).toBeLessThan(25);
  });

  it('follows a sender that drifts by 200 ppm for an hour: audio and video stay together', () => {
    for (const drift of [1.0002, 0.9998]) {
      const clock = new SyncClock();
      const sender = new Sender(clock, 4);
      sender.drift = drift;
      sender.jitterMs = 20;
      const { audioMs, videoMs } = sender.run(0, 3_600_000);
      expect(Math.abs(audioMs - 3_600_000 * (drift - 1))).toBeLessThan(50);
      expect(Math.abs(audioMs - videoMs)).toBeLessThan(40);
    }
  });

  it('aligns video to audio by the first report of each, within 60 ms a second later, never backwards', () => {
    const clock = new SyncClock();
    const sender = new Sender(clock);
    sender.delayMs.video = 300;
    let last = -1;
    sender.run(0, 1000);
    for (let captureMs = 1000; captureMs < 30_000; captureMs += 20) {
      sender.send('audio', captureMs);
      if (captureMs % 40 === 0) {
        const atMs = sender.send('video', captureMs);
        expect(atMs).toBeGreaterThanOrEqual(last);
        last = atMs;
      }
      if (captureMs % 5000 === 0) {
        sender.report('audio', captureMs);
        sender.report('video', captureMs);
      }
      if (captureMs === 4980) expect(clock.skewMs).toBeNull();
      if (captureMs === 5000) expect(clock.skewMs).toBeCloseTo(260, 0);
      if (captureMs === 6000) expect(Math.abs(clock.skewMs!)).toBeLessThan(60);
    }
    const { audioMs, videoMs } = sender.run(30_000, 31_000);
    expect(Math.abs(audioMs - videoMs)).toBeLessThan(2);
    expect(Math.abs(clock.skewMs!)).toBeLessThan(2);
  });

  it('holds an alignment of more than a second', () => {
    const clock = new SyncClock();
    const sender = new Sender(clock);
    sender.delayMs.video = 1540;
    const { audioMs, videoMs } = sender.run(0, 80_000, true);
    expect(audioMs).toBeCloseTo(0, 3);
    expect(Math.abs(videoMs)).toBeLessThan(2);
  });

  it.each([
    [
      'no clock',
      (sender: Sender, clock: SyncClock, captureMs: number) => {
        for (const kind of ['audio', 'video'] as const) {
          clock.onSenderReport(
            kind,
            { ntpSeconds: 0, ntpFraction: 0, rtpTimestamp: sender.ticks(kind, captureMs) },
            captureMs,
          );
        }
      },
    ],
    [
      'unstable',
      (sender: Sender, _clock: SyncClock, captureMs: number) => {
        sender.report('audio', captureMs);
        sender.report('video', captureMs, (captureMs % 2000) * 3);
      },
    ],
    [
      'absurd offset',
      (sender: Sender, _clock: SyncClock, captureMs: number) => {
        sender.report('audio', captureMs);
        sender.report('video', captureMs, 60_000);
      },
    ],
    [
      'wrong RTP timestamp',
      (sender: Sender, clock: SyncClock, captureMs: number) => {
        for (const kind of ['audio', 'video'] as const) {
          const ntp = unixToNtp(1_700_000_000_000 + captureMs);
          clock.onSenderReport(kind, { ...ntp, rtpTimestamp: 12_345 }, captureMs);
        }
      },
    ],
  ])('ignores implausible reports: %s', (_name, report) => {
    const clock = new SyncClock();
    const sender = new Sender(clock);
    for (let captureMs = 0; captureMs < 20_000; captureMs += 500) {
      sender.run(captureMs, captureMs + 500);
      report(sender, clock, captureMs + 500);
    }
    const { audioMs, videoMs } = sender.run(20_000, 21_000);
    expect(clock.skewMs).toBeNull();
    expect(audioMs).toBeCloseTo(0, 3);
    expect(videoMs).toBeCloseTo(0, 3);
  });

  it.each([2 ** 31, -(2 ** 31), 2 ** 31 - 1, 1e6, -1e6, 200_000, -200_000])(
    'is back in time within a second of a timestamp jump of %i ticks',
    (jump) => {
      for (const { kind } of [AUDIO, VIDEO]) {
        const clock = new SyncClock();
        const sender = new Sender(clock);
        sender.run(0, 5000);
        sender.base[kind] += jump;
        let last = -1;
        for (let captureMs = 5000; captureMs < 8000; captureMs += 40) {
          const atMs = sender.send(kind, captureMs);
          expect(atMs).toBeGreaterThanOrEqual(last);
          last = atMs;
          if (captureMs >= 6000) expect(Math.abs(atMs - captureMs)).toBeLessThan(30);
        }
      }
    },
  );

  it('survives one forged timestamp without following it', () => {
    const clock = new SyncClock();
    const sender = new Sender(clock);
    sender.run(0, 5000);
    clock.mediaTimeMs('audio', u32(sender.ticks('audio', 5000) + 2 ** 30), 5040);
    const { audioMs } = sender.run(5020, 5100);
    expect(audioMs).toBeCloseTo(0, 3);
  });

  it('does not take a stall in the network for a jump', () => {
    const clock = new SyncClock();
    const sender = new Sender(clock);
    sender.run(0, 5000);
    for (let index = 0; index < 150; index++) {
      clock.mediaTimeMs('audio', sender.ticks('audio', 5000 + index * 20), 8040 + index);
    }
    const { audioMs } = sender.run(8200, 9000);
    expect(Math.abs(audioMs)).toBeLessThan(20);
  });

  it('goes on after a reset for a new SSRC', () => {
    const clock = new SyncClock();
    const sender = new Sender(clock);
    sender.run(0, 5000);
    sender.base.video = 99;
    clock.reset('video');
    const { videoMs } = sender.run(5000, 5500);
    expect(Math.abs(videoMs)).toBeLessThan(1);
  });

  it('gives presentation times in decoding order, going back with the timestamps', () => {
    const clock = new SyncClock();
    const other = new SyncClock();
    const plain = new SyncClock();
    // I P B B B P B B B …: the second B picture of each run is sent first. The P are early by three pictures, which
    // the clock follows at a fifth of the time.
    const order = [
      0,
      ...Array.from({ length: 25 }, (_, run) => [4, 2, 1, 3].map((at) => run * 4 + at)).flat(),
    ];
    const shown = order.map((picture, sent) =>
      clock.presentationTimeMs('video', u32(0xffff_ff00 + picture * 3600), 1000 + sent * 40),
    );
    const sorted = order.map((_, picture) => shown[order.indexOf(picture)]!);
    expect(sorted).toEqual(shown.toSorted((a, b) => a - b));
    for (const [sent, ms] of shown.entries()) {
      const lateMs = ms - order[sent]! * 40;
      expect(lateMs).toBeLessThan(1);
      expect(lateMs).toBeGreaterThan(-121);
      if (sent > 50) expect(lateMs).toBeCloseTo(-120, 6);
    }
    for (let picture = 0; picture < 100; picture++) {
      const jumpMs = picture < 60 ? 0 : 5000;
      const late = (picture * 7) % 11;
      const at: [MediaKind, number, number] = [
        'video',
        picture * 3600 + jumpMs * 90,
        picture * 40 + late,
      ];
      expect(other.presentationTimeMs(...at)).toBe(plain.mediaTimeMs(...at));
    }
  });

  it('keeps presentation times within a second behind the latest', () => {
    const random = seededRandom(7);
    const clock = new SyncClock();
    let nowMs = 0;
    let highestMs = 0;
    let ticks = 0;
    for (let index = 0; index < 5000; index++) {
      nowMs += random() * 60;
      ticks += random() < 0.02 ? random() * 2 ** 32 : 9000 * (random() - 0.3);
      const atMs = clock.presentationTimeMs('video', u32(ticks), nowMs);
      expect(atMs).toBeGreaterThanOrEqual(Math.max(0, highestMs - 1000));
      expect(atMs - nowMs).toBeLessThan(JUMP_BOUND_MS);
      highestMs = Math.max(highestMs, atMs);
    }
  });

  it('never decreases, stays finite and near the present, whatever comes', () => {
    fc.assert(
      fc.property(fc.nat(), (seed) => {
        const random = seededRandom(seed);
        const clock = new SyncClock();
        const last = { audio: -1, video: -1 };
        let nowMs = random() * 1e6;
        const startMs = nowMs;
        let ticks = random() * 2 ** 32;
        for (let index = 0; index < 500; index++) {
          nowMs += random() * 60;
          ticks += random() < 0.02 ? random() * 2 ** 32 : 1600 * random();
          const kind = random() < 0.5 ? 'audio' : 'video';
          if (random() < 0.1) {
            clock.onSenderReport(
              kind,
              {
                ntpSeconds: Math.floor(random() * 2 ** 32),
                ntpFraction: 0,
                rtpTimestamp: u32(ticks),
              },
              nowMs,
            );
          }
          const atMs = clock.mediaTimeMs(kind, u32(ticks), nowMs);
          expect(atMs).toBeGreaterThanOrEqual(last[kind]);
          expect(atMs - (nowMs - startMs)).toBeLessThan(JUMP_BOUND_MS);
          last[kind] = atMs;
        }
      }),
    );
  });
});

/** A packet in line may be stamped this far into the future at most. */
const JUMP_BOUND_MS = 2001;

describe('SyncClock with few reports', () => {
  it.each([340, 640, -260])(
    'is within 60 ms a second after the first reports of each, video %i ms apart on the wire',
    (apartMs) => {
      const clock = new SyncClock();
      const sender = new Sender(clock, 7);
      sender.delayMs = {
        audio: apartMs < 0 ? 40 - apartMs : 40,
        video: apartMs < 0 ? 40 : 40 + apartMs,
      };
      sender.jitterMs = 10;
      sender.run(0, 500);
      sender.report('audio', 500);
      sender.run(500, 700);
      sender.report('video', 700);
      sender.run(700, 1720);
      const { audioMs, videoMs } = sender.run(1720, 1900);
      expect(Math.abs(audioMs - videoMs)).toBeLessThan(60);
    },
  );

  it('makes later corrections slowly', () => {
    const clock = new SyncClock();
    const sender = new Sender(clock);
    sender.run(0, 10_000, true);
    sender.delayMs.video = 300;
    const before = sender.run(10_000, 20_000, true);
    for (const captureMs of [21_000, 26_000])
      for (const kind of ['audio', 'video'] as const)
        sender.report(kind, captureMs, kind === 'video' ? 200 : 0);
    const after = sender.run(26_000, 27_000);
    expect(Math.abs(after.videoMs - before.videoMs)).toBeLessThan(85);
  });

  it('takes no single report of another clock', () => {
    const clock = new SyncClock();
    const sender = new Sender(clock);
    sender.run(0, 1000);
    sender.report('audio', 1000);
    sender.report('video', 1000, 1500);
    expect(clock.skewMs).toBeNull();
  });
});
