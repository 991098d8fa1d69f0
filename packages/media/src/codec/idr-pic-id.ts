// Gives an IDR slice another idr_pic_id. Two IDR pictures in a row must differ in it (ITU-T H.264 §7.4.3), so a picture that
// is sent again is not the same picture.

import { BitReader, nalType, NAL_TYPE, parseSps, unescapeNal } from './h264.ts';

/** What a picture parameter set says about slice headers (H.264 §7.3.2.2). */
interface SliceForm {
  /** CABAC: slice data begins at an octet. */
  readonly isCabac: boolean;
  /** Bits of frame_num. */
  readonly frameNumBits: number;
  /** Pictures may be fields. */
  readonly hasFields: boolean;
  readonly hasPlanes: boolean;
  /** 0, 1 or 2, and bits of pic_order_cnt_lsb. */
  readonly orderType: number;
  readonly orderBits: number;
  readonly hasDeltaOrder: boolean;
  readonly hasBottomOrder: boolean;
  readonly hasRedundant: boolean;
  readonly hasDeblocking: boolean;
}

/**
 * The slices' form by the parameter sets; undefined where they are not understood, e.g. with slice groups.
 * @param sets - At least one SPS and one PPS; the last of each counts.
 */
export function sliceFormOf(sets: readonly Uint8Array[]): SliceForm | undefined {
  const spsNal = sets.findLast((nal) => nalType(nal) === NAL_TYPE.sps);
  const ppsNal = sets.findLast((nal) => nalType(nal) === NAL_TYPE.pps);
  const sps = spsNal && parseSps(spsNal);
  if (!sps || !ppsNal) return undefined;
  const bits = new BitReader(unescapeNal(ppsNal.subarray(1)));
  bits.ue(); // pic_parameter_set_id
  bits.ue(); // seq_parameter_set_id
  const isCabac = bits.read(1) === 1;
  const hasBottomOrder = bits.read(1) === 1;
  if (bits.ue() > 0) return undefined; // slice groups
  bits.ue();
  bits.ue();
  bits.read(3); // weighted_pred_flag, weighted_bipred_idc
  bits.se();
  bits.se();
  bits.se();
  const hasDeblocking = bits.read(1) === 1;
  bits.read(1); // constrained_intra_pred_flag
  const hasRedundant = bits.read(1) === 1;
  if (bits.overrun) return undefined;
  return { ...sps.slices, isCabac, hasBottomOrder, hasDeblocking, hasRedundant };
}

/** Where things are in an IDR slice, in bits of its unescaped octets. */
interface SliceHead {
  readonly idrPicId: number;
  readonly idFrom: number;
  readonly idTo: number;
  /** End of the slice header. */
  readonly end: number;
}

/** H.264 §7.3.3, for the I slices of an IDR picture. */
function readHead(rbsp: Uint8Array, form: SliceForm, hasReference: boolean): SliceHead | undefined {
  const bits = new BitReader(rbsp);
  bits.ue(); // first_mb_in_slice
  const type = bits.ue() % 5;
  if (type !== 2) return undefined;
  bits.ue(); // pic_parameter_set_id
  if (form.hasPlanes) bits.read(2);
  bits.read(form.frameNumBits);
  const isField = form.hasFields && bits.read(1) === 1;
  if (isField) bits.read(1);
  const idFrom = bits.position;
  const idrPicId = bits.ue();
  const idTo = bits.position;
  if (form.orderType === 0) {
    bits.read(form.orderBits);
    if (form.hasBottomOrder && !isField) bits.se();
  } else if (form.orderType === 1 && form.hasDeltaOrder) {
    bits.se();
    if (form.hasBottomOrder && !isField) bits.se();
  }
  if (form.hasRedundant) bits.ue();
  if (hasReference) bits.read(2); // dec_ref_pic_marking of an IDR picture
  bits.se(); // slice_qp_delta
  if (form.hasDeblocking && bits.ue() !== 1) {
    bits.se();
    bits.se();
  }
  return bits.overrun ? undefined : { idrPicId, idFrom, idTo, end: bits.position };
}

/** idr_pic_id of an IDR slice; undefined where it cannot be read. */
export function idrPicIdOf(slice: Uint8Array, form: SliceForm): number | undefined {
  const rbsp = unescapeNal(slice.subarray(1));
  return readHead(rbsp, form, ((slice[0] ?? 0) & 0x60) !== 0)?.idrPicId;
}

/** The slice with another idr_pic_id, 0–65535; undefined where it cannot be read. */
export function withIdrPicId(
  slice: Uint8Array,
  form: SliceForm,
  idrPicId: number,
): Uint8Array | undefined {
  const rbsp = unescapeNal(slice.subarray(1));
  const head = readHead(rbsp, form, ((slice[0] ?? 0) & 0x60) !== 0);
  if (!head) return undefined;
  const dataBits = lastOneOf(rbsp);
  if (dataBits < head.end) return undefined;
  const out = new BitWriter(rbsp.length + 8);
  out.copy(rbsp, 0, head.idFrom);
  out.ue(idrPicId);
  out.copy(rbsp, head.idTo, head.end);
  if (form.isCabac) {
    // cabac_alignment_one_bit up to the next octet, then the octets of the slice data as they are.
    while (out.position % 8 !== 0) out.write(1, 1);
    out.copy(rbsp, Math.ceil(head.end / 8) * 8, dataBits);
  } else out.copy(rbsp, head.end, dataBits);
  // rbsp_trailing_bits, and cabac_zero_words of the source are left out.
  out.write(1, 1);
  while (out.position % 8 !== 0) out.write(0, 1);
  return escapeNal(slice[0] ?? 0, out.octets);
}

/** Position of rbsp_stop_one_bit. */
function lastOneOf(rbsp: Uint8Array): number {
  let last = rbsp.length - 1;
  while (last >= 0 && rbsp[last] === 0) last--;
  const octet = rbsp[last] ?? 0;
  let bit = 7;
  while (bit > 0 && ((octet >> (7 - bit)) & 1) === 0) bit--;
  return last * 8 + bit;
}

/** A NAL unit with emulation prevention octets (H.264 §7.4.1). */
function escapeNal(header: number, rbsp: Uint8Array): Uint8Array {
  const out = new Uint8Array(1 + Math.ceil(rbsp.length * 1.5) + 1);
  out[0] = header;
  let size = 1;
  let zeros = 0;
  for (const octet of rbsp) {
    if (zeros >= 2 && octet <= 3) {
      out[size++] = 3;
      zeros = 0;
    }
    out[size++] = octet;
    zeros = octet === 0 ? zeros + 1 : 0;
  }
  return out.subarray(0, size);
}

class BitWriter {
  position = 0;
  readonly #octets: Uint8Array;

  constructor(maxBytes: number) {
    this.#octets = new Uint8Array(maxBytes);
  }

  get octets(): Uint8Array {
    return this.#octets.subarray(0, Math.ceil(this.position / 8));
  }

  /** Up to 32 bits. */
  write(value: number, count: number): void {
    for (let bit = count - 1; bit >= 0; bit--) {
      if (Math.floor(value / 2 ** bit) % 2 === 1)
        this.#octets[this.position >> 3]! |= 0x80 >> (this.position & 7);
      this.position++;
    }
  }

  /** ue(v), H.264 §9.1. */
  ue(value: number): void {
    const bits = Math.floor(Math.log2(value + 1));
    this.write(0, bits);
    this.write(value + 1, bits + 1);
  }

  /** Copies the bits `from` to `to` (excluded). */
  copy(source: Uint8Array, from: number, to: number): void {
    let at = from;
    // Whole octets where both sides are at one.
    while (at < to && (at % 8 !== 0 || to - at < 8)) this.#copyBit(source, at++);
    const shift = this.position % 8;
    for (; to - at >= 8; at += 8) {
      const octet = source[at >> 3] ?? 0;
      const index = this.position >> 3;
      this.#octets[index]! |= octet >> shift;
      if (shift > 0) this.#octets[index + 1]! |= (octet << (8 - shift)) & 0xff;
      this.position += 8;
    }
    while (at < to) this.#copyBit(source, at++);
  }

  #copyBit(source: Uint8Array, at: number): void {
    this.write(((source[at >> 3] ?? 0) >> (7 - (at & 7))) & 1, 1);
  }
}
