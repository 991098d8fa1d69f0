// Puts RTP packets back into the order of their sequence numbers. In-order packets pass straight through;
// a gap holds packets back for a limited time. RFC 3550 A.1 has the rules for wraps, restarts and strangers.

import { MediaError } from '../errors.ts';
import type { RtpPacket, Sink } from '../codec/frame.ts';

/** Packets that can be held after a gap, and how far ahead of it they may be. A power of two. */
export const JITTER_BUFFER_SLOTS = 512;

/** How far behind a packet may be and still count as late, not as a restart (RFC 3550 A.1 MAX_MISORDER). */
const MAX_MISORDER = 100;
/** A stream that restarted a little behind is believed after this many packets in a row … */
const RESTART_PACKETS = 16;
/** … or after three, when nothing newer arrived for this long. */
const RESTART_SILENCE_MS = 400;

/** Why the sequence is broken at this point. */
export type JitterGap =
  /** Packets did not arrive in time. */
  | 'loss'
  /** The sender continued somewhere else in the sequence. */
  | 'restart'
  /** Another SSRC took over. */
  | 'ssrc';

/** Options of a {@link JitterBuffer}. */
export interface JitterBufferOptions {
  /** Milliseconds to wait for a missing packet. Default 60, at least 0. */
  readonly delayMs?: number;
  /** Packets held after a gap before it is given up at once. 1–511, default 128. */
  readonly maxHeldPackets?: number;
  /**
   * Called before the first packet after a gap is delivered. `missing` is the number of lost packets, 0 for a
   * restart and a new SSRC.
   */
  readonly onGap?: (cause: JitterGap, missing: number) => void;
  /** Called when a packet shows that the `count` before it, starting at `first`, are missing. They may still arrive. */
  readonly onMissing?: (first: number, count: number, nowMs: number) => void;
  /** Called when a missing packet arrives, `lateMs` after it was missed: in time, or after its gap was given up. */
  readonly onLate?: (sequenceNumber: number, lateMs: number, nowMs: number) => void;
}

/** Counters of a {@link JitterBuffer}, since its construction. */
export interface JitterBufferStats {
  /** Delivered. */
  delivered: number;
  /** Arrived out of order and were put in order. */
  reordered: number;
  /** Arrived again; dropped. */
  duplicates: number;
  /** Arrived after their gap had been given up; dropped. */
  late: number;
  /** Never arrived in time. */
  lost: number;
  /** Changes of SSRC or sequence that were followed. */
  resyncs: number;
  /** Of a foreign SSRC or far outside the window, and never confirmed; dropped. */
  strays: number;
}

/**
 * One stream's reorder buffer. Not re-entrant: the sink must not call back into it.
 * A stranger (other SSRC, or a sequence number far away) is held until a second packet continues it;
 * then it becomes the stream. So a single forged or damaged packet changes nothing.
 */
export class JitterBuffer {
  /** Live counters; read-only. */
  readonly stats: JitterBufferStats = {
    delivered: 0,
    reordered: 0,
    duplicates: 0,
    late: 0,
    lost: 0,
    resyncs: 0,
    strays: 0,
  };
  readonly #next: Sink<RtpPacket>;
  readonly #onGap: JitterBufferOptions['onGap'];
  readonly #onMissing: JitterBufferOptions['onMissing'];
  readonly #onLate: JitterBufferOptions['onLate'];
  #delayMs: number;
  readonly #maxHeld: number;
  readonly #slots: (RtpPacket | undefined)[] = Array.from({ length: JITTER_BUFFER_SLOTS });
  /** Sequence numbers and timestamps delivered recently, to distinguish duplicates from late packets. */
  readonly #seenSequence = new Int32Array(JITTER_BUFFER_SLOTS).fill(-1);
  readonly #seenTimestamp = new Uint32Array(JITTER_BUFFER_SLOTS);
  /** Packets missed recently, and since when. */
  readonly #missedSequence = new Int32Array(JITTER_BUFFER_SLOTS).fill(-1);
  readonly #missedMs = new Float64Array(JITTER_BUFFER_SLOTS);
  #started = false;
  #ssrc = 0;
  #expected = 0;
  #held = 0;
  #highestHeld = 0;
  /** When the current gap was noticed; valid while packets are held. */
  #gapSinceMs = 0;
  #lastProgressMs = 0;
  #stranger: RtpPacket | undefined;
  #lateRun = 0;
  #lateNext = -1;

  /** @throws MediaError INVALID_ARGUMENT naming `delayMs` or `maxHeldPackets`. */
  constructor(next: Sink<RtpPacket>, options: JitterBufferOptions = {}) {
    const { delayMs = 60, maxHeldPackets = 128 } = options;
    requireDelay(delayMs);
    if (!(maxHeldPackets >= 1 && maxHeldPackets < JITTER_BUFFER_SLOTS)) {
      throw new MediaError('INVALID_ARGUMENT', 'maxHeldPackets must be 1–511', {
        field: 'maxHeldPackets',
      });
    }
    this.#next = next;
    this.#onGap = options.onGap;
    this.#onMissing = options.onMissing;
    this.#onLate = options.onLate;
    this.#delayMs = delayMs;
    this.#maxHeld = maxHeldPackets;
  }

  /** How long to wait for a missing packet, in milliseconds; a change applies to current gaps too. */
  get delayMs(): number {
    return this.#delayMs;
  }

  /** @throws MediaError INVALID_ARGUMENT naming `delayMs` unless 0 or more. */
  set delayMs(delayMs: number) {
    requireDelay(delayMs);
    this.#delayMs = delayMs;
  }

  /** Takes the next packet from the wire; delivers nothing, this packet, or this and the ones that waited for it. */
  push(packet: RtpPacket): void {
    if (packet.sequenceNumber === this.#expected && packet.ssrc === this.#ssrc && this.#started) {
      if (this.#held === 0) {
        this.#deliver(packet);
        return;
      }
      this.#noteArrival(packet);
      this.#deliver(packet);
      this.#drain(packet.arrivalMs);
      return;
    }
    this.#pushUnexpected(packet);
  }

  /**
   * Gives up on gaps that are older than the delay. Call it at the latest when the returned time has passed; more
   * often (a 20 ms tick) does no harm.
   * @returns milliseconds until the next call is due; Infinity while nothing is held.
   */
  expire(nowMs: number): number {
    while (this.#held > 0) {
      const dueMs = this.#gapSinceMs + this.#delayMs - nowMs;
      if (dueMs > 0) return dueMs;
      this.#skipGap();
    }
    return Number.POSITIVE_INFINITY;
  }

  /** Delivers the held packets, giving up their gaps, and forgets the stream: the next packet starts a new one. */
  reset(): void {
    while (this.#held > 0) this.#skipGap();
    this.#started = false;
    this.#stranger = undefined;
    this.#lateRun = 0;
    this.#seenSequence.fill(-1);
    this.#missedSequence.fill(-1);
  }

  #pushUnexpected(packet: RtpPacket): void {
    if (!this.#started) {
      this.#begin(packet);
      return;
    }
    if (packet.ssrc !== this.#ssrc) {
      this.#pushStranger(packet);
      return;
    }
    let ahead = ((packet.sequenceNumber - this.#expected) << 16) >> 16;
    // The window is full of holes: a packet that follows the held ones makes us give up the oldest holes.
    while (
      this.#held > 0 &&
      ahead >= JITTER_BUFFER_SLOTS &&
      ((packet.sequenceNumber - this.#highestHeld) & 0xffff) <= MAX_MISORDER
    ) {
      this.#skipGap();
      ahead = ((packet.sequenceNumber - this.#expected) << 16) >> 16;
    }
    if (ahead === 0) {
      this.push(packet);
      return;
    }
    if (ahead > 0 && ahead < JITTER_BUFFER_SLOTS) this.#hold(packet);
    else if (ahead < 0 && ahead >= -MAX_MISORDER) this.#pushLate(packet);
    else this.#pushStranger(packet);
    this.expire(packet.arrivalMs);
  }

  #hold(packet: RtpPacket): void {
    const slot = packet.sequenceNumber & (JITTER_BUFFER_SLOTS - 1);
    if (this.#slots[slot] !== undefined) {
      this.stats.duplicates++;
      return;
    }
    this.#slots[slot] = packet;
    const frontier = this.#held === 0 ? this.#expected : (this.#highestHeld + 1) & 0xffff;
    const beyond = ((packet.sequenceNumber - frontier) << 16) >> 16;
    if (beyond >= 0) this.#highestHeld = packet.sequenceNumber;
    if (this.#held++ === 0) this.#gapSinceMs = packet.arrivalMs;
    if (beyond > 0) this.#noteMissing(frontier, beyond, packet.arrivalMs);
    else if (beyond < 0) this.#noteArrival(packet);
    if (this.#held > this.#maxHeld) this.#skipGap();
  }

  #noteMissing(first: number, count: number, nowMs: number): void {
    for (let index = 0; index < count; index++) {
      const sequenceNumber = (first + index) & 0xffff;
      const slot = sequenceNumber & (JITTER_BUFFER_SLOTS - 1);
      this.#missedSequence[slot] = sequenceNumber;
      this.#missedMs[slot] = nowMs;
    }
    this.#onMissing?.(first, count, nowMs);
  }

  /** A missing packet arrived, in time or not. */
  #noteArrival({ sequenceNumber, arrivalMs }: RtpPacket): void {
    const slot = sequenceNumber & (JITTER_BUFFER_SLOTS - 1);
    if (this.#missedSequence[slot] !== sequenceNumber) return;
    this.#missedSequence[slot] = -1;
    this.#onLate?.(sequenceNumber, arrivalMs - this.#missedMs[slot]!, arrivalMs);
  }

  #pushLate(packet: RtpPacket): void {
    const slot = packet.sequenceNumber & (JITTER_BUFFER_SLOTS - 1);
    if (
      this.#seenSequence[slot] === packet.sequenceNumber &&
      this.#seenTimestamp[slot] === packet.rtpTimestamp
    ) {
      this.stats.duplicates++;
      return;
    }
    this.stats.late++;
    this.#noteArrival(packet);
    this.#lateRun = packet.sequenceNumber === this.#lateNext ? this.#lateRun + 1 : 1;
    this.#lateNext = (packet.sequenceNumber + 1) & 0xffff;
    const silenceMs = packet.arrivalMs - this.#lastProgressMs;
    if (
      this.#lateRun >= RESTART_PACKETS ||
      (this.#lateRun >= 3 && silenceMs >= RESTART_SILENCE_MS)
    ) {
      this.#restart(packet, 'restart');
    }
  }

  #pushStranger(packet: RtpPacket): void {
    const stranger = this.#stranger;
    const follows =
      stranger !== undefined &&
      stranger.ssrc === packet.ssrc &&
      ((stranger.sequenceNumber + 1) & 0xffff) === packet.sequenceNumber;
    if (!follows) {
      if (stranger !== undefined) this.stats.strays++;
      this.#stranger = packet;
      return;
    }
    this.#stranger = undefined;
    this.#restart(stranger, packet.ssrc === this.#ssrc ? 'restart' : 'ssrc');
    this.push(packet);
  }

  #restart(first: RtpPacket, cause: JitterGap): void {
    while (this.#held > 0) this.#skipGap();
    this.#seenSequence.fill(-1);
    this.#missedSequence.fill(-1);
    this.stats.resyncs++;
    this.#onGap?.(cause, 0);
    this.#begin(first);
  }

  #begin(packet: RtpPacket): void {
    this.#started = true;
    this.#ssrc = packet.ssrc;
    this.#expected = packet.sequenceNumber;
    this.#deliver(packet);
  }

  #deliver(packet: RtpPacket): void {
    const sequenceNumber = packet.sequenceNumber;
    const slot = sequenceNumber & (JITTER_BUFFER_SLOTS - 1);
    this.#seenSequence[slot] = sequenceNumber;
    this.#seenTimestamp[slot] = packet.rtpTimestamp;
    this.#expected = (sequenceNumber + 1) & 0xffff;
    this.#lastProgressMs = packet.arrivalMs;
    this.#lateRun = 0;
    if (this.#stranger !== undefined) {
      this.#stranger = undefined;
      this.stats.strays++;
    }
    this.stats.delivered++;
    this.#next(packet);
  }

  /** Delivers what follows without a gap. */
  #drain(nowMs: number): void {
    for (;;) {
      const slot = this.#expected & (JITTER_BUFFER_SLOTS - 1);
      const packet = this.#slots[slot];
      if (packet === undefined) break;
      this.#slots[slot] = undefined;
      this.#held--;
      this.stats.reordered++;
      this.#deliver(packet);
    }
    if (this.#held > 0) {
      this.#gapSinceMs = this.#firstHeld().arrivalMs;
      this.expire(nowMs);
    }
  }

  #firstHeld(): RtpPacket {
    for (let ahead = 0; ; ahead++) {
      const packet = this.#slots[(this.#expected + ahead) & (JITTER_BUFFER_SLOTS - 1)];
      if (packet !== undefined) return packet;
    }
  }

  #skipGap(): void {
    const first = this.#firstHeld();
    const missing = (first.sequenceNumber - this.#expected) & 0xffff;
    this.stats.lost += missing;
    this.#expected = first.sequenceNumber;
    this.#onGap?.('loss', missing);
    for (;;) {
      const slot = this.#expected & (JITTER_BUFFER_SLOTS - 1);
      const packet = this.#slots[slot];
      if (packet === undefined) break;
      this.#slots[slot] = undefined;
      this.#held--;
      this.#deliver(packet);
    }
    if (this.#held > 0) this.#gapSinceMs = this.#firstHeld().arrivalMs;
  }
}

function requireDelay(delayMs: number): void {
  if (delayMs >= 0) return;
  throw new MediaError('INVALID_ARGUMENT', 'delayMs must be 0 or more', { field: 'delayMs' });
}
