// One medium's packets from the socket to the depacketizer: reorder buffer, its adaptive delay, and requests for lost packets.

import type { RtpPacket, Sink } from '../codec/frame.ts';
import { JitterBuffer, type JitterBufferStats, type JitterGap } from './jitter-buffer.ts';
import { type DelayRange, JitterDelay } from './jitter-delay.ts';
import { DEFAULT_ROUND_TRIP_MS, NackRequester, type NackStats } from './nack-requester.ts';
import type { Nack } from './rtcp.ts';

/** Options of a {@link ReceptionLine}. */
export interface ReceptionLineOptions {
  /**
   * How long to wait for a missing packet: a number of milliseconds, or bounds within which it adapts to the line.
   * Default 20–200 ms.
   */
  readonly delayMs?: number | DelayRange;
  /** See {@link JitterBufferOptions.onGap}. */
  readonly onGap?: (cause: JitterGap, missing: number) => void;
  /** Requests packets from the peer (`RtpSession.sendNack`). Without it, or unless `nack` is set, none are requested. */
  readonly sendNack?: (lost: Nack['lost']) => void;
}

/** Counters of a {@link ReceptionLine}. */
export interface ReceptionLineStats extends JitterBufferStats, NackStats {
  /** How long a missing packet is waited for, currently. */
  readonly delayMs: number;
}

/** Room for a large key frame after a gap while a retransmission is on its way. */
const MAX_HELD_PACKETS = 480;
/** A retransmission may take this much longer than a round trip. */
const RETRANSMISSION_MARGIN_MS = 30;

/** Push packets as they come, tick every 20 ms. Not re-entrant, as its {@link JitterBuffer}. */
export class ReceptionLine {
  /** The peer negotiated generic NACK. Default false. */
  nack = false;
  readonly #jitter: JitterBuffer;
  readonly #delay: JitterDelay;
  readonly #requester = new NackRequester();
  readonly #sendNack: ((lost: Nack['lost']) => void) | undefined;
  #roundTripMs = DEFAULT_ROUND_TRIP_MS;

  /** @throws MediaError INVALID_ARGUMENT naming `delayMs`. */
  constructor(next: Sink<RtpPacket>, options: ReceptionLineOptions = {}) {
    this.#delay = new JitterDelay(options.delayMs);
    this.#sendNack = options.sendNack;
    this.#jitter = new JitterBuffer(next, {
      delayMs: this.#delay.valueMs,
      maxHeldPackets: MAX_HELD_PACKETS,
      onGap: (cause, missing) => {
        if (cause !== 'loss') this.#requester.reset();
        options.onGap?.(cause, missing);
      },
      onMissing: (first, count, nowMs) => {
        if (this.nack) this.#requester.onMissing(first, count, nowMs);
      },
      onLate: (sequenceNumber, lateMs, nowMs) => {
        this.#requester.onArrived(sequenceNumber);
        this.#delay.onLate(lateMs, nowMs);
      },
    });
  }

  /** A copy, as of now. */
  get stats(): ReceptionLineStats {
    return { ...this.#jitter.stats, ...this.#requester.stats, delayMs: this.#delay.valueMs };
  }

  /** How long a missing packet is waited for, currently, in milliseconds. */
  get delayMs(): number {
    return this.#delay.valueMs;
  }

  /** Takes the next packet from the wire. */
  push(packet: RtpPacket): void {
    this.#jitter.push(packet);
    if (this.#requester.pending > 0) this.#ask(packet.arrivalMs);
  }

  /**
   * Gives up old gaps, requests missing packets, adapts the delay.
   * @param jitterMs interarrival jitter of the medium.
   * @param roundTripMs undefined while unknown.
   */
  tick(nowMs: number, jitterMs = 0, roundTripMs?: number): void {
    this.#roundTripMs = roundTripMs ?? DEFAULT_ROUND_TRIP_MS;
    this.#delay.update(
      nowMs,
      jitterMs,
      this.nack ? this.#roundTripMs + RETRANSMISSION_MARGIN_MS : 0,
    );
    this.#jitter.delayMs = this.#delay.valueMs;
    if (this.#requester.pending > 0) this.#ask(nowMs);
    this.#jitter.expire(nowMs);
  }

  /** Delivers the held packets and forgets the stream. */
  reset(): void {
    this.#jitter.reset();
    this.#requester.reset();
  }

  #ask(nowMs: number): void {
    const lost = this.#requester.poll(nowMs, this.#roundTripMs, this.#delay.valueMs);
    if (lost !== undefined) this.#sendNack?.(lost);
  }
}
