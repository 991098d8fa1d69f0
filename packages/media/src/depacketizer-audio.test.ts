import { describe, expect, it } from 'vitest';
import type { RtpCodec } from './depacketizer.ts';
import { AudioDepacketizer, MAX_AUDIO_PAYLOAD_BYTES } from './depacketizer-audio.ts';
import type { AudioFrame } from './frame.ts';

const TYPES = new Map<number, RtpCodec>([
  [8, { codec: 'pcma', clockRateHz: 8000 }],
  [0, { codec: 'pcmu', clockRateHz: 8000 }],
  [13, { codec: 'comfort-noise', clockRateHz: 8000 }],
  [101, { codec: 'telephone-event', clockRateHz: 8000 }],
]);

function rig() {
  const frames: AudioFrame[] = [];
  const faults: string[] = [];
  const digits: string[] = [];
  const depacketizer = new AudioDepacketizer(TYPES, {
    onFrame: (frame) => frames.push(frame),
    onBroken: (fault) => faults.push(fault),
    onDigit: (digit) => digits.push(digit),
  });
  const send = (
    sequenceNumber: number,
    payloadType: number,
    payload: Uint8Array,
    rtpTimestamp = 0,
  ) =>
    depacketizer.push({
      datagram: payload,
      payloadType,
      marker: false,
      sequenceNumber,
      rtpTimestamp,
      ssrc: 1,
      payload,
      arrivalMs: 3,
    });
  return { depacketizer, frames, faults, digits, send };
}

describe('AudioDepacketizer', () => {
  it('makes a frame of each G.711 packet, as a view', () => {
    const { send, frames } = rig();
    const payload = new Uint8Array(160).fill(0x55);
    send(1, 8, payload, 160);
    send(2, 0, payload, 320);
    expect(frames).toEqual([
      { codec: 'pcma', payload, rtpTimestamp: 160, arrivalMs: 3 },
      { codec: 'pcmu', payload, rtpTimestamp: 320, arrivalMs: 3 },
    ]);
    expect(frames[0]!.payload).toBe(payload);
  });

  it('never makes audio of comfort noise, events, unknown types or nothing', () => {
    const { send, frames, faults, digits } = rig();
    send(1, 13, Uint8Array.of(60));
    send(2, 101, Uint8Array.of(5, 10, 0, 160));
    send(3, 99, new Uint8Array(160));
    send(4, 8, new Uint8Array(0));
    expect([frames, faults, digits]).toEqual([[], [], ['5']]);
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
