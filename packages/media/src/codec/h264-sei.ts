// Recovery point SEI: where a decoder may start without an IDR picture. ITU-T H.264 §7.3.2.3.1, §D.1.8, §D.2.8.

import { BitReader, NAL_TYPE, nalType, unescapeNal } from './h264.ts';

const RECOVERY_POINT = 6;
/** Longest SEI that is parsed; a recovery point is in a short one, user data may be long. */
const MAX_SEI_BYTES = 4096;

/**
 * `recovery_frame_cnt` of the first recovery point among the NAL units: the number of frames until pictures are correct,
 * 0 for this one already. Undefined when there is none.
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
