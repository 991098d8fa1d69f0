// NAL units in a byte stream (ITU-T H.264 annex B): a start code before each.

const START_CODE = Uint8Array.of(0, 0, 0, 1);

/** NAL units with four-octet start codes, as decoders and files expect. */
export function annexB(nalus: readonly Uint8Array[]): Buffer {
  return Buffer.concat(nalus.flatMap((nalu) => [START_CODE, nalu]));
}

/** NAL units as views, without their start codes of three or four octets and without trailing zeros; empty ones are left out. */
export function splitAnnexB(octets: Uint8Array): Uint8Array[] {
  const nalus: Uint8Array[] = [];
  let start = -1;
  const take = (end: number): void => {
    let to = end;
    while (to > start && octets[to - 1] === 0) to--;
    if (start >= 0 && to > start) nalus.push(octets.subarray(start, to));
  };
  for (let at = 0; at + 2 < octets.length; at++) {
    if (octets[at] !== 0 || octets[at + 1] !== 0 || octets[at + 2] !== 1) continue;
    take(at);
    start = at + 3;
    at += 2;
  }
  take(octets.length);
  return nalus;
}
