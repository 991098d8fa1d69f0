import { describe, expect, it } from 'vitest';
import { DtmfDecoder, DtmfSequence } from './dtmf.ts';
import type { RtpPacket } from '../codec/frame.ts';
import { AudioPacketizer } from './audio-packetizer.ts';
import { decodeRtp } from './rtp.ts';
import { audioSilence } from '../codec/silence.ts';
import type { SoundSource } from '../codec/sound-source.ts';

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
    expect([packetizer.packetCount, packetizer.octetCount]).toEqual([3, 480]);
  });

  it('puts events on the same line, with the timestamp of their beginning, then continues', () => {
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

  it('keeps a tone one event through a stall of the process', () => {
    const packetizer = line();
    packetizer.use({ codec: 'pcma', payloadType: 8, eventPayloadType: 101 });
    packetizer.sendDigits(new DtmfSequence('1'));
    const decoder = new DtmfDecoder();
    const digits: string[] = [];
    for (let step = 0; !packetizer.idle; step++) {
      if (step === 3) packetizer.skip(25);
      const packet = decoded(packetizer.step())!;
      const digit = packet.payloadType === 101 ? decoder.push(packet) : undefined;
      if (digit !== undefined) digits.push(digit);
    }
    expect(digits).toEqual(['1']);
  });

  it('sends nothing without a codec, while its time continues', () => {
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

  it.each([
    ['g722', 160],
    ['opus', 960],
    ['speex-nb', 160],
    ['speex-wb', 320],
  ] as const)('ticks in the clock of %s', (codec, ticks) => {
    const packetizer = line();
    packetizer.use({ codec, payloadType: 97 });
    const packets = [1, 2].map(() => decoded(packetizer.step())!);
    expect(packets[1]!.rtpTimestamp).toBe((0xffff_ff80 + ticks) % 2 ** 32);
    expect(new Uint8Array(packets[1]!.payload)).toEqual(audioSilence(codec));
    packetizer.skip(50);
    expect(packetizer.rtpTimestamp).toBe((0xffff_ff80 + 52 * ticks) % 2 ** 32);
  });

  it('counts durations in the clock of the events, on the timestamps of the sound', () => {
    for (const [eventClockRateHz, duration] of [
      [48_000, 960],
      [8000, 160],
    ] as const) {
      const packetizer = line();
      packetizer.use({ codec: 'opus', payloadType: 97, eventPayloadType: 101, eventClockRateHz });
      packetizer.sendDigits(new DtmfSequence('5', { durationMs: 60 }));
      const packets = Array.from({ length: 6 }, () => decoded(packetizer.step())!);
      const events = packets.filter((item) => item.payloadType === 101);
      expect(events.map((item) => item.rtpTimestamp)).toEqual(Array(5).fill(0xffff_ff80));
      expect(events.map((item) => (item.payload[2]! << 8) | item.payload[3]!)).toEqual(
        [1, 2, 3, 3, 3].map((steps) => steps * duration),
      );
      expect(packets.at(-1)!.rtpTimestamp).toBe((0xffff_ff80 + 5 * 960) % 2 ** 32);
    }
  });

  it('plays a source instead of silence, and closes it when it ends or is replaced', () => {
    const closed: string[] = [];
    const source = (name: string, frames: number): SoundSource => ({
      read: () => (frames-- > 0 ? Uint8Array.of(frames) : undefined),
      get ended() {
        return frames <= 0;
      },
      close: () => closed.push(name),
    });
    const packetizer = line();
    packetizer.use({ codec: 'opus', payloadType: 97, eventPayloadType: 101 });
    packetizer.play(source('a', 2));
    const payload = (): string => Buffer.from(decoded(packetizer.step())!.payload).toString('hex');
    expect([payload(), payload(), payload()]).toEqual(['01', '00', 'f8fffe']);
    expect(closed).toEqual(['a']);
    packetizer.play(source('b', 9));
    packetizer.sendDigits(new DtmfSequence('1', { durationMs: 40, gapMs: 60 }));
    // Two steps of tone, two more end packets, one step of gap: the sound goes on under them.
    expect([1, 2, 3, 4].map(() => decoded(packetizer.step())!.payloadType)).toEqual(
      Array(4).fill(101),
    );
    expect(payload()).toBe('04');
    packetizer.play(source('c', 1));
    packetizer.play(undefined);
    expect(closed).toEqual(['a', 'b', 'c']);
  });
});
