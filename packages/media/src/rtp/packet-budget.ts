// How many packets a second one peer may send: one that floods must not starve the other calls.

/** 5,000 packets a second, some 50 Mbit/s. */
const PACKETS_PER_MS = 5;
/** So many at once. */
const MAX_BURST_PACKETS = 2000;

/** A token bucket; one decrement per packet while there is credit. */
export class PacketBudget {
  #credit = 0;
  #sinceMs = Number.NEGATIVE_INFINITY;

  /** @returns false for a packet that is too much. */
  spend(nowMs: number): boolean {
    if (--this.#credit >= 0) return true;
    const earned = Math.floor((nowMs - this.#sinceMs) * PACKETS_PER_MS);
    this.#credit = Math.min(MAX_BURST_PACKETS, earned) - 1;
    this.#sinceMs = nowMs;
    return this.#credit >= 0;
  }
}
