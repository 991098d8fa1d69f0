// How many packets per second one peer may send, so that a flood does not starve other calls.

/** 5,000 packets per second, about 50 Mbit/s. */
const PACKETS_PER_MS = 5;
/** Largest burst. */
const MAX_BURST_PACKETS = 2000;

/** A token bucket; one decrement per packet while there is credit. */
export class PacketBudget {
  #credit = 0;
  #sinceMs = Number.NEGATIVE_INFINITY;

  /** @returns false for a packet over the limit. */
  spend(nowMs: number): boolean {
    if (--this.#credit >= 0) return true;
    const earned = Math.floor((nowMs - this.#sinceMs) * PACKETS_PER_MS);
    this.#credit = Math.min(MAX_BURST_PACKETS, earned) - 1;
    this.#sinceMs = nowMs;
    return this.#credit >= 0;
  }
}
