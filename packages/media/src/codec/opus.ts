// The duration of an Opus packet, without decoding it (RFC 6716 §3.1–3.2).
//
//  TOC octet: config(5) stereo(1) code(2); code 0: one frame, 1: two equal, 2: two, 3: a count octet follows

/** RFC 6716 §3.2.5 [R5]: an Opus packet is not longer. */
const MAX_OPUS_PACKET_MS = 120;

const SILK_MS = [10, 20, 40, 60] as const;
const HYBRID_MS = [10, 20] as const;
const CELT_MS = [2.5, 5, 10, 20] as const;
/** RFC 6716 table 2: length of a frame for each configuration, by bandwidth from narrow to full. */
const FRAME_MS: readonly number[] = [
  [SILK_MS, SILK_MS, SILK_MS],
  [HYBRID_MS, HYBRID_MS],
  [CELT_MS, CELT_MS, CELT_MS, CELT_MS],
].flat(2);

const MAX_FRAME_BYTES = 1275;

/**
 * How much sound a packet holds: 2.5–120 ms. Frames without octets (DTX) count with their length.
 * @returns undefined for a packet that is malformed by RFC 6716 §3.4.
 */
export function opusDurationMs(packet: Uint8Array): number | undefined {
  const toc = packet[0];
  if (toc === undefined) return undefined;
  const frameMs = FRAME_MS[toc >> 3]!;
  const code = toc & 3;
  const bodyBytes = packet.length - 1;
  if (code === 0) return bodyBytes <= MAX_FRAME_BYTES ? frameMs : undefined;
  if (code === 1) {
    // [R3]: two frames of one size.
    return bodyBytes % 2 === 0 && bodyBytes <= 2 * MAX_FRAME_BYTES ? 2 * frameMs : undefined;
  }
  if (code === 2) {
    const first = frameLength(packet, 1);
    if (first === undefined) return undefined;
    const second = packet.length - first.at - first.length;
    return second >= 0 && second <= MAX_FRAME_BYTES ? 2 * frameMs : undefined;
  }
  return severalFrames(packet, frameMs);
}

/** RFC 6716 §3.2.5: variable(1) padding(1) count(6), padding lengths, frame lengths, frames, padding. */
function severalFrames(packet: Uint8Array, frameMs: number): number | undefined {
  const counts = packet[1];
  if (counts === undefined) return undefined;
  const count = counts & 0x3f;
  if (count === 0 || count * frameMs > MAX_OPUS_PACKET_MS) return undefined;
  let at = 2;
  let end = packet.length;
  if ((counts & 0x40) !== 0) {
    let octet: number | undefined = 255;
    while (octet === 255) {
      octet = packet[at++];
      if (octet === undefined) return undefined;
      // 255 stands for 254 octets and another length octet.
      end -= octet === 255 ? 254 : octet;
    }
  }
  if ((counts & 0x80) === 0) {
    const bytes = end - at;
    const isWhole = bytes >= 0 && bytes % count === 0 && bytes / count <= MAX_FRAME_BYTES;
    return isWhole ? count * frameMs : undefined;
  }
  let sum = 0;
  for (let frame = 0; frame < count - 1; frame++) {
    const one = frameLength(packet, at);
    if (one === undefined) return undefined;
    sum += one.length;
    at = one.at;
  }
  const last = end - at - sum;
  return last >= 0 && last <= MAX_FRAME_BYTES ? count * frameMs : undefined;
}

/** RFC 6716 §3.2.1: one octet up to 251, or two. */
function frameLength(packet: Uint8Array, at: number): { length: number; at: number } | undefined {
  const first = packet[at];
  if (first === undefined) return undefined;
  if (first < 252) return { length: first, at: at + 1 };
  const second = packet[at + 1];
  return second === undefined ? undefined : { length: second * 4 + first, at: at + 2 };
}
