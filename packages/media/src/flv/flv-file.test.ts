import { describe, expect, it } from 'vitest';
import { FlvReader, formatFlvHeader, formatFlvTag, readFlvTags } from './flv-file.ts';
import type { FlvFileTag } from './flv-file.ts';
import { mutations } from '../test-random.ts';

const tags = [
  { type: 18, timestampMs: 0, body: Buffer.from('meta') },
  { type: 9, timestampMs: 0xffffff, body: Buffer.alloc(0) },
  { type: 8, timestampMs: 0x1000001, body: Buffer.alloc(300, 7) },
  { type: 8, timestampMs: 0xffffffff, body: Buffer.from('end') },
] as const;

function readPieces(pieces: readonly Uint8Array[], maxBodyBytes = 1000) {
  const read: FlvFileTag[] = [];
  const faults: string[] = [];
  const handler = {
    onTag: (tag: FlvFileTag) => read.push(tag),
    onFault: (fault: string) => faults.push(fault),
  };
  const reader = new FlvReader(handler, maxBodyBytes);
  for (const piece of pieces) reader.push(piece);
  return { read, faults };
}

describe('FLV files', () => {
  it('frames tags as Adobe FLV 10.1 §E.4.1 draws them', () => {
    const header = formatFlvHeader({ hasAudio: true, hasVideo: true });
    expect(header.toString('hex')).toBe('464c5601050000000900000000');
    const tag = formatFlvTag({ type: 8, timestampMs: 0x01020304, body: Buffer.from([0xaa]) });
    expect(tag.toString('hex')).toBe('0800000102030401000000aa0000000c');
  });

  it('reads what was written, and stops at a cut', () => {
    const file = Buffer.concat([
      formatFlvHeader({ hasAudio: true, hasVideo: true }),
      ...tags.map(formatFlvTag),
    ]);
    const read = [...readFlvTags(file)];
    expect(read.map((tag) => ({ ...tag, body: Buffer.from(tag.body) }))).toEqual(tags);
    expect([...readFlvTags(file.subarray(0, file.length - 5))]).toHaveLength(3);
    expect([...readFlvTags(Buffer.from('not an FLV file'))]).toEqual([]);
  });

  it('are read as they arrive, cut anywhere', () => {
    const file = Buffer.concat([
      formatFlvHeader({ hasAudio: true, hasVideo: true }),
      ...tags.map(formatFlvTag),
    ]);
    for (let cut = 0; cut <= file.length; cut++) {
      const pieces = [file.subarray(0, cut), file.subarray(cut)];
      expect(readPieces(pieces)).toEqual({ read: tags, faults: [] });
    }
    expect(readPieces(Array.from(file, (octet) => Uint8Array.of(octet))).read).toEqual(tags);
    // A longer header of a later version is skipped.
    const longer = Buffer.concat([file.subarray(0, 9), Buffer.alloc(5), file.subarray(9)]);
    longer.writeUInt32BE(14, 5);
    expect(readPieces([longer]).read).toEqual(tags);
  });

  it('end at data that is not FLV, and at a tag above the limit', () => {
    expect(readPieces([Buffer.from('not an FLV file')])).toEqual({
      read: [],
      faults: ['flv-signature'],
    });
    const file = Buffer.concat([
      formatFlvHeader({ hasAudio: true, hasVideo: true }),
      ...tags.map(formatFlvTag),
    ]);
    expect(readPieces([file, file], 299)).toEqual({
      read: tags.slice(0, 2),
      faults: ['flv-oversize'],
    });
    for (const bytes of mutations([file], 2000, 5)) readPieces([bytes]);
  });
});
