// RTP timestamps → milliseconds of media time, common to audio and video. Starts on arrival times, then aligns by
// sender reports that prove plausible (RFC 3550 §6.4.1); never waits for one and never steps back.

import type { MediaKind } from '../codec/frame.ts';
import { ClockRate } from './clock-rate.ts';
import { ntpMs, type SenderReport } from '../rtp/rtcp.ts';

/** Timestamp and arrival may disagree by this much before the line is doubted. */
const JUMP_MS = 1000;
/** Packets that must agree before a jump is followed. */
const JUMP_PACKETS = 3;
/** A line that moved back looks like a network stall; the backlog of a stall drains faster than this. */
const BACKWARD_HOLD_MS = 500;
/** The shortest delay is searched in buckets: the current one and the previous ones. */
const BUCKETS = 5;
const BUCKET_MS = 2000;
/** In the first seconds the shortest delay is still being learnt; alignment is fast … */
const START_MS = 2000;
const START_SLEW = 0.2;
/** … and then slow enough to be neither seen nor heard: 40 ms a second. */
const SLEW = 0.04;
/** Error by arrival times alone that is ignored: jitter, not drift. */
const ARRIVAL_DEAD_BAND_MS = 15;
/** Sender reports: how much the sender's clock may move against its media between two of them. */
const REPORT_STABLE_MS = 40;
/** Reports that must agree once a report has contradicted another; before that, one of each medium is enough … */
const REPORTS_NEEDED = 2;
/** … if they come from one clock: the differences between report and arrival differ by no more than this. */
const SAME_CLOCK_MS = 1000;
/** The first alignment by reports is made in a second or so, at four times the speed: nobody has got used to the sound yet. */
const FIRST_ALIGNMENT_MS = 1500;
const FIRST_SLEW = 0.8;
/** A report whose time is further than this from its arrival is nonsense. */
const REPORT_AGE_MS = 5000;
/** Limit of how far a picture's presentation may precede the latest one: 16 pictures at 16 a second. */
const MAX_REORDER_MS = 1000;
/** Limit of how far reports may move a medium from the arrival times. */
const MAX_SKEW_MS = 2000;

/** Options of a {@link SyncClock}. */
export interface SyncClockOptions {
  /** RTP clock of the audio. Default 8000. */
  readonly audioClockRateHz?: number;
  /** RTP clock of the video. Default 90000. */
  readonly videoClockRateHz?: number;
  /** The timestamps of a medium run at this rate instead of their clock's; their arrival is followed. Once for each medium. */
  readonly onRate?: ((kind: MediaKind, clockRateHz: number) => void) | undefined;
}

/** One medium: the relation of its timestamps to the arrival clock and to the sender's clock. */
class MediaLine {
  ticksPerMs: number;
  /** What the clock of the payload has. */
  nominalPerMs: number;
  rate: ClockRate;
  rateReported = false;
  /** The timestamps stand still: only the arrival tells the time. */
  standsStill = false;
  started = false;
  /** Unwrapped ticks of the last packet in line, as milliseconds, and its arrival. */
  lastTicks = 0;
  lastArrivalMs = 0;
  firstTicks = 0;
  startedAtMs = 0;
  /** Media-line milliseconds + offset = arrival time of a packet with the shortest delay. Slewed. */
  offsetMs = 0;
  slewedAtMs = 0;
  /** Highest result; survives resets. */
  outputMs = Number.NEGATIVE_INFINITY;
  /** Shortest transit per bucket, newest first. */
  readonly transits = new Float64Array(BUCKETS);
  bucketStartMs = 0;
  /** A line that disagrees: its transit, packets that agree with it, and since when. */
  jumpTransitMs = 0;
  jumpPackets = 0;
  jumpSinceMs = 0;
  /** NTP milliseconds = media-line milliseconds + this. */
  reportOffsetMs = 0;
  /** Reports in a row that agree, and the time of the last one minus its arrival. */
  reports = 0;
  reportClockMs = 0;
  /** A report contradicted the one before. */
  disputed = false;
  /** When the first alignment by reports must be done; NaN before it begins. */
  firstAlignmentEndMs = Number.NaN;
  /** The picture with the latest presentation since the line began, and the previous such one; NaN before the first. */
  peakTicks = Number.NaN;
  peakMs = 0;
  formerTicks = 0;
  formerMs = 0;

  constructor(clockRateHz: number) {
    this.ticksPerMs = clockRateHz / 1000;
    this.nominalPerMs = this.ticksPerMs;
    this.rate = new ClockRate(clockRateHz);
  }

  /**
   * Time of a picture that is shown before pictures sent earlier: interpolated between two of those.
   * The offset may have moved since; with a newer offset, the picture could change places with them.
   */
  placeMs(ticks: number, mediaMs: number): number {
    if (Number.isNaN(this.peakTicks) || ticks > this.peakTicks) {
      this.formerTicks = Number.isNaN(this.peakTicks) ? ticks : this.peakTicks;
      this.formerMs = this.outputMs;
      this.peakTicks = ticks;
      this.peakMs = Math.max(mediaMs, this.outputMs, 0);
      return this.peakMs;
    }
    if (ticks === this.peakTicks) return this.peakMs;
    const sinceFormer = ticks - this.formerTicks;
    if (sinceFormer <= 0) return this.formerMs + sinceFormer / this.ticksPerMs;
    const span = (this.peakMs - this.formerMs) / (this.peakTicks - this.formerTicks);
    return this.formerMs + sinceFormer * span;
  }

  /** The line's own milliseconds, from its first packet. Unwraps to the value nearest to the arrival time. */
  lineMs(rtpTimestamp: number, arrivalMs: number): number {
    return (this.unwrap(rtpTimestamp, arrivalMs) - this.firstTicks) / this.ticksPerMs;
  }

  unwrap(rtpTimestamp: number, arrivalMs: number): number {
    const expected = Math.round(
      this.lastTicks + (arrivalMs - this.lastArrivalMs) * this.ticksPerMs,
    );
    return expected + ((rtpTimestamp - expected) | 0);
  }

  get shortestTransitMs(): number {
    let shortest = this.transits[0]!;
    for (let index = 1; index < BUCKETS; index++) {
      if (this.transits[index]! < shortest) shortest = this.transits[index]!;
    }
    return shortest;
  }

  start(rtpTimestamp: number, arrivalMs: number): void {
    this.started = true;
    this.firstTicks = rtpTimestamp;
    this.lastTicks = rtpTimestamp;
    this.lastArrivalMs = arrivalMs;
    this.startedAtMs = arrivalMs;
    this.offsetMs = arrivalMs;
    this.slewedAtMs = arrivalMs;
    this.transits.fill(Number.POSITIVE_INFINITY);
    this.transits[0] = arrivalMs;
    this.bucketStartMs = arrivalMs;
    this.jumpPackets = 0;
    this.reports = 0;
    this.disputed = false;
    this.firstAlignmentEndMs = Number.NaN;
    this.peakTicks = Number.NaN;
  }

  noteTransit(transitMs: number, arrivalMs: number): void {
    if (arrivalMs - this.bucketStartMs >= BUCKET_MS) {
      const passed = Math.min(BUCKETS, Math.floor((arrivalMs - this.bucketStartMs) / BUCKET_MS));
      this.transits.copyWithin(passed, 0);
      this.transits.fill(Number.POSITIVE_INFINITY, 0, passed);
      this.bucketStartMs += BUCKET_MS * Math.floor((arrivalMs - this.bucketStartMs) / BUCKET_MS);
    }
    if (transitMs < this.transits[0]!) this.transits[0] = transitMs;
  }

  /** Moves the offset towards its target by no more than the time since the last move allows. */
  slew(targetMs: number, arrivalMs: number): void {
    const elapsedMs = arrivalMs - this.slewedAtMs;
    if (elapsedMs <= 0) return;
    this.slewedAtMs = arrivalMs;
    const isStart = arrivalMs - this.startedAtMs < START_MS;
    const isFirst = arrivalMs < this.firstAlignmentEndMs;
    const rate = isFirst ? FIRST_SLEW : isStart ? START_SLEW : SLEW;
    const limitMs = Math.min(elapsedMs, JUMP_MS) * rate;
    const movedMs = this.offsetMs + Math.max(-limitMs, Math.min(limitMs, targetMs - this.offsetMs));
    // A clock at the wrong speed outruns any slew: limit the distance from the arrivals.
    const shortestMs = this.shortestTransitMs;
    this.offsetMs = Math.max(shortestMs - MAX_SKEW_MS, Math.min(shortestMs + MAX_SKEW_MS, movedMs));
  }
}

/**
 * The common media time of a call. 0 is the arrival of the first packet of either medium. Audio follows the
 * shortest delay seen in the last ten seconds, so clock drift of the sender is followed; video does the same until
 * both media have a plausible sender report, and from then on keeps the distance to audio that the reports give. The first
 * alignment takes a second or so, later ones are slow.
 * Results are fractions of milliseconds; per medium those of `mediaTimeMs` never decrease.
 */
export class SyncClock {
  readonly #audio: MediaLine;
  readonly #video: MediaLine;
  readonly #onRate: SyncClockOptions['onRate'];
  #originMs = Number.NaN;

  constructor(options: SyncClockOptions = {}) {
    this.#audio = new MediaLine(options.audioClockRateHz ?? 8000);
    this.#video = new MediaLine(options.videoClockRateHz ?? 90_000);
    this.#onRate = options.onRate;
  }

  /** Arrival time of the first packet, where media time is 0; NaN before that. */
  get originMs(): number {
    return this.#originMs;
  }

  /** Media time of an instant on the arrival clock: 0 until the first packet of either medium. */
  mediaNowMs(nowMs: number): number {
    return Number.isNaN(this.#originMs) ? 0 : Math.max(0, nowMs - this.#originMs);
  }

  /**
   * Media time of a packet or frame. Call it in decoding order for each kind; `arrivalMs` is on the same clock for
   * both kinds and never decreases by much.
   */
  mediaTimeMs(kind: MediaKind, rtpTimestamp: number, arrivalMs: number): number {
    const mediaMs = this.#unclampedMs(kind, rtpTimestamp, arrivalMs);
    const line = kind === 'audio' ? this.#audio : this.#video;
    line.outputMs = Math.max(line.outputMs, mediaMs, 0);
    return line.outputMs;
  }

  /**
   * As `mediaTimeMs`, but for media whose frames are not sent in the order in which they are shown: the result goes
   * back with the timestamps, by at most a second behind the highest one, and never below 0. The same as
   * `mediaTimeMs` for a stream without reordering. Use one of the two for a kind, not both.
   */
  presentationTimeMs(kind: MediaKind, rtpTimestamp: number, arrivalMs: number): number {
    const mediaMs = this.#unclampedMs(kind, rtpTimestamp, arrivalMs);
    const line = kind === 'audio' ? this.#audio : this.#video;
    const highestMs = line.outputMs;
    const inLine = line.jumpPackets === 0 && !line.standsStill;
    const shownMs = inLine ? line.placeMs(line.lastTicks, mediaMs) : mediaMs;
    line.outputMs = Math.max(highestMs, shownMs, 0);
    const earliestMs = inLine ? line.outputMs - MAX_REORDER_MS : highestMs;
    return Math.max(shownMs, earliestMs, 0);
  }

  #unclampedMs(kind: MediaKind, rtpTimestamp: number, arrivalMs: number): number {
    const line = kind === 'audio' ? this.#audio : this.#video;
    if (Number.isNaN(this.#originMs)) this.#originMs = arrivalMs;
    if (!line.started) line.start(rtpTimestamp, arrivalMs);
    this.#watchRate(kind, rtpTimestamp, arrivalMs);
    if (line.standsStill) return arrivalMs - this.#originMs;
    const ticks = line.unwrap(rtpTimestamp, arrivalMs);
    const lineMs = (ticks - line.firstTicks) / line.ticksPerMs;
    const transitMs = arrivalMs - lineMs;
    // Compared with the arrivals, not the offset, which reports may have moved far.
    if (Math.abs(transitMs - line.shortestTransitMs) > JUMP_MS) {
      return this.#mediaTimeOfJump(line, rtpTimestamp, transitMs, arrivalMs);
    }
    line.jumpPackets = 0;
    line.lastTicks = ticks;
    line.lastArrivalMs = arrivalMs;
    line.noteTransit(transitMs, arrivalMs);
    line.slew(this.#targetMs(line), arrivalMs);
    return lineMs + line.offsetMs - this.#originMs;
  }

  /** Seen in: old phones, whose video timestamps run too fast, on a clock of 9 kHz, or not at all. */
  #watchRate(kind: MediaKind, rtpTimestamp: number, arrivalMs: number): void {
    const line = kind === 'audio' ? this.#audio : this.#video;
    const assumed = line.standsStill ? 0 : line.ticksPerMs / line.nominalPerMs;
    const rate = line.rate.push(rtpTimestamp, arrivalMs, assumed);
    if (rate === undefined) return;
    line.standsStill = rate === 0;
    if (rate > 0) line.ticksPerMs = line.nominalPerMs * rate;
    line.start(rtpTimestamp, arrivalMs);
    if (line.rateReported) return;
    line.rateReported = true;
    this.#onRate?.(kind, line.nominalPerMs * rate * 1000);
  }

  /** Takes a sender report; implausible ones, and those before the first packet, change nothing. */
  onSenderReport(
    kind: MediaKind,
    report: Pick<SenderReport, 'ntpSeconds' | 'ntpFraction' | 'rtpTimestamp'>,
    arrivalMs: number,
  ): void {
    const line = kind === 'audio' ? this.#audio : this.#video;
    const senderMs = ntpMs(report);
    // RFC 3550 §6.4.1: a sender without a clock sets 0.
    if (!line.started || senderMs === 0) return;
    const lineMs = line.lineMs(report.rtpTimestamp, arrivalMs);
    if (Math.abs(lineMs + line.offsetMs - arrivalMs) > REPORT_AGE_MS) {
      line.reports = 0;
      line.disputed = true;
      return;
    }
    const offsetMs = senderMs - lineMs;
    const agrees = Math.abs(offsetMs - line.reportOffsetMs) <= REPORT_STABLE_MS;
    if (line.reports > 0 && !agrees) line.disputed = true;
    line.reports = line.reports > 0 && agrees ? line.reports + 1 : 1;
    line.reportOffsetMs = offsetMs;
    line.reportClockMs = senderMs - arrivalMs;
    if (Number.isNaN(this.#video.firstAlignmentEndMs) && this.#videoTargetByReports() !== undefined)
      this.#video.firstAlignmentEndMs = arrivalMs + FIRST_ALIGNMENT_MS;
  }

  /**
   * How much later than audio the video is currently stamped, compared with the sender's reports; null
   * until both media have plausible reports. Milliseconds, near 0 once aligned.
   */
  get skewMs(): number | null {
    const targetMs = this.#videoTargetByReports();
    return targetMs === undefined ? null : this.#video.offsetMs - targetMs;
  }

  /** Restarts a medium at its next packet, after a change of SSRC. Its media time continues from where it is. */
  reset(kind: MediaKind): void {
    const line = kind === 'audio' ? this.#audio : this.#video;
    line.started = false;
    line.reports = 0;
  }

  /** Like `reset`, for timestamps that continue in another clock: another codec. */
  setClockRate(kind: MediaKind, clockRateHz: number): void {
    const line = kind === 'audio' ? this.#audio : this.#video;
    line.ticksPerMs = clockRateHz / 1000;
    line.nominalPerMs = line.ticksPerMs;
    line.standsStill = false;
    line.rate = new ClockRate(clockRateHz);
    this.reset(kind);
  }

  /** Where the offset should go. */
  #targetMs(line: MediaLine): number {
    if (line === this.#video) {
      const byReports = this.#videoTargetByReports();
      if (byReports !== undefined) return byReports;
    }
    const shortestMs = line.shortestTransitMs;
    // A shorter delay than assumed is a fact; a longer one may be chance.
    const errorMs = shortestMs - line.offsetMs;
    const deadBandMs = line.slewedAtMs - line.startedAtMs < START_MS ? 0 : ARRIVAL_DEAD_BAND_MS;
    return Math.abs(errorMs) <= deadBandMs ? line.offsetMs : shortestMs;
  }

  get #reportsSuffice(): boolean {
    const audio = this.#audio;
    const video = this.#video;
    if (audio.reports >= REPORTS_NEEDED && video.reports >= REPORTS_NEEDED) return true;
    if (audio.reports === 0 || video.reports === 0 || audio.disputed || video.disputed)
      return false;
    return Math.abs(audio.reportClockMs - video.reportClockMs) <= SAME_CLOCK_MS;
  }

  #videoTargetByReports(): number | undefined {
    const audio = this.#audio;
    const video = this.#video;
    if (!audio.started || !video.started || audio.standsStill || video.standsStill)
      return undefined;
    if (!this.#reportsSuffice) return undefined;
    const targetMs = video.reportOffsetMs - audio.reportOffsetMs + audio.offsetMs;
    return Math.abs(targetMs - video.shortestTransitMs) <= MAX_SKEW_MS ? targetMs : undefined;
  }

  /** A packet off the line: timed by its arrival, and followed when others confirm it. */
  #mediaTimeOfJump(
    line: MediaLine,
    rtpTimestamp: number,
    transitMs: number,
    arrivalMs: number,
  ): number {
    const agrees = line.jumpPackets > 0 && Math.abs(transitMs - line.jumpTransitMs) <= JUMP_MS / 2;
    if (!agrees) line.jumpSinceMs = arrivalMs;
    line.jumpPackets = agrees ? line.jumpPackets + 1 : 1;
    line.jumpTransitMs = transitMs;
    const heldMs = arrivalMs - line.jumpSinceMs;
    const backward = transitMs > line.shortestTransitMs;
    if (line.jumpPackets >= JUMP_PACKETS && (!backward || heldMs >= BACKWARD_HOLD_MS)) {
      line.start(rtpTimestamp, arrivalMs);
    }
    return arrivalMs - this.#originMs;
  }
}
