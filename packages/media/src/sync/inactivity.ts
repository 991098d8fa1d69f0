// When a peer counts as gone: nothing came for too long, although it should send.

/** Options of an {@link Inactivity}, in milliseconds; 0: never. */
export interface InactivityOptions {
  readonly rtpTimeoutMs: number;
  readonly rtcpTimeoutMs: number;
}

/** Pure: time is an argument. Silent while the peer need not send. */
export class Inactivity {
  readonly #options: InactivityOptions;
  #sinceMs = Number.NaN;
  #told = false;

  constructor(options: InactivityOptions) {
    this.#options = options;
  }

  /** Whether the peer is to send from now on: false on hold, and where it only listens. */
  expect(sends: boolean, nowMs: number): void {
    if (!sends) this.#sinceMs = Number.NaN;
    else if (Number.isNaN(this.#sinceMs)) this.#sinceMs = nowMs;
  }

  /**
   * @param rtpMs - When RTP last came, or null; `rtcpMs` likewise.
   * @returns what has failed to come, once.
   */
  check(rtpMs: number | null, rtcpMs: number | null, nowMs: number): 'rtp' | 'rtcp' | undefined {
    if (this.#told || Number.isNaN(this.#sinceMs)) return undefined;
    const { rtpTimeoutMs, rtcpTimeoutMs } = this.#options;
    const isOver = (lastMs: number | null, timeoutMs: number): boolean =>
      timeoutMs > 0 && nowMs - Math.max(this.#sinceMs, lastMs ?? 0) >= timeoutMs;
    const gone = isOver(rtpMs, rtpTimeoutMs)
      ? 'rtp'
      : isOver(rtcpMs, rtcpTimeoutMs)
        ? 'rtcp'
        : undefined;
    this.#told = gone !== undefined;
    return gone;
  }
}
