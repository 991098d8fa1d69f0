// What every RTCP compound of ours begins with, when the next one is due, and what the peer's reports of our packets say
// (RFC 3550 §6).

import type { ReceptionStats } from './reception-stats.ts';
import { type ReportBlock, roundTripMs, type RtcpPacket, unixToNtp } from './rtcp.ts';

/** RFC 3550 §6.3.1: mean of five seconds, spread over 0.5–1.5 of it, divided by e − 3/2. */
const INTERVAL_MS = 5000;
const COMPENSATION = Math.E - 1.5;

/** What is told of the RTP that we send. */
export interface SentRtp {
  readonly packetCount: number;
  readonly octetCount: number;
  /** Timestamp of a packet that would be sent now. */
  rtpTimestampAt(nowMs: number): number;
}

/** Who we are, and the clocks. */
export interface RtcpReportsOptions {
  /** u32. */
  readonly ssrc: number;
  readonly cname: string;
  /** Unix milliseconds. */
  readonly wallClock: () => number;
  /** Uniform in [0, 1). */
  readonly random: () => number;
}

/** Reports of one RTP session. */
export class RtcpReports {
  readonly #options: RtcpReportsOptions;
  readonly #reception: ReceptionStats;
  readonly #sent: SentRtp;
  #dueMs = Number.POSITIVE_INFINITY;
  #reportedPackets = 0;
  #roundTripMs: number | undefined;

  constructor(options: RtcpReportsOptions, reception: ReceptionStats, sent: SentRtp) {
    this.#options = options;
    this.#reception = reception;
    this.#sent = sent;
  }

  /** By the peer's reports of what we send, smoothed; undefined while unknown. */
  get roundTripMs(): number | undefined {
    return this.#roundTripMs;
  }

  /** The first is due soon, so that the peer sees that we are there; then at the interval of the RFC. */
  start(nowMs: number): void {
    this.#dueMs = nowMs + 500 + this.#options.random() * 500;
  }

  /** Whether reports are due; if so, the next are due an interval later. Never before {@link start}. */
  takeDue(nowMs: number): boolean {
    if (nowMs < this.#dueMs) return false;
    const spread = (0.5 + this.#options.random()) / COMPENSATION;
    this.#dueMs = nowMs + INTERVAL_MS * spread;
    return true;
  }

  /** Every compound begins so: SR when we sent RTP since the last report, else RR; then who we are. */
  compose(nowMs: number): RtcpPacket[] {
    const { ssrc, cname, wallClock } = this.#options;
    const block = this.#reception.reportBlock(nowMs);
    const reports = block === undefined ? [] : [block];
    const { packetCount, octetCount } = this.#sent;
    const hasSent = packetCount > this.#reportedPackets;
    this.#reportedPackets = packetCount;
    const description: RtcpPacket = { type: 'sdes', chunks: [{ ssrc, cname }] };
    if (!hasSent) return [{ type: 'rr', ssrc, reports }, description];
    const rtpTimestamp = this.#sent.rtpTimestampAt(nowMs);
    const ntp = unixToNtp(wallClock());
    return [
      { type: 'sr', ssrc, ...ntp, rtpTimestamp, packetCount, octetCount, reports },
      description,
    ];
  }

  /** Report blocks of the peer: the round trip is learnt from the one of our SSRC (RFC 3550 §6.4.1). */
  onReportBlocks(reports: readonly ReportBlock[]): void {
    const { ssrc, wallClock } = this.#options;
    const report = reports.find((block) => block.ssrc === ssrc);
    const tripMs = report && roundTripMs(report, wallClock());
    if (tripMs === undefined) return;
    const before = this.#roundTripMs;
    this.#roundTripMs = before === undefined ? tripMs : before + (tripMs - before) / 4;
  }
}
