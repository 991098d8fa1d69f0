// From which address media is taken, and to which it is sent: symmetric RTP without RTP bleed.

import type { RtpPacket } from './frame.ts';

/** Packets in sequence that a source must send before it is latched on. */
const LATCH_PACKETS = 3;

/**
 * The rule. The address of the SDP is taken at once and for good as soon as one packet comes from it. If it stays
 * silent for `afterMs` from the start (a peer behind NAT), the first other source that sends three packets in
 * sequence with one SSRC is taken instead: once, never another, except that the SDP address itself still wins when
 * it begins to send. Everything else is foreign.
 */
export class SourceLatch {
  readonly #sdpAddress: string;
  readonly #sdpPort: number;
  readonly #openFromMs: number;
  #address: string;
  #port: number;
  #confirmed = false;
  #latched = false;
  #candidateAddress = '';
  #candidatePort = 0;
  #candidateSsrc = 0;
  #candidateNext = -1;
  #candidateRun = 0;

  /** @param afterMs silence before another source may be taken; Infinity: never. */
  constructor(address: string, port: number, startMs: number, afterMs: number) {
    this.#sdpAddress = address;
    this.#sdpPort = port;
    this.#address = address;
    this.#port = port;
    this.#openFromMs = startMs + afterMs;
  }

  /** Address in use: that of the SDP, or the latched one. */
  get address(): string {
    return this.#address;
  }

  /** Port in use. */
  get port(): number {
    return this.#port;
  }

  /** True when another source than that of the SDP was taken. */
  get latched(): boolean {
    return this.#latched;
  }

  /** Is this the source in use? */
  matches(address: string, port: number): boolean {
    if (port !== this.#port || address !== this.#address) return false;
    this.#confirmed = true;
    return true;
  }

  /** A valid packet came from a source that does not match: true when that is the source from now on. */
  consider(address: string, port: number, packet: RtpPacket): boolean {
    if (this.#latched) {
      if (port !== this.#sdpPort || address !== this.#sdpAddress) return false;
      this.#latched = false;
    } else {
      if (this.#confirmed || packet.arrivalMs < this.#openFromMs) return false;
      const follows =
        address === this.#candidateAddress &&
        port === this.#candidatePort &&
        packet.ssrc === this.#candidateSsrc &&
        packet.sequenceNumber === this.#candidateNext;
      this.#candidateRun = follows ? this.#candidateRun + 1 : 1;
      this.#candidateAddress = address;
      this.#candidatePort = port;
      this.#candidateSsrc = packet.ssrc;
      this.#candidateNext = (packet.sequenceNumber + 1) & 0xffff;
      if (this.#candidateRun < LATCH_PACKETS) return false;
      this.#latched = true;
    }
    this.#confirmed = true;
    this.#address = address;
    this.#port = port;
    return true;
  }
}
