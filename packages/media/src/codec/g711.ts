// Converts G.711 from one law to the other, through linear samples (ITU-T G.711).

import type { G711Codec } from './codec.ts';

function table(decode: (octet: number) => number): Int16Array {
  return Int16Array.from({ length: 256 }, (_, octet) => decode(octet));
}

const TABLES: Readonly<Record<G711Codec, Int16Array>> = {
  pcma: table((octet) => {
    const code = octet ^ 0x55;
    const exponent = (code >> 4) & 7;
    const mantissa = ((code & 0x0f) << 4) + 8;
    const magnitude = exponent === 0 ? mantissa : (mantissa + 0x100) << (exponent - 1);
    return (code & 0x80) !== 0 ? magnitude : -magnitude;
  }),
  pcmu: table((octet) => {
    const code = ~octet & 0xff;
    const magnitude = ((((code & 0x0f) << 3) + 0x84) << ((code >> 4) & 7)) - 0x84;
    return (code & 0x80) !== 0 ? -magnitude : magnitude;
  }),
};

/** For each octet of one law, the octet of the other law with the nearest sample. */
const OTHER_LAW: Readonly<Record<G711Codec, Uint8Array>> = {
  pcma: nearest(TABLES.pcma, TABLES.pcmu),
  pcmu: nearest(TABLES.pcmu, TABLES.pcma),
};

function nearest(from: Int16Array, to: Int16Array): Uint8Array {
  return Uint8Array.from(from, (sample) => {
    let best = 0;
    for (let octet = 1; octet < 256; octet++) {
      if (Math.abs(to[octet]! - sample) < Math.abs(to[best]! - sample)) best = octet;
    }
    return best;
  });
}

/** A G.711 payload in the other law: A-law becomes µ-law, µ-law A-law. */
export function convertG711(codec: G711Codec, payload: Uint8Array): Uint8Array {
  const octets = OTHER_LAW[codec];
  return payload.map((octet) => octets[octet]!);
}
