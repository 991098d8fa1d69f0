// The outputs of one stream, and which tags each receives. Each joins at a point where a decoder can start.

import type { FlvTag, Sink } from '../codec/frame.ts';
import type { Output } from './output.ts';

interface Joined {
  readonly output: Output;
  /** It was removed or has thrown. */
  gone: boolean;
  waiting: boolean;
  /** Timestamp of the first tag since it joined. */
  joinedMs: number;
  /** Timestamp of its first tag. */
  beganMs: number;
}

/** How long audio waits for the first key frame, so that sound and picture start together. */
const AUDIO_WAIT_MS = 1000;
/** Tags since the latest key frame are kept for outputs that join, up to these limits. */
const MAX_KEPT_MS = 2000;
const MAX_KEPT_BYTES = 4 * 1024 * 1024;

/** Hands each tag to every output. Pure: no timer, no copy. */
export class OutputSet {
  readonly #preamble: () => readonly FlvTag[];
  readonly #onFailed: (error: unknown) => void;
  #joined: Joined[] = [];
  /** From the latest key frame on; empty when that is too old. */
  #kept: FlvTag[] = [];
  #keptBytes = 0;
  #hasVideo = false;

  /**
   * @param preamble - What an output needs before its first frame: metadata, sequence header.
   * @param onFailed - An output has thrown, and was removed.
   */
  constructor(preamble: () => readonly FlvTag[], onFailed: (error: unknown) => void) {
    this.#preamble = preamble;
    this.#onFailed = onFailed;
  }

  get size(): number {
    return this.#joined.length;
  }

  /** Whether audio is worth holding back for a key frame. */
  expectVideo(hasVideo: boolean): void {
    this.#hasVideo = hasVideo;
  }

  /**
   * The output starts at once with the latest key frame and the tags since then, if that is at most two seconds old;
   * otherwise with the next one. Adding an output twice has no effect.
   */
  add(output: Output): void {
    if (this.#joined.some((one) => one.output === output)) return;
    const beganMs = this.#kept[0]?.timestampMs ?? Number.NaN;
    const waiting = Number.isNaN(beganMs);
    const joined = { output, gone: false, waiting, joinedMs: Number.NaN, beganMs };
    this.#joined = [...this.#joined, joined];
    if (waiting) return;
    for (const first of this.#preamble()) this.#give(joined, first);
    for (const tag of this.#kept) this.#handOn(joined, tag);
  }

  /** Stops the tags for an output. */
  remove(output: Output): void {
    this.#joined = this.#joined.filter((one) => {
      one.gone ||= one.output === output;
      return !one.gone;
    });
  }

  /** Removes every output and the tags kept for new ones. */
  clear(): void {
    this.#joined = [];
    this.forget();
  }

  /** Drops the tags kept for outputs that join: the stream pauses. */
  forget(): void {
    this.#kept = [];
    this.#keptBytes = 0;
  }

  /** Passes one tag on. A waiting output receives nothing before a tag that it can start with. */
  readonly push: Sink<FlvTag> = (tag) => {
    this.#keep(tag);
    for (const one of this.#joined) {
      if (one.waiting && !this.#begins(one, tag)) continue;
      this.#handOn(one, tag);
    }
  };

  #keep(tag: FlvTag): void {
    if (tag.role === 'key-frame') {
      this.#kept = [tag];
      this.#keptBytes = tag.body.length;
      return;
    }
    const first = this.#kept[0];
    if (!first || tag.role === 'metadata' || tag.role === 'sequence-header') return;
    this.#keptBytes += tag.body.length;
    if (tag.timestampMs - first.timestampMs > MAX_KEPT_MS || this.#keptBytes > MAX_KEPT_BYTES)
      this.#kept = [];
    else this.#kept.push(tag);
  }

  #begins(one: Joined, tag: FlvTag): boolean {
    if (tag.role === 'metadata' || tag.role === 'sequence-header') return false;
    if (Number.isNaN(one.joinedMs)) one.joinedMs = tag.timestampMs;
    const inTime = this.#hasVideo && tag.timestampMs - one.joinedMs < AUDIO_WAIT_MS;
    if (tag.role === 'inter-frame' || (tag.role === 'audio' && inTime)) return false;
    one.waiting = false;
    one.beganMs = tag.timestampMs;
    for (const first of this.#preamble()) this.#give(one, first);
    return true;
  }

  /** Encoded sound arrives later than pictures; sound from before the first picture has no place in the output. */
  #handOn(one: Joined, tag: FlvTag): void {
    if (tag.role !== 'audio' || tag.timestampMs >= one.beganMs) this.#give(one, tag);
  }

  /** An output that throws is removed; the others are not affected. */
  #give(one: Joined, tag: FlvTag): void {
    if (one.gone) return;
    try {
      one.output.push(tag);
    } catch (error) {
      this.remove(one.output);
      this.#onFailed(error);
      void one.output.onEnded?.(error);
    }
  }
}
