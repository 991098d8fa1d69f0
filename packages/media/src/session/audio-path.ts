// The audio of a call: from RTP packets to gap-free sound on the stream's time base. The stages are listed in the order
// in which a packet passes them.

import { AUDIO_CODECS } from '../codec/codec.ts';
import type { AudioCodec } from '../codec/codec.ts';
import type { AudioFrame, RtpPacket } from '../codec/frame.ts';
import { isSilence } from '../codec/silence.ts';
import type { StreamHub } from '../output/stream-hub.ts';
import { AudioDepacketizer } from '../rtp/audio-depacketizer.ts';
import type { RtpCodec } from '../rtp/depacketizer.ts';
import type { DelayRange } from '../rtp/jitter-delay.ts';
import { ReceptionLine } from '../rtp/reception-line.ts';
import type { RtpSession, RtpSessionStats } from '../rtp/rtp-session.ts';
import { ArrivalDelay } from '../sync/arrival-delay.ts';
import { AudioTimeline } from '../sync/audio-timeline.ts';
import { CodecChanges } from '../sync/codec-changes.ts';
import type { StreamClock } from '../sync/stream-clock.ts';
import { arrived } from './media-problems.ts';
import type { MediumActivity } from './media-problems.ts';
import { ReceivedFigures } from './media-stats.ts';
import type { ReceivedMediaStats } from './media-stats.ts';

/** What an audio path needs from its session. */
export interface AudioPathDeps {
  readonly clock: StreamClock;
  readonly hub: StreamHub;
  /** The RTP session of the packets; called only after it has been opened. */
  rtp(): RtpSession;
  /** The peer changed its codec: updates what the hub expects. Throws errors of the hub. */
  onCodec(): void;
  /** The peer pressed a key. */
  onDigit(digit: string): void;
}

/** Added to the observed lateness before silence is inserted, for encoders and ticks. */
const AUDIO_GRACE_MS = 60;
/** Audio that stays late for longer is not the backlog of a stall, which drains faster: its timestamps have moved. */
const MAX_LATE_MS = 500;

/** A talkspurt whose arrival is this much later than its timestamps say begins a clock of its own. */
const UNCOUNTED_PAUSE_MS = 200;

/** RFC 3551 table 4; it needs no negotiation. */
const COMFORT_NOISE_TYPE = 13;

/** RtpSession → reception line → depacketizer → clock → timeline → StreamHub. */
export class AudioPath {
  /** As negotiated; filled by the session. */
  readonly payloadTypes = new Map<number, RtpCodec>();
  readonly figures = new ReceivedFigures<AudioCodec>();
  #arrivalDelay = new ArrivalDelay(AUDIO_CODECS.pcma.clockRateHz);
  readonly #line: ReceptionLine;
  readonly #depacketizer = new AudioDepacketizer(this.payloadTypes);
  readonly #codec = new CodecChanges<AudioCodec>();
  readonly #clock: StreamClock;
  #sounds = 0;
  #silent = 0;
  /** The last packet of sound. */
  #former: RtpPacket | undefined;
  /** It came late without a marker. */
  #suspectsPause = false;
  #timeline: AudioTimeline | undefined;
  readonly #hub: StreamHub;
  readonly #deps: AudioPathDeps;
  /** The negotiated codec, for the time before the first frame. */
  #expected: AudioCodec | undefined;

  constructor(jitterDelayMs: number | DelayRange | undefined, deps: AudioPathDeps) {
    this.#deps = deps;
    this.#clock = deps.clock;
    this.#hub = deps.hub;
    this.#line = new ReceptionLine((packet) => this.#onPacket(packet), {
      ...(jitterDelayMs !== undefined && { delayMs: jitterDelayMs }),
      // The depacketizer notices losses itself; a new source starts new timestamps.
      onGap: (cause) => {
        if (cause === 'ssrc') this.#clock.sync.reset('audio');
      },
    });
  }

  /** Codec of the last frame. */
  get codec(): AudioCodec | null {
    return this.#codec.codec;
  }

  /** Silence inserted for missing sound, in milliseconds; undefined until audio is negotiated. */
  get filledMs(): number | undefined {
    return this.#timeline?.stats.filledMs;
  }

  /** Sets the expected codec, also that of silence before the first frame. */
  expect(codec: AudioCodec): void {
    this.#expected = codec;
    this.#timeline ??= new AudioTimeline((frame, timeMs) => this.#hub.pushAudio(frame, timeMs), {
      codec,
      delayMs: this.#line.delayMs + AUDIO_GRACE_MS,
    });
    this.#timeline.expect(codec);
    if (this.#codec.codec === null) this.#setClock(codec);
  }

  /** Takes the next packet from the wire. */
  push(packet: RtpPacket): void {
    this.#arrivalDelay.push(packet);
    this.#line.push(packet);
  }

  /** Call it every 20 ms. */
  tick(nowMs: number): void {
    const { jitterMs, roundTripMs } = this.#deps.rtp();
    this.#line.tick(nowMs, jitterMs, roundTripMs);
  }

  /** Call it every 20 ms once the stream has begun: inserts silence for missing sound. */
  fill(nowMs: number): void {
    const timeline = this.#timeline;
    if (!timeline) return;
    const lateMs = Math.max(this.#line.delayMs, this.#arrivalDelay.valueMs);
    timeline.delayMs = lateMs + AUDIO_GRACE_MS;
    timeline.tick(this.#clock.at(nowMs), nowMs);
  }

  /** The timestamps run at this rate instead of the codec's. */
  onRate(clockRateHz: number): void {
    this.#arrivalDelay = new ArrivalDelay(clockRateHz);
  }

  /** Delivers packets held after a gap: they are sound, even after a loss. */
  flush(): void {
    this.#line.reset();
  }

  /** What has arrived, for {@link MediaProblems}. */
  activity(rtp: RtpSessionStats): Omit<MediumActivity, 'expected'> {
    return {
      ...arrived(rtp),
      frames: this.#sounds,
      withheld: 0,
      repeated: 0,
      silent: this.#silent,
    };
  }

  /** Figures so far. */
  stats(rtp: RtpSessionStats): ReceivedMediaStats<AudioCodec> {
    return this.figures.stats(rtp, this.#line, this.codec);
  }

  /** The hot path: one packet, in order. */
  #onPacket(packet: RtpPacket): void {
    this.#clock.begin(packet.arrivalMs);
    if (packet.payloadType === COMFORT_NOISE_TYPE) this.#silent++;
    this.#watchPauses(packet);
    for (const unit of this.#depacketizer.push(packet)) {
      if (typeof unit === 'string') this.figures.count(unit);
      else if ('digit' in unit) this.#onDigit(unit.digit);
      else this.#onSound(unit);
    }
  }

  /**
   * Seen in: devices whose timestamps do not count the pauses of the sound. What follows a pause would come too late for its place.
   * The marker (RFC 3551 §4.1), or the pace of the next packet, tells it from the backlog of a stalled network.
   */
  #watchPauses(packet: RtpPacket): void {
    const type = this.payloadTypes.get(packet.payloadType);
    if (type === undefined || type.codec === 'telephone-event') return;
    const former = this.#former;
    const isSuspect = this.#suspectsPause;
    this.#former = packet;
    this.#suspectsPause = false;
    if (former?.ssrc !== packet.ssrc) return;
    const countedMs = (((packet.rtpTimestamp - former.rtpTimestamp) | 0) * 1000) / type.clockRateHz;
    if (countedMs < 0) return;
    const arrivedMs = packet.arrivalMs - former.arrivalMs;
    const isUncounted = arrivedMs - countedMs >= UNCOUNTED_PAUSE_MS;
    this.#suspectsPause = isUncounted && !packet.marker;
    const isPaced = isSuspect && !isUncounted && arrivedMs >= countedMs / 2;
    if (!isPaced && !(isUncounted && packet.marker)) return;
    this.#clock.sync.reset('audio');
    this.#arrivalDelay = new ArrivalDelay(type.clockRateHz);
  }

  #onDigit(digit: string): void {
    this.#sounds++;
    this.#deps.onDigit(digit);
  }

  #onSound(frame: AudioFrame): void {
    if (isSilence(frame.codec, frame.payload)) this.#silent++;
    else this.#sounds++;
    if (frame.codec !== this.#codec.codec && !this.#follows(frame)) return;
    const timeline = this.#timeline!;
    timeline.push(frame, this.#clock.soundMs(frame.rtpTimestamp, frame.arrivalMs));
    if (timeline.lateForMs >= MAX_LATE_MS) this.#clock.sync.reset('audio');
  }

  /** The peer may change between negotiated codecs at any time (RFC 3264 §5.1). @returns whether to follow. */
  #follows({ codec, arrivalMs }: AudioFrame): boolean {
    const before = this.#codec.codec ?? this.#expected ?? codec;
    if (!this.#codec.take(codec, arrivalMs)) {
      this.figures.count('audio-codec-change');
      return false;
    }
    if (AUDIO_CODECS[codec].clockRateHz !== AUDIO_CODECS[before].clockRateHz) this.#setClock(codec);
    this.#deps.onCodec();
    return true;
  }

  #setClock(codec: AudioCodec): void {
    const { clockRateHz } = AUDIO_CODECS[codec];
    this.#clock.sync.setClockRate('audio', clockRateHz);
    this.#arrivalDelay = new ArrivalDelay(clockRateHz);
  }
}
