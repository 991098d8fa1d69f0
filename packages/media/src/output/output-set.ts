// The outputs of one stream, and which tags each receives. Each joins at a point where a decoder can start.

import type { FlvTag, Sink } from '../codec/frame.ts';
import { BLACK_HEADER, BLACK_TAGS } from '../flv/black-tags.ts';
import { repeatedPictures } from '../flv/repeated-picture.ts';
import type { Output, OutputOptions } from './output.ts';

interface Joined {
  readonly output: Output;
  /** Gets black pictures until there are others. */
  readonly placeholder: boolean;
  /** Pictures that stand in for those that it cannot decode or that do not come, in turns. */
  standIns: readonly FlvTag[];
  standInCount: number;
  /** Timestamp of its last picture. */
  pictureMs: number;
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
/** Where there was a key frame: how long an output waits for the one that was asked for. */
const KEY_FRAME_WAIT_MS = 400;
const NEW_STREAM_MS = 5000;
/** Players show no single picture. */
const STAND_IN_EVERY_MS = 500;
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
  /** However old. */
  #keyFrame: FlvTag | undefined;
  #standIns: readonly FlvTag[] = [];

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
   * otherwise with the next one. Where none comes, it gets the latest again and again until one does, or black pictures if it
   * takes a placeholder and there never was one. Adding an output twice has no effect.
   */
  add(output: Output, { placeholder = false }: OutputOptions = {}): void {
    if (this.#joined.some((one) => one.output === output)) return;
    const beganMs = this.#kept[0]?.timestampMs ?? Number.NaN;
    const waiting = Number.isNaN(beganMs);
    const joined: Joined = {
      output,
      placeholder,
      standIns: [],
      standInCount: 0,
      pictureMs: -1,
      gone: false,
      waiting,
      joinedMs: Number.NaN,
      beganMs,
    };
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
    this.#keyFrame = undefined;
    this.#standIns = [];
    this.#kept = [];
    this.#keptBytes = 0;
  }

  /** Passes one tag on. A waiting output receives nothing before a tag that it can start with. */
  readonly push: Sink<FlvTag> = (tag) => {
    this.#keep(tag);
    for (const one of this.#joined) {
      if (one.waiting && !this.#begins(one, tag)) continue;
      if (one.standIns.length > 0) this.#standIn(one, tag);
      else this.#handOn(one, tag);
    }
  };

  #keep(tag: FlvTag): void {
    if (tag.role === 'key-frame') {
      this.#keyFrame = tag;
      this.#standIns = [];
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
    if (tag.role !== 'key-frame') {
      const hadPicture = this.#keyFrame !== undefined;
      // A stream of some age without a picture will hardly begin with one now.
      const isNew = tag.timestampMs < NEW_STREAM_MS && !hadPicture;
      const waitMs = isNew ? AUDIO_WAIT_MS : KEY_FRAME_WAIT_MS;
      if (this.#hasVideo && tag.timestampMs - one.joinedMs < waitMs) return false;
      if (tag.role === 'inter-frame' && !hadPicture) return false;
      if (this.#hasVideo) one.standIns = this.#standInsFor(one);
    }
    one.waiting = false;
    one.beganMs = tag.timestampMs;
    for (const first of this.#preamble()) this.#give(one, first);
    if (one.standIns.length > 0 && this.#keyFrame === undefined)
      this.#give(one, { ...BLACK_HEADER, timestampMs: tag.timestampMs });
    return true;
  }

  #standInsFor({ placeholder }: Joined): readonly FlvTag[] {
    if (this.#keyFrame === undefined) return placeholder ? BLACK_TAGS : [];
    if (this.#standIns.length === 0) {
      const header = this.#preamble().find(({ type, role }) => type === 9 && role !== 'metadata');
      this.#standIns = repeatedPictures(this.#keyFrame, header);
    }
    return this.#standIns;
  }

  /** For an output whose decoder has no picture that the next ones refer to: a stand-in from time to time, until a key frame. */
  #standIn(one: Joined, tag: FlvTag): void {
    if (tag.role === 'key-frame') {
      one.standIns = [];
      const inOrder = Math.max(tag.timestampMs, one.pictureMs + 1);
      return this.#give(one, inOrder === tag.timestampMs ? tag : { ...tag, timestampMs: inOrder });
    }
    const isFirst = one.standInCount === 0;
    const picture = one.standIns[one.standInCount % one.standIns.length];
    if (picture && (isFirst || tag.timestampMs - one.pictureMs >= STAND_IN_EVERY_MS)) {
      one.standInCount++;
      one.pictureMs = Math.max(tag.timestampMs, one.pictureMs + 1);
      this.#give(one, { ...picture, timestampMs: one.pictureMs });
    }
    if (tag.role !== 'inter-frame') this.#handOn(one, tag);
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
