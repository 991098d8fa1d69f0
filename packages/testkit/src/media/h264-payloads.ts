// Access units as RTP payloads: RFC 6184 §5.6 (single NAL unit), §5.7.1 (STAP-A), §5.8 (FU-A).

/** 0: single NAL unit packets only. 1: STAP-A and FU-A as well (RFC 6184 §6.2, §6.3). */
export type PacketizationMode = 0 | 1;

const STAP_A = 24;
const FU_A = 28;

/**
 * The payloads of one access unit, in order; the last one carries the marker. In mode 1, adjacent parameter sets share
 * a STAP-A, and NAL units above `maxPayloadBytes` are split into FU-A. In mode 0, each NAL unit is one packet of any
 * size.
 *
 * @param maxPayloadBytes - At least 3.
 */
export function packetizeAccessUnit(
  nalus: readonly Uint8Array[],
  mode: PacketizationMode,
  maxPayloadBytes: number,
): Uint8Array[] {
  if (mode === 0) return [...nalus];
  const payloads: Uint8Array[] = [];
  for (let at = 0; at < nalus.length; ) {
    let together = 1;
    let bytes = 1 + 2 + nalus[at]!.length;
    while (isParameterSet(nalus[at]!) && at + together < nalus.length) {
      const next = nalus[at + together]!;
      if (!isParameterSet(next) || bytes + 2 + next.length > maxPayloadBytes) break;
      bytes += 2 + next.length;
      together++;
    }
    if (together > 1) payloads.push(aggregate(nalus.slice(at, at + together), bytes));
    else if (nalus[at]!.length <= maxPayloadBytes) payloads.push(nalus[at]!);
    else fragment(nalus[at]!, maxPayloadBytes, payloads);
    at += together;
  }
  return payloads;
}

function isParameterSet(nal: Uint8Array): boolean {
  const type = nal[0]! & 0x1f;
  return type === 7 || type === 8;
}

/** `|F|NRI|24|`, then size (u16) and NAL unit each. F is the OR, NRI the largest of them (RFC 6184 §5.7). */
function aggregate(nalus: readonly Uint8Array[], bytes: number): Uint8Array {
  const payload = new Uint8Array(bytes);
  let forbidden = 0;
  let reference = 0;
  let at = 1;
  for (const nal of nalus) {
    forbidden |= nal[0]! & 0x80;
    reference = Math.max(reference, nal[0]! & 0x60);
    payload[at] = nal.length >> 8;
    payload[at + 1] = nal.length & 0xff;
    payload.set(nal, at + 2);
    at += 2 + nal.length;
  }
  payload[0] = forbidden | reference | STAP_A;
  return payload;
}

/** `|F|NRI|28|`, `|S|E|0|type|`, then a part of the NAL unit without its header octet (RFC 6184 §5.8). */
function fragment(nal: Uint8Array, maxPayloadBytes: number, payloads: Uint8Array[]): void {
  const indicator = (nal[0]! & 0xe0) | FU_A;
  const type = nal[0]! & 0x1f;
  const room = maxPayloadBytes - 2;
  for (let at = 1; at < nal.length; at += room) {
    const to = Math.min(at + room, nal.length);
    const payload = new Uint8Array(2 + to - at);
    payload[0] = indicator;
    payload[1] = (at === 1 ? 0x80 : 0) | (to === nal.length ? 0x40 : 0) | type;
    payload.set(nal.subarray(at, to), 2);
    payloads.push(payload);
  }
}
