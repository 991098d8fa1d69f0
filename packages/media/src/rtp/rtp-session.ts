// One medium of a call on the network: an RTP/RTCP socket pair, who may send to it, reports, requests to the peer,
// and when what we send goes out. RFC 3550, 4585, 5104, 6263. The only part of the receiving path with sockets.

import type { Socket } from 'node:dgram';
import { BlackVideo } from './black-video.ts';
import { type DtmfOptions, DtmfSequence } from './dtmf.ts';
import { EarlyPackets } from './early-packets.ts';
import { MediaError } from '../errors.ts';
import { KeyFrameRequester } from './key-frame-requester.ts';
import { OutgoingAudio } from './outgoing-audio.ts';
import { PacketBudget } from './packet-budget.ts';
import { bindPortPair } from './port-pair.ts';
import { ReceptionStats } from './reception-stats.ts';
import { RtcpReports } from './rtcp-reports.ts';
import { decodeRtcp, encodeRtcp, type Nack, type RtcpPacket } from './rtcp.ts';
import { RtpKeepAlive } from './rtp-keep-alive.ts';
import {
  requireRemote,
  requireRtpSessionOptions,
  type RtpRemote,
  type RtpSessionHandler,
  type RtpSessionOptions,
  type RtpSessionStats,
} from './rtp-session-contract.ts';
import { decodeRtp, isRtcp, isStun } from './rtp.ts';
import type { SoundSource } from './sound-source.ts';
import { SourceLatch } from './source-latch.ts';
import { SrtpSession } from './srtp.ts';
import { closeSocket, invalid, isUnspecified, normalAddress, sourceAddress } from './udp-socket.ts';

/** A sender that was silent for longer sends nothing at present. */
const FLOWING_MS = 2000;

/**
 * Binds a free even/odd pair of the pool; pairs that the system says are busy are passed over.
 * @throws MediaError INVALID_ARGUMENT synchronously, naming the field.
 * @returns rejects with MediaError NO_PORTS (at once) or SOCKET (the address cannot be bound).
 */
export function openRtpSession(
  options: RtpSessionOptions,
  handler: RtpSessionHandler,
): Promise<RtpSession> {
  requireRtpSessionOptions(options);
  return open(options, handler);
}

async function open(options: RtpSessionOptions, handler: RtpSessionHandler): Promise<RtpSession> {
  const { port, rtp, rtcp } = await bindPortPair(options.ports, options.bindAddress ?? '0.0.0.0');
  return new RtpSession(options, handler, port, rtp, rtcp);
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
  readonly #isVideo: boolean;
  readonly #reception: ReceptionStats;
  readonly #outgoingAudio: OutgoingAudio;
  readonly #blackVideo: BlackVideo;
  readonly #reports: RtcpReports;
  readonly #keyFrames = new KeyFrameRequester({ methods: [] });
  readonly #keepAlive = new RtpKeepAlive();
  readonly #budget = new PacketBudget();
  readonly #early: EarlyPackets;
  readonly #faults = new Map<string, number>();
  readonly #knownTypes = new Uint8Array(128);
  #earlyReported = false;
  #remote: RtpRemote | undefined;
  /** Encrypts and decrypts, while keys are agreed on. */
  #srtp: SrtpSession | undefined;
  /** The same, kept through a time in the clear: its counters must go on. */
  #keptSrtp: SrtpSession | undefined;
  #latch: SourceLatch | undefined;
  #latchReported = false;
  /** The address in use may be sent to. */
  #mayRtp = false;
  #mayRtcp = false;
  #rtcpAddress = '';
  #rtcpPort = 0;
  #rtcpSeen = false;
  #packets = 0;
  #bytes = 0;
  #lastRtpMs: number | null = null;
  #rtcpPackets = 0;
  #lastRtcpMs: number | null = null;
  /** SSRC that a key frame was asked of. */
  #keyFrameSsrc: number | undefined;
  #foreign = 0;
  #firNumber = 0;
  #nacksSent = 0;
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
    this.#isVideo = options.kind === 'video';
    this.#reception = new ReceptionStats(this.#isVideo ? 90_000 : 8000);
    this.#early = new EarlyPackets(options.earlyPackets ?? 256);
    const line = {
      ssrc: options.ssrc,
      // RFC 3711 §3.3.1: not soon before its wrap, or a receiver that misses the first packets takes the wrong roll-over.
      firstSequenceNumber: Math.floor(this.#random() * 0x8000),
      firstTimestamp: Math.floor(this.#random() * 2 ** 32),
    };
    this.#outgoingAudio = new OutgoingAudio(line);
    this.#blackVideo = new BlackVideo(line);
    const { ssrc, cname, wallClock = Date.now } = options;
    this.#reports = new RtcpReports(
      { ssrc, cname, wallClock, random: this.#random },
      this.#reception,
      this.#isVideo ? this.#blackVideo : this.#outgoingAudio,
    );
    rtp.on('message', (datagram, from) =>
      this.#onRtpSocket(datagram, sourceAddress(from), from.port),
    );
    rtcp.on('message', (datagram, from) =>
      this.#onRtcpSocket(datagram, sourceAddress(from), from.port),
    );
    rtp.on('error', () => this.#countFault('socket-error'));
    rtcp.on('error', () => this.#countFault('socket-error'));
  }

  /** Address and port that media is taken from and sent to; undefined before `start`. */
  get source(): { readonly address: string; readonly port: number } | undefined {
    return this.#latch && { address: this.#latch.address, port: this.#latch.port };
  }

  /** By the peer's reports of what we send, smoothed; undefined while unknown. */
  get roundTripMs(): number | undefined {
    return this.#reports.roundTripMs;
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
      rtcpPackets: this.#rtcpPackets,
      lastRtcpMs: this.#lastRtcpMs,
      roundTripMs: this.#reports.roundTripMs ?? null,
      foreign: this.#foreign,
      faults: Object.fromEntries(this.#faults),
      keyFrames: this.#keyFrames.stats,
      nacksSent: this.#nacksSent,
      packetsSent: this.#outgoing.packetCount,
    };
  }

  /**
   * Begins with the peer of the answer; early packets are handled before it returns. Calling it again (re-INVITE)
   * goes on with the new peer: same ports, SSRC and counters; the source is learnt anew if its address changed. Where
   * the peer moved or came back from hold, a key frame is asked for.
   * @throws MediaError INVALID_ARGUMENT naming the field, CLOSED.
   */
  start(remote: RtpRemote): void {
    if (this.#closing !== undefined) throw new MediaError('CLOSED', 'the session is closed');
    requireRemote(remote);
    const before = this.#remote;
    const address = normalAddress('address', remote.address);
    const rtcpAddress = normalAddress('rtcpAddress', remote.rtcpAddress ?? remote.address);
    const { signallingAddress } = remote;
    const signalling =
      signallingAddress === undefined
        ? undefined
        : normalAddress('signallingAddress', signallingAddress);
    const rtcpPort = remote.rtcpPort ?? Math.min(remote.port + 1, 65_535);
    const nowMs = this.#now();
    const moved =
      before === undefined || before.address !== remote.address || before.port !== remote.port;
    // `0.0.0.0` is the old way to say hold (RFC 3264 §8.4): the peer itself stays where it is.
    if (moved && (before === undefined || !isUnspecified(address))) {
      const { latchAfterMs = 500, maySendTo } = this.#options;
      this.#latch = new SourceLatch({
        address,
        port: remote.port,
        startMs: nowMs,
        afterMs: latchAfterMs,
        signallingAddress: signalling,
        maySendTo,
      });
      this.#latchReported = false;
      this.#rtcpSeen = false;
      this.#mayRtp = this.#maySendTo(address);
      this.#sendRtcpTo(rtcpAddress, rtcpPort);
      this.#keepAlive.start(nowMs);
    } else if (
      before !== undefined &&
      !isUnspecified(rtcpAddress) &&
      (before.rtcpAddress !== remote.rtcpAddress || before.rtcpPort !== remote.rtcpPort)
    ) {
      this.#rtcpSeen = false;
      this.#sendRtcpTo(rtcpAddress, rtcpPort);
    }
    if (remote.srtp !== undefined) {
      if (this.#keptSrtp === undefined) this.#keptSrtp = new SrtpSession(remote.srtp);
      else this.#keptSrtp.use(remote.srtp);
    }
    this.#srtp = remote.srtp && this.#keptSrtp;
    this.#remote = remote;
    this.#knownTypes.fill(0);
    this.#knownTypes[13] = 1;
    for (const payloadType of remote.payloadTypes.keys()) this.#knownTypes[payloadType] = 1;
    this.#keepAlive.payloadType = this.#knownTypes.lastIndexOf(0);
    this.#outgoingAudio.use(remote.send ?? {});
    this.#blackVideo.use(remote.sendVideo);
    if (this.#isVideo) {
      const byInfo = this.#handler.onKeyFrameByInfo !== undefined;
      this.#keyFrames.use(
        remote.keyFrameMethods ?? (byInfo ? ['pli', 'fir', 'info'] : ['pli', 'fir']),
      );
      if (before !== undefined && (moved || before.sends === false)) this.requestKeyFrame();
    }
    if (before !== undefined) return;
    this.#reports.start(nowMs);
    for (const item of this.#early.take(nowMs)) {
      this.#receive(item.datagram, item.address, item.port, item.arrivalMs);
    }
    this.#options.ticker.add(this.#onTick);
  }

  /** A key frame is needed: asks by the ladder until `keyFrameArrived`, at most every 500 ms. Video only. */
  requestKeyFrame(): void {
    if (!this.#isVideo) return;
    const nowMs = this.#now();
    this.#keyFrames.request(nowMs);
    this.#pollKeyFrame(nowMs);
  }

  /** A key frame came, asked for or not: ends the asking. */
  keyFrameArrived(): void {
    this.#keyFrames.onKeyFrame(this.#now());
  }

  /** The peer asks for a key frame of ours by another way than RTCP. Where no video is sent, nothing happens. */
  sendKeyFrame(): void {
    this.#blackVideo.requestKeyFrame();
  }

  /** See {@link KeyFrameRequester.requestEveryMs}. */
  set requestEveryMs(everyMs: number | undefined) {
    this.#keyFrames.requestEveryMs = everyMs;
  }

  /** Asks for packets again by RTCP; nothing happens unless the peer negotiated NACK. */
  sendNack(lost: Nack['lost']): void {
    const mediaSsrc = this.#reception.ssrc;
    if (this.#remote?.nack !== true || mediaSsrc === undefined || !this.#canSendRtcp) return;
    this.#nacksSent++;
    const nack: Nack = { type: 'nack', senderSsrc: this.#options.ssrc, mediaSsrc, lost };
    this.#sendRtcp([...this.#reports.compose(this.#now()), nack]);
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
    if (this.#closing !== undefined) {
      return Promise.reject(new MediaError('CLOSED', 'the session is closed'));
    }
    if (!this.canSendDigits) throw invalid('digits', 'telephone events were not negotiated');
    return this.#outgoingAudio.sendDigits(sequence);
  }

  /**
   * Plays this to the peer in place of silence, in the codec of `send`; undefined: silence again. The source is closed
   * when it has ended, when it is replaced, and with the session.
   */
  play(source: SoundSource | undefined): void {
    if (this.#closing === undefined) this.#outgoingAudio.play(source);
    else source?.close();
  }

  /** Says BYE, closes both sockets, gives the ports back. The same promise every time. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#options.ticker.remove(this.#onTick);
    this.#early.clear();
    this.#outgoingAudio.close();
    await new Promise<void>((resolve) => {
      if (!this.#canSendRtcp) {
        resolve();
        return;
      }
      const bye: RtcpPacket = { type: 'bye', ssrcs: [this.#options.ssrc] };
      const datagram = this.#sealed([...this.#reports.compose(this.#now()), bye]);
      this.#rtcp.send(datagram, this.#rtcpPort, this.#rtcpAddress, () => resolve());
    });
    await Promise.all([closeSocket(this.#rtp), closeSocket(this.#rtcp)]);
    this.#options.ports.release(this.localPort);
  }

  #onRtpSocket(datagram: Buffer, address: string, port: number): void {
    if (this.#closing !== undefined) return;
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
    const latch = this.#latch!;
    const known = latch.matches(address, port);
    if (known && !this.#budget.spend(arrivalMs)) {
      this.#countFault('rtp-flood');
      return;
    }
    if (isRtcp(datagram)) {
      if (known) this.#onRtcp(datagram, address, port, arrivalMs);
      else this.#foreign++;
      return;
    }
    const plain = this.#srtp === undefined ? datagram : this.#srtp.unprotectRtp(datagram);
    const packet = typeof plain === 'string' ? plain : decodeRtp(plain, arrivalMs);
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
    if (!known) {
      if (!latch.consider(address, port, packet)) {
        this.#foreign++;
        return;
      }
      this.#mayRtp = this.#maySendTo(address);
    }
    if (latch.latched && !this.#latchReported) this.#noteLatch(address, port);
    this.#packets++;
    this.#bytes += datagram.length;
    this.#lastRtpMs = arrivalMs;
    this.#keepAlive.stop();
    this.#reception.push(packet);
    // The first packet, or another sender: it can be asked now, and nothing of it can be shown without a key frame.
    if (this.#isVideo && this.#reception.ssrc !== this.#keyFrameSsrc) {
      this.#keyFrameSsrc = this.#reception.ssrc;
      this.requestKeyFrame();
    }
    this.#handler.onPacket(packet);
  }

  #noteLatch(address: string, port: number): void {
    this.#latchReported = true;
    if (!this.#rtcpSeen) {
      // What the SDP says is behind the NAT. The neighbour of the port that RTP comes from is a guess; the peer's own
      // RTCP will tell.
      this.#sendRtcpTo(address, Math.min(port + 1, 65_535));
    }
    this.#handler.onLatched?.(address, port);
  }

  /** RTCP has a source of its own: the SDP's, or once another port of the address that media comes from. */
  #onRtcpSocket(datagram: Buffer, address: string, port: number): void {
    if (this.#closing !== undefined || this.#latch === undefined) return;
    if (isStun(datagram)) {
      this.#foreign++;
      return;
    }
    if (address === this.#rtcpAddress && port === this.#rtcpPort) {
      this.#rtcpSeen = true;
    } else if (this.#rtcpSeen || address !== this.#latch.address) {
      this.#foreign++;
      return;
    }
    const arrivalMs = this.#now();
    if (this.#budget.spend(arrivalMs)) this.#onRtcp(datagram, address, port, arrivalMs);
    else this.#countFault('rtp-flood');
  }

  #onRtcp(datagram: Buffer, address: string, port: number, arrivalMs: number): void {
    const plain = this.#srtp === undefined ? datagram : this.#srtp.unprotectRtcp(datagram);
    if (typeof plain === 'string') {
      this.#fault(plain, address, port, datagram);
      return;
    }
    const { packets, fault } = decodeRtcp(plain);
    if (fault !== undefined) this.#fault(fault, address, port, datagram);
    if (packets.length === 0) return;
    this.#rtcpPackets++;
    this.#lastRtcpMs = arrivalMs;
    const mediaSsrc = this.#reception.ssrc;
    let ours = false;
    for (const packet of packets) {
      switch (packet.type) {
        case 'sr':
          if (packet.ssrc === mediaSsrc) {
            ours = true;
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
          if (packet.mediaSsrc === this.#options.ssrc) this.#onKeyFrameRequest(arrivalMs);
          break;
        case 'fir':
          if (packet.entries.some(({ ssrc }) => ssrc === this.#options.ssrc)) {
            this.#onKeyFrameRequest(arrivalMs);
          }
          break;
        case 'sdes':
        case 'app':
        case 'nack':
        case 'other':
          break;
      }
    }
    // A report of the very stream proves the sender: answer where it comes from.
    if (ours && !this.#rtcpSeen && fault === undefined && port !== this.#latch!.port) {
      this.#rtcpSeen = true;
      this.#sendRtcpTo(address, port);
    }
  }

  #sendRtcpTo(address: string, port: number): void {
    this.#rtcpAddress = address;
    this.#rtcpPort = port;
    this.#mayRtcp = this.#maySendTo(address);
  }

  #maySendTo(address: string): boolean {
    return this.#options.maySendTo?.(address) ?? true;
  }

  #onKeyFrameRequest(nowMs: number): void {
    this.#blackVideo.requestKeyFrame();
    if (this.#isVideo && this.#canSend) this.#blackVideo.tick(nowMs, this.#sendRtp);
    this.#handler.onKeyFrameRequest?.();
  }

  readonly #onTick = (nowMs: number): void => {
    // Steps of audio are taken on hold too: the timestamps go on.
    if (!this.#isVideo) this.#outgoingAudio.tick(nowMs, this.#sendRtp);
    else if (this.#canSend) this.#blackVideo.tick(nowMs, this.#sendRtp);
    if (this.#keepAlive.isWaiting) this.#sendKeepAlive(nowMs);
    if (this.#reports.takeDue(nowMs) && this.#canSendRtcp)
      this.#sendRtcp(this.#reports.compose(nowMs));
    this.#pollKeyFrame(nowMs);
    this.#handler.onTick?.(nowMs);
  };

  readonly #sendRtp = (datagram: Buffer): void => {
    if (!this.#canSend) return;
    const sealed = this.#srtp === undefined ? datagram : this.#srtp.protectRtp(datagram);
    this.#rtp.send(sealed, this.#latch!.port, this.#latch!.address);
  };

  get #outgoing(): OutgoingAudio | BlackVideo {
    return this.#isVideo ? this.#blackVideo : this.#outgoingAudio;
  }

  get #canSend(): boolean {
    return this.#mayRtp && this.#isOpen;
  }

  get #isOpen(): boolean {
    const remote = this.#remote;
    // Outputs may come and ask for pictures while what encoders hold still reaches them: our BYE is the last.
    if (this.#closing !== undefined) return false;
    return remote !== undefined && !isUnspecified(remote.address);
  }

  get #canSendRtcp(): boolean {
    return this.#mayRtcp && this.#isOpen && !isUnspecified(this.#rtcpAddress);
  }

  /**
   * RFC 6263 §4.6, an RTP packet without payload and of a type that nobody negotiated, rather than §4.1, an empty
   * datagram: border controllers learn a peer's address from RTP, and receivers must ignore unknown types.
   */
  #sendKeepAlive(nowMs: number): void {
    const { send, sendVideo, keepAlive } = this.#remote!;
    const sends = this.#isVideo ? sendVideo !== undefined : send?.codec !== undefined;
    if (sends || keepAlive === false || !this.#canSend || !this.#keepAlive.takeDue(nowMs)) return;
    this.#sendRtp(this.#outgoing.keepAlive(this.#keepAlive.payloadType, nowMs));
  }

  #pollKeyFrame(nowMs: number): void {
    // RTCP needs the SSRC of the stream to ask; before the first packet there is none.
    const mediaSsrc = this.#reception.ssrc;
    if (!this.#isVideo || mediaSsrc === undefined) return;
    if (this.#remote?.sends === false || !this.#canSendRtcp) return;
    const isFlowing = this.#lastRtpMs !== null && nowMs - this.#lastRtpMs < FLOWING_MS;
    const method = this.#keyFrames.poll(nowMs, isFlowing);
    if (method === undefined) return;
    const senderSsrc = this.#options.ssrc;
    if (method === 'info') {
      this.#handler.onKeyFrameByInfo?.();
    } else if (method === 'reinvite') {
      this.#handler.onKeyFrameByReinvite?.();
    } else if (method === 'pli') {
      this.#sendRtcp([...this.#reports.compose(nowMs), { type: 'pli', senderSsrc, mediaSsrc }]);
    } else {
      // RFC 5104 §4.3.1.1: the sequence number grows with each new command.
      const entry = { ssrc: mediaSsrc, sequenceNumber: this.#firNumber++ & 0xff };
      this.#sendRtcp([
        ...this.#reports.compose(nowMs),
        { type: 'fir', senderSsrc, entries: [entry] },
      ]);
    }
  }

  #sendRtcp(packets: readonly RtcpPacket[]): void {
    this.#rtcp.send(this.#sealed(packets), this.#rtcpPort, this.#rtcpAddress);
  }

  #sealed(packets: readonly RtcpPacket[]): Buffer {
    const compound = encodeRtcp(packets);
    return this.#srtp === undefined ? compound : this.#srtp.protectRtcp(compound);
  }

  #fault(fault: string, address: string, port: number, datagram: Uint8Array): void {
    this.#countFault(fault);
    this.#handler.onFault?.(fault, address, port, datagram);
  }

  #countFault(fault: string): void {
    this.#faults.set(fault, (this.#faults.get(fault) ?? 0) + 1);
  }
}
