import { JitterBuffer, Vp8Depacketizer, decodeRtp, encodeRtp } from '@sipcast/media/wire';
import type { RtpPacket, Vp8Frame } from '@sipcast/media/wire';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { loadClip } from './clip.ts';
import { seededRandom } from '../seeded-random.ts';
import { packetizeVp8Frame, Vp8Packetizer } from './vp8-payloads.ts';
import type { Vp8Descriptor } from './vp8-payloads.ts';

const hex = (octets: Uint8Array): string => Buffer.from(octets).toString('hex');

/** Tag of a key or an inter frame, then noise. */
function testFrame(size: number, isKeyFrame: boolean, random: () => number): Uint8Array {
  const frame = Uint8Array.from({ length: Math.max(size, 10) }, () => Math.floor(random() * 256));
  frame.set(isKeyFrame ? [0x10, frame[1]!, 0, 0x9d, 1, 0x2a, 64, 1, 240, 0] : [frame[0]! | 1]);
  return frame;
}

describe('packetizeVp8Frame', () => {
  it('writes the descriptor as RFC 7741 draws it', () => {
    const frame = Uint8Array.of(0x31, 0, 0, 1, 2);
    const first = (descriptor: Vp8Descriptor): string =>
      hex(packetizeVp8Frame(frame, 100, descriptor)[0]!.subarray(0, -frame.length));
    expect(first({})).toBe('10');
    expect(first({ nonReference: true })).toBe('30');
    expect(first({ pictureId: 0x1ff, pictureIdBits: 7 })).toBe('90807f');
    expect(first({ pictureId: 0x1234 })).toBe('90809234');
    expect(first({ tl0PicIdx: 7 })).toBe('904007');
    expect(first({ temporalId: 2, layerSync: true })).toBe('9020a0');
    expect(first({ keyIndex: 31 })).toBe('90101f');
    expect(first({ pictureId: 5, tl0PicIdx: 6, temporalId: 1, keyIndex: 7 })).toBe('90f080050647');
  });

  it('marks the beginnings, and cuts at the end of the first partition on request', () => {
    const frame = Uint8Array.of(0x01 | (3 << 5), 0, 0, 1, 2, 3, 4, 5);
    expect(packetizeVp8Frame(frame, 5).map(hex)).toEqual(['1061000001', '0002030405']);
    expect(packetizeVp8Frame(frame, 5, { byPartition: true }).map(hex)).toEqual([
      '1061000001',
      '000203',
      '110405',
    ]);
  });

  it('numbers the frames of a stream', () => {
    const packetizer = new Vp8Packetizer({ layers: true }, 0x7fff);
    const frame = Uint8Array.of(0x31, 0, 0);
    expect(hex(packetizer.packetize(frame, true, 100)[0]!)).toBe('90f0ffffff01310000');
    expect(hex(packetizer.packetize(frame, false, 100)[0]!)).toBe('90f080000001310000');
  });
});

describe('VP8 through the jitter buffer and the depacketizer', () => {
  const descriptors: fc.Arbitrary<Vp8Descriptor> = fc.record(
    {
      pictureId: fc.nat(0x7fff),
      pictureIdBits: fc.constantFrom(7 as const, 15 as const),
      tl0PicIdx: fc.nat(255),
      temporalId: fc.nat(3),
      layerSync: fc.boolean(),
      keyIndex: fc.nat(31),
      nonReference: fc.boolean(),
      byPartition: fc.boolean(),
    },
    { requiredKeys: [] },
  );

  /** Frames that come out of a line that loses, swaps and doubles packets. */
  function carry(
    frames: readonly Uint8Array[],
    descriptor: Vp8Descriptor,
    marker: boolean,
    random: () => number,
    line: { readonly loss: number; readonly reorder: number },
  ) {
    const datagrams: Buffer[] = [];
    frames.forEach((frame, index) => {
      const payloads = packetizeVp8Frame(frame, 200, descriptor);
      payloads.forEach((payload, at) => {
        datagrams.push(
          encodeRtp({
            payloadType: 96,
            marker: marker && at === payloads.length - 1,
            sequenceNumber: (65_500 + datagrams.length) & 0xffff,
            rtpTimestamp: index * 3600,
            ssrc: 9,
            payload,
          }),
        );
      });
    });
    const out: Vp8Frame[] = [];
    const faults: string[] = [];
    const depacketizer = new Vp8Depacketizer();
    const buffer = new JitterBuffer((packet: RtpPacket) => {
      for (const unit of depacketizer.push(packet)) {
        if (typeof unit === 'string') faults.push(unit);
        else out.push(unit);
      }
    });
    const kept = datagrams.filter(() => random() >= line.loss);
    // Not the first one: a stream begins with the packet that comes first.
    for (let at = 1; at + 1 < kept.length; at++) {
      if (random() < line.reorder) [kept[at], kept[at + 1]] = [kept[at + 1]!, kept[at]!];
    }
    kept.forEach((datagram, at) => {
      for (let copy = random() < line.reorder ? 2 : 1; copy > 0; copy--) {
        const packet = decodeRtp(datagram, at);
        if (typeof packet === 'string') throw new Error(packet);
        buffer.push(packet);
      }
    });
    buffer.reset();
    return { out, faults, lost: datagrams.length - kept.length };
  }

  it('yields only whole frames, as they were sent, whatever the line does', () => {
    fc.assert(
      fc.property(
        fc.nat(),
        descriptors,
        fc.boolean(),
        fc.constantFrom(0, 0.02, 0.2),
        fc.constantFrom(0, 0.2),
        (seed, descriptor, marker, loss, reorder) => {
          const random = seededRandom(seed);
          const frames = Array.from({ length: 30 }, (_, index) =>
            testFrame(Math.floor(random() * 1500), index % 10 === 0, random),
          );
          const { out, faults, lost } = carry(frames, descriptor, marker, random, {
            loss,
            reorder,
          });
          for (const frame of out) {
            expect(hex(frame.payload)).toBe(hex(frames[frame.rtpTimestamp / 3600]!));
          }
          const order = out.map((frame) => frame.rtpTimestamp);
          expect(order).toEqual([...new Set(order)].toSorted((a, b) => a - b));
          // Without a marker, only a next frame could end the last one.
          if (lost === 0) {
            expect(out).toHaveLength(marker ? 30 : 29);
            expect(faults).toEqual([]);
          }
          expect(out.length).toBeGreaterThanOrEqual(29 - lost * 2);
          expect(faults.length).toBeLessThanOrEqual(lost);
        },
      ),
    );
  });

  it.each([1188, 60])('carries the clip bit-exactly: %i octets', (maxPayloadBytes) => {
    const clip = loadClip();
    const packetizer = new Vp8Packetizer({ layers: true, byPartition: true });
    const out: Vp8Frame[] = [];
    const depacketizer = new Vp8Depacketizer();
    let sequenceNumber = 0;
    for (const { vp8, isKeyFrame, index } of clip.video.slice(0, 120)) {
      const payloads = packetizer.packetize(vp8!, isKeyFrame, maxPayloadBytes);
      payloads.forEach((payload, at) => {
        const units = depacketizer.push({
          datagram: payload,
          payloadType: 96,
          marker: at === payloads.length - 1,
          sequenceNumber: sequenceNumber++ & 0xffff,
          rtpTimestamp: index,
          ssrc: 1,
          payload,
          arrivalMs: 0,
        });
        for (const unit of units) {
          if (typeof unit === 'string') expect.unreachable(unit);
          else out.push(unit);
        }
      });
    }
    expect(out).toHaveLength(120);
    out.forEach((frame, index) => {
      const unit = clip.video[index]!;
      expect(Buffer.compare(frame.payload, unit.vp8!)).toBe(0);
      expect(frame.isKeyFrame).toBe(unit.isKeyFrame);
    });
  });
});
