import { describe, expect, it } from 'vitest';
import { formatFlvHeader, formatFlvTag, readFlvTags } from './flv-file.ts';

const tags = [
  { type: 18, timestampMs: 0, body: Buffer.from('meta') },
  { type: 9, timestampMs: 0xffffff, body: Buffer.alloc(0) },
  { type: 8, timestampMs: 0x1000001, body: Buffer.alloc(300, 7) },
  { type: 8, timestampMs: 0xffffffff, body: Buffer.from('end') },
] as const;

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
});
