// A live FLV stream for one viewer, over any transport: HTTP, a WebSocket, a pipe.

import { CongestionGate } from '../rtmp/congestion-gate.ts';
import { formatFlvHeader, formatFlvTag } from '../flv/flv-file.ts';
import type { FlvTag } from '../codec/frame.ts';
import type { Output, OutputContents } from './output.ts';

/** Where the octets of a viewer go. */
export interface FlvViewerTarget {
  /** Takes octets. They are shared with other viewers: do not modify. Must not throw. */
  write(octets: Uint8Array): void;
  /** Octets currently queued for the viewer. */
  readonly waitingBytes: number;
}

/** What a viewer reports. */
export interface FlvViewerHandler {
  /** It was too slow, and can resume with a key frame. */
  onKeyFrameWanted(): void;
  /** It has read nothing for ten seconds of the stream: disconnect it. Once. */
  onStalled(): void;
  /** The stream has ended or is unavailable. Once. */
  onEnded?(): void;
}

/** Counters of a viewer. */
export interface FlvViewerStats {
  readonly bytes: number;
  /** Tags dropped because it was too slow. */
  readonly dropped: number;
}

const MAX_WAITING_BYTES = 4 * 1024 * 1024;
const STALL_MS = 10_000;

/** Each tag is formatted once for all viewers. */
const formatted = new WeakMap<FlvTag, Uint8Array>();

function octetsOf(tag: FlvTag): Uint8Array {
  const known = formatted.get(tag);
  if (known) return known;
  const octets = formatFlvTag(tag);
  formatted.set(tag, octets);
  return octets;
}

function isPictureHeader(type: number, role: FlvTag['role']): boolean {
  return type === 9 && role === 'sequence-header';
}

/** An output that drops tags for a slow viewer, without affecting others: pictures first, up to the next key frame. */
export class FlvViewer implements Output {
  readonly #target: FlvViewerTarget;
  readonly #handler: FlvViewerHandler;
  readonly #gate = new CongestionGate({ maxBytes: MAX_WAITING_BYTES });
  #bytes = 0;
  /** Stream time since which the queue has not moved; NaN while it moves. */
  #stuckSinceMs = Number.NaN;
  #leastWaiting = 0;
  #stalled = false;
  #contents: OutputContents = { hasAudio: true, hasVideo: true };
  /** Headers until the first sound or picture; undefined once the file has begun. */
  #head: FlvTag[] | undefined = [];

  constructor(target: FlvViewerTarget, handler: FlvViewerHandler) {
    this.#target = target;
    this.#handler = handler;
  }

  get stats(): FlvViewerStats {
    return { bytes: this.#bytes, dropped: this.#gate.skipped };
  }

  onLive(contents: OutputContents): void {
    this.#contents = contents;
  }

  onEnded(): void {
    this.#handler.onEnded?.();
  }

  push(tag: FlvTag): void {
    if (this.#stalled) return;
    if (this.#head && !this.#begins(this.#head, tag)) return;
    const { waitingBytes } = this.#target;
    // Headers may be as old as the stream: their time says nothing about how long the viewer has been stuck.
    const isOfNow = tag.role !== 'metadata' && tag.role !== 'sequence-header';
    if (isOfNow) this.#watch(waitingBytes, tag.timestampMs);
    if (this.#stalled) return;
    if (this.#gate.admit(tag, waitingBytes)) this.#write(this.#octetsOf(tag));
    else if (this.#gate.wantsKeyFrame) this.#handler.onKeyFrameWanted();
  }

  /** The file header must not announce pictures that have not come: players would wait for them. */
  #begins(head: FlvTag[], tag: FlvTag): boolean {
    if (tag.role === 'metadata' || tag.role === 'sequence-header') {
      head.push(tag);
      return false;
    }
    const hasPictures =
      tag.type === 9 || head.some(({ type, role }) => isPictureHeader(type, role));
    const { hasAudio, hasVideo } = this.#contents;
    this.#head = undefined;
    this.#write(formatFlvHeader({ hasAudio, hasVideo: hasVideo && hasPictures }));
    for (const first of head) this.#write(this.#octetsOf(first));
    return true;
  }

  /** Metadata is stamped 0: otherwise ffmpeg takes it for a text stream. */
  #octetsOf(tag: FlvTag): Uint8Array {
    return tag.role === 'metadata' ? formatFlvTag({ ...tag, timestampMs: 0 }) : octetsOf(tag);
  }

  #watch(waitingBytes: number, nowMs: number): void {
    if (
      waitingBytes === 0 ||
      Number.isNaN(this.#stuckSinceMs) ||
      waitingBytes < this.#leastWaiting
    ) {
      this.#stuckSinceMs = waitingBytes === 0 ? Number.NaN : nowMs;
      this.#leastWaiting = waitingBytes;
      return;
    }
    if (nowMs - this.#stuckSinceMs < STALL_MS) return;
    this.#stalled = true;
    this.#handler.onStalled();
  }

  #write(octets: Uint8Array): void {
    this.#bytes += octets.length;
    this.#target.write(octets);
  }
}
