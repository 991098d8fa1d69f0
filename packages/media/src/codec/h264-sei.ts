// Recovery point SEI: where a decoder may begin although there is no IDR picture. ITU-T H.264 §7.3.2.3.1, §D.1.8, §D.2.8.

import { BitReader, NAL_TYPE, nalType, unescapeNal } from './h264.ts';

const RECOVERY_POINT = 6;
/** Longest SEI that is looked at; a recovery point stands in a short one, user data may be long. */
const MAX_SEI_BYTES = 4096;

/**
 * `recovery_frame_cnt` of the first recovery point among the NAL units: so many frames later the pictures are right,
 * 0: from this one on. Undefined when there is none.
 */
export function recoveryFrameCount(nalus: readonly Uint8Array[]): number | undefined {
  for (const nal of nalus) {
    if (nalType(nal) !== NAL_TYPE.sei || nal.length > MAX_SEI_BYTES) continue;
    const count = recoveryPointOf(unescapeNal(nal.subarray(1)));
    if (count !== undefined) return count;
  }
  return undefined;
}

/** Messages: `| 0xff … | type | 0xff … | size | payload |`, each 0xff adding 255. */
function recoveryPointOf(bytes: Uint8Array): number | undefined {
  let at = 0;
  // The last octet holds the trailing bits.
  while (at + 2 < bytes.length) {
    let type = 0;
    while (bytes[at] === 0xff) {
      type += 255;
      at++;
    }
    type += bytes[at++] ?? 0;
    let size = 0;
    while (bytes[at] === 0xff) {
      size += 255;
      at++;
    }
    size += bytes[at++] ?? 0;
    if (at + size > bytes.length) return undefined;
    if (type === RECOVERY_POINT) {
      const bits = new BitReader(bytes.subarray(at, at + size));
      const count = bits.ue();
      // MaxFrameNum, which bounds the count, is at most 2^16.
      return bits.overrun || count >= 0x1_0000 ? undefined : count;
    }
    at += size;
  }
  return undefined;
}
