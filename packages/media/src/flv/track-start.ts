// When what takes tags can begin, where all tracks must be known at the beginning: MP4, HLS, MPEG-TS.

import type { FlvTag } from '../codec/frame.ts';
import { promisedBy } from './metadata.ts';

/** How long the headers of promised media may take, e.g. where the camera is off or an encoder starts late. */
const HEADERS_WAIT_MS = 2000;
/** Tags of about five seconds. */
const MAX_HELD = 500;

/** Keeps the newest headers, and the tags to begin with until the headers of all promised media are there. */
export class TrackStart {
  #metadata: FlvTag | undefined;
  #video: FlvTag | undefined;
  #audio: FlvTag | undefined;
  #promised: ReadonlySet<8 | 9> = new Set();
  #waitingSinceMs: number | undefined;
  #held: FlvTag[] = [];

  /** Sequence header of the pictures. */
  get videoHeader(): FlvTag | undefined {
    return this.#video;
  }

  /** Sequence header of the sound. */
  get audioHeader(): FlvTag | undefined {
    return this.#audio;
  }

  /** Metadata and sequence headers. */
  get headers(): readonly FlvTag[] {
    return [this.#metadata, this.#video, this.#audio].filter((tag) => tag !== undefined);
  }

  /**
   * Takes metadata or a sequence header.
   * @returns whether tracks have another form now: what has begun must end
   */
  describe(tag: FlvTag): boolean {
    if (tag.role === 'metadata') {
      this.#metadata = tag;
      this.#promised = promisedBy(tag.body);
      return false;
    }
    const before = tag.type === 9 ? this.#video : this.#audio;
    if (tag.type === 9) this.#video = tag;
    else this.#audio = tag;
    if (before && Buffer.compare(before.body, tag.body) === 0) return false;
    this.#waitingSinceMs = undefined;
    // What waits has the former parameters.
    if (before) this.#held = [];
    return true;
  }

  /**
   * Takes sound or a picture before the beginning. With pictures, it begins with the last key frame.
   * @returns the tags to begin with; empty: not yet
   */
  hold(tag: FlvTag): readonly FlvTag[] {
    this.#waitingSinceMs ??= tag.timestampMs;
    if (tag.role === 'key-frame' || this.#held.length >= MAX_HELD) this.#held = [];
    const hasPictures = this.#video !== undefined;
    if (!hasPictures || tag.role === 'key-frame' || this.#held[0]?.role === 'key-frame')
      this.#held.push(tag);
    const lacks =
      (this.#promised.has(9) && !this.#video) || (this.#promised.has(8) && !this.#audio);
    if (lacks && tag.timestampMs - this.#waitingSinceMs < HEADERS_WAIT_MS) return [];
    if (hasPictures ? this.#held[0]?.role !== 'key-frame' : !this.#audio) return [];
    return this.take();
  }

  /** The tags that wait; none do afterwards. */
  take(): readonly FlvTag[] {
    this.#waitingSinceMs = undefined;
    return this.#held.splice(0);
  }
}
