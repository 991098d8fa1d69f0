// The contract between the jitter buffer and the media: packets of one stream in order in, whole frames out.

import type { AudioCodec, VideoCodec } from '../codec/codec.ts';
import type { RtpPacket } from '../codec/frame.ts';

/** What an RTP payload type stands for in a call, as negotiated. */
export interface RtpCodec {
  readonly codec: VideoCodec | AudioCodec | 'telephone-event' | 'comfort-noise';
  /** RTP clock, from rtpmap. */
  readonly clockRateHz: number;
}

/**
 * Turns the packets of one stream into units: whole frames in decoding order, and a fault's name for each break.
 * Notices sequence gaps and new SSRCs by itself.
 *
 * A fault says that something is missing or malformed; the frame that it belonged to is dropped whole, and the fault
 * comes before the next frame. For video, later frames may refer to what is gone: ask for a key frame.
 */
export interface Depacketizer<Unit> {
  /**
   * Takes the next packet in sequence order. Never throws for what a packet holds.
   * @returns what the packet completes, in order: mostly nothing or one unit. The next call reuses the list.
   */
  push(packet: RtpPacket): readonly Unit[];
  /** Forgets half a frame and the place in the sequence; not reported as broken. */
  reset(): void;
}
