// The figures of one received medium, as a call's owner sees them.

import type { ReceivedMediaStats } from './media-contract.ts';
import type { ReceptionLine } from './reception-line.ts';
import type { RtpSessionStats } from './rtp-session-contract.ts';

/** How fast a counter grows, over the last period. */
export class Rate {
  sinceMs = Number.NEGATIVE_INFINITY;
  #count = 0;
  /** `null` before the end of the first period. */
  perSecond: number | null = null;

  note(counter: number, nowMs: number): void {
    if (Number.isFinite(this.sinceMs))
      this.perSecond = ((counter - this.#count) * 1000) / (nowMs - this.sinceMs);
    this.sinceMs = nowMs;
    this.#count = counter;
  }
}

/** One more of that name. */
export function count(counts: Map<string, number>, name: string): void {
  counts.set(name, (counts.get(name) ?? 0) + 1);
}

/** The figures of one received medium. */
export function receivedStats<Codec extends string>(
  rtp: RtpSessionStats,
  line: ReceptionLine,
  faults: ReadonlyMap<string, number>,
  rate: Rate,
  codec: Codec | null,
): ReceivedMediaStats<Codec> {
  const { packets, bytes, lost, jitterMs, reordered, duplicates } = rtp;
  const { delayMs, nacksSent, recovered } = line.stats;
  return {
    codec,
    packets,
    bytes,
    lost,
    lossRatio: packets + lost === 0 ? null : lost / (packets + lost),
    jitterMs: packets === 0 ? null : jitterMs,
    reordered,
    duplicates,
    bitrateBps: rate.perSecond,
    jitterDelayMs: delayMs,
    nacksSent,
    recovered,
    faults: { ...rtp.faults, ...Object.fromEntries(faults) },
  };
}
