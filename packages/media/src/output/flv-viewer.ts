// A live FLV stream for one viewer, over whatever carries octets: HTTP, a WebSocket, a pipe.

import { CongestionGate } from '../rtmp/congestion-gate.ts';
import { formatFlvHeader, formatFlvTag } from '../flv/flv-file.ts';
import type { FlvTag } from '../codec/frame.ts';
import type { Output, OutputContents } from './output.ts';

/** Where the octets of a viewer go. */
export interface FlvViewerTarget {
  /** Takes octets, shared with other viewers and not to be changed. Must not throw. */
  write(octets: Uint8Array): void;
  /** How many octets wait for the viewer now. */
  readonly waitingBytes: number;
}

/** What a viewer tells its owner. */
export interface FlvViewerHandler {
  /** It was too slow, and could go on with a key frame. */
  onKeyFrameWanted(): void;
  /** It takes nothing any more, for ten seconds of the stream: let it go. Once. */
  onStalled(): void;
  /** The stream has ended, or cannot be had. Once. */
  onEnded?(): void;
}

/** What a viewer got so far. */
export interface FlvViewerStats {
  readonly bytes: number;
  /** Tags left out, because it was too slow. */
  readonly dropped: number;
}

const MAX_WAITING_BYTES = 4 * 1024 * 1024;
const STALL_MS = 10_000;

/** Tags are formatted once, however many watch. */
const formatted = new WeakMap<FlvTag, Uint8Array>();

function octetsOf(tag: FlvTag): Uint8Array {
  const known = formatted.get(tag);
  if (known) return known;
  const octets = formatFlvTag(tag);
  formatted.set(tag, octets);
  return octets;
}

/** An output that drops for a slow viewer, from its own queue alone: pictures first, up to the next key frame. */
export class FlvViewer implements Output {
  readonly #target: FlvViewerTarget;
  readonly #handler: FlvViewerHandler;
  readonly #gate = new CongestionGate({ maxBytes: MAX_WAITING_BYTES });
  #bytes = 0;
  #hasBegun = false;
  /** Stream time since when octets wait, and none has gone; NaN while they go. */
  #stuckSinceMs = Number.NaN;
  #leastWaiting = 0;
  #stalled = false;

  constructor(target: FlvViewerTarget, handler: FlvViewerHandler) {
    this.#target = target;
    this.#handler = handler;
  }

  get stats(): FlvViewerStats {
    return { bytes: this.#bytes, dropped: this.#gate.skipped };
  }

  /** The header of the file: before the first tag, once. A medium that is not there must not be promised. */
  onLive(contents: OutputContents): void {
    this.#write(formatFlvHeader(contents));
  }

  onEnded(): void {
    this.#handler.onEnded?.();
  }

  push(tag: FlvTag): void {
    if (this.#stalled) return;
    const { waitingBytes } = this.#target;
    // These may be as old as the stream: their time says nothing of how long the viewer has taken nothing.
    const isOfNow = tag.role !== 'metadata' && tag.role !== 'sequence-header';
    if (isOfNow) this.#watch(waitingBytes, tag.timestampMs);
    if (this.#stalled) return;
    if (this.#gate.admit(tag, waitingBytes)) this.#write(this.#octetsOf(tag));
    else if (this.#gate.wantsKeyFrame) this.#handler.onKeyFrameWanted();
  }

  /** Metadata at the beginning stand at 0: ffmpeg takes them for a text stream anywhere else. */
  #octetsOf(tag: FlvTag): Uint8Array {
    if (tag.role === 'metadata' && !this.#hasBegun) return formatFlvTag({ ...tag, timestampMs: 0 });
    this.#hasBegun ||= tag.role !== 'metadata';
    return octetsOf(tag);
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
