// The contract between the jitter buffer and the media: packets of one stream in order in, whole frames out.

import type { AudioCodec, VideoCodec } from '../codec/codec.ts';
import type { RtpPacket } from '../codec/frame.ts';

/** What an RTP payload type stands for in a call, as negotiated. */
export interface RtpCodec {
  readonly codec: VideoCodec | AudioCodec | 'telephone-event' | 'comfort-noise';
  /** RTP clock, from rtpmap. */
  readonly clockRateHz: number;
}

/** What a depacketizer tells its owner, synchronously from within `push`. Handlers must not throw. */
export interface DepacketizerHandler<Frame, Fault extends string = string> {
  /** A whole frame, in decoding order. */
  onFrame(frame: Frame): void;
  /**
   * Something is missing or malformed; what it belonged to is dropped whole. Called once per break, before the
   * next frame. For video: later frames may refer to what is gone, so ask for a key frame.
   */
  onBroken(fault: Fault): void;
}

/** Turns the packets of one stream into frames. Notices sequence gaps and new SSRCs by itself. */
export interface Depacketizer {
  /** Takes the next packet in sequence order. Never throws for what a packet holds. */
  push(packet: RtpPacket): void;
  /** Forgets half a frame and the place in the sequence; not reported as broken. */
  reset(): void;
}
