// The audio tags of FLV (Adobe FLV 10.1 §E.4.2): the codec of a tag, and the same tag with another sound in it.

import { AAC_SILENCE, AAC_STEREO_SILENCE, isAacStereo } from '../codec/aac.ts';
import type { G711Codec } from '../codec/codec.ts';
import type { FlvTag } from '../codec/frame.ts';
import { audioSilence } from '../codec/silence.ts';
import { enhancedOpusTag, isEnhancedOpusTag } from './enhanced-tags.ts';

/** Audio that FLV can carry (§E.4.2.1); Opus in the tags of Enhanced RTMP alone. */
export type FlvAudioCodec = G711Codec | 'speex-wb' | 'aac' | 'opus';

/** Sound format; FLV fixes 8 kHz mono for G.711 and 16 kHz mono for Speex, whatever the rate bits say. */
export const SOUND_FORMAT: Readonly<Record<Exclude<FlvAudioCodec, 'opus'>, number>> = {
  pcma: 7,
  pcmu: 8,
  aac: 10,
  'speex-wb': 11,
};

/** Octets of a tag before its sound: sound format; of AAC also the packet type; of Opus also the FourCC. */
const HEAD_BYTES: Readonly<Record<FlvAudioCodec, number>> = {
  pcma: 1,
  pcmu: 1,
  'speex-wb': 1,
  aac: 2,
  opus: 5,
};
const CODEC_OF_FORMAT: ReadonlyMap<number, FlvAudioCodec> = new Map([
  [SOUND_FORMAT.pcma, 'pcma'],
  [SOUND_FORMAT.pcmu, 'pcmu'],
  [SOUND_FORMAT.aac, 'aac'],
  [SOUND_FORMAT['speex-wb'], 'speex-wb'],
]);

/** Codec of the sound in a tag; `undefined` for one without sound, and for sound formats that we do not send. */
export function codecOfTag(tag: FlvTag): FlvAudioCodec | undefined {
  if (tag.role !== 'audio') return undefined;
  return isEnhancedOpusTag(tag) ? 'opus' : CODEC_OF_FORMAT.get((tag.body[0] ?? 0) >> 4);
}

/** The octets of sound in a tag of this codec. */
export function soundBytesOf(tag: FlvTag, codec: FlvAudioCodec): number {
  return Math.max(0, tag.body.length - HEAD_BYTES[codec]);
}

/** A tag of this codec with another sound in it, in the same codec. */
export function withSound(tag: FlvTag, codec: FlvAudioCodec, sound: Uint8Array): FlvTag {
  return { ...tag, body: Buffer.concat([tag.body.subarray(0, HEAD_BYTES[codec]), sound]) };
}

/** The same audio tag with silence in it; other tags, and those in sound formats that we do not send, are returned unchanged. */
export function silencedTag(tag: FlvTag): FlvTag {
  if (tag.role !== 'audio') return tag;
  if (isEnhancedOpusTag(tag)) return enhancedOpusTag(audioSilence('opus'), tag.timestampMs);
  const head = tag.body[0] ?? 0;
  switch (head >> 4) {
    case SOUND_FORMAT.aac:
      return {
        ...tag,
        body: Buffer.from([
          head,
          1,
          ...(isAacStereo(tag.body.subarray(2)) ? AAC_STEREO_SILENCE : AAC_SILENCE),
        ]),
      };
    case SOUND_FORMAT['speex-wb']:
      return { ...tag, body: Buffer.from([head, ...audioSilence('speex-wb')]) };
    case SOUND_FORMAT.pcma:
    case SOUND_FORMAT.pcmu: {
      const codec = head >> 4 === SOUND_FORMAT.pcma ? 'pcma' : 'pcmu';
      const body = Buffer.alloc(tag.body.length, audioSilence(codec)[0]);
      body[0] = head;
      return { ...tag, body };
    }
    default:
      return tag;
  }
}
