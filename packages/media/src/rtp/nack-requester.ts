// Which missing packets to request again, and when: generic NACK, RFC 4585 §6.2.1.

import type { Nack } from './rtcp.ts';

/** Options of a {@link NackRequester}. */
export interface NackRequesterOptions {
  /** How late a packet may be before it is requested, since networks reorder. Default 10 ms. */
  readonly reorderToleranceMs?: number;
  /** Requests for one packet. Default 3. */
  readonly maxRequests?: number;
  /** A larger gap is not requested: a key frame costs less. 1–256 packets, default 64. */
  readonly maxGapPackets?: number;
}

/** Counters of a {@link NackRequester}, since its construction. */
export interface NackStats {
  /** RTCP NACKs sent, each for one or more packets. */
  nacksSent: number;
  /** Packets requested, each counted once. */
  requested: number;
  /** Packets that arrived after a request, in time or not. */
  recovered: number;
  /** Packets never requested: their gap was too large, or too many were missing already. */
  refused: number;
}

/** Limit of packets requested at a time. */
const MAX_MISSING = 256;
/** Lower bound of a round trip: a peer needs time to answer. */
const MIN_ROUND_TRIP_MS = 20;
/** Assumed round trip before one is measured. */
export const DEFAULT_ROUND_TRIP_MS = 50;

interface MissingPacket {
  readonly sequenceNumber: number;
  readonly sinceMs: number;
  lastMs: number;
  requests: number;
}

/** Pure: sends nothing, keeps no clock. A jitter buffer reports what is missing and what arrived. */
export class NackRequester {
  /** Live counters; read-only. */
  readonly stats: NackStats = { nacksSent: 0, requested: 0, recovered: 0, refused: 0 };
  readonly #toleranceMs: number;
  readonly #maxRequests: number;
  readonly #maxGap: number;
  /** In order of their discovery. */
  #missing: MissingPacket[] = [];

  constructor(options: NackRequesterOptions = {}) {
    this.#toleranceMs = options.reorderToleranceMs ?? 10;
    this.#maxRequests = options.maxRequests ?? 3;
    this.#maxGap = options.maxGapPackets ?? 64;
  }

  /** Number of missing packets. */
  get pending(): number {
    return this.#missing.length;
  }

  /** `count` packets from `first` on (u16) are missing, discovered just now. */
  onMissing(first: number, count: number, nowMs: number): void {
    if (count > this.#maxGap || this.#missing.length + count > MAX_MISSING) {
      this.stats.refused += count;
      return;
    }
    for (let index = 0; index < count; index++) {
      this.#missing.push({
        sequenceNumber: (first + index) & 0xffff,
        sinceMs: nowMs,
        lastMs: Number.NEGATIVE_INFINITY,
        requests: 0,
      });
    }
  }

  /** A missing packet arrived. */
  onArrived(sequenceNumber: number): void {
    const at = this.#missing.findIndex((packet) => packet.sequenceNumber === sequenceNumber);
    if (at < 0) return;
    if (this.#missing[at]!.requests > 0) this.stats.recovered++;
    this.#missing.splice(at, 1);
  }

  /** Forgets everything: another stream begins. */
  reset(): void {
    this.#missing.length = 0;
  }

  /**
   * What to request now; undefined: nothing. Call it while `pending` is above 0, on every packet and tick.
   * @param waitMs packets missing for longer are given up: the jitter buffer's delay.
   */
  poll(nowMs: number, roundTripMs: number, waitMs: number): Nack['lost'] | undefined {
    const againMs = Math.max(MIN_ROUND_TRIP_MS, roundTripMs);
    let due: number[] | undefined;
    let kept = 0;
    for (const packet of this.#missing) {
      if (nowMs - packet.sinceMs >= waitMs) continue;
      this.#missing[kept++] = packet;
      if (packet.requests >= this.#maxRequests) continue;
      if (nowMs - packet.sinceMs < this.#toleranceMs || nowMs - packet.lastMs < againMs) continue;
      if (packet.requests === 0) this.stats.requested++;
      packet.requests++;
      packet.lastMs = nowMs;
      due ??= [];
      due.push(packet.sequenceNumber);
    }
    this.#missing.length = kept;
    if (due === undefined) return undefined;
    this.stats.nacksSent++;
    return nackItems(due);
  }
}

/**
 * RFC 4585 §6.2.1: sequence numbers as few pairs of a packet ID and a mask of the 16 behind it.
 * @param sequenceNumbers u16, in order; all within half the circle.
 */
export function nackItems(sequenceNumbers: readonly number[]): Nack['lost'] {
  const items: { packetId: number; bitmask: number }[] = [];
  let last: { packetId: number; bitmask: number } | undefined;
  for (const sequenceNumber of sequenceNumbers) {
    const ahead = last === undefined ? 0 : (sequenceNumber - last.packetId) & 0xffff;
    if (last !== undefined && ahead >= 1 && ahead <= 16) {
      last.bitmask |= 1 << (ahead - 1);
    } else if (last === undefined || ahead > 0) {
      last = { packetId: sequenceNumber, bitmask: 0 };
      items.push(last);
    }
  }
  return items;
}
