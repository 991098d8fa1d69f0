// Turns audio frames with holes into a gap-free line: silence in the same codec replaces DTX, losses and late frames.

import type { AudioCodec } from '../codec/codec.ts';
import type { AudioFrame } from '../codec/frame.ts';
import { AUDIO_STEP_MS, audioSilence } from '../codec/silence.ts';

/** A frame within this distance of its place counts as in place, for slewing clocks and odd packet sizes. */
const TOLERANCE_MS = 15;
/** A longer hole is skipped instead of filled; `tick` never lets one grow that long. */
const MAX_FILL_MS = 60_000;

/** Options of an {@link AudioTimeline}. */
export interface AudioTimelineOptions {
  /** Codec of silence before any frame. Later it is that of the last frame, or of the one that ends the hole. */
  readonly codec: AudioCodec;
  /** Initial {@link AudioTimeline.delayMs}. Default 120. */
  readonly delayMs?: number;
  /** Start with silence at media time 0, before any audio arrives. Default true; false: start at the first frame. */
  readonly fromZero?: boolean;
}

/** Counters of an {@link AudioTimeline}, in milliseconds of audio. */
export interface AudioTimelineStats {
  /** Silence inserted. */
  filledMs: number;
  /** Audio dropped because its time was already filled. */
  droppedMs: number;
  /** Holes that were too long to fill. */
  skippedMs: number;
}

/**
 * Frames go out back to back: each begins where the previous one ended, so the media time of the output never
 * decreases and never has a hole. All times are milliseconds of media time (see SyncClock).
 */
export class AudioTimeline {
  /** Live counters; read-only. */
  readonly stats: AudioTimelineStats = { filledMs: 0, droppedMs: 0, skippedMs: 0 };
  /**
   * How far behind `tick`'s time audio may be before silence is inserted: at least the jitter buffer's delay, one
   * tick and the longest packet. May be changed at any time, as the jitter buffer adapts.
   */
  delayMs: number;
  /** How long, by arrival times, all frames have been too late for their place; 0 once one is in time. */
  lateForMs = 0;
  #lateSinceMs = Number.NaN;
  readonly #next: (frame: AudioFrame, mediaTimeMs: number) => void;
  #codec: AudioCodec;
  #started: boolean;
  /** Durations are multiples of 1/8 ms: their sum stays exact. */
  #positionMs = 0;

  constructor(
    next: (frame: AudioFrame, mediaTimeMs: number) => void,
    options: AudioTimelineOptions,
  ) {
    this.#next = next;
    this.#codec = options.codec;
    this.delayMs = options.delayMs ?? 120;
    this.#started = options.fromZero ?? true;
  }

  /** Media time at which the next frame will begin. */
  get positionMs(): number {
    return this.#positionMs;
  }

  /** Sets the codec of silence until the next frame. */
  expect(codec: AudioCodec): void {
    this.#codec = codec;
  }

  /** Takes a frame that belongs at `mediaTimeMs`. Its codec may differ from the previous one. */
  push(frame: AudioFrame, mediaTimeMs: number): void {
    if (!this.#started) {
      this.#started = true;
      this.#positionMs = mediaTimeMs;
    }
    this.#codec = frame.codec;
    const aheadMs = mediaTimeMs - this.#positionMs;
    if (aheadMs < -TOLERANCE_MS) {
      this.stats.droppedMs += frame.durationMs;
      if (Number.isNaN(this.#lateSinceMs)) this.#lateSinceMs = frame.arrivalMs;
      this.lateForMs = frame.arrivalMs - this.#lateSinceMs;
      return;
    }
    this.#lateSinceMs = Number.NaN;
    this.lateForMs = 0;
    if (aheadMs > MAX_FILL_MS) this.#skipTo(mediaTimeMs);
    while (mediaTimeMs - this.#positionMs > TOLERANCE_MS) this.#fill(frame.arrivalMs);
    this.#emit(frame);
  }

  /** Fills up to `mediaNowMs − delayMs`. Call it about every 20 ms, also while audio flows. */
  tick(mediaNowMs: number, nowMs = mediaNowMs): void {
    if (!this.#started) return;
    const dueMs = mediaNowMs - this.delayMs;
    if (dueMs - this.#positionMs > MAX_FILL_MS) this.#skipTo(dueMs);
    while (dueMs - this.#positionMs >= AUDIO_STEP_MS) this.#fill(nowMs);
  }

  #fill(nowMs: number): void {
    this.stats.filledMs += AUDIO_STEP_MS;
    this.#emit({
      codec: this.#codec,
      payload: audioSilence(this.#codec),
      durationMs: AUDIO_STEP_MS,
      rtpTimestamp: 0,
      arrivalMs: nowMs,
    });
  }

  #emit(frame: AudioFrame): void {
    const atMs = this.#positionMs;
    this.#positionMs += frame.durationMs;
    this.#next(frame, atMs);
  }

  #skipTo(mediaTimeMs: number): void {
    this.stats.skippedMs += mediaTimeMs - this.#positionMs;
    this.#positionMs = mediaTimeMs;
  }
}
