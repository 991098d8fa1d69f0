// Makes of audio frames with holes one gap-free line of G.711: DTX, loss and late frames become silence.

import type { G711Codec } from './codec.ts';
import type { AudioFrame } from './frame.ts';
import { G711_STEP, g711Silence } from './packetizer-audio.ts';

const SAMPLES_PER_MS = 8;
const STEP_MS = G711_STEP / SAMPLES_PER_MS;
/** A frame this far off its place is taken as in place: slewing clocks and odd packet sizes. */
const TOLERANCE_MS = 15;
/** A hole longer than this is not filled but jumped over; `tick` never lets one grow that long. */
const MAX_FILL_MS = 60_000;

/** Options of an {@link AudioTimeline}. */
export interface AudioTimelineOptions {
  /** Codec of silence before the first frame; later that of the last frame. */
  readonly codec: G711Codec;
  /**
   * How far behind `tick`'s time audio may be before silence takes its place: at least the jitter buffer's
   * delay and one tick. Milliseconds, default 120.
   */
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
  readonly #next: (frame: AudioFrame, mediaTimeMs: number) => void;
  readonly #delayMs: number;
  #codec: G711Codec;
  #started: boolean;
  /** Where the next frame begins: a start and a count of samples, so that nothing adds up wrong. */
  #startMs = 0;
  #samples = 0;

  constructor(
    next: (frame: AudioFrame, mediaTimeMs: number) => void,
    options: AudioTimelineOptions,
  ) {
    this.#next = next;
    this.#codec = options.codec;
    this.#delayMs = options.delayMs ?? 120;
    this.#started = options.fromZero ?? true;
  }

  /** Media time at which the next frame will begin. */
  get positionMs(): number {
    return this.#startMs + this.#samples / SAMPLES_PER_MS;
  }

  /** Takes a frame that belongs at `mediaTimeMs`. */
  push(frame: AudioFrame, mediaTimeMs: number): void {
    if (!this.#started) {
      this.#started = true;
      this.#startMs = mediaTimeMs;
    }
    this.#codec = frame.codec;
    const aheadMs = mediaTimeMs - this.positionMs;
    if (aheadMs <= -TOLERANCE_MS) {
      this.stats.droppedMs += frame.payload.length / SAMPLES_PER_MS;
      return;
    }
    if (aheadMs > MAX_FILL_MS) this.#skipTo(mediaTimeMs);
    while (mediaTimeMs - this.positionMs > TOLERANCE_MS) this.#fill(frame.arrivalMs);
    this.#emit(frame);
  }

  /** Fills up to `mediaNowMs − delayMs`. Call it about every 20 ms, also while audio flows. */
  tick(mediaNowMs: number, nowMs = mediaNowMs): void {
    if (!this.#started) return;
    const dueMs = mediaNowMs - this.#delayMs;
    if (dueMs - this.positionMs > MAX_FILL_MS) this.#skipTo(dueMs);
    while (dueMs - this.positionMs >= STEP_MS) this.#fill(nowMs);
  }

  #fill(nowMs: number): void {
    this.stats.filledMs += STEP_MS;
    this.#emit({
      codec: this.#codec,
      payload: g711Silence(this.#codec),
      rtpTimestamp: 0,
      arrivalMs: nowMs,
    });
  }

  #emit(frame: AudioFrame): void {
    const atMs = this.positionMs;
    this.#samples += frame.payload.length;
    this.#next(frame, atMs);
  }

  #skipTo(mediaTimeMs: number): void {
    this.stats.skippedMs += mediaTimeMs - this.positionMs;
    this.#startMs = mediaTimeMs;
    this.#samples = 0;
  }
}
