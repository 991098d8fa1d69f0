import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MAX_OGG_PACKET_BYTES, OggReader, OggWriter, opusHeads, speexHeads } from './ogg.ts';
import { seededRandom } from '../test-random.ts';

function read(pieces: readonly Uint8Array[]) {
  const packets: string[] = [];
  const reader = new OggReader((packet) => packets.push(Buffer.from(packet).toString('hex')));
  for (const piece of pieces) reader.push(piece);
  return { packets, skippedBytes: reader.skippedBytes };
}

const hexOf = (octets: Uint8Array): string => Buffer.from(octets).toString('hex');

describe('OggWriter', () => {
  it('writes pages as RFC 3533 §6 draws them', () => {
    const writer = new OggWriter(0x01020304);
    const first = writer.page(Buffer.from('abc'), 0);
    // Checksum by ffmpeg's reader, which takes the page (see test/interop/media/audio-codecs.test.ts).
    expect(hexOf(first.subarray(0, 22))).toBe('4f676753000200000000000000000403020100000000');
    expect(hexOf(first.subarray(26))).toBe('0103616263');
    const second = writer.page(new Uint8Array(510), 2 ** 32 + 5);
    expect(hexOf(second.subarray(5, 14))).toBe('000500000001000000');
    expect(hexOf(second.subarray(18, 22))).toBe('01000000');
    expect(hexOf(second.subarray(26, 30))).toBe('03ffff00');
  });
});

describe('OggReader', () => {
  it('reads what the writer wrote, at every cut', () => {
    const writer = new OggWriter();
    const packets = [...opusHeads(), new Uint8Array(0), new Uint8Array(255), Buffer.from('end')];
    const stream = Buffer.concat(packets.map((packet, at) => writer.page(packet, at)));
    const expected = { packets: packets.map(hexOf), skippedBytes: 0 };
    for (let cut = 0; cut <= stream.length; cut++)
      expect(read([stream.subarray(0, cut), stream.subarray(cut)])).toEqual(expected);
    expect(read(Array.from(stream, (octet) => Uint8Array.of(octet)))).toEqual(expected);
  });

  it('accepts packets up to its limit', () => {
    const packet = new Uint8Array(MAX_OGG_PACKET_BYTES).fill(7);
    expect(read([new OggWriter().page(packet, 0)]).packets).toEqual([hexOf(packet)]);
  });

  it('joins packets across pages, and never holds more than its limit', () => {
    // A full page of 255 segments of 255 octets has no end of a packet; it is made from one that has.
    const whole = new OggWriter().page(new Uint8Array(MAX_OGG_PACKET_BYTES), 0);
    const endless = Buffer.concat([whole, Buffer.alloc(1)]);
    endless[27 + 254] = 255;
    const go = (page: Buffer, flags: number): Buffer => {
      const copy = Buffer.from(page);
      copy[5] = flags;
      copy.writeUInt32LE(crc(copy), 22);
      return copy;
    };
    const tail = go(new OggWriter().page(Buffer.from('tail'), 0), 1);
    // 65,025 octets are one more than the bound: they are dropped, and so is what continues them.
    const { packets, skippedBytes } = read([go(endless, 2), go(endless, 1), tail]);
    expect(packets).toEqual([]);
    expect(skippedBytes).toBe(255 * 255);
    const half = Buffer.concat([
      new OggWriter().page(Buffer.alloc(255, 1), 0).subarray(0, 26),
      Buffer.of(1, 255),
      Buffer.alloc(255, 1),
    ]);
    expect(read([go(half, 2), tail]).packets).toEqual([
      '01'.repeat(255) + hexOf(Buffer.from('tail')),
    ]);
  });

  it('recovers after garbage and damage, and never throws', () => {
    fc.assert(
      fc.property(fc.nat(), (seed) => {
        const random = seededRandom(seed);
        const writer = new OggWriter();
        const pages = Array.from({ length: 8 }, () =>
          writer.page(new Uint8Array(Math.floor(random() * 600)), 0),
        );
        const stream = Buffer.concat(pages);
        for (let i = 0; i < 3; i++) stream[Math.floor(random() * stream.length)] = random() * 256;
        const { packets } = read([
          stream,
          writer.page(Buffer.from('last'), 9),
          new Uint8Array(70_000),
        ]);
        expect(packets.length).toBeLessThanOrEqual(9);
        expect(packets.at(-1)).toBe(hexOf(Buffer.from('last')));
      }),
    );
  });
});

/** Bit by bit, unlike the code under test. */
function crc(page: Uint8Array): number {
  let remainder = 0;
  for (const [at, octet] of page.entries()) {
    remainder ^= (at >= 22 && at < 26 ? 0 : octet) << 24;
    for (let bit = 0; bit < 8; bit++)
      remainder = (remainder << 1) ^ (remainder < 0 ? 0x04c11db7 : 0);
  }
  return remainder >>> 0;
}

describe('heads', () => {
  it('are those of RFC 7845 §5 and of the Speex manual', () => {
    const [opus, tags] = opusHeads();
    expect(hexOf(opus)).toBe(`${hexOf(Buffer.from('OpusHead'))}0101000080bb0000000000`);
    expect(Buffer.from(tags).toString('latin1', 0, 8)).toBe('OpusTags');
    const wide = Buffer.from(speexHeads(true)[0]);
    expect(wide.toString('latin1', 0, 8)).toBe('Speex   ');
    expect([wide.length, wide.readInt32LE(36), wide.readInt32LE(56)]).toEqual([80, 16_000, 320]);
  });
});
