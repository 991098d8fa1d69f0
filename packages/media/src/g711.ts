// G.711 to linear samples (ITU-T G.711).

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

/** 16-bit little-endian samples of a G.711 payload; 8 kHz mono. */
export function decodeG711(codec: G711Codec, payload: Uint8Array): Buffer {
  const samples = TABLES[codec];
  const bytes = Buffer.allocUnsafe(payload.length * 2);
  for (let at = 0; at < payload.length; at++) bytes.writeInt16LE(samples[payload[at]!]!, at * 2);
  return bytes;
}
