// When an empty RTP packet keeps a NAT binding open (RFC 6263), and its payload type.

/** Ten keep-alives a second apart, for a peer that waits for the first one; then the interval of RFC 6263 §7. */
const FIRST_KEEP_ALIVES = 10;
const FIRST_KEEP_ALIVE_MS = 1000;
const KEEP_ALIVE_MS = 15_000;

/** Due times of the keep-alives of one RTP session, until its peer sends. */
export class RtpKeepAlive {
  /** A payload type that was not negotiated: receivers must ignore it (RFC 6263 §4.6). */
  payloadType = 127;
  /** Sent since the peer was last silent; undefined once it sends. */
  #sent: number | undefined = 0;
  #dueMs = Number.NEGATIVE_INFINITY;

  /** Whether the peer has yet to send. */
  get isWaiting(): boolean {
    return this.#sent !== undefined;
  }

  /** Waits for another peer from now on. */
  start(nowMs: number): void {
    this.#sent = 0;
    this.#dueMs = nowMs;
  }

  /** The peer sends: no keep-alives are needed. The hot path. */
  stop(): void {
    this.#sent = undefined;
  }

  /** Whether one is due; if so, it counts as sent. */
  takeDue(nowMs: number): boolean {
    if (this.#sent === undefined || nowMs < this.#dueMs) return false;
    this.#sent++;
    this.#dueMs = nowMs + (this.#sent < FIRST_KEEP_ALIVES ? FIRST_KEEP_ALIVE_MS : KEEP_ALIVE_MS);
    return true;
  }
}
