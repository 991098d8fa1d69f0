// A small reader of Enhanced RTMP tags for tests, written from the tables of the specification ("Enhanced RTMP v2",
// ExVideoTagHeader and ExAudioTagHeader) and not from our writer; and containers that Debian's ffmpeg knows, for what is in them.

import { decodeAmf0, EcmaArray } from '@sipcast/media/wire';
import type { Amf0Value } from '@sipcast/media/wire';
import { OggWriter, opusHeads } from '../../packages/media/src/codec/ogg.ts';

interface Tag {
  readonly type: number;
  readonly timestampMs: number;
  readonly body: Uint8Array;
}

/** What the tags of a publication hold. */
export interface EnhancedMedia {
  /** Of the video: FourCC, packet types in order, and the frames with their frame types and times. */
  readonly videoFourCcs: ReadonlySet<string>;
  readonly vp8: readonly {
    readonly isKey: boolean;
    readonly timeMs: number;
    readonly octets: Buffer;
  }[];
  readonly videoHeaders: readonly Buffer[];
  readonly opus: readonly { readonly timeMs: number; readonly octets: Buffer }[];
  readonly audioHeaders: readonly Buffer[];
  /** Tags of plain FLV among them, as `9.7` for AVC, `8.10` for AAC. */
  readonly plain: ReadonlySet<string>;
  readonly metadata: ReadonlyMap<string, Amf0Value>;
}

/** Reads every tag. @throws for a packet type or FourCC that should not be there. */
export function readEnhanced(tags: readonly Tag[]): EnhancedMedia {
  const videoFourCcs = new Set<string>();
  const vp8: { isKey: boolean; timeMs: number; octets: Buffer }[] = [];
  const opus: { timeMs: number; octets: Buffer }[] = [];
  const videoHeaders: Buffer[] = [];
  const audioHeaders: Buffer[] = [];
  const plain = new Set<string>();
  let metadata: ReadonlyMap<string, Amf0Value> = new Map();
  for (const { type, timestampMs: timeMs, body } of tags) {
    const bytes = Buffer.from(body);
    if (type === 18) {
      const values = decodeAmf0(bytes);
      if (typeof values !== 'string' && values[1] instanceof EcmaArray)
        metadata = values[1].entries;
      continue;
    }
    // Video: isExHeader is the highest bit. Audio: SoundFormat 9.
    const isEx = type === 9 ? bytes.readUInt8(0) >= 128 : bytes.readUInt8(0) >> 4 === 9;
    if (!isEx) {
      plain.add(type === 9 ? `9.${bytes.readUInt8(0) & 15}` : `8.${bytes.readUInt8(0) >> 4}`);
      continue;
    }
    const packetType = bytes.readUInt8(0) & 15;
    const fourCc = bytes.toString('latin1', 1, 5);
    const octets = bytes.subarray(5);
    if (packetType > 1) throw new Error(`Packet type ${packetType}`);
    if (type === 9) {
      videoFourCcs.add(fourCc);
      if (packetType === 0) videoHeaders.push(octets);
      else vp8.push({ isKey: ((bytes.readUInt8(0) >> 4) & 7) === 1, timeMs, octets });
    } else {
      if (fourCc !== 'Opus') throw new Error(`FourCC ${fourCc}`);
      if (packetType === 0) audioHeaders.push(octets);
      else opus.push({ timeMs, octets });
    }
  }
  return { videoFourCcs, vp8, videoHeaders, opus, audioHeaders, plain, metadata };
}

/** VP8 frames as IVF. */
export function formatIvf(
  frames: EnhancedMedia['vp8'],
  { width, height }: { readonly width: number; readonly height: number },
): Buffer {
  const head = Buffer.alloc(32);
  head.write('DKIF');
  head.writeUInt16LE(32, 6);
  head.write('VP80', 8);
  head.writeUInt16LE(width, 12);
  head.writeUInt16LE(height, 14);
  head.writeUInt32LE(1000, 16);
  head.writeUInt32LE(1, 20);
  head.writeUInt32LE(frames.length, 24);
  const parts = frames.flatMap(({ octets, timeMs }) => {
    const frameHead = Buffer.alloc(12);
    frameHead.writeUInt32LE(octets.length, 0);
    frameHead.writeUInt32LE(timeMs, 4);
    return [frameHead, octets];
  });
  return Buffer.concat([head, ...parts]);
}

/** Opus packets of 20 ms as Ogg. */
export function formatOggOpus(packets: EnhancedMedia['opus']): Buffer {
  const ogg = new OggWriter();
  const heads = opusHeads().map((head) => ogg.page(head, 0));
  return Buffer.concat([
    ...heads,
    ...packets.map(({ octets }, index) => ogg.page(octets, (index + 1) * 960)),
  ]);
}
