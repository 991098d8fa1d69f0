// What an RTMP server has acknowledged (Adobe RTMP 1.0 §5.4.3), and how much may be outstanding because it acknowledges
// in steps. Pure.

/** The acknowledgements of one connection. */
export class AcknowledgementWindow {
  #windowBytes: number;
  /** Octets acknowledged, unwrapped from the wire's 32 bits; NaN before the first Acknowledgement. */
  #bytes = Number.NaN;
  /** Octets between the last two acknowledgements. */
  #lastStepBytes = 0;

  /** @param windowBytes - The Window Acknowledgement Size requested from the server. */
  constructor(windowBytes: number) {
    this.#windowBytes = windowBytes;
  }

  /** The server has acknowledged at least once. Some never do (Node-Media-Server). */
  get active(): boolean {
    return !Number.isNaN(this.#bytes);
  }

  /** Octets acknowledged, or `null` before the first Acknowledgement. */
  get bytes(): number | null {
    return this.active ? this.#bytes : null;
  }

  /** Octets after which the next acknowledgement is expected: the window, or the server's own step. */
  get stepBytes(): number {
    return Math.max(this.#windowBytes, this.#lastStepBytes);
  }

  /** Another window was requested from the server. */
  setWindow(bytes: number): void {
    this.#windowBytes = bytes;
  }

  /**
   * Takes an Acknowledgement.
   * @param sequence - As on the wire: octets received modulo 2³².
   * @param bytesSent - All octets sent so far.
   */
  acknowledge(sequence: number, bytesSent: number): void {
    const last = this.active ? this.#bytes : 0;
    // The number on the wire has 32 bits: choose the candidate nearest to the previous acknowledgement.
    let value = Math.floor(last / 0x1_0000_0000) * 0x1_0000_0000 + sequence;
    if (value < last - 0x8000_0000) value += 0x1_0000_0000;
    // Some servers count the handshake, too: limit it to what was sent.
    this.#bytes = Math.max(last, Math.min(value, bytesSent));
    if (this.#bytes > last) this.#lastStepBytes = this.#bytes - last;
  }

  /**
   * Octets sent and not acknowledged, as if the server kept to the window: one with a longer step (megabytes, in the
   * worst case) must not look congested shortly before each acknowledgement.
   */
  outstanding(bytesSent: number): number {
    if (!this.active) return 0;
    return Math.max(0, bytesSent - this.#bytes - (this.stepBytes - this.#windowBytes));
  }

  /** Enough is outstanding that a server which reads would acknowledge. */
  due(bytesSent: number): boolean {
    return this.active && bytesSent - this.#bytes >= this.stepBytes;
  }
}
