// What comes to a media port before the peer's answer: kept within bounds, the newest first to stay.

/** Octets held, the oldest given up for the newest. */
const MAX_EARLY_BYTES = 2 * 1024 * 1024;
/** What came before the answer by more than this is early media, not the beginning of the call. */
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

  /** @param limit most packets that are kept. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Keeps one more. @returns how many were given up for it. */
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

  /** Those of the last second, in order of arrival; nothing is kept any more. */
  take(nowMs: number): EarlyPacket[] {
    const packets = this.#packets.filter(({ arrivalMs }) => nowMs - arrivalMs <= MAX_EARLY_MS);
    this.clear();
    return packets;
  }

  /** Forgets them. */
  clear(): void {
    this.#packets = [];
    this.#bytes = 0;
  }
}
