// H.264 parameter sets, as far as packaging needs them: ITU-T H.264 §7.3.2.1, annex E; ISO/IEC 14496-15 §5.3.3; RFC 6184 §8.1.

import { MediaError } from '../errors.ts';

/** nal_unit_type values that the code refers to by name (H.264 table 7-1). */
export const NAL_TYPE = {
  slice: 1,
  idrSlice: 5,
  sei: 6,
  sps: 7,
  pps: 8,
  accessUnitDelimiter: 9,
  filler: 12,
} as const;

/** nal_unit_type, 0–31, of a NAL unit without start code; 0 for an empty one. */
export function nalType(nal: Uint8Array): number {
  return (nal[0] ?? 0) & 0x1f;
}

/** True for slices and data partitions (types 1–5): the coded picture itself. */
export function isPictureNal(nal: Uint8Array): boolean {
  const type = nalType(nal);
  return type >= 1 && type <= 5;
}

/**
 * True when a slice (type 1, 2 or 5) begins at macroblock 0, that is, begins a picture: `first_mb_in_slice`
 * is the first field of the slice header, and ue(0) is a single 1 bit (H.264 §7.3.3, §9.1).
 */
export function beginsPicture(nal: Uint8Array): boolean {
  const type = nalType(nal);
  return (type === 1 || type === 2 || type === 5) && ((nal[1] ?? 0) & 0x80) !== 0;
}

/** True when every slice is intra-coded: slice_type 2 or 7 (H.264 table 7-6). */
export function isIntraPicture(nalus: readonly Uint8Array[]): boolean {
  let slices = 0;
  for (const nal of nalus) {
    if (!isPictureNal(nal)) continue;
    const bits = new BitReader(nal.subarray(1, 1 + SLICE_HEAD_BYTES));
    bits.ue(); // first_mb_in_slice
    const type = bits.ue();
    if (bits.overrun || (type !== 2 && type !== 7)) return false;
    slices++;
  }
  return slices > 0;
}

/** True when a sequence parameter set is among the NAL units. */
export function hasSps(nalus: readonly Uint8Array[]): boolean {
  return nalus.some((nal) => nalType(nal) === NAL_TYPE.sps);
}

/** What a sequence parameter set says about the picture. */
export interface SequenceParameters {
  /** 66 Baseline, 77 Main, 100 High … */
  readonly profileIdc: number;
  /** The octet of constraint_set flags. */
  readonly constraintFlags: number;
  /** Ten times the level, e.g. 31. */
  readonly levelIdc: number;
  readonly id: number;
  /** 0 monochrome, 1 4:2:0, 2 4:2:2, 3 4:4:4. */
  readonly chromaFormat: number;
  readonly bitDepthLuma: number;
  readonly bitDepthChroma: number;
  /** Pixels after cropping. */
  readonly width: number;
  /** Pixels after cropping. */
  readonly height: number;
  /** Frames per second according to the VUI timing, when present and sane (0–1000). */
  readonly fps: number | undefined;
  /**
   * Most pictures that precede one in decoding order and follow it in output order, 0–16: from the VUI, or 0 where
   * the profile or order type forbids any. Undefined: unknown.
   */
  readonly maxReorderFrames: number | undefined;
  /** The form of slice headers (H.264 §7.3.3), as far as it depends on this set. */
  readonly slices: {
    readonly frameNumBits: number;
    readonly hasFields: boolean;
    readonly hasPlanes: boolean;
    readonly orderType: number;
    readonly orderBits: number;
    readonly hasDeltaOrder: boolean;
  };
}

/** Profiles with chroma and bit depth fields (H.264 §7.3.2.1.1). */
const HIGH_PROFILES = new Set([100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135]);
const MAX_PICTURE_SIDE = 16_384;
/** Enough for the first two fields of a slice header; emulation prevention cannot occur in them. */
const SLICE_HEAD_BYTES = 8;
/** Longest parameter set that is parsed; real ones stay below 200 octets. */
const MAX_PARAMETER_SET_BYTES = 4096;

/** Parses an SPS, header octet included. Undefined for another NAL unit, a truncated one or absurd values. */
export function parseSps(nal: Uint8Array): SequenceParameters | undefined {
  if (nalType(nal) !== NAL_TYPE.sps || nal.length < 5 || nal.length > MAX_PARAMETER_SET_BYTES) {
    return undefined;
  }
  const bits = new BitReader(unescapeNal(nal.subarray(1)));
  const profileIdc = bits.read(8);
  const constraintFlags = bits.read(8);
  const levelIdc = bits.read(8);
  const id = bits.ue();
  let chromaFormat = 1;
  let bitDepthLuma = 8;
  let bitDepthChroma = 8;
  let hasPlanes = false;
  if (HIGH_PROFILES.has(profileIdc)) {
    chromaFormat = bits.ue();
    if (chromaFormat > 3) return undefined;
    if (chromaFormat === 3 && bits.read(1) === 1) {
      chromaFormat = 0; // separate planes: each like monochrome
      hasPlanes = true;
    }
    bitDepthLuma = 8 + bits.ue();
    bitDepthChroma = 8 + bits.ue();
    if (bitDepthLuma > 14 || bitDepthChroma > 14) return undefined;
    bits.read(1);
    if (bits.read(1) === 1) skipScalingLists(bits, chromaFormat === 3 ? 12 : 8);
  }
  const frameNumBits = bits.ue() + 4;
  const orderType = bits.ue();
  let orderBits = 0;
  let hasDeltaOrder = false;
  if (orderType === 0) orderBits = bits.ue() + 4;
  else if (orderType === 1) {
    hasDeltaOrder = bits.read(1) === 0;
    bits.ue();
    bits.ue();
    const cycle = bits.ue();
    if (cycle > 255) return undefined;
    for (let index = 0; index < cycle; index++) bits.ue();
  } else if (orderType !== 2) return undefined;
  bits.ue(); // max_num_ref_frames
  bits.read(1);
  const widthMbs = bits.ue() + 1;
  const heightMapUnits = bits.ue() + 1;
  const frameMbsOnly = bits.read(1);
  if (frameMbsOnly === 0) bits.read(1);
  bits.read(1);
  let width = widthMbs * 16;
  let height = heightMapUnits * 16 * (2 - frameMbsOnly);
  if (bits.read(1) === 1) {
    // H.264 §7.4.2.1.1: crop units are chroma samples (and field pairs).
    const unitX = chromaFormat === 1 || chromaFormat === 2 ? 2 : 1;
    const unitY = (chromaFormat === 1 ? 2 : 1) * (2 - frameMbsOnly);
    width -= (bits.ue() + bits.ue()) * unitX;
    height -= (bits.ue() + bits.ue()) * unitY;
  }
  if (bits.overrun || width < 1 || height < 1) return undefined;
  if (frameNumBits > 16 || orderBits > 16) return undefined;
  const vui: Vui = bits.read(1) === 1 ? readVui(bits) : {};
  if (width > MAX_PICTURE_SIDE || height > MAX_PICTURE_SIDE) return undefined;
  return {
    profileIdc,
    constraintFlags,
    levelIdc,
    id,
    chromaFormat,
    bitDepthLuma,
    bitDepthChroma,
    width,
    height,
    fps: vui.fps,
    // H.264 §A.2.1: no B slices in Baseline; §8.2.1.3: with type 2 output order is decoding order.
    maxReorderFrames: profileIdc === 66 || orderType === 2 ? 0 : vui.maxReorderFrames,
    slices: {
      frameNumBits,
      hasFields: frameMbsOnly === 0,
      hasPlanes,
      orderType,
      orderBits,
      hasDeltaOrder,
    },
  };
}

interface Vui {
  readonly fps?: number | undefined;
  readonly maxReorderFrames?: number | undefined;
}

/** H.264 §E.1.1. Truncated or absurd values are left out. */
function readVui(bits: BitReader): Vui {
  if (bits.read(1) === 1 && bits.read(8) === 255) bits.read(32);
  if (bits.read(1) === 1) bits.read(1);
  if (bits.read(1) === 1) {
    bits.read(4);
    if (bits.read(1) === 1) bits.read(24);
  }
  if (bits.read(1) === 1) {
    bits.ue();
    bits.ue();
  }
  const fps = bits.read(1) === 1 ? readFps(bits) : undefined;
  const nalHrd = bits.read(1);
  if (nalHrd === 1) skipHrd(bits);
  const vclHrd = bits.read(1);
  if (vclHrd === 1) skipHrd(bits);
  if (nalHrd === 1 || vclHrd === 1) bits.read(1);
  bits.read(1); // pic_struct_present_flag
  if (bits.read(1) === 0) return { fps };
  bits.read(1);
  for (let skipped = 0; skipped < 4; skipped++) bits.ue();
  const maxReorderFrames = bits.ue();
  return {
    fps,
    maxReorderFrames: bits.overrun || maxReorderFrames > 16 ? undefined : maxReorderFrames,
  };
}

function readFps(bits: BitReader): number | undefined {
  const unitsInTick = bits.read(32);
  const timeScale = bits.read(32);
  const cutShort = bits.overrun;
  bits.read(1); // fixed_frame_rate_flag
  if (cutShort || unitsInTick === 0) return undefined;
  const fps = timeScale / (2 * unitsInTick);
  return fps > 0 && fps <= 1000 ? fps : undefined;
}

/** hrd_parameters(), H.264 §E.1.2. */
function skipHrd(bits: BitReader): void {
  const count = bits.ue() + 1;
  bits.read(8);
  for (let index = 0; index < count && !bits.overrun; index++) {
    bits.ue();
    bits.ue();
    bits.read(1);
  }
  bits.read(20);
}

function skipScalingLists(bits: BitReader, lists: number): void {
  for (let list = 0; list < lists; list++) {
    if (bits.read(1) === 0) continue;
    const size = list < 6 ? 16 : 64;
    let last = 8;
    let next = 8;
    for (let index = 0; index < size && !bits.overrun; index++) {
      if (next !== 0) next = (last + bits.se() + 256) & 0xff;
      if (next !== 0) last = next;
    }
  }
}

/** Removes emulation prevention octets: 00 00 03 → 00 00 (H.264 §7.4.1). Copies only if there are any. */
export function unescapeNal(bytes: Uint8Array): Uint8Array {
  let found = -1;
  for (let index = 2; index < bytes.length; index++) {
    if (bytes[index] === 3 && bytes[index - 1] === 0 && bytes[index - 2] === 0) {
      found = index;
      break;
    }
  }
  if (found < 0) return bytes;
  const out = new Uint8Array(bytes.length - 1);
  out.set(bytes.subarray(0, found));
  let size = found;
  let zeros = 0;
  for (let index = found + 1; index < bytes.length; index++) {
    const octet = bytes[index]!;
    if (octet === 3 && zeros >= 2) {
      zeros = 0;
      continue;
    }
    zeros = octet === 0 ? zeros + 1 : 0;
    out[size++] = octet;
  }
  return out.subarray(0, size);
}

/**
 * AVCDecoderConfigurationRecord (ISO/IEC 14496-15 §5.3.3.1) with 4-octet lengths, from NAL units without start codes.
 * @throws MediaError INVALID_ARGUMENT naming `sps` or `pps`: none given, too many (31, 255), or too long.
 */
export function encodeAvcConfiguration(
  sps: readonly Uint8Array[],
  pps: readonly Uint8Array[],
): Buffer {
  const first = sps[0];
  const tooLong = (nal: Uint8Array): boolean => nal.length > 0xffff;
  if (first === undefined || first.length < 4 || sps.length > 31 || sps.some(tooLong)) {
    throw new MediaError('INVALID_ARGUMENT', 'needs 1–31 SPS', { field: 'sps' });
  }
  if (pps.length === 0 || pps.length > 255 || pps.some(tooLong)) {
    throw new MediaError('INVALID_ARGUMENT', 'needs 1–255 PPS', { field: 'pps' });
  }
  const parts: Uint8Array[] = [
    Uint8Array.of(1, first[1]!, first[2]!, first[3]!, 0xff, 0xe0 | sps.length),
  ];
  for (const nal of sps) parts.push(Uint8Array.of(nal.length >> 8, nal.length & 0xff), nal);
  parts.push(Uint8Array.of(pps.length));
  for (const nal of pps) parts.push(Uint8Array.of(nal.length >> 8, nal.length & 0xff), nal);
  if (HIGH_PROFILES.has(first[1]!)) {
    const parameters = parseSps(first);
    if (parameters !== undefined) {
      parts.push(
        Uint8Array.of(
          0xfc | parameters.chromaFormat,
          0xf8 | (parameters.bitDepthLuma - 8),
          0xf8 | (parameters.bitDepthChroma - 8),
          0,
        ),
      );
    }
  }
  return Buffer.concat(parts);
}

/**
 * The parameter sets of an AVCDecoderConfigurationRecord, SPS first, as views. Empty when it is malformed, truncated, or
 * does not announce 4-octet lengths.
 */
export function decodeAvcConfiguration(record: Uint8Array): Uint8Array[] {
  if (record.length < 7 || record[0] !== 1 || (record[4]! & 3) !== 3) return [];
  const sets: Uint8Array[] = [];
  let at = 5;
  for (const mask of [0x1f, 0xff]) {
    if (at >= record.length) return [];
    const count = record[at++]! & mask;
    for (let index = 0; index < count; index++) {
      const from = at + 2;
      at = from + (((record[at] ?? 0) << 8) | (record[at + 1] ?? 0));
      if (from > record.length || at > record.length) return [];
      sets.push(record.subarray(from, at));
    }
  }
  return sets;
}

/** Limit of parameter sets taken from one `sprop-parameter-sets`. */
const MAX_SPROP_SETS = 16;

/**
 * NAL units of an fmtp's `sprop-parameter-sets` value (RFC 6184 §8.1): base64, comma-separated. What is not a
 * parameter set (SPS, PPS, SPS extension) is left out, so garbage gives an empty list. Never throws.
 */
export function decodeSpropParameterSets(value: string): Uint8Array[] {
  const sets: Uint8Array[] = [];
  for (const part of value.split(',', MAX_SPROP_SETS)) {
    const text = part.trim();
    if (!/^[A-Za-z0-9+/]+={0,2}$/.test(text)) continue;
    const nal = new Uint8Array(Buffer.from(text, 'base64'));
    const type = nalType(nal);
    if (nal.length < 2 || nal.length > MAX_PARAMETER_SET_BYTES || nal[0]! >= 0x80) continue;
    if (type === NAL_TYPE.sps || type === NAL_TYPE.pps || type === 13) sets.push(nal);
  }
  return sets;
}

/** Reads bits from the left; past the end it reads zeros and sets `overrun`. */
export class BitReader {
  overrun = false;
  readonly #bytes: Uint8Array;
  #position = 0;

  /** Bits read so far. */
  get position(): number {
    return this.#position;
  }

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /** Unsigned, 1–32 bits. */
  read(count: number): number {
    let value = 0;
    for (let index = 0; index < count; index++) {
      const octet = this.#bytes[this.#position >> 3];
      if (octet === undefined) this.overrun = true;
      value = value * 2 + (((octet ?? 0) >> (7 - (this.#position & 7))) & 1);
      this.#position++;
    }
    return value;
  }

  /** ue(v), H.264 §9.1. */
  ue(): number {
    let zeros = 0;
    while (this.read(1) === 0) {
      if (++zeros > 31 || this.overrun) {
        this.overrun = true;
        return 0;
      }
    }
    return zeros === 0 ? 0 : 2 ** zeros - 1 + this.read(zeros);
  }

  /** se(v), H.264 §9.1.1. */
  se(): number {
    const code = this.ue();
    return code % 2 === 1 ? (code + 1) / 2 : -code / 2;
  }
}
