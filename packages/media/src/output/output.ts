// The contract of an output, which takes the FLV tags of a stream. RTMP pushes, viewers and recordings implement it, and
// so can your own code.

import type { FlvTag } from '../codec/frame.ts';

/** Which media an output receives. */
export interface OutputContents {
  readonly hasAudio: boolean;
  readonly hasVideo: boolean;
}

/** How an output joins. */
export interface OutputOptions {
  /** Black pictures until the first of a video that is expected, from a second after joining on. Default false. */
  readonly placeholder?: boolean;
}

/**
 * Takes one stream. In this order: `onLive` once, then `push` for each tag, then `onEnded` once.
 *
 * **What it receives.** Metadata and sequence headers (AAC and H.264 configuration) first, then the latest key frame and all
 * tags since, if that is at most two seconds old, else the next key frame, which is requested; then every tag as it
 * arrives. Sequence headers and metadata are sent again when they change. Timestamps are milliseconds on the stream's own
 * time base, never decrease within a medium and do not start at 0. After a pause of the stream (hold) they continue at the
 * current time.
 *
 * **What it must do.** `push` returns at once: no waiting, no blocking, no promise. Tags that cannot be passed on are queued,
 * within limits, or dropped, from a picture up to the next key frame. It runs in the event-loop turn of the packet. It must
 * not modify a tag or its octets, which all outputs share, but may keep them. It must not throw: an output that does is
 * removed (`onEnded` with the error), without effect on the stream or other outputs.
 */
export interface Output {
  /**
   * The stream is live with these media. Once, before the first tag. If a call adds or drops a medium later, the metadata
   * says so.
   */
  onLive?(contents: OutputContents): void;
  /** One tag, in order. */
  push(tag: FlvTag): void;
  /**
   * No more tags: the stream has ended, or the encoders for its form are unavailable or have failed, or the output threw
   * (`error`). Once; not after you removed the output yourself. The stream counts as closed when the promise settles, which
   * leaves time to flush; it waits at most 30 s.
   */
  onEnded?(error?: unknown): void | Promise<void>;
}
