// One call's media: RTP in, FLV tags out to any number of outputs. The wiring of the whole media path stands here.

import type { FlvTag, MediaKind } from './frame.ts';

/** What an output of a stream must be. It has its own queue and its own drops, and never throws. */
export interface StreamOutput {
  /** Each tag, in order. Right after joining: metadata, sequence header, then what comes live. */
  push(tag: FlvTag): void;
}

/** One RTP/RTCP port pair of ours and the source that we send as. */
export interface LocalMedia {
  readonly rtpPort: number;
  readonly rtcpPort: number;
  /** u32. */
  readonly ssrc: number;
}

/** One medium as negotiated. */
export interface NegotiatedMedium {
  /** Where we send to, and expect from. */
  readonly address: string;
  readonly rtpPort: number;
  readonly rtcpAddress: string;
  readonly rtcpPort: number;
  /** The peer takes media from us, and we offered to send. */
  readonly send: boolean;
  /** Payload types on the wire, by codec. */
  readonly codecs: readonly { readonly payloadType: number; readonly codec: 'h264' | 'pcma' | 'pcmu' }[];
  /** RFC 4733 events, where negotiated. */
  readonly telephoneEventPayloadType?: number;
  /** Key-frame requests that the peer said it takes. */
  readonly feedback: { readonly pli: boolean; readonly fir: boolean };
  /** H.264 parameter sets from the session description. */
  readonly parameterSets?: readonly Uint8Array[];
}

/** What offer and answer have agreed on; an absent medium was refused. */
export interface NegotiatedMedia {
  readonly audio?: NegotiatedMedium;
  readonly video?: NegotiatedMedium;
}

/** What was measured of one received medium; `null` where nothing was. */
export interface ReceivedMediaStats {
  /** Codec of the last frame. */
  readonly codec: 'h264' | 'pcma' | 'pcmu' | null;
  readonly packets: number;
  readonly bytes: number;
  /** Packets that never came, by sequence numbers (RFC 3550 §6.4.1). */
  readonly lost: number;
  /** Share of packets lost, 0–1. */
  readonly lossRatio: number | null;
  /** Interarrival jitter (RFC 3550 §6.4.1) in milliseconds. */
  readonly jitterMs: number | null;
  readonly reordered: number;
  readonly duplicates: number;
  /** Received payload, averaged over the last seconds. */
  readonly bitrateBps: number | null;
  /** Packets dropped by name of their fault. */
  readonly faults: Readonly<Record<string, number>>;
}

/** What was measured of a session. */
export interface MediaStats {
  readonly audio: ReceivedMediaStats | null;
  readonly video:
    | (ReceivedMediaStats & {
        /** Pixels, from the sequence parameter set. */
        readonly width: number | null;
        readonly height: number | null;
        readonly fps: number | null;
        readonly frames: number;
        readonly keyFrames: number;
        /** Access units dropped since a part was lost, or while a key frame was awaited. */
        readonly droppedFrames: number;
        /** Key-frame requests sent to the peer. */
        readonly keyFrameRequests: number;
      })
    | null;
  /** How much video runs behind audio by the peer's sender reports, or `null` while unknown. */
  readonly avSkewMs: number | null;
  /** Silence put into the audio, in milliseconds. */
  readonly silenceInsertedMs: number | null;
}

/** What the owner of a session is told. */
export interface MediaSessionHandler {
  /** Bad input, counted by name; `medium` and `source` for a log line. May come often. */
  onFault?(fault: string, medium: MediaKind, source: string): void;
  /** The first packet of a medium was taken. Once for each. */
  onFirstPacket?(medium: MediaKind): void;
}

/** One call's media. */
export interface MediaSession {
  readonly audio: LocalMedia;
  readonly video: LocalMedia;
  /** What was agreed on: receiving, sending and the tags begin. Once. */
  start(negotiated: NegotiatedMedia): void;
  /** The output gets metadata, sequence header, the newest key frame's followers by a fresh one that is asked for. */
  addOutput(output: StreamOutput): void;
  removeOutput(output: StreamOutput): void;
  /** Asks the peer for a key frame; throttled. */
  requestKeyFrame(): void;
  /**
   * Sends digits by RFC 4733, one after the other; `,` is a pause. Resolves when they are sent or the session closes.
   * @throws MediaError `INVALID_ARGUMENT` when the peer did not negotiate telephone-event.
   */
  sendDtmf(digits: string): Promise<void>;
  stats(): MediaStats;
  /** Says RTCP BYE, closes the sockets and frees the ports. Idempotent. */
  close(): Promise<void>;
}
