// The address that media is accepted from and sent to: symmetric RTP without RTP bleed.

import type { RtpPacket } from '../codec/frame.ts';

/** Packets in sequence that a source must send before it is latched on … */
const LATCH_PACKETS = 3;
/** … over at least this time: media has a pace, a spray of packets has none. */
const LATCH_SPAN_MS = 30;
/** When a source has been silent for this long, its media may come from another port of its address. */
const MOVE_AFTER_MS = 1000;
/** Where the signalling address is known, every other address waits this many times as long. */
const STRANGER_PATIENCE = 4;
/** Sources watched at a time; a new one replaces the one that has been silent longest. */
const MAX_CANDIDATES = 4;

/** Options of a {@link SourceLatch}. */
export interface SourceLatchOptions {
  /** From the session description. */
  readonly address: string;
  readonly port: number;
  readonly startMs: number;
  /** Silence before another source may be taken. Infinity: never. */
  readonly afterMs: number;
  /** Where the peer's signalling comes from: a NAT in between usually sends media from there, too. */
  readonly signallingAddress?: string | undefined;
  /** May media be sent to this address? A source that may not be sent to is not latched. Default: all may. */
  readonly maySendTo?: ((address: string) => boolean) | undefined;
}

/** The stream of the source in use. */
export interface KnownStream {
  readonly ssrc: number;
  /** When its last packet arrived. */
  readonly lastMs: number;
}

interface Candidate {
  address: string;
  port: number;
  ssrc: number;
  nextSequenceNumber: number;
  run: number;
  runSinceMs: number;
  lastMs: number;
}

/**
 * The rule: the SDP's address is accepted at once, and for good as soon as one packet arrives from it. If it stays
 * silent for `afterMs` from the start (a peer behind NAT), the first other source is accepted instead that sends three
 * packets in sequence with one SSRC, at the pace of media. That happens once; afterwards only the SDP's address itself
 * takes over again when it starts to send, and another port of the address in use when that has been silent for a second and
 * the new port continues the same SSRC. Where the signalling address is known, a source with neither that nor the SDP's
 * IP address must wait four times as long. Everything else is foreign until signalling creates a new latch.
 */
export class SourceLatch {
  readonly #sdpAddress: string;
  readonly #sdpPort: number;
  readonly #signallingAddress: string | undefined;
  readonly #maySendTo: ((address: string) => boolean) | undefined;
  readonly #openFromMs: number;
  readonly #openToAllFromMs: number;
  readonly #near: Candidate[] = [];
  readonly #far: Candidate[] = [];
  readonly #moved: Candidate[] = [];
  #address: string;
  #port: number;
  #confirmed = false;
  #latched = false;

  constructor(options: SourceLatchOptions) {
    const { address, port, startMs, afterMs, signallingAddress, maySendTo } = options;
    this.#sdpAddress = address;
    this.#sdpPort = port;
    this.#signallingAddress = signallingAddress;
    this.#maySendTo = maySendTo;
    this.#address = address;
    this.#port = port;
    this.#openFromMs = startMs + afterMs;
    this.#openToAllFromMs =
      startMs + afterMs * (signallingAddress === undefined ? 1 : STRANGER_PATIENCE);
  }

  /** Address in use: the SDP's or the latched one. */
  get address(): string {
    return this.#address;
  }

  /** Port in use. */
  get port(): number {
    return this.#port;
  }

  /** True when a source other than the SDP's is in use. */
  get latched(): boolean {
    return this.#latched;
  }

  /** Is this the source in use? */
  matches(address: string, port: number): boolean {
    if (port !== this.#port || address !== this.#address) return false;
    this.#confirmed = true;
    return true;
  }

  /**
   * A valid packet arrived from a source that does not match.
   * @param stream - The stream that was received so far; undefined before its first packet.
   * @returns whether that is the source from now on.
   */
  consider(address: string, port: number, packet: RtpPacket, stream?: KnownStream): boolean {
    if (stream && this.#hasMoved(address, port, packet, stream)) {
      this.#latched = true;
    } else if (this.#latched) {
      if (port !== this.#sdpPort || address !== this.#sdpAddress) return false;
      if (!this.#mayUse(address)) return false;
      this.#latched = false;
    } else {
      if (this.#confirmed || !this.#qualifies(address, port, packet)) return false;
      this.#latched = true;
    }
    this.#confirmed = true;
    this.#address = address;
    this.#port = port;
    return true;
  }

  /**
   * Seen in: NAT that binds another port in the middle of a call. The old port is silent, and the same stream comes from
   * another port of the same address.
   */
  #hasMoved(address: string, port: number, packet: RtpPacket, stream: KnownStream): boolean {
    if (!this.#confirmed || address !== this.#address || packet.ssrc !== stream.ssrc) return false;
    if (packet.arrivalMs - stream.lastMs < MOVE_AFTER_MS) return false;
    return this.#isSteady(candidateOf(this.#moved, address, port, packet.arrivalMs), packet);
  }

  #mayUse(address: string): boolean {
    return this.#maySendTo?.(address) ?? true;
  }

  #qualifies(address: string, port: number, packet: RtpPacket): boolean {
    const near = address === this.#sdpAddress || address === this.#signallingAddress;
    const { arrivalMs } = packet;
    if (arrivalMs < (near ? this.#openFromMs : this.#openToAllFromMs)) return false;
    const candidate = candidateOf(near ? this.#near : this.#far, address, port, arrivalMs);
    return this.#isSteady(candidate, packet) && this.#mayUse(address);
  }

  #isSteady(candidate: Candidate, packet: RtpPacket): boolean {
    const { arrivalMs } = packet;
    const follows =
      packet.ssrc === candidate.ssrc && packet.sequenceNumber === candidate.nextSequenceNumber;
    if (!follows) {
      candidate.run = 0;
      candidate.runSinceMs = arrivalMs;
      candidate.ssrc = packet.ssrc;
    }
    candidate.run++;
    candidate.lastMs = arrivalMs;
    candidate.nextSequenceNumber = (packet.sequenceNumber + 1) & 0xffff;
    return candidate.run >= LATCH_PACKETS && arrivalMs - candidate.runSinceMs >= LATCH_SPAN_MS;
  }
}

/** The entry of a source, or a new one, which replaces the longest silent one if the list is full. */
function candidateOf(
  candidates: Candidate[],
  address: string,
  port: number,
  nowMs: number,
): Candidate {
  let oldest: Candidate | undefined;
  for (const candidate of candidates) {
    if (candidate.port === port && candidate.address === address) return candidate;
    if (oldest === undefined || candidate.lastMs < oldest.lastMs) oldest = candidate;
  }
  const fresh = {
    address,
    port,
    ssrc: -1,
    nextSequenceNumber: -1,
    run: 0,
    runSinceMs: nowMs,
    lastMs: nowMs,
  };
  if (candidates.length < MAX_CANDIDATES || oldest === undefined) candidates.push(fresh);
  else candidates[candidates.indexOf(oldest)] = fresh;
  return fresh;
}
