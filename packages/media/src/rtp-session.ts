// One medium of a call on the network: an RTP/RTCP socket pair, who may send to it, reports, key-frame requests, our
// own silence and digits. RFC 3550, 4585, 5104, 4733. The only part of the receiving path with sockets.

import type { Socket } from 'node:dgram';
import { isIP } from 'node:net';
import type { RtpCodec } from './depacketizer.ts';
import { type DtmfOptions, DtmfSequence } from './dtmf.ts';
import { MediaError } from './errors.ts';
import type { MediaKind, RtpPacket } from './frame.ts';
import { type KeyFrameMethod, KeyFrameRequester } from './key-frame-requester.ts';
import { type AudioLine, AudioPacketizer } from './packetizer-audio.ts';
import type { PortPool } from './port-pool.ts';
import { ReceptionStats } from './reception-stats.ts';
import { decodeRtcp, encodeRtcp, type RtcpPacket, type SenderReport, unixToNtp } from './rtcp.ts';
import { decodeRtp, isRtcp } from './rtp.ts';
import { SourceLatch } from './source-latch.ts';
import {
  bindSocket,
  closeSocket,
  invalid,
  isUnspecified,
  normalAddress,
  requirePort,
} from './udp-socket.ts';
import type { TickSource } from './ticker.ts';

const STEP_MS = 20;
/** After a stall of the process, at most so many steps of audio are sent late. */
const MAX_LATE_STEPS = 5;
/** RFC 3550 §6.3.1: mean of five seconds, spread over 0.5–1.5 of it, divided by e − 3/2. */
const RTCP_INTERVAL_MS = 5000;
const RTCP_COMPENSATION = Math.E - 1.5;
/** A peer may send 5,000 packets a second (some 50 Mbit/s), and so many at once. The rest is dropped unread. */
const PACKETS_PER_MS = 5;
const MAX_BURST_PACKETS = 2000;
/** Octets held of packets that come before `start`, the oldest given up for the newest. */
const MAX_EARLY_BYTES = 2 * 1024 * 1024;
/** What came before `start` by more than this is early media, not the beginning of the call. */
const MAX_EARLY_MS = 1000;

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
  /** Media comes from another address than the SDP's (see {@link SourceLatch}). Once. */
  onLatched?(address: string, port: number): void;
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
  /** What we send. Default: RTCP only. */
  readonly send?: AudioLine;
  /** How to ask for key frames, first choice first. Default PLI, then FIR; an audio session never asks. */
  readonly keyFrameMethods?: readonly KeyFrameMethod[];
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
  /** Monotonic milliseconds of the last accepted packet, or null. */
  readonly lastArrivalMs: number | null;
  /** Datagrams from other sources than the peer, dropped. */
  readonly foreign: number;
  /** Bad input by name of the fault. */
  readonly faults: Readonly<Record<string, number>>;
  readonly pliSent: number;
  readonly firSent: number;
  /** RTP packets of ours. */
  readonly packetsSent: number;
}

interface EarlyPacket {
  readonly datagram: Buffer;
  readonly address: string;
  readonly port: number;
  readonly arrivalMs: number;
}

/**
 * Binds a free even/odd pair of the pool; pairs that the system says are busy are passed over.
 * @throws MediaError INVALID_ARGUMENT synchronously, naming the field.
 * @returns rejects with MediaError NO_PORTS (at once) or SOCKET (the address cannot be bound).
 */
export function openRtpSession(
  options: RtpSessionOptions,
  handler: RtpSessionHandler,
): Promise<RtpSession> {
  const { bindAddress = '0.0.0.0', earlyPackets = 256, latchAfterMs = 500 } = options;
  if (isIP(bindAddress) === 0) throw invalid('bindAddress', 'must be an IP address');
  if (!isU32(options.ssrc)) throw invalid('ssrc', 'must be a u32');
  if (options.cname === '' || Buffer.byteLength(options.cname) > 255) {
    throw invalid('cname', 'must have 1–255 octets');
  }
  if (!(earlyPackets >= 0 && earlyPackets <= 4096)) throw invalid('earlyPackets', 'must be 0–4096');
  if (!(latchAfterMs >= 0)) throw invalid('latchAfterMs', 'must be 0 or more');
  return open(options, handler, bindAddress);
}

async function open(
  options: RtpSessionOptions,
  handler: RtpSessionHandler,
  bindAddress: string,
): Promise<RtpSession> {
  const { ports } = options;
  for (let attempt = ports.size; attempt > 0; attempt--) {
    const port = ports.take();
    if (port === undefined) break;
    let rtp: Socket | undefined;
    try {
      rtp = await bindSocket(bindAddress, port);
      const rtcp = await bindSocket(bindAddress, port + 1);
      return new RtpSession(options, handler, port, rtp, rtcp);
    } catch (error) {
      rtp?.close();
      ports.release(port);
      const code = (error as NodeJS.ErrnoException).code;
      if (code === 'EADDRINUSE' || code === 'EACCES') continue;
      throw new MediaError('SOCKET', `cannot bind ${bindAddress}: ${String(code)}`, {
        cause: error,
      });
    }
  }
  throw new MediaError('NO_PORTS', 'no free RTP port pair');
}

/** See {@link openRtpSession}. Receives from `start` on; everything ends with `close`. */
export class RtpSession {
  /** Local port of RTP, even; RTCP has the next. */
  readonly localPort: number;
  readonly #options: RtpSessionOptions;
  readonly #handler: RtpSessionHandler;
  readonly #rtp: Socket;
  readonly #rtcp: Socket;
  readonly #now: () => number;
  readonly #random: () => number;
  readonly #reception: ReceptionStats;
  readonly #packetizer: AudioPacketizer;
  readonly #faults = new Map<string, number>();
  readonly #knownTypes = new Uint8Array(128);
  readonly #pendingDigits: { sequence: DtmfSequence; resolve(): void; reject(e: Error): void }[] =
    [];
  #digitsRunning: { resolve(): void; reject(error: Error): void } | undefined;
  #early: EarlyPacket[] | undefined = [];
  #earlyBytes = 0;
  #earlyReported = false;
  #remote: RtpRemote | undefined;
  #latch: SourceLatch | undefined;
  #latchReported = false;
  #rtcpAddress = '';
  #rtcpPort = 0;
  #rtcpSeen = false;
  #keyFrames = new KeyFrameRequester({ methods: [] });
  #packets = 0;
  #bytes = 0;
  #lastArrivalMs: number | null = null;
  #foreign = 0;
  #pliSent = 0;
  #firSent = 0;
  #budget = 0;
  #budgetMs = Number.NEGATIVE_INFINITY;
  #nextStepMs = Number.NaN;
  #rtcpDueMs = Number.POSITIVE_INFINITY;
  #reportedPackets = 0;
  #closing: Promise<void> | undefined;

  /** Use {@link openRtpSession}. */
  constructor(
    options: RtpSessionOptions,
    handler: RtpSessionHandler,
    localPort: number,
    rtp: Socket,
    rtcp: Socket,
  ) {
    this.#options = options;
    this.#handler = handler;
    this.localPort = localPort;
    this.#rtp = rtp;
    this.#rtcp = rtcp;
    this.#now = options.now ?? (() => performance.now());
    this.#random = options.random ?? Math.random;
    this.#reception = new ReceptionStats(options.kind === 'audio' ? 8000 : 90_000);
    this.#packetizer = new AudioPacketizer({
      ssrc: options.ssrc,
      firstSequenceNumber: Math.floor(this.#random() * 0x10000),
      firstTimestamp: Math.floor(this.#random() * 2 ** 32),
    });
    rtp.on('message', (datagram, from) => this.#onRtpSocket(datagram, from.address, from.port));
    rtcp.on('message', (datagram, from) => this.#onRtcpSocket(datagram, from.address, from.port));
    rtp.on('error', () => this.#countFault('socket-error'));
    rtcp.on('error', () => this.#countFault('socket-error'));
  }

  /** Address and port that media is taken from and sent to; undefined before `start`. */
  get source(): { readonly address: string; readonly port: number } | undefined {
    return this.#latch && { address: this.#latch.address, port: this.#latch.port };
  }

  /** Counters, as of now. */
  get stats(): RtpSessionStats {
    return {
      packets: this.#packets,
      bytes: this.#bytes,
      lost: this.#reception.lost,
      jitterMs: this.#reception.jitterMs,
      reordered: this.#reception.reordered,
      duplicates: this.#reception.duplicates,
      lastArrivalMs: this.#lastArrivalMs,
      foreign: this.#foreign,
      faults: Object.fromEntries(this.#faults),
      pliSent: this.#pliSent,
      firSent: this.#firSent,
      packetsSent: this.#packetizer.packetCount,
    };
  }

  /**
   * Begins with the peer of the answer; early packets are handled before it returns. Calling it again (re-INVITE)
   * goes on with the new peer: same ports, SSRC and counters; the source is learnt anew if its address changed.
   * @throws MediaError INVALID_ARGUMENT naming the field, CLOSED.
   */
  start(remote: RtpRemote): void {
    if (this.#closing !== undefined) throw new MediaError('CLOSED', 'the session is closed');
    const address = normalAddress('address', remote.address);
    const rtcpAddress = normalAddress('rtcpAddress', remote.rtcpAddress ?? remote.address);
    requirePort('port', remote.port);
    const rtcpPort = remote.rtcpPort ?? Math.min(remote.port + 1, 65_535);
    requirePort('rtcpPort', rtcpPort);
    for (const payloadType of remote.payloadTypes.keys()) {
      if (!(payloadType >= 0 && payloadType <= 127)) {
        throw invalid('payloadTypes', 'must have keys 0–127');
      }
    }
    const nowMs = this.#now();
    const before = this.#remote;
    const moved =
      before === undefined || before.address !== remote.address || before.port !== remote.port;
    // `0.0.0.0` is the old way to say hold (RFC 3264 §8.4): the peer itself stays where it is.
    if (moved && (before === undefined || !isUnspecified(address))) {
      const { latchAfterMs = 500 } = this.#options;
      this.#latch = new SourceLatch(address, remote.port, nowMs, latchAfterMs);
      this.#latchReported = false;
      this.#rtcpSeen = false;
      this.#rtcpAddress = rtcpAddress;
      this.#rtcpPort = rtcpPort;
    }
    this.#remote = remote;
    this.#knownTypes.fill(0);
    this.#knownTypes[13] = 1;
    for (const payloadType of remote.payloadTypes.keys()) this.#knownTypes[payloadType] = 1;
    this.#packetizer.use(remote.send ?? {});
    if (this.#options.kind === 'video') {
      const { wanted } = this.#keyFrames;
      this.#keyFrames = new KeyFrameRequester(
        remote.keyFrameMethods === undefined ? {} : { methods: remote.keyFrameMethods },
      );
      if (wanted) this.#keyFrames.request();
    }
    if (before !== undefined) return;
    // Soon, so that the peer sees that we are there; then at the interval of the RFC.
    this.#rtcpDueMs = nowMs + 500 + this.#random() * 500;
    const early = this.#early ?? [];
    this.#early = undefined;
    for (const item of early) {
      if (nowMs - item.arrivalMs > MAX_EARLY_MS) continue;
      this.#receive(item.datagram, item.address, item.port, item.arrivalMs);
    }
    this.#options.ticker.add(this.#onTick);
  }

  /** A key frame is needed: asks by the ladder until `keyFrameArrived`, at most every 500 ms. Video only. */
  requestKeyFrame(): void {
    if (this.#options.kind !== 'video') return;
    this.#keyFrames.request();
    this.#pollKeyFrame(this.#now());
  }

  /** Ends the asking. */
  keyFrameArrived(): void {
    this.#keyFrames.onKeyFrame();
  }

  /** True when telephone events were negotiated and there is an address to send them to. */
  get canSendDigits(): boolean {
    return this.#canSend && this.#remote?.send?.eventPayloadType !== undefined;
  }

  /**
   * Sends digits as telephone events (RFC 4733), after those that are still being sent.
   * @throws MediaError INVALID_ARGUMENT synchronously (see {@link DtmfSequence}; field `digits` also when
   *   telephone events were not negotiated).
   * @returns resolves after the last tone; rejects with CLOSED when the session is closed before.
   */
  sendDigits(digits: string, options: DtmfOptions = {}): Promise<void> {
    const sequence = new DtmfSequence(digits, options);
    if (this.#closing !== undefined) return Promise.reject(closedError());
    if (!this.canSendDigits) throw invalid('digits', 'telephone events were not negotiated');
    return new Promise((resolve, reject) => {
      this.#pendingDigits.push({ sequence, resolve, reject });
    });
  }

  /** Says BYE, closes both sockets, gives the ports back. The same promise every time. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#options.ticker.remove(this.#onTick);
    this.#early = undefined;
    this.#digitsRunning?.reject(closedError());
    for (const pending of this.#pendingDigits) pending.reject(closedError());
    this.#pendingDigits.length = 0;
    await new Promise<void>((resolve) => {
      if (!this.#canSendRtcp) {
        resolve();
        return;
      }
      const bye: RtcpPacket = { type: 'bye', ssrcs: [this.#options.ssrc] };
      const datagram = encodeRtcp([...this.#reports(this.#now()), bye]);
      this.#rtcp.send(datagram, this.#rtcpPort, this.#rtcpAddress, () => resolve());
    });
    await Promise.all([closeSocket(this.#rtp), closeSocket(this.#rtcp)]);
    this.#options.ports.release(this.localPort);
  }

  #onRtpSocket(datagram: Buffer, address: string, port: number): void {
    if (this.#closing !== undefined) return;
    if (this.#remote !== undefined) this.#receive(datagram, address, port, this.#now());
    else this.#keepEarly(datagram, address, port);
  }

  #keepEarly(datagram: Buffer, address: string, port: number): void {
    const early = this.#early;
    if (early === undefined) return;
    if (!this.#earlyReported && typeof decodeRtp(datagram, 0) !== 'string') {
      this.#earlyReported = true;
      this.#handler.onEarly?.();
    }
    early.push({ datagram, address, port, arrivalMs: this.#now() });
    this.#earlyBytes += datagram.length;
    const limit = this.#options.earlyPackets ?? 256;
    while (early.length > limit || this.#earlyBytes > MAX_EARLY_BYTES) {
      this.#earlyBytes -= early.shift()?.datagram.length ?? 0;
      this.#countFault('rtp-early');
    }
  }

  /** The hot path: one packet of the started session. */
  #receive(datagram: Buffer, address: string, port: number, arrivalMs: number): void {
    const latch = this.#latch!;
    const known = latch.matches(address, port);
    if (known && !this.#spend(arrivalMs)) return;
    if (isRtcp(datagram)) {
      if (known) this.#onRtcp(datagram, address, port, arrivalMs);
      else this.#foreign++;
      return;
    }
    const packet = decodeRtp(datagram, arrivalMs);
    if (typeof packet === 'string' || this.#knownTypes[packet.payloadType] === 0) {
      if (!known) this.#foreign++;
      else
        this.#fault(
          typeof packet === 'string' ? packet : 'rtp-payload-type',
          address,
          port,
          datagram,
        );
      return;
    }
    if (!known && !latch.consider(address, port, packet)) {
      this.#foreign++;
      return;
    }
    if (latch.latched && !this.#latchReported) {
      this.#latchReported = true;
      this.#handler.onLatched?.(address, port);
    }
    this.#packets++;
    this.#bytes += datagram.length;
    this.#lastArrivalMs = arrivalMs;
    this.#reception.push(packet);
    this.#handler.onPacket(packet);
  }

  /** A token bucket per session: one flooding peer must not starve the other calls. */
  #spend(arrivalMs: number): boolean {
    if (--this.#budget >= 0) return true;
    const earned = Math.floor((arrivalMs - this.#budgetMs) * PACKETS_PER_MS);
    this.#budget = Math.min(MAX_BURST_PACKETS, earned) - 1;
    this.#budgetMs = arrivalMs;
    if (this.#budget >= 0) return true;
    this.#countFault('rtp-flood');
    return false;
  }

  /** RTCP has a source of its own: the SDP's, or once another port of the address that media comes from. */
  #onRtcpSocket(datagram: Buffer, address: string, port: number): void {
    if (this.#closing !== undefined || this.#latch === undefined) return;
    if (address === this.#rtcpAddress && port === this.#rtcpPort) {
      this.#rtcpSeen = true;
    } else if (this.#rtcpSeen || address !== this.#latch.address) {
      this.#foreign++;
      return;
    }
    const arrivalMs = this.#now();
    if (this.#spend(arrivalMs)) this.#onRtcp(datagram, address, port, arrivalMs);
  }

  #onRtcp(datagram: Buffer, address: string, port: number, arrivalMs: number): void {
    const { packets, fault } = decodeRtcp(datagram);
    if (fault !== undefined) this.#fault(fault, address, port, datagram);
    const mediaSsrc = this.#reception.ssrc;
    let ours = false;
    for (const packet of packets) {
      if (packet.type === 'sr' && packet.ssrc === mediaSsrc) {
        ours = true;
        this.#reception.onSenderReport(packet, arrivalMs);
        this.#handler.onSenderReport?.(packet, arrivalMs);
      } else if (packet.type === 'bye' && mediaSsrc !== undefined) {
        if (packet.ssrcs.includes(mediaSsrc)) this.#handler.onBye?.();
      }
    }
    // A report of the very stream proves the sender: answer where it comes from.
    if (ours && !this.#rtcpSeen && fault === undefined && port !== this.#latch!.port) {
      this.#rtcpSeen = true;
      this.#rtcpAddress = address;
      this.#rtcpPort = port;
    }
  }

  readonly #onTick = (nowMs: number): void => {
    if (this.#options.kind === 'audio') this.#sendAudio(nowMs);
    if (nowMs >= this.#rtcpDueMs) this.#sendReports(nowMs);
    this.#pollKeyFrame(nowMs);
    this.#handler.onTick?.(nowMs);
  };

  get #canSend(): boolean {
    const remote = this.#remote;
    return remote !== undefined && !isUnspecified(remote.address);
  }

  get #canSendRtcp(): boolean {
    return this.#canSend && !isUnspecified(this.#rtcpAddress);
  }

  /** Steps of 20 ms from the first tick on, whatever the ticks' own spacing. */
  #sendAudio(nowMs: number): void {
    if (Number.isNaN(this.#nextStepMs)) this.#nextStepMs = nowMs;
    const behind = Math.floor((nowMs - this.#nextStepMs) / STEP_MS);
    if (behind > MAX_LATE_STEPS) {
      this.#packetizer.skip(behind);
      this.#nextStepMs += behind * STEP_MS;
    }
    // A tick may come a little early; half a step later it would be two packets at once.
    while (this.#nextStepMs <= nowMs + STEP_MS / 4) {
      this.#nextStepMs += STEP_MS;
      if (this.#packetizer.idle) this.#nextDigits();
      const datagram = this.#packetizer.step();
      if (datagram !== undefined && this.#canSend) {
        this.#rtp.send(datagram, this.#latch!.port, this.#latch!.address);
      }
    }
  }

  #nextDigits(): void {
    this.#digitsRunning?.resolve();
    const next = this.#pendingDigits.shift();
    this.#digitsRunning = next;
    if (next !== undefined) this.#packetizer.sendDigits(next.sequence);
  }

  #pollKeyFrame(nowMs: number): void {
    if (!this.#keyFrames.wanted) return;
    // RTCP needs the SSRC of the stream to ask; before the first packet there is none.
    const mediaSsrc = this.#reception.ssrc;
    if (mediaSsrc === undefined) return;
    const method = this.#keyFrames.poll(nowMs);
    if (method === undefined) return;
    const senderSsrc = this.#options.ssrc;
    if (method === 'info') {
      this.#handler.onKeyFrameByInfo?.();
    } else if (!this.#canSendRtcp) {
      return;
    } else if (method === 'pli') {
      this.#pliSent++;
      this.#sendRtcp([...this.#reports(nowMs), { type: 'pli', senderSsrc, mediaSsrc }]);
    } else {
      // RFC 5104 §4.3.1.1: the sequence number grows with each new command.
      const entry = { ssrc: mediaSsrc, sequenceNumber: this.#firSent++ & 0xff };
      this.#sendRtcp([...this.#reports(nowMs), { type: 'fir', senderSsrc, entries: [entry] }]);
    }
  }

  #sendReports(nowMs: number): void {
    const spread = (0.5 + this.#random()) / RTCP_COMPENSATION;
    this.#rtcpDueMs = nowMs + RTCP_INTERVAL_MS * spread;
    if (this.#canSendRtcp) this.#sendRtcp(this.#reports(nowMs));
  }

  #sendRtcp(packets: readonly RtcpPacket[]): void {
    this.#rtcp.send(encodeRtcp(packets), this.#rtcpPort, this.#rtcpAddress);
  }

  /** Every compound begins so: SR when we sent RTP since the last report, else RR; then who we are. */
  #reports(nowMs: number): RtcpPacket[] {
    const { ssrc, cname, wallClock = Date.now } = this.#options;
    const block = this.#reception.reportBlock(nowMs);
    const reports = block === undefined ? [] : [block];
    const { packetCount, octetCount } = this.#packetizer;
    const sent = packetCount > this.#reportedPackets;
    this.#reportedPackets = packetCount;
    const description: RtcpPacket = { type: 'sdes', chunks: [{ ssrc, cname }] };
    if (!sent) return [{ type: 'rr', ssrc, reports }, description];
    const stepAheadTicks = Math.round((this.#nextStepMs - nowMs) * 8);
    const report: RtcpPacket = {
      type: 'sr',
      ssrc,
      ...unixToNtp(wallClock()),
      rtpTimestamp: (this.#packetizer.rtpTimestamp - stepAheadTicks) >>> 0,
      packetCount,
      octetCount,
      reports,
    };
    return [report, description];
  }

  #fault(fault: string, address: string, port: number, datagram: Uint8Array): void {
    this.#countFault(fault);
    this.#handler.onFault?.(fault, address, port, datagram);
  }

  #countFault(fault: string): void {
    this.#faults.set(fault, (this.#faults.get(fault) ?? 0) + 1);
  }
}

function closedError(): MediaError {
  return new MediaError('CLOSED', 'the session is closed');
}

function isU32(value: number): boolean {
  return Number.isInteger(value) && value >= 0 && value < 2 ** 32;
}
