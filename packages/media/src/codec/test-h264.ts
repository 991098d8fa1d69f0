// Synthetic H.264 for tests: access units of random NAL units, and their RFC 6184 packets.

import { encodeRtp } from '../rtp/rtp.ts';

/** One access unit as it is sent. */
export interface TestAccessUnit {
  readonly nalus: readonly Uint8Array[];
  readonly isKeyFrame: boolean;
  readonly rtpTimestamp: number;
}

/** A NAL unit of `size` octets; `first` says whether a slice begins its picture. */
function testNal(type: number, size: number, random: () => number, first = true): Uint8Array {
  const nal = new Uint8Array(size);
  // No zeros: like a real one (§7.4.1), it contains no start code.
  for (let index = 1; index < size; index++) nal[index] = 1 + Math.floor(random() * 255);
  nal[0] = 0x60 | type;
  if (size > 1) nal[1] = first ? nal[1]! | 0x80 : (nal[1]! & 0x7f) | 1;
  return nal;
}

/** `count` access units at 25 fps, an IDR with parameter sets every `keyInterval`, some in several slices. */
export function testAccessUnits(
  count: number,
  random: () => number,
  { keyInterval = 10, firstTimestamp = 0 } = {},
): TestAccessUnit[] {
  return Array.from({ length: count }, (_, index) => {
    const isKeyFrame = index % keyInterval === 0;
    const nalus: Uint8Array[] = [];
    if (isKeyFrame) nalus.push(testNal(7, 20, random), testNal(8, 5, random));
    if (random() < 0.2) nalus.push(testNal(6, 12, random));
    for (let slices = random() < 0.3 ? 3 : 1, slice = 0; slice < slices; slice++) {
      const size =
        random() < 0.3 ? 2 + random() * 200 : 2 + random() * (isKeyFrame ? 12_000 : 4000);
      nalus.push(testNal(isKeyFrame ? 5 : 1, Math.floor(size), random, slice === 0));
    }
    return { nalus, isKeyFrame, rtpTimestamp: (firstTimestamp + index * 3600) >>> 0 };
  });
}

/** RTP payloads of one access unit: small NAL units aggregated in pairs (STAP-A), large ones in FU-A. */
export function testPayloads(nalus: readonly Uint8Array[], maxPayloadBytes = 1200): Uint8Array[] {
  const payloads: Uint8Array[] = [];
  for (let index = 0; index < nalus.length; index++) {
    const nal = nalus[index]!;
    const following = nalus[index + 1];
    if (following !== undefined && nal.length + following.length + 5 <= maxPayloadBytes) {
      payloads.push(
        Buffer.concat([
          Uint8Array.of(0x60 | 24, nal.length >> 8, nal.length & 0xff),
          nal,
          Uint8Array.of(following.length >> 8, following.length & 0xff),
          following,
        ]),
      );
      index++;
    } else if (nal.length <= maxPayloadBytes) {
      payloads.push(nal);
    } else {
      const step = maxPayloadBytes - 2;
      for (let at = 1; at < nal.length; at += step) {
        const start = at === 1 ? 0x80 : 0;
        const end = at + step >= nal.length ? 0x40 : 0;
        payloads.push(
          Buffer.concat([
            Uint8Array.of((nal[0]! & 0xe0) | 28, start | end | (nal[0]! & 0x1f)),
            nal.subarray(at, at + step),
          ]),
        );
      }
    }
  }
  return payloads;
}

/** All access units as RTP datagrams, the marker on the last of each. */
export function testDatagrams(
  accessUnits: readonly TestAccessUnit[],
  options: { firstSequence?: number; payloadType?: number; ssrc?: number; marker?: boolean } = {},
): Buffer[] {
  const { firstSequence = 0, payloadType = 112, ssrc = 0x1234, marker = true } = options;
  const datagrams: Buffer[] = [];
  for (const { nalus, rtpTimestamp } of accessUnits) {
    const payloads = testPayloads(nalus);
    payloads.forEach((payload, index) => {
      datagrams.push(
        encodeRtp({
          payloadType,
          marker: marker && index === payloads.length - 1,
          sequenceNumber: (firstSequence + datagrams.length) & 0xffff,
          rtpTimestamp,
          ssrc,
          payload,
        }),
      );
    });
  }
  return datagrams;
}

/** Comparable form of NAL units. */
export function hexNalus(nalus: readonly Uint8Array[]): string[] {
  return nalus.map((nal) => Buffer.from(nal).toString('hex'));
}
