// One medium of a call on the network: packets from the peer in order of arrival, and packets to it. Composes the
// sockets (`peer-sockets.ts`), RTCP (`rtcp-session.ts`) and the sender (`rtp-sender.ts`). RFC 3550, 4585, 5104, 6263.

import { isIP } from 'node:net';
import { type DtmfOptions, DtmfSequence } from './dtmf.ts';
import { EarlyPackets } from './early-packets.ts';
import { MediaError } from '../errors.ts';
import type { MediaKind, RtpPacket } from '../codec/frame.ts';
import type { KeyFrameStats } from './key-frame-requester.ts';
import { PacketBudget } from '../packet-budget.ts';
import { PeerSockets } from './peer-sockets.ts';
import { bindPortPair, type PortPair } from './port-pair.ts';
import type { PortPool } from './port-pool.ts';
import { ReceptionStats } from './reception-stats.ts';
import { RtcpSession } from './rtcp-session.ts';
import { decodeRtcp, type Nack, type SenderReport } from './rtcp.ts';
import type { RtpCodec } from './depacketizer.ts';
import { requireRemote, type RtpRemote } from './rtp-remote.ts';
import { RtpSender } from './rtp-sender.ts';
import { decodeRtp, isRtcp, isStun } from './rtp.ts';
import type { KnownStream } from './source-latch.ts';
import type { SoundSource } from '../codec/sound-source.ts';
import { SsrcChoice } from './ssrc-choice.ts';
import type { TickSource } from '../ticker.ts';
import { invalid } from './udp-socket.ts';

/** What a session reports, synchronously. Handlers must not throw. */
export interface RtpSessionHandler {
  /**
   * Each packet from the peer, in order of arrival. The hot path. Packets of the stream with a type that was not negotiated are
   * among them: they occupy their sequence numbers.
   */
  onPacket(packet: RtpPacket): void;
  /** RTP arrives before `start`: early media, or a peer that sends as soon as it answers. Once. */
  onEarly?(): void;
  /** A sender report about the received stream. */
  onSenderReport?(report: SenderReport, arrivalMs: number): void;
  /** RTCP BYE of the stream. Only a hint: it can be forged, and must not end a call by itself. */
  onBye?(): void;
  /** Every 20 ms from `start` to `close`: expire the jitter buffer, fill the audio timeline. */
  onTick?(nowMs: number): void;
  /** A key frame should be requested by SIP INFO, which the call sends. */
  onKeyFrameByInfo?(): void;
  /** A key frame should be requested by a re-INVITE that changes nothing. */
  onKeyFrameByReinvite?(): void;
  /** Media comes from an address other than the SDP's (see {@link SourceLatch}): at first, and whenever it moves. */
  onLatched?(address: string, port: number): void;
  /** The peer requests a key frame from us, by PLI or FIR; the session answers with {@link RtpRemote.sendVideo} itself. */
  onKeyFrameRequest?(): void;
  /** Bad input, each time; already counted. */
  onFault?(fault: string, address: string, port: number, datagram: Uint8Array): void;
}

/** Options of {@link openRtpSession}. */
export interface RtpSessionOptions {
  readonly kind: MediaKind;
  readonly ports: PortPool;
  /** The tick for sending and reports; share one between all sessions. */
  readonly ticker: TickSource;
  /** u32, as in the offer. */
  readonly ssrc: number;
  /** As in the offer; at most 255 octets. */
  readonly cname: string;
  /** Local IP address to bind. Default `0.0.0.0`. */
  readonly bindAddress?: string;
  /**
   * Limit of packets kept from before `start`: the newest, at most one second of them. Some peers send as soon as they
   * answer. 0–4096, default 256.
   */
  readonly earlyPackets?: number;
  /** How long the SDP's address must be silent before another source is latched. Default 500; Infinity: never. */
  readonly latchAfterMs?: number;
  /** May RTP and RTCP be sent to this address? If not, nothing is sent, and such a source is not latched. Default: all may be. */
  readonly maySendTo?: (address: string) => boolean;
  /** Monotonic milliseconds; the same clock as the ticker's. Default `performance.now()`. */
  readonly now?: () => number;
  /** Unix milliseconds, for sender reports. Default `Date.now()`. */
  readonly wallClock?: () => number;
  /** Uniform in [0, 1). Default `Math.random`. */
  readonly random?: () => number;
}

/** A snapshot. Counters start when the session is opened. */
export interface RtpSessionStats {
  /** RTP packets accepted. */
  readonly packets: number;
  /** Their octets, RTP headers included. */
  readonly bytes: number;
  /** Sequence numbers that never arrived. */
  readonly lost: number;
  /** RFC 3550 interarrival jitter. */
  readonly jitterMs: number;
  readonly reordered: number;
  readonly duplicates: number;
  /** Monotonic milliseconds of the last RTP packet from the peer, also of a type that was not negotiated; or null. */
  readonly lastRtpMs: number | null;
  /** RTCP datagrams from the peer. */
  readonly rtcpPackets: number;
  /** Monotonic milliseconds of the last one, or null. */
  readonly lastRtcpMs: number | null;
  /** From the peer's reports about our packets, smoothed; null while unknown. */
  readonly roundTripMs: number | null;
  /** Datagrams from other sources than the peer, and STUN messages: dropped. */
  readonly foreign: number;
  /** Bad input, counted by fault. */
  readonly faults: Readonly<Record<string, number>>;
  readonly keyFrames: KeyFrameStats;
  /** RTCP NACKs sent. */
  readonly nacksSent: number;
  /** RTP packets sent, keep-alives included. */
  readonly packetsSent: number;
  /** Payload type of the last packet with a type that was not negotiated, or null. */
  readonly unknownPayloadType: number | null;
}

/** Mark of the payload types of telephone events among the known ones. */
const EVENTS = 2;
/** After this time of silence, the peer counts as not sending. */
const FLOWING_MS = 2000;

/**
 * Binds a free even/odd pair of the pool; skips pairs that the system reports as busy.
 * @throws MediaError INVALID_ARGUMENT synchronously, naming the field.
 * @returns rejects with MediaError NO_PORTS (at once) or SOCKET (the address cannot be bound).
 */
export function openRtpSession(
  options: RtpSessionOptions,
  handler: RtpSessionHandler,
): Promise<RtpSession> {
  requireOptions(options);
  return open(options, handler);
}

async function open(options: RtpSessionOptions, handler: RtpSessionHandler): Promise<RtpSession> {
  const pair = await bindPortPair(options.ports, options.bindAddress ?? '0.0.0.0');
  return new RtpSession(options, handler, pair);
}

/** @throws MediaError INVALID_ARGUMENT naming the field that {@link openRtpSession} refuses. */
function requireOptions(options: RtpSessionOptions): void {
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

/** See {@link openRtpSession}. Receives from `start` on; everything ends with `close`. */
export class RtpSession {
  /** Local port of RTP, even; RTCP has the next. */
  readonly localPort: number;
  readonly #options: RtpSessionOptions;
  readonly #handler: RtpSessionHandler;
  readonly #now: () => number;
  readonly #isVideo: boolean;
  readonly #sockets: PeerSockets;
  readonly #budget = new PacketBudget();
  readonly #reception: ReceptionStats;
  readonly #rtcp: RtcpSession;
  readonly #sender: RtpSender;
  readonly #early: EarlyPackets;
  readonly #choice = new SsrcChoice();
  readonly #faults = new Map<string, number>();
  readonly #knownTypes = new Uint8Array(128);
  #earlyReported = false;
  #remote: RtpRemote | undefined;
  #packets = 0;
  #bytes = 0;
  #lastRtpMs: number | null = null;
  #unknownPayloadType: number | null = null;
  #foreign = 0;
  /** SSRC from which a key frame was requested. */
  #keyFrameSsrc: number | undefined;
  #closing: Promise<void> | undefined;

  /** Use {@link openRtpSession}. */
  constructor(options: RtpSessionOptions, handler: RtpSessionHandler, pair: PortPair) {
    this.#options = options;
    this.#handler = handler;
    this.localPort = pair.port;
    const { kind, ssrc, cname, earlyPackets = 256, latchAfterMs = 500, maySendTo } = options;
    const { now = () => performance.now(), wallClock = Date.now, random = Math.random } = options;
    this.#now = now;
    this.#isVideo = kind === 'video';
    this.#reception = new ReceptionStats(this.#isVideo ? 90_000 : 8000);
    this.#early = new EarlyPackets(earlyPackets);
    this.#sockets = new PeerSockets(
      pair,
      { latchAfterMs, maySendTo },
      {
        onRtpDatagram: (datagram, address, port) => this.#onRtpSocket(datagram, address, port),
        onRtcpDatagram: (datagram, address, port) => this.#onRtcpSocket(datagram, address, port),
        onSocketError: () => this.#countFault('socket-error'),
      },
    );
    this.#sender = new RtpSender(kind, ssrc, random, this.#sockets);
    this.#rtcp = new RtcpSession(
      { ssrc, cname, wallClock, random },
      { sockets: this.#sockets, reception: this.#reception, sent: this.#sender },
      {
        onSenderReport: (report, arrivalMs) => handler.onSenderReport?.(report, arrivalMs),
        onBye: () => handler.onBye?.(),
        onKeyFrameRequest: (nowMs) => {
          this.#sender.sendKeyFrame(nowMs);
          handler.onKeyFrameRequest?.();
        },
        // Only a handler that sends INFO puts it on the ladder.
        ...(handler.onKeyFrameByInfo && {
          onKeyFrameByInfo: () => handler.onKeyFrameByInfo?.(),
        }),
        onKeyFrameByReinvite: () => handler.onKeyFrameByReinvite?.(),
      },
    );
  }

  /** Address and port that media is accepted from and sent to; undefined before `start`. */
  get source(): { readonly address: string; readonly port: number } | undefined {
    return this.#sockets.source;
  }

  /** From the peer's reports about our packets, smoothed; undefined while unknown. */
  get roundTripMs(): number | undefined {
    return this.#rtcp.roundTripMs;
  }

  /** RFC 3550 interarrival jitter. */
  get jitterMs(): number {
    return this.#reception.jitterMs;
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
      lastRtpMs: this.#lastRtpMs,
      rtcpPackets: this.#rtcp.datagrams,
      lastRtcpMs: this.#rtcp.lastMs,
      roundTripMs: this.#rtcp.roundTripMs ?? null,
      foreign: this.#foreign,
      faults: Object.fromEntries(this.#faults),
      keyFrames: this.#rtcp.keyFrameStats,
      nacksSent: this.#rtcp.nacksSent,
      packetsSent: this.#sender.packetCount,
      unknownPayloadType: this.#unknownPayloadType,
    };
  }

  /**
   * Starts with the peer of the answer; early packets are handled before it returns. Calling it again (re-INVITE)
   * continues with the new peer: same ports, SSRC and counters; the source is learnt again if its address changed. If
   * the peer moved or resumed from hold, a key frame is requested.
   * @throws MediaError INVALID_ARGUMENT naming the field, CLOSED.
   */
  start(remote: RtpRemote): void {
    if (this.#closing !== undefined) throw new MediaError('CLOSED', 'the session is closed');
    requireRemote(remote);
    const before = this.#remote;
    const nowMs = this.#now();
    if (this.#sockets.use(remote, nowMs)) this.#sender.awaitPeer(nowMs);
    this.#remote = remote;
    this.#reception.expect(remote.sends !== false && remote.held !== true);
    this.accept(remote.payloadTypes);
    this.#sender.use(remote, this.#knownTypes.lastIndexOf(0));
    this.#rtcp.use(remote);
    if (before !== undefined) {
      const moved = before.address !== remote.address || before.port !== remote.port;
      if (moved || before.sends === false) this.requestKeyFrame();
      return;
    }
    this.#rtcp.start(nowMs);
    for (const item of this.#early.take(nowMs)) {
      this.#receive(item.datagram, item.address, item.port, item.arrivalMs);
    }
    this.#options.ticker.add(this.#onTick);
  }

  /** From now on packets of these types are taken, and comfort noise. */
  accept(payloadTypes: ReadonlyMap<number, RtpCodec>): void {
    this.#knownTypes.fill(0);
    this.#knownTypes[13] = 1;
    for (const [payloadType, { codec }] of payloadTypes)
      this.#knownTypes[payloadType] = codec === 'telephone-event' ? EVENTS : 1;
  }

  /** A key frame is needed: requests one, by the ladder of methods, until `keyFrameArrived`; at most every 500 ms. Video only. */
  requestKeyFrame(): void {
    if (!this.#isVideo) return;
    const nowMs = this.#now();
    this.#rtcp.requestKeyFrame(nowMs);
    this.#pollKeyFrame(nowMs);
  }

  /** A key frame arrived, requested or not: stops the requests. */
  keyFrameArrived(): void {
    this.#rtcp.keyFrameArrived(this.#now());
  }

  /** The peer requested a key frame other than by RTCP. Does nothing when no video is sent. */
  sendKeyFrame(): void {
    this.#sender.requestKeyFrame();
  }

  /** See {@link KeyFrameRequester.requestEveryMs}. */
  set requestEveryMs(everyMs: number | undefined) {
    this.#rtcp.requestEveryMs = everyMs;
  }

  /** Requests lost packets by RTCP; does nothing unless the peer negotiated NACK. */
  sendNack(lost: Nack['lost']): void {
    this.#rtcp.sendNack(lost, this.#now());
  }

  /** True when telephone events were negotiated and there is an address to send them to. */
  get canSendDigits(): boolean {
    return this.#sender.canSendDigits;
  }

  /**
   * Sends digits as telephone events (RFC 4733), after any that are still being sent.
   * @throws MediaError INVALID_ARGUMENT synchronously (see {@link DtmfSequence}; field `digits` also when
   *   telephone events were not negotiated).
   * @returns resolves after the last tone; rejects with CLOSED when the session is closed before that.
   */
  sendDigits(digits: string, options: DtmfOptions = {}): Promise<void> {
    const sequence = new DtmfSequence(digits, options);
    if (this.#closing !== undefined) {
      return Promise.reject(new MediaError('CLOSED', 'the session is closed'));
    }
    if (!this.canSendDigits) throw invalid('digits', 'telephone events were not negotiated');
    return this.#sender.sendDigits(sequence);
  }

  /**
   * Plays this to the peer instead of silence, in the codec of `send`; undefined: silence again. The source is closed
   * when it has ended, when it is replaced, and with the session.
   */
  play(source: SoundSource | undefined): void {
    if (this.#closing === undefined) this.#sender.play(source);
    else source?.close();
  }

  /** Sends BYE, closes both sockets and returns the ports. The same promise every time. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#options.ticker.remove(this.#onTick);
    this.#early.clear();
    this.#sender.close();
    await this.#sockets.close(() => this.#rtcp.farewell(this.#now()));
    this.#options.ports.release(this.localPort);
  }

  #onRtpSocket(datagram: Buffer, address: string, port: number): void {
    if (isStun(datagram)) {
      // linphone opens its NAT with binding requests. Without ICE they need no answer.
      this.#foreign++;
      return;
    }
    if (this.#remote !== undefined) this.#receive(datagram, address, port, this.#now());
    else this.#keepEarly(datagram, address, port);
  }

  #keepEarly(datagram: Buffer, address: string, port: number): void {
    if (!this.#earlyReported && typeof decodeRtp(datagram, 0) !== 'string') {
      this.#earlyReported = true;
      this.#handler.onEarly?.();
    }
    let given = this.#early.push({ datagram, address, port, arrivalMs: this.#now() });
    for (; given > 0; given--) this.#countFault('rtp-early');
  }

  /** The hot path: one packet of the started session. */
  #receive(datagram: Buffer, address: string, port: number, arrivalMs: number): void {
    const sockets = this.#sockets;
    const known = sockets.isSource(address, port);
    if (known && !this.#budget.spend(arrivalMs)) {
      this.#countFault('rtp-flood');
      return;
    }
    if (isRtcp(datagram) && !this.#isRtpLikeRtcp(datagram)) {
      if (known) this.#onRtcp(datagram, address, port, arrivalMs);
      else this.#foreign++;
      return;
    }
    const plain = sockets.unprotectRtp(datagram);
    const packet = typeof plain === 'string' ? plain : decodeRtp(plain, arrivalMs);
    if (typeof packet === 'string' || this.#knownTypes[packet.payloadType] === 0) {
      if (!known) this.#foreign++;
      else if (typeof packet === 'string') {
        // The peer sends, if nothing legible, e.g. with other keys. A keep-alive that is no RTP is no sign of that.
        if (packet !== 'rtp-short' && packet !== 'rtp-version') this.#lastRtpMs = arrivalMs;
        this.#fault(packet, address, port, datagram);
      } else this.#takeUnknown(packet, address, port);
      return;
    }
    if (!known) {
      const stream = this.#stream;
      if (!sockets.considerSource(address, port, packet, stream)) {
        this.#foreign++;
        return;
      }
      if (stream !== undefined) this.#fault('rtp-source-moved', address, port, datagram);
      if (sockets.latched) this.#handler.onLatched?.(address, port);
    }
    // Seen in: gateways whose keys have an SSRC of their own. It is no other source of the sound.
    const isAside = this.#knownTypes[packet.payloadType] === EVENTS && this.#isOther(packet.ssrc);
    if (!isAside && !this.#choice.admits(packet.ssrc, arrivalMs)) {
      this.#fault('rtp-second-source', address, port, datagram);
      return;
    }
    this.#packets++;
    this.#bytes += datagram.length;
    this.#lastRtpMs = arrivalMs;
    this.#sender.onPeerSends();
    if (!isAside) {
      this.#reception.push(packet);
      this.#choice.follow(this.#reception.ssrc, arrivalMs);
    }
    // The first packet, or another sender: its pictures need a key frame first, and its SSRC is known now.
    if (this.#isVideo && this.#reception.ssrc !== this.#keyFrameSsrc) {
      this.#keyFrameSsrc = this.#reception.ssrc;
      this.requestKeyFrame();
    }
    this.#handler.onPacket(packet);
  }

  #isOther(ssrc: number): boolean {
    return this.#reception.ssrc !== undefined && ssrc !== this.#reception.ssrc;
  }

  /** The stream received so far; undefined before its first packet. */
  get #stream(): KnownStream | undefined {
    const { ssrc } = this.#reception;
    return ssrc === undefined || this.#lastRtpMs === null
      ? undefined
      : { ssrc, lastMs: this.#lastRtpMs };
  }

  /**
   * A type that was not negotiated. Seen in: baresip and pjsip, whose keep-alives and comfort noise continue the sequence of
   * the pictures or the sound. A packet of another SSRC (FEC, retransmissions) is not part of the sequence.
   */
  #takeUnknown(packet: RtpPacket, address: string, port: number): void {
    this.#fault('rtp-payload-type', address, port, packet.datagram);
    this.#lastRtpMs = packet.arrivalMs;
    this.#unknownPayloadType = packet.payloadType;
    if (packet.ssrc !== this.#reception.ssrc) return;
    this.#reception.push(packet, false);
    this.#handler.onPacket(packet);
  }

  /**
   * RFC 5761 §4: with its marker set, RTP of the types 64–95 has the second octet of RTCP. RTP has its SSRC in the third word,
   * RTCP in the second; before the first packet only a whole compound counts as RTCP where the type was negotiated.
   */
  #isRtpLikeRtcp(datagram: Buffer): boolean {
    if (datagram.length < 12) return false;
    const { ssrc } = this.#reception;
    if (ssrc !== undefined && datagram.readUInt32BE(8) === ssrc)
      return datagram.readUInt32BE(4) !== ssrc;
    if (this.#knownTypes[datagram[1]! & 0x7f] === 0) return false;
    const { packets, fault } = decodeRtcp(datagram);
    return fault !== undefined || packets.length === 0;
  }

  #onRtcpSocket(datagram: Buffer, address: string, port: number): void {
    if (this.#remote === undefined) return;
    if (isStun(datagram) || !this.#sockets.isRtcpSource(address, port)) {
      this.#foreign++;
      return;
    }
    const arrivalMs = this.#now();
    if (this.#budget.spend(arrivalMs)) this.#onRtcp(datagram, address, port, arrivalMs);
    else this.#countFault('rtp-flood');
  }

  #onRtcp(datagram: Buffer, address: string, port: number, arrivalMs: number): void {
    const plain = this.#sockets.unprotectRtcp(datagram);
    if (typeof plain === 'string') {
      this.#fault(plain, address, port, datagram);
      return;
    }
    const { packets, fault } = decodeRtcp(plain);
    if (fault !== undefined) this.#fault(fault, address, port, datagram);
    if (packets.length === 0) return;
    const hasReport = this.#rtcp.receive(packets, arrivalMs);
    if (hasReport && fault === undefined) this.#sockets.confirmRtcpSource(address, port);
  }

  readonly #onTick = (nowMs: number): void => {
    this.#sender.tick(nowMs);
    this.#rtcp.tick(nowMs);
    this.#pollKeyFrame(nowMs);
    this.#handler.onTick?.(nowMs);
  };

  #pollKeyFrame(nowMs: number): void {
    if (!this.#isVideo) return;
    const isFlowing = this.#lastRtpMs !== null && nowMs - this.#lastRtpMs < FLOWING_MS;
    this.#rtcp.pollKeyFrame(nowMs, isFlowing);
  }

  #fault(fault: string, address: string, port: number, datagram: Uint8Array): void {
    this.#countFault(fault);
    this.#handler.onFault?.(fault, address, port, datagram);
  }

  #countFault(fault: string): void {
    this.#faults.set(fault, (this.#faults.get(fault) ?? 0) + 1);
  }
}
