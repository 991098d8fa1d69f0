// Packets that arrive at a media port before the peer's answer: a limited number is kept, the newest.

/** Limit of octets held; the oldest packets are dropped for new ones. */
const MAX_EARLY_BYTES = 2 * 1024 * 1024;
/** Packets that precede the answer by more than this are early media, not the beginning of the call. */
const MAX_EARLY_MS = 1000;

/** One datagram and where it came from. */
export interface EarlyPacket {
  readonly datagram: Buffer;
  readonly address: string;
  readonly port: number;
  readonly arrivalMs: number;
}

/** A bounded queue. */
export class EarlyPackets {
  readonly #limit: number;
  #packets: EarlyPacket[] = [];
  #bytes = 0;

  /** @param limit of packets that are kept. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Adds a packet. @returns how many were dropped for it. */
  push(packet: EarlyPacket): number {
    this.#packets.push(packet);
    this.#bytes += packet.datagram.length;
    let given = 0;
    while (this.#packets.length > this.#limit || this.#bytes > MAX_EARLY_BYTES) {
      this.#bytes -= this.#packets.shift()?.datagram.length ?? 0;
      given++;
    }
    return given;
  }

  /** Removes and returns the packets of the last second, in order of arrival. */
  take(nowMs: number): EarlyPacket[] {
    const packets = this.#packets.filter(({ arrivalMs }) => nowMs - arrivalMs <= MAX_EARLY_MS);
    this.clear();
    return packets;
  }

  /** Drops all packets. */
  clear(): void {
    this.#packets = [];
    this.#bytes = 0;
  }
}
