// G.711 A-law to µ-law (ITU-T G.711 tables 1 and 2), by way of linear samples.

/** The 16-bit linear sample of an A-law octet. */
export function aLawToLinear(octet: number): number {
  const bits = octet ^ 0x55;
  const segment = (bits >> 4) & 0x07;
  const step = bits & 0x0f;
  const magnitude = segment === 0 ? (step << 4) + 8 : ((step << 4) + 0x108) << (segment - 1);
  return (bits & 0x80) !== 0 ? magnitude : -magnitude;
}

/** The µ-law octet nearest to a 16-bit linear sample. */
export function linearToMuLaw(sample: number): number {
  const negative = sample < 0;
  const magnitude = Math.min(negative ? -sample : sample, 32_635) + 0x84;
  const segment = 31 - Math.clz32(magnitude) - 7;
  const step = (magnitude >> (segment + 3)) & 0x0f;
  return ~((negative ? 0x80 : 0) | (segment << 4) | step) & 0xff;
}

const MU_LAW_OF_A_LAW = Uint8Array.from({ length: 256 }, (_, octet) =>
  linearToMuLaw(aLawToLinear(octet)),
);

/** A-law octets as µ-law octets, in a new buffer. */
export function aLawToMuLaw(aLaw: Uint8Array): Uint8Array {
  return aLaw.map((octet) => MU_LAW_OF_A_LAW[octet]!);
}
