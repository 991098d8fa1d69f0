// What an RTP session is given and what it tells: options, peer, handler, counters.

import { isIP } from 'node:net';
import type { BlackVideoLine } from './black-video.ts';
import type { RtpCodec } from './depacketizer.ts';
import type { MediaKind, RtpPacket } from '../codec/frame.ts';
import type { KeyFrameMethod, KeyFrameStats } from './key-frame-requester.ts';
import type { AudioLine } from './audio-packetizer.ts';
import type { PortPool } from './port-pool.ts';
import type { SenderReport } from './rtcp.ts';
import { requireSrtpKeys, type SrtpKeys } from './srtp.ts';
import type { TickSource } from '../ticker.ts';
import { invalid, normalAddress, requirePort } from './udp-socket.ts';

/** What the session tells its owner, synchronously. Handlers must not throw. */
export interface RtpSessionHandler {
  /** Each packet from the peer with a negotiated payload type, in order of arrival. The hot path. */
  onPacket(packet: RtpPacket): void;
  /** RTP comes before `start`: early media, or a peer that sends as soon as it answers. Once. */
  onEarly?(): void;
  /** A sender report of the stream that is being received. */
  onSenderReport?(report: SenderReport, arrivalMs: number): void;
  /** RTCP BYE of the stream. A hint only: it can be forged, and never ends a call by itself. */
  onBye?(): void;
  /** Every 20 ms from `start` to `close`: expire the jitter buffer, fill the audio timeline. */
  onTick?(nowMs: number): void;
  /** The ladder asks for a key frame by SIP INFO, which is not ours to send. */
  onKeyFrameByInfo?(): void;
  /** The same by a re-INVITE that changes nothing. */
  onKeyFrameByReinvite?(): void;
  /** Media comes from another address than the SDP's (see {@link SourceLatch}). Once. */
  onLatched?(address: string, port: number): void;
  /** The peer asks for a key frame of ours, by PLI or FIR; {@link RtpRemote.sendVideo} answers by itself. */
  onKeyFrameRequest?(): void;
  /** Bad input, each time; it is counted already. */
  onFault?(fault: string, address: string, port: number, datagram: Uint8Array): void;
}

/** Options of {@link openRtpSession}. */
export interface RtpSessionOptions {
  readonly kind: MediaKind;
  readonly ports: PortPool;
  /** The beat for sending and reports; share one between all sessions. */
  readonly ticker: TickSource;
  /** u32, as in the offer. */
  readonly ssrc: number;
  /** As in the offer; at most 255 octets. */
  readonly cname: string;
  /** Local IP address to bind. Default `0.0.0.0`. */
  readonly bindAddress?: string;
  /**
   * Packets kept that come before `start`, the newest, and at most one second of them: some peers send as soon as they
   * answer. 0–4096, default 256.
   */
  readonly earlyPackets?: number;
  /** How long the SDP's address must be silent before another source is latched. Default 500; Infinity: never. */
  readonly latchAfterMs?: number;
  /** May RTP and RTCP be sent to this address? Where not, nothing is, and such a source is not latched on. Default: to all. */
  readonly maySendTo?: (address: string) => boolean;
  /** Monotonic milliseconds; the same clock as the ticker's. Default `performance.now()`. */
  readonly now?: () => number;
  /** Unix milliseconds, for sender reports. Default `Date.now()`. */
  readonly wallClock?: () => number;
  /** Uniform in [0, 1). Default `Math.random`. */
  readonly random?: () => number;
}

/** The peer, as its answer says. */
export interface RtpRemote {
  /** IP address. `0.0.0.0` or `::`: on hold, nothing is sent. */
  readonly address: string;
  readonly port: number;
  /** Default: `address`. */
  readonly rtcpAddress?: string;
  /** Default: `port + 1`. */
  readonly rtcpPort?: number;
  /** What may come; everything else is counted and dropped. Comfort noise (13) needs no entry. */
  readonly payloadTypes: ReadonlyMap<number, RtpCodec>;
  /** Audio that we send. Default: RTCP only, and keep-alives until the peer's first packet. */
  readonly send?: AudioLine;
  /** Black pictures that we send. Default: as of `send`. */
  readonly sendVideo?: BlackVideoLine;
  /**
   * Without media of ours, an empty RTP packet opens the way through a NAT and shows our address to a border
   * controller, until media comes. Default true.
   */
  readonly keepAlive?: boolean;
  /** How to ask for key frames, first choice first. Default PLI, FIR, and INFO where the handler sends it. */
  readonly keyFrameMethods?: readonly KeyFrameMethod[];
  /** The peer sends media: false while it holds the call. Then no key frame is asked for. Default true. */
  readonly sends?: boolean;
  /** Keys of SRTP and SRTCP; nothing unprotected is let through then. Default: RTP in the clear. */
  readonly srtp?: SrtpKeys;
  /** The peer negotiated generic NACK. Default false. */
  readonly nack?: boolean;
  /** Where the peer's signalling comes from: media behind a NAT is expected from there (see {@link SourceLatch}). */
  readonly signallingAddress?: string;
}

/** A snapshot. Counts are since the session was opened. */
export interface RtpSessionStats {
  /** RTP packets accepted. */
  readonly packets: number;
  /** Their octets, RTP headers included. */
  readonly bytes: number;
  /** Sequence numbers that never came. */
  readonly lost: number;
  /** RFC 3550 interarrival jitter. */
  readonly jitterMs: number;
  readonly reordered: number;
  readonly duplicates: number;
  /** Monotonic milliseconds of the last accepted RTP packet, or null. */
  readonly lastRtpMs: number | null;
  /** RTCP datagrams of the peer. */
  readonly rtcpPackets: number;
  /** Monotonic milliseconds of the last one, or null. */
  readonly lastRtcpMs: number | null;
  /** By the peer's reports of what we send, smoothed; null while unknown. */
  readonly roundTripMs: number | null;
  /** Datagrams from other sources than the peer, and STUN messages: dropped. */
  readonly foreign: number;
  /** Bad input by name of the fault. */
  readonly faults: Readonly<Record<string, number>>;
  readonly keyFrames: KeyFrameStats;
  /** RTCP NACKs sent. */
  readonly nacksSent: number;
  /** RTP packets of ours, keep-alives included. */
  readonly packetsSent: number;
}

/** @throws MediaError INVALID_ARGUMENT naming the field that {@link openRtpSession} refuses. */
export function requireRtpSessionOptions(options: RtpSessionOptions): void {
  const { bindAddress = '0.0.0.0', ssrc, cname, earlyPackets = 256, latchAfterMs = 500 } = options;
  if (isIP(bindAddress) === 0) throw invalid('bindAddress', 'must be an IP address');
  if (!(Number.isInteger(ssrc) && ssrc >= 0 && ssrc < 2 ** 32))
    throw invalid('ssrc', 'must be a u32');
  if (cname === '' || Buffer.byteLength(cname) > 255) {
    throw invalid('cname', 'must have 1–255 octets');
  }
  if (!(earlyPackets >= 0 && earlyPackets <= 4096)) throw invalid('earlyPackets', 'must be 0–4096');
  if (!(latchAfterMs >= 0)) throw invalid('latchAfterMs', 'must be 0 or more');
}

/** @throws MediaError INVALID_ARGUMENT naming the field that `RtpSession.start` would refuse. */
export function requireRemote(remote: RtpRemote): void {
  const { address, port, rtcpAddress, rtcpPort, payloadTypes, sendVideo } = remote;
  normalAddress('address', address);
  if (rtcpAddress !== undefined) normalAddress('rtcpAddress', rtcpAddress);
  requirePort('port', port);
  if (rtcpPort !== undefined) requirePort('rtcpPort', rtcpPort);
  for (const payloadType of payloadTypes.keys()) {
    if (!(payloadType >= 0 && payloadType <= 127)) {
      throw invalid('payloadTypes', 'must have keys 0–127');
    }
  }
  if (remote.srtp !== undefined) requireSrtpKeys(remote.srtp);
  if (sendVideo === undefined) return;
  const { payloadType, intervalMs = 500 } = sendVideo;
  if (!(Number.isInteger(payloadType) && payloadType >= 0 && payloadType <= 127)) {
    throw invalid('sendVideo.payloadType', 'must be 0–127');
  }
  if (!(intervalMs >= 100 && intervalMs <= 5000)) {
    throw invalid('sendVideo.intervalMs', 'must be 100–5000');
  }
}
