// A bad network for the packets of one sender: loss, duplicates, reordering, delay; reproducible by its seed.

import { seededRandom } from '../seeded-random.ts';
import type { Random } from '../seeded-random.ts';

/** Impairments of the line. All default to 0: a perfect line. */
export interface Impairments {
  /** Share of packets that are lost, 0–1. */
  readonly loss?: number;
  /** Share of packets that are sent twice, 0–1. */
  readonly duplicate?: number;
  /** Share of packets that are sent late, 0–1. */
  readonly reorder?: number;
  /** A late packet is overtaken by 1 … this many others. Default 3. */
  readonly reorderDepth?: number;
  /** Each packet waits 0 … this long, in order, in steps of 5 ms. */
  readonly jitterMs?: number;
  /** The same seed gives the same impairments. Default 1. */
  readonly seed?: number;
}

/** Counters of the line. */
export interface LineStats {
  lost: number;
  duplicated: number;
  reordered: number;
}

/** A late packet is sent after this time at the latest. */
const MAX_HOLD_MS = 100;

interface Held {
  readonly datagram: Uint8Array;
  dueMs: number;
  /** Packets that may still overtake it. */
  toPass: number;
}

/** Forwards, delays or drops packets. It has no clock: `flush` supplies the time. */
export class ImpairedLine {
  readonly stats: LineStats = { lost: 0, duplicated: 0, reordered: 0 };
  readonly #send: (datagram: Uint8Array) => void;
  readonly #random: Random;
  readonly #loss: number;
  readonly #duplicate: number;
  readonly #reorder: number;
  readonly #depth: number;
  readonly #jitterMs: number;
  readonly #perfect: boolean;
  #late: Held[] = [];
  #delayed: Held[] = [];

  /** @throws RangeError when a share is not 0–1, or a depth or time is negative. */
  constructor(impairments: Impairments, send: (datagram: Uint8Array) => void) {
    const { loss = 0, duplicate = 0, reorder = 0, reorderDepth = 3, jitterMs = 0 } = impairments;
    for (const [field, share] of Object.entries({ loss, duplicate, reorder })) {
      if (!(share >= 0 && share <= 1)) throw new RangeError(`${field} must be 0–1`);
    }
    if (!(jitterMs >= 0)) throw new RangeError('jitterMs must not be negative');
    if (!(reorderDepth >= 1)) throw new RangeError('reorderDepth must be at least 1');
    this.#send = send;
    this.#random = seededRandom(impairments.seed ?? 1);
    this.#loss = loss;
    this.#duplicate = duplicate;
    this.#reorder = reorder;
    this.#depth = Math.floor(reorderDepth);
    this.#jitterMs = jitterMs;
    this.#perfect = loss === 0 && duplicate === 0 && reorder === 0 && jitterMs === 0;
  }

  /** Sends a packet, now or later. @returns false if it is lost */
  push(datagram: Uint8Array, nowMs: number): boolean {
    if (this.#perfect) {
      this.#send(datagram);
      return true;
    }
    // The random numbers are always drawn in this order, so that one share does not influence the others.
    const lost = this.#random() < this.#loss;
    const twice = this.#random() < this.#duplicate;
    const late = this.#random() < this.#reorder;
    const place = this.#random();
    if (lost) {
      this.stats.lost++;
      return false;
    }
    if (late) {
      this.stats.reordered++;
      const toPass = 1 + Math.floor(place * this.#depth);
      this.#late.push({ datagram, dueMs: nowMs + MAX_HOLD_MS, toPass });
    } else this.#delay(datagram, nowMs);
    if (twice) {
      this.stats.duplicated++;
      this.#delay(datagram, nowMs);
    }
    return true;
  }

  /** Sends everything due. */
  flush(nowMs: number): void {
    if (this.#perfect) return;
    let ready = 0;
    while (ready < this.#delayed.length && this.#delayed[ready]!.dueMs <= nowMs) ready++;
    if (ready > 0) for (const held of this.#delayed.splice(0, ready)) this.#out(held.datagram);
    if (this.#late.some((held) => held.dueMs <= nowMs)) {
      const due = this.#late.filter((held) => held.dueMs <= nowMs);
      this.#late = this.#late.filter((held) => held.dueMs > nowMs);
      for (const held of due) this.#send(held.datagram);
    }
  }

  /** Sends everything queued. */
  drain(): void {
    this.flush(Number.POSITIVE_INFINITY);
  }

  #delay(datagram: Uint8Array, nowMs: number): void {
    if (this.#jitterMs === 0) {
      this.#out(datagram);
      return;
    }
    const dueMs = nowMs + this.#random() * this.#jitterMs;
    const previous = this.#delayed.at(-1);
    this.#delayed.push({ datagram, dueMs: Math.max(dueMs, previous?.dueMs ?? 0), toPass: 0 });
  }

  /** Sends one packet, which overtakes the late ones. */
  #out(datagram: Uint8Array): void {
    this.#send(datagram);
    if (this.#late.length === 0) return;
    let released = 0;
    for (const held of this.#late) if (--held.toPass <= 0) released++;
    if (released === 0) return;
    const passed = this.#late.filter((held) => held.toPass <= 0);
    this.#late = this.#late.filter((held) => held.toPass > 0);
    for (const held of passed) this.#send(held.datagram);
  }
}
