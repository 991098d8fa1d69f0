// The H.264 parameter sets of a stream, for consumers that join later.

import { NAL_TYPE, nalType, parseSps } from './h264.ts';

/** More than this is garbage: a real stream has one or two of each kind. */
const MAX_SETS = 32;
const MAX_SET_BYTES = 4096;

/** Each set once, the newest last. */
export class ParameterSets {
  #nalus: readonly Uint8Array[] = [];
  #maxReorderFrames: number | undefined;

  /** Copies, in order of their latest arrival. */
  get nalus(): readonly Uint8Array[] {
    return this.#nalus;
  }

  /** There is at least one of each kind: a decoder can start. */
  get complete(): boolean {
    const types = this.#nalus.map(nalType);
    return types.includes(NAL_TYPE.sps) && types.includes(NAL_TYPE.pps);
  }

  /** From the newest sequence parameter set; undefined where it does not say. */
  get maxReorderFrames(): number | undefined {
    return this.#maxReorderFrames;
  }

  /** Takes one NAL unit; ignores anything but parameter sets. */
  push(nalu: Uint8Array): void {
    const type = nalType(nalu);
    if (type !== NAL_TYPE.sps && type !== NAL_TYPE.pps) return;
    if (nalu.length > MAX_SET_BYTES) return;
    const last = this.#nalus.findLast((one) => nalType(one) === type);
    if (last !== undefined && same(last, nalu)) return;
    if (type === NAL_TYPE.sps) this.#maxReorderFrames = parseSps(nalu)?.maxReorderFrames;
    const others = this.#nalus.filter((one) => !same(one, nalu));
    // A copy: the view would keep the whole datagram alive for as long as the call.
    this.#nalus = [...others, Uint8Array.from(nalu)].slice(-MAX_SETS);
  }
}

function same(one: Uint8Array, other: Uint8Array): boolean {
  return one.length === other.length && Buffer.compare(one, other) === 0;
}
