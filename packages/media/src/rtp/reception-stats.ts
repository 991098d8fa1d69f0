// What a receiver knows about one source: loss, jitter, and the report block with both. RFC 3550 §6.4.1, A.1, A.3, A.8.

import type { RtpPacket } from '../codec/frame.ts';
import type { ReportBlock, SenderReport } from './rtcp.ts';

const HISTORY = 256;
/** RFC 3550 A.1: a jump forward by this much or more is a restart. */
const MAX_DROPOUT = 3000;
/** RFC 3550 A.1: up to this far back, a packet is late, not a restart. */
const MAX_MISORDER = 100;
const MIN_SEQUENTIAL = 2;

/**
 * Reception of one RTP stream. A new SSRC or sequence is accepted with its second consecutive packet, as in the
 * {@link JitterBuffer}, so that strays do not spoil the report.
 */
export class ReceptionStats {
  readonly #clockRateHz: number;
  readonly #seen = new Float64Array(HISTORY).fill(-1);
  #started = false;
  #expected = true;
  /** The next packet is a new base: what is missing before it was not to be received. */
  #moves = false;
  #ssrc = 0;
  #highest = 0;
  #cycles = 0;
  #first = 0;
  #received = 0;
  #expectedPrior = 0;
  #receivedPrior = 0;
  #transit = 0;
  #jitterTicks = 0;
  #candidateSsrc = 0;
  #candidateNext = -1;
  #candidateRun = 0;
  #reordered = 0;
  #duplicates = 0;
  #priorLost = 0;
  #senderReportMiddle = 0;
  #senderReportMs = 0;

  /** @param clockRateHz of the payload, for the jitter. */
  constructor(clockRateHz: number) {
    this.#clockRateHz = clockRateHz;
  }

  /** SSRC of the stream that is followed; undefined before the first packet. */
  get ssrc(): number | undefined {
    return this.#started ? this.#ssrc : undefined;
  }

  /** Packets that never arrived, over all SSRCs; never negative. */
  get lost(): number {
    return this.#priorLost + this.#lostNow();
  }

  /** RFC 3550 interarrival jitter in milliseconds. */
  get jitterMs(): number {
    return (this.#jitterTicks * 1000) / this.#clockRateHz;
  }

  /** Packets that arrived after one sent later. */
  get reordered(): number {
    return this.#reordered;
  }

  /** Packets that arrived more than once. */
  get duplicates(): number {
    return this.#duplicates;
  }

  /**
   * Takes each packet as it arrives, before any reordering.
   * @param isMedia - False for a packet whose timestamp may have another clock: it has no part in the jitter.
   */
  push(packet: RtpPacket, isMedia = true): void {
    if (!this.#started || (this.#moves && packet.ssrc === this.#ssrc)) {
      this.#moves = !this.#expected;
      this.#begin(packet);
    } else if (packet.ssrc !== this.#ssrc) {
      if (!this.#confirmed(packet)) return;
      this.#begin(packet);
    } else {
      const ahead = (packet.sequenceNumber - this.#highest) & 0xffff;
      if (ahead === 0) {
        this.#duplicates++;
        return;
      }
      if (ahead < MAX_DROPOUT) {
        if (packet.sequenceNumber < this.#highest) this.#cycles += 65536;
        this.#highest = packet.sequenceNumber;
      } else if (ahead <= 65536 - MAX_MISORDER) {
        if (!this.#confirmed(packet)) return;
        this.#begin(packet);
      } else {
        this.#pushBehind(packet);
        return;
      }
    }
    this.#remember(this.#cycles + packet.sequenceNumber);
    this.#received++;
    if (isMedia) this.#measureJitter(packet);
  }

  /**
   * Sets whether the stream is to be received: not while either side holds it. What is missing meanwhile is no loss, although the
   * sequence may run on.
   */
  expect(expected: boolean): void {
    if (expected === this.#expected) return;
    this.#expected = expected;
    this.#moves = true;
  }

  /** Remembers a sender report for the LSR and DLSR fields. */
  onSenderReport(report: SenderReport, arrivalMs: number): void {
    this.#senderReportMiddle =
      (((report.ntpSeconds & 0xffff) << 16) | (report.ntpFraction >>> 16)) >>> 0;
    this.#senderReportMs = arrivalMs;
  }

  /** The block for our next report, or undefined before the first packet. Starts a new interval for the fraction lost. */
  reportBlock(nowMs: number): ReportBlock | undefined {
    if (!this.#started) return undefined;
    const highest = this.#cycles + this.#highest;
    const expected = highest - this.#first + 1;
    const expectedInterval = expected - this.#expectedPrior;
    const lostInterval = expectedInterval - (this.#received - this.#receivedPrior);
    this.#expectedPrior = expected;
    this.#receivedPrior = this.#received;
    const cumulative = expected - this.#received;
    return {
      ssrc: this.#ssrc,
      fractionLost:
        expectedInterval <= 0 || lostInterval <= 0
          ? 0
          : Math.min(255, Math.floor((lostInterval * 256) / expectedInterval)),
      cumulativeLost: Math.max(-0x800000, Math.min(0x7fffff, cumulative)),
      extendedHighestSequenceNumber: highest >>> 0,
      jitter: Math.floor(this.#jitterTicks) >>> 0,
      lastSenderReport: this.#senderReportMiddle,
      delaySinceLastSenderReport:
        this.#senderReportMiddle === 0
          ? 0
          : Math.min(0xffffffff, Math.round((nowMs - this.#senderReportMs) * 65.536)) >>> 0,
    };
  }

  #lostNow(): number {
    return this.#started
      ? Math.max(0, this.#cycles + this.#highest - this.#first + 1 - this.#received)
      : 0;
  }

  #begin(packet: RtpPacket): void {
    this.#priorLost += this.#lostNow();
    this.#started = true;
    if (packet.ssrc !== this.#ssrc) this.#senderReportMiddle = 0;
    this.#ssrc = packet.ssrc;
    this.#highest = packet.sequenceNumber;
    this.#first = packet.sequenceNumber;
    this.#cycles = 0;
    this.#received = 0;
    this.#expectedPrior = 0;
    this.#receivedPrior = 0;
    this.#seen.fill(-1);
    this.#transit = Number.NaN;
    this.#candidateRun = 0;
  }

  #confirmed(packet: RtpPacket): boolean {
    const follows =
      this.#candidateRun > 0 &&
      packet.ssrc === this.#candidateSsrc &&
      packet.sequenceNumber === this.#candidateNext;
    this.#candidateRun = follows ? this.#candidateRun + 1 : 1;
    this.#candidateSsrc = packet.ssrc;
    this.#candidateNext = (packet.sequenceNumber + 1) & 0xffff;
    return this.#candidateRun >= MIN_SEQUENTIAL;
  }

  #pushBehind(packet: RtpPacket): void {
    const cycles = packet.sequenceNumber > this.#highest ? this.#cycles - 65536 : this.#cycles;
    const extended = cycles + packet.sequenceNumber;
    if (this.#seen[extended & (HISTORY - 1)] === extended) {
      this.#duplicates++;
      return;
    }
    this.#reordered++;
    // Before the first one: not expected, so not counted as received either.
    if (extended < this.#first) return;
    this.#remember(extended);
    this.#received++;
  }

  #remember(extended: number): void {
    this.#seen[extended & (HISTORY - 1)] = extended;
  }

  #measureJitter(packet: RtpPacket): void {
    // RFC 3550 A.8, in ticks as floating point; differences are taken on the 32-bit circle.
    const arrivalTicks = (packet.arrivalMs * this.#clockRateHz) / 1000;
    const transit = arrivalTicks - packet.rtpTimestamp;
    if (!Number.isNaN(this.#transit)) {
      let difference = (transit - this.#transit) % 2 ** 32;
      if (difference > 2 ** 31) difference -= 2 ** 32;
      else if (difference < -(2 ** 31)) difference += 2 ** 32;
      difference = Math.abs(difference);
      // A timestamp jump says nothing about the network.
      if (difference < this.#clockRateHz * 10) {
        this.#jitterTicks += (difference - this.#jitterTicks) / 16;
      }
    }
    this.#transit = transit;
  }
}
