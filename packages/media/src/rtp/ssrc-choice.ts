// Which of several sources that send at once from one address is the stream (RFC 3550 §8.2). Pure: time is an argument.

/** The source that was left and comes back within this time had never stopped. */
const RETURN_MS = 1000;
/** So long must the chosen source be silent before another may take over. */
const SILENCE_MS = 500;

/**
 * A source may take over from another, as when a device restarts its encoder. Where the former goes on sending, both send at once.
 * Seen in: video bridges that send several layers, or pictures and slides, in one session. The first one stays then.
 */
export class SsrcChoice {
  #ssrc: number | undefined;
  #former: number | undefined;
  #changedMs = Number.NEGATIVE_INFINITY;
  /** The source that stays; undefined while there is no dispute. */
  #chosen: number | undefined;
  #chosenMs = 0;

  /** @returns whether a packet of this source may be of the stream. */
  admits(ssrc: number, nowMs: number): boolean {
    if (this.#chosen === undefined) return true;
    if (ssrc !== this.#chosen) {
      if (nowMs - this.#chosenMs < SILENCE_MS) return false;
      this.#chosen = undefined;
      this.#former = undefined;
      return true;
    }
    this.#chosenMs = nowMs;
    return true;
  }

  /** Reports the source of the stream, after each packet. */
  follow(ssrc: number | undefined, nowMs: number): void {
    if (ssrc === this.#ssrc) return;
    if (ssrc !== undefined && ssrc === this.#former && nowMs - this.#changedMs < RETURN_MS) {
      this.#chosen = ssrc;
      this.#chosenMs = nowMs;
    }
    this.#former = this.#ssrc;
    this.#ssrc = ssrc;
    this.#changedMs = nowMs;
  }
}
