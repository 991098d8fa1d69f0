// The figures of a session, and the counters of a received medium.

import type { AudioCodec, VideoCodec } from '../codec/codec.ts';
import type { TranscoderStats } from '../ffmpeg/transcoder.ts';
import type { KeyFrameStats } from '../rtp/key-frame-requester.ts';
import type { ReceptionLine } from '../rtp/reception-line.ts';
import type { RtpSessionStats } from '../rtp/rtp-session.ts';
import type { MediaProblem } from './media-problems.ts';

/** Figures of one received medium; `null` where nothing was measured. */
export interface ReceivedMediaStats<Codec extends string = AudioCodec | VideoCodec> {
  /** Codec of the last frame. */
  readonly codec: Codec | null;
  readonly packets: number;
  readonly bytes: number;
  /** Packets that never arrived, by sequence numbers (RFC 3550 §6.4.1). */
  readonly lost: number;
  /** Share of packets lost, 0–1. */
  readonly lossRatio: number | null;
  /** Interarrival jitter (RFC 3550 §6.4.1) in milliseconds. */
  readonly jitterMs: number | null;
  readonly reordered: number;
  readonly duplicates: number;
  /** Received payload, averaged over the last seconds. */
  readonly bitrateBps: number | null;
  /** How long a missing packet is waited for, currently. */
  readonly jitterDelayMs: number;
  /** Retransmission requests sent (RFC 4585 §6.2.1). */
  readonly nacksSent: number;
  /** Packets that arrived after a request. */
  readonly recovered: number;
  /** Packets dropped, counted by fault. */
  readonly faults: Readonly<Record<string, number>>;
  /** Why nothing of the medium has reached the outputs for some seconds, although the peer should send; `null`: all is well. */
  readonly problem: MediaProblem | null;
  /** Since when, in Unix milliseconds; `null` while there is no problem. */
  readonly problemSinceMs: number | null;
}

/** Figures of a session. */
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
        /** Access units dropped because a part or the parameter sets were lost, or while waiting for a key frame. */
        readonly droppedFrames: number;
        /** Key-frame requests sent to the peer, by all methods. */
        readonly keyFrameRequests: number;
        /** The same by method, the method that was answered, and how long the last wanted key frame took. */
        readonly keyFrameAnswers: KeyFrameStats;
        /** How often the last key frame was sent again because nothing arrived. */
        readonly frozenFrames: number;
      })
    | null;
  /** How far video is behind audio according to the peer's sender reports, or `null` while unknown. */
  readonly avSkewMs: number | null;
  /** Silence inserted into the audio, in milliseconds. */
  readonly silenceInsertedMs: number | null;
  /** The encoder of the audio; `null` where it passes through. */
  readonly audioTranscoder: TranscoderStats | null;
  /** The encoder of the video; `null` where it passes through. */
  readonly videoTranscoder: TranscoderStats | null;
}

/** How fast a counter grows, over the last period. */
export class Rate {
  sinceMs = Number.NEGATIVE_INFINITY;
  #count = 0;
  /** `null` before the end of the first period. */
  perSecond: number | null = null;

  note(counter: number, nowMs: number): void {
    if (Number.isFinite(this.sinceMs))
      this.perSecond = ((counter - this.#count) * 1000) / (nowMs - this.sinceMs);
    this.sinceMs = nowMs;
    this.#count = counter;
  }
}

/** Counters of a medium beyond its RTP session. */
export class ReceivedFigures<Codec extends AudioCodec | VideoCodec> {
  problem: MediaProblem | null = null;
  /** Unix milliseconds. */
  problemSinceMs: number | null = null;
  readonly #faults = new Map<string, number>();
  readonly #rate = new Rate();

  /** Received bit rate over the last period; `null` before its end. */
  get bitrateBps(): number | null {
    return this.#rate.perSecond;
  }

  /** Counts a fault. */
  count(fault: string): void {
    this.#faults.set(fault, (this.#faults.get(fault) ?? 0) + 1);
  }

  /** Ends a period. */
  note(rtp: RtpSessionStats, nowMs: number): void {
    this.#rate.note(rtp.bytes * 8, nowMs);
  }

  /** @param codec of the last frame */
  stats(rtp: RtpSessionStats, line: ReceptionLine, codec: Codec | null): ReceivedMediaStats<Codec> {
    const { packets, bytes, lost, jitterMs, reordered, duplicates } = rtp;
    const { delayMs, nacksSent, recovered } = line.stats;
    return {
      codec,
      packets,
      bytes,
      lost,
      lossRatio: packets + lost === 0 ? null : lost / (packets + lost),
      jitterMs: packets === 0 ? null : jitterMs,
      reordered,
      duplicates,
      bitrateBps: this.#rate.perSecond,
      jitterDelayMs: delayMs,
      nacksSent,
      recovered,
      faults: { ...rtp.faults, ...Object.fromEntries(this.#faults) },
      problem: this.problem,
      problemSinceMs: this.problemSinceMs,
    };
  }
}

/** The counters of video, including pictures. */
export class VideoFigures extends ReceivedFigures<VideoCodec> {
  /** Pictures passed to the stream. */
  frames = 0;
  keyFrames = 0;
  #broken = 0;
  readonly #frameRate = new Rate();

  /** Pictures per second, over the last period; `null` before its end. */
  get fps(): number | null {
    return this.#frameRate.perSecond;
  }

  /** Counts a picture that could not be assembled, and its fault. */
  countBroken(fault: string): void {
    this.#broken++;
    this.count(fault);
  }

  override note(rtp: RtpSessionStats, nowMs: number): void {
    super.note(rtp, nowMs);
    this.#frameRate.note(this.frames, nowMs);
  }

  /** Like `stats`, with pictures. @param rest figures of other stages; `dropped`: complete pictures that were dropped */
  videoStats(
    rtp: RtpSessionStats,
    line: ReceptionLine,
    codec: VideoCodec | null,
    rest: {
      readonly size: { readonly width: number; readonly height: number } | undefined;
      readonly dropped: number;
      readonly frozenFrames: number;
    },
  ): MediaStats['video'] {
    const { keyFrames: keyFrameAnswers } = rtp;
    const { pli, fir, info, reinvite } = keyFrameAnswers.requests;
    return {
      ...this.stats(rtp, line, codec),
      width: rest.size?.width ?? null,
      height: rest.size?.height ?? null,
      fps: this.fps,
      frames: this.frames,
      keyFrames: this.keyFrames,
      droppedFrames: this.#broken + rest.dropped,
      keyFrameRequests: pli + fir + info + reinvite,
      keyFrameAnswers,
      frozenFrames: rest.frozenFrames,
    };
  }
}
