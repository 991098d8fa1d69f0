// Fourteen hours of a call in simulated time: the clock, the timeline of the audio and the decoding times together.

import { describe, expect, it } from 'vitest';
import { AudioTimeline } from '../sync/audio-timeline.ts';
import { DecodeTimestamps } from '../sync/decode-timestamps.ts';
import type { AudioFrame } from '../codec/frame.ts';
import { unixToNtp } from '../rtp/rtcp.ts';
import { SyncClock } from '../sync/sync-clock.ts';
import { seededRandom } from '../test-random.ts';

const HOUR_MS = 3_600_000;
const CALL_MS = 14 * HOUR_MS;
/** Longer than in practice, for speed. */
const AUDIO_MS = 60;
const VIDEO_MS = 120;
const JITTER_MS = 20;
/** The clock learns in the first seconds. */
const SETTLED_MS = 10_000;

const u32 = (ticks: number): number => Math.round(ticks) % 2 ** 32;

interface Drift {
  /** Parts per million by which the clocks of the sound card, the camera and the computer run fast. */
  readonly audioPpm: number;
  readonly videoPpm: number;
  readonly wallPpm: number;
  readonly reports: boolean;
}

function play({ audioPpm, videoPpm, wallPpm, reports }: Drift) {
  const clock = new SyncClock();
  const decodeTimes = new DecodeTimestamps();
  decodeTimes.setReorderFrames(1);
  const random = seededRandom(5);
  const speed = (ppm: number): number => 1 + ppm / 1e6;
  /** The sound wraps after seven hours; the pictures after 13.26. */
  const audioTicks = (atMs: number): number =>
    u32(2 ** 32 - 7 * HOUR_MS * 8 + atMs * 8 * speed(audioPpm));
  const videoTicks = (atMs: number): number => u32(1000 + atMs * 90 * speed(videoPpm));

  let endMs = 0;
  let holes = 0;
  let publishedMs = Number.NaN;
  let audioOffMs = 0;
  const payload = new Uint8Array(AUDIO_MS * 8);
  const timeline = new AudioTimeline(
    (frame, timeMs) => {
      if (timeMs !== endMs) holes++;
      endMs = timeMs + frame.durationMs;
      // What went in at this moment, not silence.
      if (frame.payload === payload) publishedMs = timeMs;
    },
    { codec: 'pcma', delayMs: 120 },
  );
  let worstSkewMs = 0;
  let worstLagMs = 0;
  let backwards = 0;
  let lastDecodeMs = 0;

  const sendAudio = (atMs: number): void => {
    const arrivalMs = atMs + 40 + random() * JITTER_MS;
    const rtpTimestamp = audioTicks(atMs);
    const timeMs = clock.mediaTimeMs('audio', rtpTimestamp, arrivalMs);
    const durationMs = AUDIO_MS;
    const frame: AudioFrame = { codec: 'pcma', payload, durationMs, rtpTimestamp, arrivalMs };
    publishedMs = Number.NaN;
    timeline.push(frame, timeMs);
    if (!Number.isNaN(publishedMs)) audioOffMs = publishedMs - atMs;
    timeline.tick(clock.mediaNowMs(arrivalMs));
  };
  /** @returns when it is shown. */
  const sendPicture = (atMs: number, sentMs: number): number => {
    const arrivalMs = sentMs + 40 + random() * JITTER_MS;
    const shownMs = clock.presentationTimeMs('video', videoTicks(atMs), arrivalMs);
    const decodeMs = decodeTimes.push(shownMs, false);
    if (decodeMs < lastDecodeMs) backwards++;
    lastDecodeMs = decodeMs;
    return decodeMs + decodeTimes.compositionMs;
  };

  // A card that runs fast has its samples sooner.
  const stepMs = AUDIO_MS / speed(audioPpm);
  let sounds = 0;
  let nextReportMs = 1000;
  for (let atMs = VIDEO_MS; atMs < CALL_MS; atMs += 2 * VIDEO_MS) {
    for (; sounds * stepMs <= atMs; sounds++) sendAudio(sounds * stepMs);
    // Two pictures in a group: the later one is sent first.
    const videoOffMs = sendPicture(atMs, atMs) - atMs;
    sendPicture(atMs - VIDEO_MS, atMs + VIDEO_MS / 2);
    if (atMs > SETTLED_MS) {
      worstSkewMs = Math.max(worstSkewMs, Math.abs(audioOffMs - videoOffMs));
      worstLagMs = Math.max(worstLagMs, Math.abs(audioOffMs));
    }
    if (!reports || atMs < nextReportMs) continue;
    nextReportMs += 5000;
    const ntp = unixToNtp(1_700_000_000_000 + atMs * speed(wallPpm));
    clock.onSenderReport('audio', { ...ntp, rtpTimestamp: audioTicks(atMs) }, atMs + 45);
    clock.onSenderReport('video', { ...ntp, rtpTimestamp: videoTicks(atMs) }, atMs + 45);
  }
  return { worstSkewMs, worstLagMs, holes, backwards, stats: timeline.stats };
}

describe('a call of fourteen hours', () => {
  it.each<[string, Drift]>([
    ['exact clocks', { audioPpm: 0, videoPpm: 0, wallPpm: 0, reports: true }],
    ['fast', { audioPpm: 200, videoPpm: 200, wallPpm: 200, reports: true }],
    ['slow', { audioPpm: -200, videoPpm: -200, wallPpm: -200, reports: true }],
    ['fast, without reports', { audioPpm: 200, videoPpm: 200, wallPpm: 0, reports: false }],
    ['slow, without reports', { audioPpm: -200, videoPpm: -200, wallPpm: 0, reports: false }],
    ['apart', { audioPpm: 200, videoPpm: -200, wallPpm: 0, reports: true }],
    ['apart the other way', { audioPpm: -200, videoPpm: 200, wallPpm: 50, reports: true }],
    ['apart, without reports', { audioPpm: 200, videoPpm: -200, wallPpm: 0, reports: false }],
  ])(
    'keeps sound and picture together over both wraps: %s',
    (name, drift) => {
      const { worstSkewMs, worstLagMs, holes, backwards, stats } = play(drift);
      console.log(
        `14 hours, ${name}: skew at most ${worstSkewMs.toFixed(1)} ms, off the real time at most ${worstLagMs.toFixed(1)} ms, ${stats.filledMs} ms filled, ${stats.droppedMs} ms dropped`,
      );
      expect(worstSkewMs).toBeLessThan(80);
      expect(worstLagMs).toBeLessThan(100);
      expect({ holes, backwards, skippedMs: stats.skippedMs }).toEqual({
        holes: 0,
        backwards: 0,
        skippedMs: 0,
      });
      // 200 ppm of fourteen hours are ten seconds; who leaves out 60 ms too early fills up 40 of them.
      const driftedMs = (Math.abs(drift.audioPpm) / 1e6) * CALL_MS;
      expect(stats.filledMs).toBeLessThan(driftedMs * 2.2 + 1000);
      expect(stats.droppedMs).toBeLessThan(driftedMs * 3.3 + 1000);
    },
    60_000,
  );
});
