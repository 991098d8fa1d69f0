// Encoded silence of each codec, for gaps in the sound. That each decodes to silence, and that
// the sound after it continues cleanly, is shown by test/interop/media/audio-codecs.test.ts.

import type { AudioCodec } from './codec.ts';

/** One step of silence, and of everything that we send. */
export const AUDIO_STEP_MS = 20;

/** Octets of 20 ms at 64 kbit/s. */
const OCTETS_64K = 160;

const hex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'hex'));

const SILENCE: Readonly<Record<AudioCodec, Uint8Array>> = {
  pcma: new Uint8Array(OCTETS_64K).fill(0xd5),
  pcmu: new Uint8Array(OCTETS_64K).fill(0xff),
  // The smallest step in both bands: decoders fall to −62 dBFS within 20 ms. What encoders make of zeros (0xFA) is louder.
  g722: new Uint8Array(OCTETS_64K).fill(0xff),
  // A full-band CELT frame of 20 ms, mono, with its silence flag (RFC 6716 §4.3).
  opus: hex('f8fffe'),
  // Zeros as libspeex encodes them. A frame of mode 0 would be shorter, but is not silence: decoders continue with noise
  // as loud as the sound before.
  'speex-nb': hex('2e9d1b9a2002017fffffffffff8100bfffffffffffc0805fffffffffffe0402ffffffffffff7'),
  'speex-wb': hex(
    '369d1b9a20080168e8e8e8e8e8e8e88400b47474747474747442005a3a3a3a3a3a3a3a21002d1d1d1d1d1d1d1d1b3b60ababababab0ababababab0ababababab0ababababab7',
  ),
};

/** Octets of G.711 that decode to less than 16 of 32,768: digital silence, and its least bit. */
const QUIET: Readonly<Record<'pcma' | 'pcmu', ReadonlySet<number>>> = {
  pcma: new Set([0xd5, 0x55]),
  pcmu: new Set([0xff, 0x7f, 0xfe, 0x7e]),
};
/** An Opus packet without sound is its table-of-contents octet and at most two more (RFC 6716 §3.1, RFC 7587 §3.1.3). */
const OPUS_SILENCE_BYTES = 3;

/** True when a payload is silence for certain; of G.722 and Speex only the one that we send ourselves is known. */
export function isSilence(codec: AudioCodec, payload: Uint8Array): boolean {
  if (codec === 'opus') return payload.length <= OPUS_SILENCE_BYTES;
  if (codec === 'pcma' || codec === 'pcmu') {
    const quiet = QUIET[codec];
    return payload.every((octet) => quiet.has(octet));
  }
  const silence = SILENCE[codec];
  return payload.length === silence.length && payload.every((octet, at) => octet === silence[at]);
}

/** 20 ms of silence, as one RTP payload. Shared: do not modify. */
export function audioSilence(codec: AudioCodec): Uint8Array {
  return SILENCE[codec];
}
