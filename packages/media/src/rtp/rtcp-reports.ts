// The reports at the start of each RTCP compound that we send, when they are due, and the round trip from the peer's reports
// (RFC 3550 §6).

import type { ReceptionStats } from './reception-stats.ts';
import { type ReportBlock, roundTripMs, type RtcpPacket, unixToNtp } from './rtcp.ts';

/** RFC 3550 §6.3.1: mean of five seconds, spread over 0.5–1.5 of it, divided by e − 3/2. */
const INTERVAL_MS = 5000;
const COMPENSATION = Math.E - 1.5;

/** Figures about the RTP that we send, for sender reports. */
export interface SentRtp {
  readonly packetCount: number;
  readonly octetCount: number;
  /** RTP timestamp of a packet sent at this time. */
  rtpTimestampAt(nowMs: number): number;
}

/** Our identity, and the clocks. */
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

  /** From the peer's reports about our packets, smoothed; undefined while unknown. */
  get roundTripMs(): number | undefined {
    return this.#roundTripMs;
  }

  /** The first report is due soon, so that the peer sees us; the following at the interval of the RFC. */
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

  /** The start of a compound: SR if we have sent RTP since the last report, else RR; then SDES. */
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

  /** Takes report blocks of the peer: the one about our SSRC gives the round trip (RFC 3550 §6.4.1). */
  onReportBlocks(reports: readonly ReportBlock[]): void {
    const { ssrc, wallClock } = this.#options;
    const report = reports.find((block) => block.ssrc === ssrc);
    const tripMs = report && roundTripMs(report, wallClock());
    if (tripMs === undefined) return;
    const before = this.#roundTripMs;
    this.#roundTripMs = before === undefined ? tripMs : before + (tripMs - before) / 4;
  }
}
