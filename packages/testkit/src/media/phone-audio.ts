// The audio codecs of the phone: their SDP values, and a clip's audio in each.

import { aLawToMuLaw } from './g711.ts';

/** As in `a=rtpmap`, with the clock where one name has two. */
export type PhoneAudioCodec = 'PCMA' | 'PCMU' | 'G722' | 'opus' | 'speex/8000' | 'speex/16000';

/** The properties of a codec for sending. */
export interface PhoneAudioFacts {
  /** Value of `a=rtpmap`. */
  readonly encoding: string;
  /** RTP clock. */
  readonly clockHz: number;
  /** Default payload type. */
  readonly payloadType: number;
}

export const PHONE_AUDIO: Readonly<Record<PhoneAudioCodec, PhoneAudioFacts>> = {
  PCMA: { encoding: 'PCMA/8000', clockHz: 8000, payloadType: 8 },
  PCMU: { encoding: 'PCMU/8000', clockHz: 8000, payloadType: 0 },
  // RFC 3551 §4.5.2: 16 kHz audio with an 8 kHz clock.
  G722: { encoding: 'G722/8000', clockHz: 8000, payloadType: 9 },
  opus: { encoding: 'opus/48000/2', clockHz: 48_000, payloadType: 97 },
  'speex/8000': { encoding: 'speex/8000', clockHz: 8000, payloadType: 98 },
  'speex/16000': { encoding: 'speex/16000', clockHz: 16_000, payloadType: 99 },
};

/** Payloads of 20 ms each. */
export type ClipSounds = Readonly<Partial<Record<PhoneAudioCodec, readonly Uint8Array[]>>>;

/** Octets of 20 ms at 64 kbit/s. */
const FRAME_BYTES = 160;

/** Splits G.711 or G.722 into payloads. A remainder below 20 ms is dropped. */
export function cutFrames(octets: Uint8Array): Uint8Array[] {
  return Array.from({ length: Math.floor(octets.length / FRAME_BYTES) }, (_, at) =>
    octets.subarray(at * FRAME_BYTES, (at + 1) * FRAME_BYTES),
  );
}

const cut = new WeakMap<Uint8Array, Map<'PCMA' | 'PCMU', readonly Uint8Array[]>>();

/** G.711 payloads of A-law audio, cached per clip. */
export function g711Frames(aLaw: Uint8Array, codec: 'PCMA' | 'PCMU'): readonly Uint8Array[] {
  const known = cut.get(aLaw) ?? new Map<'PCMA' | 'PCMU', readonly Uint8Array[]>();
  cut.set(aLaw, known);
  const frames = known.get(codec) ?? cutFrames(codec === 'PCMU' ? aLawToMuLaw(aLaw) : aLaw);
  known.set(codec, frames);
  return frames;
}

/** Size of an Ogg page header (RFC 3533 §6), up to the number of segments. */
const PAGE_HEAD_BYTES = 27;

/** Packets of an Ogg file without its two header packets. @throws RangeError if it is not an Ogg file */
export function oggPackets(file: Buffer): Uint8Array[] {
  const packets: Uint8Array[] = [];
  let parts: Uint8Array[] = [];
  for (let at = 0; at < file.length; ) {
    if (file.toString('latin1', at, at + 4) !== 'OggS') throw new RangeError('not an Ogg file');
    const bodyAt = at + PAGE_HEAD_BYTES + file[at + 26]!;
    let from = bodyAt;
    for (let segment = at + PAGE_HEAD_BYTES; segment < bodyAt; segment++) {
      const lacing = file[segment]!;
      parts.push(file.subarray(from, from + lacing));
      from += lacing;
      if (lacing === 255) continue;
      packets.push(Buffer.concat(parts));
      parts = [];
    }
    at = from;
  }
  return packets.slice(2);
}
