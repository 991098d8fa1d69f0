// When a peer counts as gone: nothing arrived for too long, although it should send.

/** Options of an {@link Inactivity}, in milliseconds; 0: never. */
export interface InactivityOptions {
  readonly rtpTimeoutMs: number;
  readonly rtcpTimeoutMs: number;
}

/** Pure: time is an argument. Reports nothing while the peer need not send. */
export class Inactivity {
  readonly #options: InactivityOptions;
  #sinceMs = Number.NaN;
  #reported = false;

  constructor(options: InactivityOptions) {
    this.#options = options;
  }

  /** Sets whether the peer should send: false on hold, and when it only listens. */
  expect(sends: boolean, nowMs: number): void {
    if (!sends) this.#sinceMs = Number.NaN;
    else if (Number.isNaN(this.#sinceMs)) this.#sinceMs = nowMs;
  }

  /**
   * @param rtpMs - When RTP last arrived, or null.
   * @param rtcpMs - When RTCP last arrived, or null.
   * @returns what has failed to arrive, once.
   */
  check(rtpMs: number | null, rtcpMs: number | null, nowMs: number): 'rtp' | 'rtcp' | undefined {
    if (this.#reported || Number.isNaN(this.#sinceMs)) return undefined;
    const { rtpTimeoutMs, rtcpTimeoutMs } = this.#options;
    const isOver = (lastMs: number | null, timeoutMs: number): boolean =>
      timeoutMs > 0 && nowMs - Math.max(this.#sinceMs, lastMs ?? 0) >= timeoutMs;
    const gone = isOver(rtpMs, rtpTimeoutMs)
      ? 'rtp'
      : isOver(rtcpMs, rtcpTimeoutMs)
        ? 'rtcp'
        : undefined;
    this.#reported = gone !== undefined;
    return gone;
  }
}
