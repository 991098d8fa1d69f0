// The two UDP sockets of one medium: the sources accepted, the targets used, and SRTP in both directions. The address of
// the peer's RTP is latched (see SourceLatch); its RTCP has a source of its own.

import type { Socket } from 'node:dgram';
import type { RtpPacket } from '../codec/frame.ts';
import type { PortPair } from './port-pair.ts';
import { encodeRtcp, type RtcpPacket } from './rtcp.ts';
import type { RtpRemote } from './rtp-remote.ts';
import { type KnownStream, SourceLatch } from './source-latch.ts';
import { type SrtpFault, SrtpSession } from './srtp.ts';
import { closeSocket, isUnspecified, normalAddress, sourceAddress } from './udp-socket.ts';

/** Options of {@link PeerSockets}. */
export interface PeerSocketsOptions {
  /** How long the SDP's address must be silent before another source is latched. Infinity: never. */
  readonly latchAfterMs: number;
  /** May RTP and RTCP be sent to this address? If not, such a source is not latched, either. Default: all may be. */
  readonly maySendTo: ((address: string) => boolean) | undefined;
}

/** What the sockets report. Nothing after `close`. */
export interface PeerSocketsHandler {
  /** A datagram on the RTP port, from any source. */
  onRtpDatagram(datagram: Buffer, address: string, port: number): void;
  /** A datagram on the RTCP port, from any source. */
  onRtcpDatagram(datagram: Buffer, address: string, port: number): void;
  /** A system error, e.g. a closed port of the peer. The sockets stay usable. */
  onSocketError(): void;
}

/** Takes two bound sockets. Sends nothing before `use` names the peer. */
export class PeerSockets {
  readonly #rtp: Socket;
  readonly #rtcp: Socket;
  readonly #options: PeerSocketsOptions;
  #remote: RtpRemote | undefined;
  #latch: SourceLatch | undefined;
  /** Encrypts and decrypts, while keys are agreed on. */
  #srtp: SrtpSession | undefined;
  /** The same, kept while RTP is sent in the clear: its counters must continue. */
  #keptSrtp: SrtpSession | undefined;
  /** The address in use may be sent to. */
  #mayRtp = false;
  #mayRtcp = false;
  #rtcpAddress = '';
  #rtcpPort = 0;
  #rtcpSeen = false;
  #closed = false;

  constructor(pair: PortPair, options: PeerSocketsOptions, handler: PeerSocketsHandler) {
    this.#rtp = pair.rtp;
    this.#rtcp = pair.rtcp;
    this.#options = options;
    this.#rtp.on('message', (datagram, from) => {
      if (!this.#closed) handler.onRtpDatagram(datagram, sourceAddress(from), from.port);
    });
    this.#rtcp.on('message', (datagram, from) => {
      if (!this.#closed) handler.onRtcpDatagram(datagram, sourceAddress(from), from.port);
    });
    this.#rtp.on('error', () => handler.onSocketError());
    this.#rtcp.on('error', () => handler.onSocketError());
  }

  /** Address and port that media is accepted from and sent to; undefined before `use`. */
  get source(): { readonly address: string; readonly port: number } | undefined {
    return this.#latch && { address: this.#latch.address, port: this.#latch.port };
  }

  /** Media comes from a source other than the SDP's. */
  get latched(): boolean {
    return this.#latch?.latched === true;
  }

  /** There is an address that RTP may be sent to. */
  get canSendRtp(): boolean {
    return this.#mayRtp && this.#isOpen;
  }

  /** There is an address that RTCP may be sent to. */
  get canSendRtcp(): boolean {
    return this.#mayRtcp && this.#isOpen && !isUnspecified(this.#rtcpAddress);
  }

  /**
   * Sets the peer of the answer; call it again when that changes.
   * @returns whether the source of its media has to be learnt again.
   * @throws MediaError INVALID_ARGUMENT naming an invalid address, before anything has changed.
   */
  use(remote: RtpRemote, nowMs: number): boolean {
    const before = this.#remote;
    const address = normalAddress('address', remote.address);
    const rtcpAddress = normalAddress('rtcpAddress', remote.rtcpAddress ?? remote.address);
    const { signallingAddress } = remote;
    const signalling =
      signallingAddress === undefined
        ? undefined
        : normalAddress('signallingAddress', signallingAddress);
    const rtcpPort = remote.rtcpPort ?? Math.min(remote.port + 1, 65_535);
    this.#remote = remote;
    this.#useKeys(remote);
    const isOther = before?.address !== remote.address || before.port !== remote.port;
    // `0.0.0.0` is the old way to say hold (RFC 3264 §8.4): the peer itself stays where it is.
    const moved = isOther && (before === undefined || !isUnspecified(address));
    if (moved) {
      this.#latch = new SourceLatch({
        address,
        port: remote.port,
        startMs: nowMs,
        afterMs: this.#options.latchAfterMs,
        signallingAddress: signalling,
        maySendTo: this.#options.maySendTo,
      });
      this.#mayRtp = this.#maySendTo(address);
    }
    const rtcpMoved =
      before?.rtcpAddress !== remote.rtcpAddress || before?.rtcpPort !== remote.rtcpPort;
    if (moved || (rtcpMoved && !isUnspecified(rtcpAddress))) {
      this.#rtcpSeen = false;
      this.#sendRtcpTo(rtcpAddress, rtcpPort);
    }
    return moved;
  }

  #useKeys({ srtp }: RtpRemote): void {
    if (srtp !== undefined) {
      if (this.#keptSrtp === undefined) this.#keptSrtp = new SrtpSession(srtp);
      else this.#keptSrtp.use(srtp);
    }
    this.#srtp = srtp && this.#keptSrtp;
  }

  /** Is this the current source of media? */
  isSource(address: string, port: number): boolean {
    return this.#latch?.matches(address, port) === true;
  }

  /** A valid packet arrived from another source. @returns whether that is the source from now on. */
  considerSource(
    address: string,
    port: number,
    packet: RtpPacket,
    stream: KnownStream | undefined,
  ): boolean {
    const latch = this.#latch;
    if (!latch?.consider(address, port, packet, stream)) return false;
    // Another port of the peer's RTP: its RTCP has another one, too.
    if (stream) this.#rtcpSeen = false;
    this.#mayRtp = this.#maySendTo(address);
    // The SDP's address is behind the NAT. The port next to the source of RTP is a guess until the peer's own RTCP arrives.
    if (latch.latched && !this.#rtcpSeen) this.#sendRtcpTo(address, Math.min(port + 1, 65_535));
    return true;
  }

  /** Is this the peer's source of RTCP? The SDP's is, or once another port of the address that media comes from. */
  isRtcpSource(address: string, port: number): boolean {
    if (address === this.#rtcpAddress && port === this.#rtcpPort) {
      this.#rtcpSeen = true;
      return true;
    }
    return !this.#rtcpSeen && address === this.#latch?.address;
  }

  /** A report about the received stream arrived from here, which proves the sender: send RTCP there. */
  confirmRtcpSource(address: string, port: number): void {
    // RTCP from the source of RTP does not prove where the peer accepts RTCP.
    if (this.#rtcpSeen || port === this.#latch?.port) return;
    this.#rtcpSeen = true;
    this.#sendRtcpTo(address, port);
  }

  /** Decrypts an RTP packet where keys are agreed on. @returns the packet, or the fault. */
  unprotectRtp(datagram: Buffer): Buffer | SrtpFault {
    return this.#srtp === undefined ? datagram : this.#srtp.unprotectRtp(datagram);
  }

  /** The same for an RTCP compound. */
  unprotectRtcp(datagram: Buffer): Buffer | SrtpFault {
    return this.#srtp === undefined ? datagram : this.#srtp.unprotectRtcp(datagram);
  }

  /** Sends one RTP packet, if it may be sent. */
  readonly sendRtp = (packet: Buffer): void => {
    if (!this.canSendRtp) return;
    const sealed = this.#srtp === undefined ? packet : this.#srtp.protectRtp(packet);
    this.#rtp.send(sealed, this.#latch!.port, this.#latch!.address);
  };

  /** Sends one RTCP compound. Check `canSendRtcp` first. */
  sendRtcp(packets: readonly RtcpPacket[], onSent?: () => void): void {
    const compound = encodeRtcp(packets);
    const sealed = this.#srtp === undefined ? compound : this.#srtp.protectRtcp(compound);
    this.#rtcp.send(sealed, this.#rtcpPort, this.#rtcpAddress, onSent);
  }

  /** @param farewell - The last compound, sent if RTCP may be sent. */
  async close(farewell: () => readonly RtcpPacket[]): Promise<void> {
    const canSend = this.canSendRtcp;
    // While encoders drain, outputs may still request key frames: nothing may follow our BYE.
    this.#closed = true;
    if (canSend) await new Promise<void>((resolve) => this.sendRtcp(farewell(), resolve));
    await Promise.all([closeSocket(this.#rtp), closeSocket(this.#rtcp)]);
  }

  get #isOpen(): boolean {
    return !this.#closed && this.#remote !== undefined && !isUnspecified(this.#remote.address);
  }

  #sendRtcpTo(address: string, port: number): void {
    this.#rtcpAddress = address;
    this.#rtcpPort = port;
    this.#mayRtcp = this.#maySendTo(address);
  }

  #maySendTo(address: string): boolean {
    return this.#options.maySendTo?.(address) ?? true;
  }
}
