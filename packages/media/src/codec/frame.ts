// What travels between the stages of the media path: packets, frames and FLV tags, as plain data.

import type { AacFormat } from './aac.ts';
import type { AudioCodec } from './codec.ts';

/** Consumes one item before returning. Must not throw. */
export type Sink<T> = (item: T) => void;

/** One of the two media of a call. */
export type MediaKind = 'audio' | 'video';

/** One RTP packet (RFC 3550 §5.1), decoded without a copy. */
export interface RtpPacket {
  /** The datagram that carried it. Not reused: it may be kept. */
  readonly datagram: Uint8Array;
  /** 0–127. */
  readonly payloadType: number;
  readonly marker: boolean;
  /** u16, as on the wire. */
  readonly sequenceNumber: number;
  /** u32, in ticks of the payload's clock, as on the wire. */
  readonly rtpTimestamp: number;
  /** u32. */
  readonly ssrc: number;
  /** View into `datagram`, after CSRCs and extension, without padding. */
  readonly payload: Uint8Array;
  /** Monotonic milliseconds at which the datagram was read. */
  readonly arrivalMs: number;
}

/** Room for an FLV video header and a NAL unit's length. */
export const NAL_HEADROOM_BYTES = 9;

/** One coded picture (ITU-T H.264 §7.4.1.2.3): its NAL units without start codes, in decoding order. */
export interface H264Picture {
  readonly codec: 'h264';
  /** Each at least one octet; may contain SPS, PPS and SEI besides the slices. Immutable from here on. */
  readonly nalus: readonly Uint8Array[];
  /**
   * One of `nalus` before which its buffer has {@link NAL_HEADROOM_BYTES} unused octets: a container
   * can write its header there instead of copying the frame.
   */
  readonly withHeadroom?: Uint8Array | undefined;
  /** Contains an IDR slice. */
  readonly isKeyFrame: boolean;
}

/** A picture as it was received. */
export interface H264AccessUnit extends H264Picture {
  readonly rtpTimestamp: number;
  /** Arrival of the packet that completed it. */
  readonly arrivalMs: number;
}

/** One VP8 frame (RFC 6386), without the payload descriptors of its packets. */
export interface Vp8Frame {
  readonly codec: 'vp8';
  /** The whole frame: tag and partitions. Immutable from here on. */
  readonly payload: Uint8Array;
  readonly isKeyFrame: boolean;
  readonly rtpTimestamp: number;
  /** Arrival of the packet that completed it. */
  readonly arrivalMs: number;
}

/** A coded picture of any codec. */
export type VideoFrame = H264AccessUnit | Vp8Frame;

/** The payload of one audio packet. */
export interface AudioFrame {
  readonly codec: AudioCodec;
  /** As on the wire: for Opus and Speex one packet, which may hold several of their frames. */
  readonly payload: Uint8Array;
  /** Duration of the sound in the payload; above 0. */
  readonly durationMs: number;
  readonly rtpTimestamp: number;
  readonly arrivalMs: number;
}

/** Sound of a stream, for consumers that want frames instead of tags. */
export interface StreamAudio {
  readonly codec: AudioCodec | 'aac';
  /** One packet; for AAC, one frame without header. Shared: do not modify. */
  readonly payload: Uint8Array;
  /** Duration of the sound in the payload; above 0. */
  readonly durationMs: number;
  /** Time of its first sample, in milliseconds on the stream's time base. */
  readonly timestampMs: number;
  /** Only for AAC. */
  readonly format?: AacFormat;
}

/** One coded picture of a stream, in decoding order. Shared: do not modify. */
export type StreamVideo = {
  readonly isKeyFrame: boolean;
  /** Milliseconds on the stream's time base; never decreases. */
  readonly decodeMs: number;
  /** When it is shown: `decodeMs` or later. */
  readonly presentMs: number;
} & (
  | {
      readonly codec: 'h264';
      /** NAL units without start codes; {@link annexB} adds them. */
      readonly nalus: readonly Uint8Array[];
    }
  | { readonly codec: 'vp8'; readonly payload: Uint8Array }
);

/** A picture that decodes on its own. */
export interface StillPicture {
  readonly codec: 'h264' | 'vp8';
  /** Annex B with parameter sets, or one VP8 frame. */
  readonly octets: Uint8Array;
  /** Monotonic milliseconds. */
  readonly arrivalMs: number;
}

/** Any frame. */
export type MediaFrame = H264AccessUnit | AudioFrame;

/** The part a tag plays, for outputs that must choose what to keep and what to drop. */
export type FlvTagRole = 'metadata' | 'sequence-header' | 'key-frame' | 'inter-frame' | 'audio';

/** One FLV tag, which is also one RTMP message; built once, shared by all outputs, never changed. */
export interface FlvTag {
  /** 8 audio, 9 video, 18 script data (FLV 10.1 §E.4.1). */
  readonly type: 8 | 9 | 18;
  /** Milliseconds from 0 on the stream's own time base; a number, not wrapped at 2³². Never decreases. */
  readonly timestampMs: number;
  /** The tag's body without the 11-byte FLV tag header. */
  readonly body: Uint8Array;
  readonly role: FlvTagRole;
}
