// The RTMP handshake, client side, in its plain form (Adobe RTMP 1.0 §5.2). Pure: octets in, octets out.

const VERSION = 3;
const PACKET_BYTES = 1536;

/** Octets of the handshake in each direction: C0 + C1 + C2, S0 + S1 + S2. */
export const HANDSHAKE_BYTES: number = 1 + 2 * PACKET_BYTES;

/** What the client must do after some octets of the server. */
export interface HandshakeStep {
  /** To be written now, where something is due. */
  readonly send?: Uint8Array;
  /** The handshake is over; the octets behind it. */
  readonly rest?: Uint8Array;
  /** The server does not speak RTMP: the connection is to be closed. */
  readonly fault?: 'rtmp-handshake-version';
}

/** One client handshake. Feed it what arrives, in pieces of any size. */
export class ClientHandshake {
  readonly #received = Buffer.alloc(HANDSHAKE_BYTES);
  #length = 0;
  #answered = false;

  /**
   * C0 and C1.
   * @param random - Fills the 1,528 octets that the server echoes; they need not be secret.
   */
  hello(random: (bytes: Uint8Array) => void): Uint8Array {
    const hello = Buffer.alloc(1 + PACKET_BYTES);
    hello[0] = VERSION;
    // Time 0, then four zero octets: a plain handshake, also to servers that know the digest one.
    random(hello.subarray(9));
    return hello;
  }

  /** Takes what arrived next; says what is due. */
  push(octets: Uint8Array): HandshakeStep {
    const taken = Math.min(octets.length, HANDSHAKE_BYTES - this.#length);
    this.#received.set(octets.subarray(0, taken), this.#length);
    this.#length += taken;
    if (this.#length > 0 && this.#received[0] !== VERSION)
      return { fault: 'rtmp-handshake-version' };
    const step: { send?: Uint8Array; rest?: Uint8Array } = {};
    if (!this.#answered && this.#length >= 1 + PACKET_BYTES) {
      this.#answered = true;
      step.send = Buffer.from(this.#received.subarray(1, 1 + PACKET_BYTES)); // C2 echoes S1.
    }
    // S2 should echo C1; servers with the digest handshake answer otherwise, so it is not compared.
    if (this.#length === HANDSHAKE_BYTES) step.rest = octets.subarray(taken);
    return step;
  }
}
