// The contract of an output: whatever takes the FLV tags of a stream. RTMP pushes, viewers and recordings stand on it, and
// so may anything of your own.

import type { FlvTag } from '../codec/frame.ts';

/** Which media an output gets. */
export interface OutputContents {
  readonly hasAudio: boolean;
  readonly hasVideo: boolean;
}

/**
 * Takes one stream. In this order: `onLive` once, then `push` for each tag, then `onEnded` once.
 *
 * **What it gets.** Metadata and the sequence headers (AAC and H.264 configuration) first, then the newest key frame and all
 * that followed it, where that is at most two seconds old, else the next key frame, which is asked for; then every tag as it
 * comes. Sequence headers and metadata come again when they change. Timestamps are milliseconds on the stream's own time
 * base, never decrease within a medium and do not begin at 0. After the stream has paused (hold) they go on where time is.
 *
 * **What it owes.** `push` returns at once: no waiting, no blocking, no promise; what cannot be passed on is queued, within
 * bounds, or dropped, from a picture up to the next key frame. It runs in the packet's own turn of the event loop. It must not
 * change a tag or its octets, which all outputs share, but may keep them. It must not throw: whoever does is removed
 * (`onEnded` with what it threw), and neither the stream nor another output notices.
 */
export interface Output {
  /**
   * The stream is live: these media will come. Before the first tag, once. Where a call adds or drops a medium later, metadata
   * say so.
   */
  onLive?(contents: OutputContents): void;
  /** One tag, in order. */
  push(tag: FlvTag): void;
  /**
   * Nothing comes any more: the stream has ended, or the encoders for its form cannot be had or gave up, or the output threw
   * (`error`). Once; not after you removed the output yourself. The stream counts as closed when the promise is settled: time to
   * flush, and not more; after 30 s it is waited for no longer.
   */
  onEnded?(error?: unknown): void | Promise<void>;
}
