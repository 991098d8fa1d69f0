// The video of a call: from RTP packets to pictures on the stream's time base. The stages are listed in the order in
// which a packet passes them.

import type { VideoCodec } from '../codec/codec.ts';
import type { RtpPacket, VideoFrame } from '../codec/frame.ts';
import type { StreamHub } from '../output/stream-hub.ts';
import type { RtpCodec } from '../rtp/depacketizer.ts';
import { H264Depacketizer } from '../rtp/h264-depacketizer.ts';
import type { H264Unit } from '../rtp/h264-depacketizer.ts';
import type { JitterGap } from '../rtp/jitter-buffer.ts';
import type { DelayRange } from '../rtp/jitter-delay.ts';
import { ReceptionLine } from '../rtp/reception-line.ts';
import type { RtpSession, RtpSessionStats } from '../rtp/rtp-session.ts';
import { Vp8Depacketizer } from '../rtp/vp8-depacketizer.ts';
import { CodecChanges } from '../sync/codec-changes.ts';
import { DecodeTimestamps } from '../sync/decode-timestamps.ts';
import { KeyFrameGate } from '../sync/key-frame-gate.ts';
import type { StreamClock } from '../sync/stream-clock.ts';
import { arrived } from './media-problems.ts';
import type { MediumActivity } from './media-problems.ts';
import { VideoFigures } from './media-stats.ts';
import type { MediaStats } from './media-stats.ts';
import { RepeatedPictures } from './repeated-pictures.ts';

/** What a video path needs from its session. */
export interface VideoPathDeps {
  readonly clock: StreamClock;
  readonly hub: StreamHub;
  /** The RTP session of the packets; called only after it has been opened. */
  rtp(): RtpSession;
  /** The peer changed its codec: updates what the hub expects. Throws errors of the hub. */
  onCodec(): void;
}

/** Options of a {@link VideoPath}. */
export interface VideoPathOptions {
  readonly jitterDelayMs: number | DelayRange | undefined;
  readonly videoLoss: 'wait' | 'continue';
}

/** RtpSession → reception line → depacketizer → key-frame gate → clock → decoding times → StreamHub. */
export class VideoPath {
  /** As negotiated; filled by the session. */
  readonly payloadTypes = new Map<number, RtpCodec>();
  readonly figures = new VideoFigures();
  readonly #line: ReceptionLine;
  readonly #h264 = new H264Depacketizer();
  readonly #vp8 = new Vp8Depacketizer();
  readonly #gate: KeyFrameGate;
  /** Of the last packet with a picture. */
  #packetCodec: RtpCodec['codec'] | undefined;
  readonly #codec = new CodecChanges<VideoCodec>();
  readonly #clock: StreamClock;
  readonly #decodeTimes = new DecodeTimestamps();
  readonly #repeats = new RepeatedPictures();
  #repeated = 0;
  readonly #hub: StreamHub;
  readonly #deps: VideoPathDeps;

  constructor(options: VideoPathOptions, deps: VideoPathDeps) {
    const { jitterDelayMs, videoLoss } = options;
    this.#deps = deps;
    this.#clock = deps.clock;
    this.#hub = deps.hub;
    this.#line = new ReceptionLine((packet) => this.#onPacket(packet), {
      ...(jitterDelayMs !== undefined && { delayMs: jitterDelayMs }),
      onGap: (cause) => this.#onGap(cause),
      sendNack: (lost) => deps.rtp().sendNack(lost),
    });
    this.#gate = new KeyFrameGate(() => deps.rtp().requestKeyFrame(), { afterLoss: videoLoss });
  }

  /** Codec of the last frame. */
  get codec(): VideoCodec | null {
    return this.#codec.codec;
  }

  /** The peer negotiated generic NACK. */
  set nack(nack: boolean) {
    this.#line.nack = nack;
  }

  /** Takes the next packet from the wire. */
  push(packet: RtpPacket): void {
    this.#line.push(packet);
  }

  /** Call it every 20 ms. */
  tick(nowMs: number): void {
    const { jitterMs, roundTripMs } = this.#deps.rtp();
    this.#line.tick(nowMs, jitterMs, roundTripMs);
    this.#takeH264(this.#h264.expire(nowMs));
  }

  /** Pictures that refer to others are useless before the next key frame, which is requested. */
  break(): void {
    this.#gate.break();
  }

  /** Takes parameter sets, including those from the session description. */
  setParameterSets(nalus: readonly Uint8Array[]): void {
    this.#hub.setParameterSets(nalus);
    this.#setReorderDepth();
  }

  #setReorderDepth(): void {
    const { maxReorderFrames, complete } = this.#hub.parameterSets;
    this.#decodeTimes.setReorderFrames(maxReorderFrames);
    if (complete && maxReorderFrames === undefined) this.#decodeTimes.guess();
  }

  /** What has arrived, for {@link MediaProblems}. */
  activity(rtp: RtpSessionStats): Omit<MediumActivity, 'expected'> {
    const { framesWithoutParameterSets } = this.#hub.stats;
    return {
      ...arrived(rtp),
      frames: this.figures.frames - this.#repeated - framesWithoutParameterSets,
      withheld: this.#gate.dropped,
      repeated: this.#repeated,
      silent: 0,
    };
  }

  /** Figures so far. */
  stats(rtp: RtpSessionStats): MediaStats['video'] {
    const { framesWithoutParameterSets, frozenFrames } = this.#hub.stats;
    return this.figures.videoStats(rtp, this.#line, this.codec, {
      size: this.#hub.video,
      dropped: this.#gate.dropped + framesWithoutParameterSets,
      frozenFrames,
    });
  }

  /** The hot path: one packet, in order. */
  #onPacket(packet: RtpPacket): void {
    this.#clock.begin(packet.arrivalMs);
    if (this.figures.frames === 0) this.#deps.rtp().requestKeyFrame();
    const codec = this.payloadTypes.get(packet.payloadType)?.codec;
    if (codec === 'h264') {
      this.#takeH264(this.#h264.push(packet));
    } else if (codec === 'vp8') {
      for (const unit of this.#vp8.push(packet)) {
        if (typeof unit === 'string') this.#onFault(unit);
        else this.#onPicture(unit);
      }
    } else {
      for (const unit of this.#skip(packet)) if (typeof unit === 'string') this.#onFault(unit);
    }
    if (codec !== undefined) this.#packetCodec = codec;
  }

  #takeH264(units: readonly H264Unit[]): void {
    for (const unit of units) {
      if (typeof unit === 'string') this.#onFault(unit);
      else if ('leftOut' in unit) this.figures.count(unit.leftOut);
      else if ('parameterSet' in unit) this.setParameterSets([unit.parameterSet]);
      else this.#onPicture(unit);
    }
  }

  /** A packet without pictures in the sequence of them, e.g. a keep-alive. */
  #skip(packet: RtpPacket): readonly unknown[] {
    if (this.#packetCodec === 'h264') return this.#h264.skip(packet);
    return this.#packetCodec === 'vp8' ? this.#vp8.skip(packet) : [];
  }

  #onPicture(whole: VideoFrame): void {
    const picture = this.#gate.admit(whole);
    if (picture === undefined) return;
    if (picture.codec !== this.#codec.codec && !this.#follows(picture)) return;
    if (this.#repeats.push(picture)) this.#repeated++;
    this.#count(picture);
    const shownMs = this.#clock.pictureMs(picture.rtpTimestamp, picture.arrivalMs);
    const decodedMs = this.#decodeTimes.push(shownMs, picture.isKeyFrame);
    this.#hub.pushVideo(picture, decodedMs, this.#decodeTimes.compositionMs);
  }

  #count({ codec, isKeyFrame }: VideoFrame): void {
    this.figures.frames++;
    if (!isKeyFrame) return;
    this.figures.keyFrames++;
    // No decoder can start with a key frame whose parameter sets were lost: the next one may have them.
    if (codec === 'vp8' || this.#hub.parameterSets.complete) this.#deps.rtp().keyFrameArrived();
  }

  /** The peer may change between negotiated codecs at any time (RFC 3264 §5.1). @returns whether to follow. */
  #follows({ codec, arrivalMs }: VideoFrame): boolean {
    if (!this.#codec.take(codec, arrivalMs)) {
      this.#onFault('video-codec-change');
      return false;
    }
    this.#deps.onCodec();
    return true;
  }

  #onFault(fault: string): void {
    this.figures.countBroken(fault);
    this.#gate.break();
  }

  /** The depacketizers notice losses themselves; a new source starts new timestamps. */
  #onGap(cause: JitterGap): void {
    if (cause !== 'ssrc') return;
    this.#clock.sync.reset('video');
    this.#decodeTimes.reset();
    this.#setReorderDepth();
    this.#gate.break();
  }
}
