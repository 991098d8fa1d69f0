// Makes of audio frames with holes one gap-free line: DTX, loss and late frames become silence of the same codec.

import type { AudioCodec } from '../codec/codec.ts';
import type { AudioFrame } from '../codec/frame.ts';
import { AUDIO_STEP_MS, audioSilence } from '../codec/silence.ts';

/** A frame this far off its place is taken as in place: slewing clocks and odd packet sizes. */
const TOLERANCE_MS = 15;
/** A hole longer than this is not filled but jumped over; `tick` never lets one grow that long. */
const MAX_FILL_MS = 60_000;

/** Options of an {@link AudioTimeline}. */
export interface AudioTimelineOptions {
  /** Codec of silence before any frame. Later it is that of the last frame, or of the one that ends the hole. */
  readonly codec: AudioCodec;
  /** Initial {@link AudioTimeline.delayMs}. Default 120. */
  readonly delayMs?: number;
  /** Begin with silence at media time 0, before any audio came. Default true; false: begin at the first frame. */
  readonly fromZero?: boolean;
}

/** Counters of an {@link AudioTimeline}, in milliseconds of audio. */
export interface AudioTimelineStats {
  /** Silence put in. */
  filledMs: number;
  /** Audio left out, because its time was already filled. */
  droppedMs: number;
  /** Holes too long to fill. */
  skippedMs: number;
}

/**
 * Frames go out back to back: each begins where the one before ended, so the media time of what goes out never
 * decreases and never has a hole. All times are milliseconds of media time (see SyncClock).
 */
export class AudioTimeline {
  /** Live counters; read only. */
  readonly stats: AudioTimelineStats = { filledMs: 0, droppedMs: 0, skippedMs: 0 };
  /**
   * How far behind `tick`'s time audio may be before silence takes its place: at least the jitter buffer's delay, one
   * tick and the longest packet. May be changed at any time, as the jitter buffer adapts.
   */
  delayMs: number;
  /** For how long, by their arrival, all frames have come too late for their place; 0 once one is in time. */
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

  /** Codec of silence from now on, up to the next frame. */
  expect(codec: AudioCodec): void {
    this.#codec = codec;
  }

  /** Takes a frame that belongs at `mediaTimeMs`. Its codec may be another one than before. */
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
