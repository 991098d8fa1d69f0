// What one medium exchanges by RTCP (RFC 3550 §6, RFC 4585, RFC 5104): reports in both directions, our requests for
// key frames and lost packets, and the peer's requests for key frames.

import { KeyFrameRequester, type KeyFrameStats } from './key-frame-requester.ts';
import type { PeerSockets } from './peer-sockets.ts';
import type { ReceptionStats } from './reception-stats.ts';
import { RtcpReports, type RtcpReportsOptions, type SentRtp } from './rtcp-reports.ts';
import type { Nack, RtcpPacket, SenderReport } from './rtcp.ts';
import type { RtpRemote } from './rtp-remote.ts';

/** What an RTCP session works with. */
export interface RtcpSessionDeps {
  readonly sockets: PeerSockets;
  /** Statistics of the RTP that we receive. */
  readonly reception: ReceptionStats;
  /** Statistics of the RTP that we send. */
  readonly sent: SentRtp;
}

/** What an RTCP session reports, synchronously. Handlers must not throw. */
export interface RtcpSessionHandler {
  /** A sender report about the received stream. */
  onSenderReport?(report: SenderReport, arrivalMs: number): void;
  /** RTCP BYE of the stream. Only a hint: it can be forged, and must not end a call by itself. */
  onBye?(): void;
  /** The peer requests a key frame from us, by PLI or FIR. */
  onKeyFrameRequest(nowMs: number): void;
  /** A key frame should be requested by SIP INFO, which the call sends. */
  onKeyFrameByInfo?(): void;
  /** A key frame should be requested by a re-INVITE that changes nothing. */
  onKeyFrameByReinvite?(): void;
}

/** Has no timer: call `tick`. */
export class RtcpSession {
  readonly #ssrc: number;
  readonly #sockets: PeerSockets;
  readonly #reception: ReceptionStats;
  readonly #handler: RtcpSessionHandler;
  readonly #reports: RtcpReports;
  readonly #keyFrames = new KeyFrameRequester({ methods: [] });
  #remote: RtpRemote | undefined;
  #datagrams = 0;
  #lastMs: number | null = null;
  #firNumber = 0;
  #nacksSent = 0;

  constructor(options: RtcpReportsOptions, deps: RtcpSessionDeps, handler: RtcpSessionHandler) {
    this.#ssrc = options.ssrc;
    this.#sockets = deps.sockets;
    this.#reception = deps.reception;
    this.#handler = handler;
    this.#reports = new RtcpReports(options, deps.reception, deps.sent);
  }

  /** Datagrams received from the peer. */
  get datagrams(): number {
    return this.#datagrams;
  }

  /** Monotonic milliseconds of the last one, or null. */
  get lastMs(): number | null {
    return this.#lastMs;
  }

  /** From the peer's reports about our packets, smoothed; undefined while unknown. */
  get roundTripMs(): number | undefined {
    return this.#reports.roundTripMs;
  }

  /** RTCP NACKs sent. */
  get nacksSent(): number {
    return this.#nacksSent;
  }

  get keyFrameStats(): KeyFrameStats {
    return this.#keyFrames.stats;
  }

  /** See {@link KeyFrameRequester.requestEveryMs}. */
  set requestEveryMs(everyMs: number | undefined) {
    this.#keyFrames.requestEveryMs = everyMs;
  }

  /** Sets the peer of the answer. */
  use(remote: RtpRemote): void {
    this.#remote = remote;
    const byInfo = this.#handler.onKeyFrameByInfo !== undefined;
    this.#keyFrames.use(
      remote.keyFrameMethods ?? (byInfo ? ['pli', 'fir', 'info'] : ['pli', 'fir']),
    );
  }

  /** Starts the reports. */
  start(nowMs: number): void {
    this.#reports.start(nowMs);
  }

  /**
   * Takes the packets of one datagram from the peer.
   * @returns whether they contain a sender report about the received stream.
   */
  receive(packets: readonly RtcpPacket[], arrivalMs: number): boolean {
    this.#datagrams++;
    this.#lastMs = arrivalMs;
    const mediaSsrc = this.#reception.ssrc;
    let hasReport = false;
    for (const packet of packets) {
      switch (packet.type) {
        case 'sr':
          if (packet.ssrc === mediaSsrc) {
            hasReport = true;
            this.#reception.onSenderReport(packet, arrivalMs);
            this.#handler.onSenderReport?.(packet, arrivalMs);
          }
          this.#reports.onReportBlocks(packet.reports);
          break;
        case 'rr':
          this.#reports.onReportBlocks(packet.reports);
          break;
        case 'bye':
          if (mediaSsrc !== undefined && packet.ssrcs.includes(mediaSsrc)) this.#handler.onBye?.();
          break;
        case 'pli':
          if (packet.mediaSsrc === this.#ssrc) this.#handler.onKeyFrameRequest(arrivalMs);
          break;
        case 'fir':
          if (packet.entries.some(({ ssrc }) => ssrc === this.#ssrc))
            this.#handler.onKeyFrameRequest(arrivalMs);
          break;
        case 'sdes':
        case 'app':
        case 'nack':
        case 'other':
          break;
      }
    }
    return hasReport;
  }

  /** Sends the reports that are due. */
  tick(nowMs: number): void {
    if (this.#reports.takeDue(nowMs) && this.#sockets.canSendRtcp)
      this.#sockets.sendRtcp(this.#reports.compose(nowMs));
  }

  /** A key frame is needed: `pollKeyFrame` requests it until `keyFrameArrived`. */
  requestKeyFrame(nowMs: number): void {
    this.#keyFrames.request(nowMs);
  }

  /** A key frame arrived, requested or not: stops the requests. */
  keyFrameArrived(nowMs: number): void {
    this.#keyFrames.onKeyFrame(nowMs);
  }

  /** Requests a key frame if one is wanted and a request is due. @param isFlowing - Packets are arriving. */
  pollKeyFrame(nowMs: number, isFlowing: boolean): void {
    // A request needs the SSRC of the stream, which is unknown before the first packet.
    const mediaSsrc = this.#reception.ssrc;
    if (mediaSsrc === undefined) return;
    if (this.#remote?.sends === false || !this.#sockets.canSendRtcp) return;
    const method = this.#keyFrames.poll(nowMs, isFlowing);
    const senderSsrc = this.#ssrc;
    if (method === 'info') {
      this.#handler.onKeyFrameByInfo?.();
    } else if (method === 'reinvite') {
      this.#handler.onKeyFrameByReinvite?.();
    } else if (method === 'pli') {
      this.#send({ type: 'pli', senderSsrc, mediaSsrc }, nowMs);
    } else if (method === 'fir') {
      // RFC 5104 §4.3.1.1: the sequence number grows with each new command.
      const entry = { ssrc: mediaSsrc, sequenceNumber: this.#firNumber++ & 0xff };
      this.#send({ type: 'fir', senderSsrc, entries: [entry] }, nowMs);
    }
  }

  /** Requests lost packets; does nothing unless the peer negotiated NACK. */
  sendNack(lost: Nack['lost'], nowMs: number): void {
    const mediaSsrc = this.#reception.ssrc;
    if (this.#remote?.nack !== true || mediaSsrc === undefined || !this.#sockets.canSendRtcp)
      return;
    this.#nacksSent++;
    this.#send({ type: 'nack', senderSsrc: this.#ssrc, mediaSsrc, lost }, nowMs);
  }

  /** The last compound: reports and BYE. */
  farewell(nowMs: number): readonly RtcpPacket[] {
    return [...this.#reports.compose(nowMs), { type: 'bye', ssrcs: [this.#ssrc] }];
  }

  #send(packet: RtcpPacket, nowMs: number): void {
    this.#sockets.sendRtcp([...this.#reports.compose(nowMs), packet]);
  }
}
