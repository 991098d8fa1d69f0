// The RTP that we send for one medium: silence, sound and digits, or black pictures; keep-alives while the peer is silent.

import type { MediaKind } from '../codec/frame.ts';
import { BlackVideo } from './black-video.ts';
import type { DtmfSequence } from './dtmf.ts';
import { OutgoingAudio } from './outgoing-audio.ts';
import type { PeerSockets } from './peer-sockets.ts';
import type { SentRtp } from './rtcp-reports.ts';
import { RtpKeepAlive } from './rtp-keep-alive.ts';
import type { RtpRemote } from './rtp-remote.ts';
import type { SoundSource } from '../codec/sound-source.ts';

/** Has no timer: call `tick`. */
export class RtpSender implements SentRtp {
  readonly #isVideo: boolean;
  readonly #sockets: PeerSockets;
  readonly #audio: OutgoingAudio;
  readonly #video: BlackVideo;
  readonly #keepAlive = new RtpKeepAlive();
  #remote: RtpRemote | undefined;

  /** @param random - Uniform in [0, 1). */
  constructor(kind: MediaKind, ssrc: number, random: () => number, sockets: PeerSockets) {
    this.#isVideo = kind === 'video';
    this.#sockets = sockets;
    const line = {
      ssrc,
      // RFC 3711 §3.3.1: not close to the wrap, or a receiver that misses the first packets assumes the wrong roll-over.
      firstSequenceNumber: Math.floor(random() * 0x8000),
      firstTimestamp: Math.floor(random() * 2 ** 32),
    };
    this.#audio = new OutgoingAudio(line);
    this.#video = new BlackVideo(line);
  }

  get packetCount(): number {
    return this.#outgoing.packetCount;
  }

  get octetCount(): number {
    return this.#outgoing.octetCount;
  }

  rtpTimestampAt(nowMs: number): number {
    return this.#outgoing.rtpTimestampAt(nowMs);
  }

  get #outgoing(): OutgoingAudio | BlackVideo {
    return this.#isVideo ? this.#video : this.#audio;
  }

  /** True when telephone events were negotiated and there is an address to send them to. */
  get canSendDigits(): boolean {
    return this.#sockets.canSendRtp && this.#remote?.send?.eventPayloadType !== undefined;
  }

  /** @param unusedType - A payload type that was not negotiated, for keep-alives. */
  use(remote: RtpRemote, unusedType: number): void {
    this.#remote = remote;
    this.#keepAlive.payloadType = unusedType;
    this.#audio.use(remote.send ?? {});
    this.#video.use(remote.sendVideo);
  }

  /** Waits for the peer's media; keep-alives open the way through a NAT. */
  awaitPeer(nowMs: number): void {
    this.#keepAlive.start(nowMs);
  }

  /** The peer sends. The hot path. */
  onPeerSends(): void {
    this.#keepAlive.stop();
  }

  /** Every 20 ms. */
  tick(nowMs: number): void {
    // Audio advances on hold, too: its timestamps continue.
    if (!this.#isVideo) this.#audio.tick(nowMs, this.#sockets.sendRtp);
    else if (this.#sockets.canSendRtp) this.#video.tick(nowMs, this.#sockets.sendRtp);
    if (this.#keepAlive.isWaiting) this.#sendKeepAlive(nowMs);
  }

  /** Sends the next key frame without delay. Does nothing when no video is sent. */
  requestKeyFrame(): void {
    this.#video.requestKeyFrame();
  }

  /** The same, within this call. */
  sendKeyFrame(nowMs: number): void {
    this.#video.requestKeyFrame();
    if (this.#isVideo && this.#sockets.canSendRtp) this.#video.tick(nowMs, this.#sockets.sendRtp);
  }

  /** See {@link OutgoingAudio.sendDigits}. */
  sendDigits(sequence: DtmfSequence): Promise<void> {
    return this.#audio.sendDigits(sequence);
  }

  /** See {@link OutgoingAudio.play}. */
  play(source: SoundSource | undefined): void {
    this.#audio.play(source);
  }

  /** See {@link OutgoingAudio.close}. */
  close(): void {
    this.#audio.close();
  }

  /**
   * RFC 6263 §4.6, an RTP packet without payload and of a type that was not negotiated, rather than §4.1, an empty
   * datagram: border controllers learn a peer's address from RTP, and receivers must ignore unknown types.
   */
  #sendKeepAlive(nowMs: number): void {
    const { send, sendVideo, keepAlive } = this.#remote!;
    const sends = this.#isVideo ? sendVideo !== undefined : send?.codec !== undefined;
    if (sends || keepAlive === false || !this.#sockets.canSendRtp) return;
    if (!this.#keepAlive.takeDue(nowMs)) return;
    this.#sockets.sendRtp(this.#outgoing.keepAlive(this.#keepAlive.payloadType, nowMs));
  }
}
