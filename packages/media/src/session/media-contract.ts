// What a call's media session is to its owner: options, what was negotiated, handlers, figures.

import type { AudioCodec, VideoCodec } from '../codec/codec.ts';
import type { MediaKind, Sink, StreamAudio } from '../codec/frame.ts';
import type { DelayRange } from '../rtp/jitter-delay.ts';
import type { KeyFrameStats } from '../rtp/key-frame-requester.ts';
import type { PortPool } from '../rtp/port-pool.ts';
import type { OutputForm } from '../output/output-form.ts';
import type { SessionTranscoders } from '../output/rendition.ts';
import type { SrtpKeys } from '../rtp/srtp.ts';
import type { StreamSource } from '../output/stream-source.ts';
import type { TickSource } from '../ticker.ts';
import type { TranscoderStats } from '../ffmpeg/transcoder.ts';

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
  /** The peer means to send media; false while it holds the call or only listens. */
  readonly receive: boolean;
  /** Payload types on the wire, by codec. */
  readonly codecs: readonly {
    readonly payloadType: number;
    readonly codec: AudioCodec | VideoCodec;
  }[];
  /** RFC 4733 events, where negotiated, for each RTP clock. */
  readonly telephoneEvents: readonly {
    readonly payloadType: number;
    readonly clockRateHz: number;
  }[];
  /** Feedback (RFC 4585, RFC 5104) that the peer said it takes. */
  readonly feedback: { readonly pli: boolean; readonly fir: boolean; readonly nack: boolean };
  /** Keys of SRTP; absent: RTP in the clear. */
  readonly srtp?: SrtpKeys;
  /** H.264 parameter sets from the session description. */
  readonly parameterSets?: readonly Uint8Array[];
}

/** What offer and answer have agreed on; an absent medium was refused. */
export interface NegotiatedMedia {
  readonly audio?: NegotiatedMedium;
  readonly video?: NegotiatedMedium;
  /** The peer holds the call: it need not send, whatever its directions say. Default false. */
  readonly held?: boolean;
  /**
   * IP address that the peer signals from, where it signals itself: behind a NAT its media are expected from there.
   * Default: unknown.
   */
  readonly signallingAddress?: string;
}

/** What was measured of one received medium; `null` where nothing was. */
export interface ReceivedMediaStats<Codec extends string = AudioCodec | VideoCodec> {
  /** Codec of the last frame. */
  readonly codec: Codec | null;
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
  /** How long a missing packet is waited for at present. */
  readonly jitterDelayMs: number;
  /** Retransmissions asked for (RFC 4585 §6.2.1). */
  readonly nacksSent: number;
  /** Packets that came after they were asked for. */
  readonly recovered: number;
  /** Packets dropped by name of their fault. */
  readonly faults: Readonly<Record<string, number>>;
}

/** What was measured of a session. */
export interface MediaStats {
  readonly audio: ReceivedMediaStats<AudioCodec> | null;
  readonly video:
    | (ReceivedMediaStats<VideoCodec> & {
        /** Pixels, from the sequence parameter set. */
        readonly width: number | null;
        readonly height: number | null;
        readonly fps: number | null;
        readonly frames: number;
        readonly keyFrames: number;
        /** Access units dropped since a part or the parameter sets were lost, or while a key frame was awaited. */
        readonly droppedFrames: number;
        /** Key-frame requests sent to the peer, by all methods. */
        readonly keyFrameRequests: number;
        /** The same by method, what answered them, and how long the last wanted key frame took. */
        readonly keyFrameAnswers: KeyFrameStats;
        /** Times that the last key frame was sent again, since nothing came. */
        readonly frozenFrames: number;
      })
    | null;
  /** How much video runs behind audio by the peer's sender reports, or `null` while unknown. */
  readonly avSkewMs: number | null;
  /** Silence put into the audio, in milliseconds. */
  readonly silenceInsertedMs: number | null;
  /** The encoder of the audio; `null` where it passes through. */
  readonly audioTranscoder: TranscoderStats | null;
  /** The encoder of the video; `null` where it passes through. */
  readonly videoTranscoder: TranscoderStats | null;
}

/** What the owner of a session is told. */
export interface MediaSessionHandler {
  /** Bad input, counted by name; `medium` and `source` for a log line. May come often. */
  onFault?(fault: string, medium: MediaKind, source: string): void;
  /** The peer pressed a key (RFC 4733): `0`–`9`, `*`, `#`, `A`–`D`. Once per key press. */
  onDigit?(digit: string): void;
  /** The peer sends before `start`: early media, once for each medium. */
  onEarlyMedia?(): void;
  /** A key frame is wanted by SIP INFO, which is not ours to send (RFC 5168). */
  onKeyFrameByInfo?(): void;
  /** All else was in vain: a re-INVITE that changes nothing may bring a key frame. Every 30 s at most. */
  onKeyFrameByReinvite?(): void;
  /** The peer should send and has not for the time-out: once. */
  onInactive?(kind: 'rtp' | 'rtcp'): void;
  /** About once a second from `start` on. */
  onSecond?(): void;
  /**
   * An encoder has given up (MediaError), the peer changed to media that cannot be carried (MediaError
   * `TRANSCODING_DISABLED`), or a bug of ours surfaced in the media path: the owner should end the call.
   */
  onFailure?(error: unknown): void;
}

/** One call's media. */
export interface MediaSession extends StreamSource {
  readonly audio: LocalMedia;
  readonly video: LocalMedia;
  /**
   * What was agreed on: receiving, sending and the tags begin. Once.
   * @throws MediaError `TRANSCODING_DISABLED` when what was agreed on would have to be encoded; `INVALID_ARGUMENT` for an
   * address that is none; what encoders throw that it needs. Nothing has begun then.
   */
  start(negotiated: NegotiatedMedia): void;
  /**
   * What was agreed on since (re-INVITE, UPDATE): codecs, payload types, addresses, directions, a medium less or more.
   * Outputs, timestamps and counters go on.
   * @throws MediaError as `start`; everything is as before then.
   */
  update(negotiated: NegotiatedMedia): void;
  /** The peer asks for a key frame of ours, by SIP INFO. */
  onKeyFrameRequest(): void;
  /**
   * What the peer hears in place of silence: frames of any codec. Before `start` it waits for it; a new one replaces it.
   * @param connect - Begins to push frames into the sink, and returns what ends that. Undefined: silence again.
   * @throws MediaError `NO_TRANSCODER` when frames must be encoded and nothing can; `CLOSED`; `NOT_SENDING` when the peer
   * takes no audio.
   */
  injectAudio(connect: ((sink: Sink<StreamAudio>) => () => void) | undefined): void;
  /**
   * Plays a sound file to the peer, once, in place of everything else.
   * @throws MediaError as `injectAudio`.
   */
  playSound(path: string): void;
  /**
   * Sends digits by RFC 4733, one after the other; `,` is a pause. Resolves when they are sent or the session closes.
   * @throws MediaError `INVALID_ARGUMENT` when the peer did not negotiate telephone-event.
   */
  sendDtmf(digits: string): Promise<void>;
  /** What was measured so far. */
  stats(): MediaStats;
  /** Says RTCP BYE, closes the sockets and frees the ports. Idempotent. */
  close(): Promise<void>;
}

/** Options of {@link openMediaSession}. */
export interface MediaSessionOptions {
  /** Where port pairs come from; shared by all sessions of a gateway. */
  readonly portPool: PortPool;
  /** The 20 ms beat; shared likewise. */
  readonly ticker: TickSource;
  /** Local IP address to bind. */
  readonly bindAddress: string;
  /** May RTP and RTCP be sent to this address? Default: to all. */
  readonly maySendTo?: (address: string) => boolean;
  /** RTCP CNAMEs, as in the offer. */
  readonly audioCname: string;
  readonly videoCname: string;
  /** How long a missing packet is waited for, or between which bounds that adapts. Default 20–200 ms. */
  readonly jitterDelayMs?: number | DelayRange;
  /** What outputs get that want nothing else. Default: everything passes through. */
  readonly form?: OutputForm;
  /** Default: nothing is encoded. */
  readonly transcoders?: SessionTranscoders;
  /** A silent AAC track where only video was agreed on. Default false. */
  readonly silentAudio?: boolean;
  /** Milliseconds without a picture after which the last key frame is sent again; 0: never. Default 2,000. */
  readonly videoFreezeMs?: number;
  /** What happens to pictures after a loss. Default `wait`. */
  readonly videoLoss?: 'wait' | 'continue';
  /** Send black H.264 pictures where the peer takes them. Default false. */
  readonly blackVideo?: boolean;
  /** Without RTP, or RTCP, for so long the peer counts as gone; 0: never. Default 0. */
  readonly rtpTimeoutMs?: number;
  readonly rtcpTimeoutMs?: number;
  /** Monotonic milliseconds. */
  readonly now: () => number;
  /** Unix milliseconds. */
  readonly wallClock: () => number;
  /** 0 ≤ n < 1. */
  readonly random: () => number;
}
