import { describe, expect, it } from 'vitest';
import { DtmfSequence } from './dtmf.ts';
import type { RtpPacket } from './frame.ts';
import { AudioPacketizer, g711Silence } from './packetizer-audio.ts';
import { decodeRtp } from './rtp.ts';

const decoded = (datagram: Buffer | undefined): RtpPacket | undefined => {
  if (datagram === undefined) return undefined;
  const packet = decodeRtp(datagram, 0);
  if (typeof packet === 'string') throw new Error(packet);
  return packet;
};

const line = () =>
  new AudioPacketizer({ ssrc: 9, firstSequenceNumber: 65_535, firstTimestamp: 0xffff_ff80 });

describe('AudioPacketizer', () => {
  it('sends silence with a continuous sequence and timestamp over both wraps', () => {
    const packetizer = line();
    packetizer.use({ codec: 'pcmu', payloadType: 0 });
    const packets = [1, 2, 3].map(() => decoded(packetizer.step())!);
    expect(packets.map((item) => item.sequenceNumber)).toEqual([65_535, 0, 1]);
    expect(packets.map((item) => item.rtpTimestamp)).toEqual([0xffff_ff80, 32, 192]);
    expect(packets.map((item) => item.marker)).toEqual([true, false, false]);
    expect(new Uint8Array(packets[0]!.payload)).toEqual(new Uint8Array(160).fill(0xff));
    expect(g711Silence('pcma')[0]).toBe(0xd5);
    expect([packetizer.packetCount, packetizer.octetCount]).toEqual([3, 480]);
  });

  it('puts events on the same line, with the timestamp of their begin, then goes on', () => {
    const packetizer = line();
    packetizer.use({ codec: 'pcma', payloadType: 8, eventPayloadType: 101 });
    packetizer.step();
    packetizer.sendDigits(new DtmfSequence('5', { durationMs: 60, gapMs: 80 }));
    const packets = Array.from({ length: 8 }, () => decoded(packetizer.step())!);
    expect(packets.map((item) => item.payloadType)).toEqual([101, 101, 101, 101, 101, 8, 8, 8]);
    expect(packets.slice(0, 5).every((item) => item.rtpTimestamp === 32)).toBe(true);
    expect(packets.map((item) => item.marker)).toEqual([
      true,
      false,
      false,
      false,
      false,
      true,
      false,
      false,
    ]);
    expect(packets[5]!.rtpTimestamp).toBe(32 + 5 * 160);
    expect(packets.map((item) => item.sequenceNumber)).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    expect(packetizer.idle).toBe(true);
  });

  it('is silent on the wire without a codec, while its time goes on', () => {
    const packetizer = line();
    expect(packetizer.step()).toBeUndefined();
    packetizer.skip(10);
    packetizer.use({ codec: 'pcma', payloadType: 8 });
    expect(decoded(packetizer.step())).toMatchObject({
      sequenceNumber: 65_535,
      rtpTimestamp: (0xffff_ff80 + 11 * 160) % 2 ** 32,
      marker: true,
    });
  });
});
