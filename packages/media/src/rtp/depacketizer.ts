// The contract of depacketizers: packets of one stream in sequence order in, complete frames out.

import type { AudioCodec, VideoCodec } from '../codec/codec.ts';
import type { RtpPacket } from '../codec/frame.ts';

/** What an RTP payload type means in a call, as negotiated. */
export interface RtpCodec {
  readonly codec: VideoCodec | AudioCodec | 'telephone-event' | 'comfort-noise';
  /** RTP clock, from rtpmap. */
  readonly clockRateHz: number;
}

/**
 * Turns the packets of one stream into units: complete frames in decoding order, and the name of a fault for each break.
 * Notices sequence gaps and new SSRCs by itself.
 *
 * A fault says that something is missing or malformed. The frame that it belongs to is dropped, and the fault
 * comes before the next frame. For video, later frames may refer to the lost one: request a key frame.
 */
export interface Depacketizer<Unit> {
  /**
   * Takes the next packet in sequence order. Never throws, whatever the packet contains.
   * @returns what the packet completes, in order: usually nothing or one unit. The next call reuses the list.
   */
  push(packet: RtpPacket): readonly Unit[];
  /** Takes a packet of the stream that carries nothing for this depacketizer: it occupies its place in the sequence. */
  skip(packet: RtpPacket): readonly Unit[];
  /** Forgets an incomplete frame and the position in the sequence, without a fault. */
  reset(): void;
}

/** Made with an object in it, so that the engine treats it like the lists with units: one shape in the hot loops. */
const NOTHING: object[] = [{}];
NOTHING.length = 0;

/** The units that one packet completes. The list is reused: filling it again allocates nothing. */
export class UnitList<Unit> {
  readonly #units: Unit[] = [];
  #count = 0;

  /** Starts with the next packet. */
  begin(): void {
    this.#count = 0;
  }

  add(unit: Unit): void {
    this.#units[this.#count++] = unit;
  }

  /** The units added since `begin`, in order; valid until the next `begin`. */
  get units(): readonly Unit[] {
    if (this.#count === 0) return NOTHING as never[];
    if (this.#units.length !== this.#count) this.#units.length = this.#count;
    return this.#units;
  }

  /** Drops the units, so that nothing keeps them. */
  clear(): void {
    this.#count = 0;
    this.#units.length = 0;
  }
}
