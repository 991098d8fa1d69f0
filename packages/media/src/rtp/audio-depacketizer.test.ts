import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { RtpCodec } from './depacketizer.ts';
import { AudioDepacketizer, MAX_AUDIO_PAYLOAD_BYTES } from './audio-depacketizer.ts';
import type { AudioFrame } from '../codec/frame.ts';
import { audioSilence } from '../codec/silence.ts';

const TYPES = new Map<number, RtpCodec>([
  [8, { codec: 'pcma', clockRateHz: 8000 }],
  [0, { codec: 'pcmu', clockRateHz: 8000 }],
  [13, { codec: 'comfort-noise', clockRateHz: 8000 }],
  [101, { codec: 'telephone-event', clockRateHz: 8000 }],
  [9, { codec: 'g722', clockRateHz: 8000 }],
  [97, { codec: 'opus', clockRateHz: 48_000 }],
  [98, { codec: 'speex-nb', clockRateHz: 8000 }],
  [99, { codec: 'speex-wb', clockRateHz: 16_000 }],
  [96, { codec: 'h264', clockRateHz: 90_000 }],
]);

function rig() {
  const frames: AudioFrame[] = [];
  const faults: string[] = [];
  const digits: string[] = [];
  const depacketizer = new AudioDepacketizer(TYPES);
  const send = (
    sequenceNumber: number,
    payloadType: number,
    payload: Uint8Array,
    rtpTimestamp = 0,
  ): void => {
    const units = depacketizer.push({
      datagram: payload,
      payloadType,
      marker: false,
      sequenceNumber,
      rtpTimestamp,
      ssrc: 1,
      payload,
      arrivalMs: 3,
    });
    for (const unit of units) {
      if (typeof unit === 'string') faults.push(unit);
      else if ('digit' in unit) digits.push(unit.digit);
      else frames.push(unit);
    }
  };
  return { depacketizer, frames, faults, digits, send };
}

describe('AudioDepacketizer', () => {
  it('makes a frame of each G.711 packet, as a view', () => {
    const { send, frames } = rig();
    const payload = new Uint8Array(160).fill(0x55);
    send(1, 8, payload, 160);
    send(2, 0, payload, 320);
    expect(frames).toEqual([
      { codec: 'pcma', payload, durationMs: 20, rtpTimestamp: 160, arrivalMs: 3 },
      { codec: 'pcmu', payload, durationMs: 20, rtpTimestamp: 320, arrivalMs: 3 },
    ]);
    expect(frames[0]!.payload).toBe(payload);
  });

  it('never makes audio of comfort noise, events, unknown types or nothing', () => {
    const { send, frames, faults, digits } = rig();
    send(1, 13, Uint8Array.of(60));
    send(2, 101, Uint8Array.of(5, 10, 0, 160));
    send(3, 127, new Uint8Array(160));
    send(4, 8, new Uint8Array(0));
    expect([frames, faults, digits]).toEqual([[], [], ['5']]);
  });

  it('derives the duration from the payload, for each codec', () => {
    const { send, frames } = rig();
    send(1, 9, new Uint8Array(160));
    send(2, 97, audioSilence('opus'));
    send(3, 97, Uint8Array.of(0x08)); // DTX
    send(4, 97, Uint8Array.of(0x1b, 2, 0, 0)); // Two frames of 60 ms.
    send(5, 98, audioSilence('speex-nb'));
    send(6, 99, audioSilence('speex-wb'));
    send(7, 99, Uint8Array.of(0x7f)); // Nothing but a terminator.
    expect(frames.map(({ codec, durationMs }) => [codec, durationMs])).toEqual([
      ['g722', 20],
      ['opus', 20],
      ['opus', 20],
      ['opus', 120],
      ['speex-nb', 20],
      ['speex-wb', 20],
    ]);
  });

  it('counts malformed packets by codec, and goes on', () => {
    const { send, frames, faults } = rig();
    send(1, 97, Uint8Array.of(0xfb, 0));
    send(2, 98, Uint8Array.of(0x1d));
    send(3, 99, Uint8Array.of(0x50, 0));
    send(4, 99, audioSilence('speex-wb'));
    expect(faults).toEqual(['opus-malformed', 'speex-malformed', 'speex-malformed']);
    expect(frames).toHaveLength(1);
  });

  it('never throws, and every frame has a duration', () => {
    const payloadTypes = fc.constantFrom(0, 8, 9, 13, 96, 97, 98, 99, 101, 127);
    const packets = fc.array(
      fc.tuple(payloadTypes, fc.uint8Array({ maxLength: 80 }), fc.nat(3), fc.nat(2 ** 32 - 1)),
      { maxLength: 40 },
    );
    fc.assert(
      fc.property(packets, (list) => {
        const { send, frames } = rig();
        let sequenceNumber = 65_530;
        for (const [payloadType, payload, step, timestamp] of list) {
          sequenceNumber = (sequenceNumber + step) & 0xffff;
          send(sequenceNumber, payloadType, payload, timestamp);
        }
        for (const { durationMs } of frames) {
          expect(durationMs).toBeGreaterThan(0);
          expect(durationMs).toBeLessThanOrEqual(1000);
        }
      }),
    );
  });

  it('reports loss, oversize and cut events, and goes on', () => {
    const { send, frames, faults, depacketizer } = rig();
    send(65_535, 8, new Uint8Array(160));
    send(0, 8, new Uint8Array(160));
    send(2, 8, new Uint8Array(160));
    send(3, 8, new Uint8Array(MAX_AUDIO_PAYLOAD_BYTES + 1));
    send(4, 101, new Uint8Array(3));
    depacketizer.reset();
    send(77, 8, new Uint8Array(MAX_AUDIO_PAYLOAD_BYTES));
    expect(faults).toEqual(['audio-loss', 'audio-oversize', 'dtmf-short']);
    expect(frames).toHaveLength(4);
  });
});
