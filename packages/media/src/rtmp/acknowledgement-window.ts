// What an RTMP server has acknowledged (Adobe RTMP 1.0 §5.4.3), and how much may be outstanding because it acknowledges
// in steps. Pure.

/** The acknowledgements of one connection. */
export class AcknowledgementWindow {
  #windowBytes: number;
  /** Octets acknowledged, unwrapped from the wire's 32 bits; NaN while none came. */
  #bytes = Number.NaN;
  /** Octets between the last two acknowledgements. */
  #lastStepBytes = 0;

  /** @param windowBytes - The Window Acknowledgement Size that the server was asked for. */
  constructor(windowBytes: number) {
    this.#windowBytes = windowBytes;
  }

  /** The server has acknowledged at least once. Some never do (Node-Media-Server). */
  get active(): boolean {
    return !Number.isNaN(this.#bytes);
  }

  /** Octets acknowledged, or `null` while none were. */
  get bytes(): number | null {
    return this.active ? this.#bytes : null;
  }

  /** Octets after which the next acknowledgement is to be expected: the window, or what the server makes of it. */
  get stepBytes(): number {
    return Math.max(this.#windowBytes, this.#lastStepBytes);
  }

  /** The server was asked for another window. */
  setWindow(bytes: number): void {
    this.#windowBytes = bytes;
  }

  /**
   * Takes an Acknowledgement.
   * @param sequence - As on the wire: octets received modulo 2³².
   * @param bytesSent - All that was sent so far.
   */
  acknowledge(sequence: number, bytesSent: number): void {
    const last = this.active ? this.#bytes : 0;
    // The wire's number has 32 bits: the candidate nearest to what was acknowledged before is meant.
    let value = Math.floor(last / 0x1_0000_0000) * 0x1_0000_0000 + sequence;
    if (value < last - 0x8000_0000) value += 0x1_0000_0000;
    // Some servers count the handshake, too: never more than what was sent.
    this.#bytes = Math.max(last, Math.min(value, bytesSent));
    if (this.#bytes > last) this.#lastStepBytes = this.#bytes - last;
  }

  /**
   * Octets sent and not acknowledged, as a server would leave them that keeps to the window: one with a longer step of
   * its own (megabytes, in the worst case) must not look congested shortly before each acknowledgement.
   */
  outstanding(bytesSent: number): number {
    if (!this.active) return 0;
    return Math.max(0, bytesSent - this.#bytes - (this.stepBytes - this.#windowBytes));
  }

  /** So much is outstanding that a server which takes it would acknowledge. */
  due(bytesSent: number): boolean {
    return this.active && bytesSent - this.#bytes >= this.stepBytes;
  }
}
