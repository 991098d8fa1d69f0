import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DtmfDecoder, DtmfSequence } from './dtmf.ts';
import type { MediaError } from '../errors.ts';
import { AudioPacketizer } from './audio-packetizer.ts';
import { decodeRtp } from './rtp.ts';

const steps = (sequence: DtmfSequence): (string | undefined)[] => {
  const out: (string | undefined)[] = [];
  while (!sequence.done) {
    const step = sequence.next();
    out.push(
      step && `${Buffer.from(step.payload).toString('hex')} ${step.marker} ${step.segmentTicks}`,
    );
  }
  return out;
};

describe('DtmfSequence', () => {
  it('sends updates, three end packets, then the gap', () => {
    expect(steps(new DtmfSequence('#', { durationMs: 60, gapMs: 80, volume: 7 }))).toEqual([
      '0b0700a0 true 0',
      '0b070140 false 0',
      '0b8701e0 false 0',
      '0b8701e0 false 0',
      '0b8701e0 false 0',
      undefined,
      undefined,
    ]);
  });

  it('waits at a comma and takes small letters', () => {
    const out = steps(new DtmfSequence(',d', { pauseMs: 40, durationMs: 40, gapMs: 60 }));
    expect(out.slice(0, 3)).toEqual([undefined, undefined, '0f0a00a0 true 0']);
    expect(out).toHaveLength(2 + 2 + 3);
  });

  it('lasts exactly as long as asked', () => {
    expect(steps(new DtmfSequence('12'))).toHaveLength(2 * (8 + 4));
  });

  it('goes on in another segment when the field is full, and the decoder takes it for one tone', () => {
    // RFC 4733 §2.5.1.3, at 48 kHz: 0xffff ticks are 1.37 s.
    const sequence = new DtmfSequence('9', { durationMs: 3000 });
    const decoder = new DtmfDecoder();
    const digits: string[] = [];
    const segments = new Map<number, number>();
    let markers = 0;
    let ends = 0;
    for (let step = 0; !sequence.done; step++) {
      const event = sequence.next(48_000);
      if (event === undefined) continue;
      const rtpTimestamp = 1000 + event.segmentTicks;
      const { payload, marker } = event;
      const durationTicks = (payload[2]! << 8) | payload[3]!;
      segments.set(rtpTimestamp, Math.max(segments.get(rtpTimestamp) ?? 0, durationTicks));
      if (marker) markers++;
      if ((payload[1]! & 0x80) !== 0) ends++;
      const ours = { payload, marker, rtpTimestamp, payloadType: 101, ssrc: 1 };
      const digit = decoder.push({
        ...ours,
        datagram: payload,
        sequenceNumber: step,
        arrivalMs: 0,
      });
      if (digit !== undefined) digits.push(digit);
    }
    expect([...segments]).toEqual([
      [1000, 0xffff],
      [1000 + 0xffff, 0xffff],
      [1000 + 2 * 0xffff, 144_000 - 2 * 0xffff],
    ]);
    expect([digits, markers, ends]).toEqual([['9'], 1, 3]);
  });

  it.each([
    ['digits', '', {}],
    ['digits', '12x', {}],
    ['digits', '1'.repeat(257), {}],
    ['durationMs', '1', { durationMs: 39 }],
    ['durationMs', '1', { durationMs: 8001 }],
    ['gapMs', '1', { gapMs: 0 }],
    ['pauseMs', '1', { pauseMs: Number.NaN }],
    ['volume', '1', { volume: 64 }],
  ])('names a wrong %s', (field, digits, options) => {
    let caught: unknown;
    try {
      expect(new DtmfSequence(digits, options)).toBeUndefined();
    } catch (error) {
      caught = error;
    }
    expect((caught as MediaError | undefined)?.field).toBe(field);
  });

  it('is read back by the decoder, each digit once, at any loss of its repetitions', () => {
    fc.assert(
      fc.property(
        fc.string({
          unit: fc.constantFrom(...Array.from('0123456789*#ABCD,')),
          minLength: 1,
          maxLength: 12,
        }),
        fc.infiniteStream(fc.boolean()),
        (digits, drops) => {
          const line = new AudioPacketizer({
            ssrc: 1,
            firstSequenceNumber: 0,
            firstTimestamp: 0xffff_f000,
          });
          line.use({ codec: 'pcma', payloadType: 8, eventPayloadType: 101 });
          line.sendDigits(new DtmfSequence(digits, { pauseMs: 40 }));
          const decoder = new DtmfDecoder();
          let heard = '';
          let first = true;
          while (!line.idle) {
            const packet = decodeRtp(line.step()!, 0);
            if (typeof packet === 'string' || packet.payloadType !== 101) continue;
            first = packet.marker;
            if (!first && drops.next().value) continue;
            heard += decoder.push(packet) ?? '';
          }
          expect(heard).toBe(digits.replaceAll(',', ''));
        },
      ),
    );
  });
});

describe('DtmfDecoder', () => {
  it('ignores events that are no keys, and cut payloads', () => {
    const decoder = new DtmfDecoder();
    const push = (payload: Uint8Array, rtpTimestamp: number): string | undefined =>
      decoder.push({
        datagram: payload,
        payloadType: 101,
        marker: false,
        sequenceNumber: 0,
        rtpTimestamp,
        ssrc: 1,
        payload,
        arrivalMs: 0,
      });
    expect(push(Uint8Array.of(16, 0, 0, 1), 1)).toBeUndefined();
    expect(push(Uint8Array.of(1, 0, 0), 2)).toBeUndefined();
    expect(push(Uint8Array.of(1, 0, 0, 1), 3)).toBe('1');
    expect(push(Uint8Array.of(1, 0x80, 0, 1), 3)).toBeUndefined();
    expect(push(Uint8Array.of(1, 0, 0, 1), 4)).toBe('1');
  });
});

describe('DtmfDecoder with devices as they are', () => {
  interface Event {
    readonly rtpTimestamp: number;
    readonly durationTicks: number;
    readonly ended?: boolean;
    readonly marker?: boolean;
  }
  const pressed = (events: readonly Event[], clockRateHz = 8000): string => {
    const decoder = new DtmfDecoder();
    let digits = '';
    events.forEach(({ rtpTimestamp, durationTicks, ended = false, marker = false }, index) => {
      const payload = Uint8Array.of(
        5,
        (ended ? 0x80 : 0) | 10,
        durationTicks >> 8,
        durationTicks & 0xff,
      );
      const packet = {
        datagram: payload,
        payload,
        payloadType: 101,
        ssrc: 1,
        arrivalMs: index * 20,
      };
      const digit = decoder.push(
        { ...packet, marker, rtpTimestamp, sequenceNumber: index },
        clockRateHz,
      );
      digits += digit ?? '';
    });
    return digits;
  };
  /** One key whose packets are stamped with the present time. */
  const moving = (fromTicks: number, stepTicks = 160): Event[] =>
    Array.from({ length: 12 }, (_, index) => ({
      rtpTimestamp: (fromTicks + index * stepTicks) >>> 0,
      durationTicks: (index + 1) * stepTicks,
      ended: index >= 9,
    }));
  /** One key as the standard has it. */
  const standing = (fromTicks: number, marker = true): Event[] =>
    Array.from({ length: 8 }, (_, index) => ({
      rtpTimestamp: fromTicks,
      durationTicks: Math.min(index + 1, 6) * 160,
      ended: index >= 5,
      marker: marker && index === 0,
    }));
  const marked = (events: Event[]): Event[] => events.map((event) => ({ ...event, marker: true }));

  const cases: [name: string, events: Event[], digits: string][] = [
    ['timestamps that move', moving(0), '5'],
    ['timestamps that move over the wrap', moving(2 ** 32 - 800), '5'],
    ['timestamps that move, and a marker on each', marked(moving(0)), '5'],
    ['timestamps that move, each packet twice', moving(0).flatMap((event) => [event, event]), '5'],
    ['timestamps that move, packets lost', moving(0).filter((_, index) => index % 4 === 0), '5'],
    ['timestamps that move, the end lost', moving(0).slice(0, 9), '5'],
    [
      'end packets of one duration',
      moving(0).map((event) => ({ ...event, durationTicks: Math.min(event.durationTicks, 1600) })),
      '5',
    ],
    [
      'a duration that stands still',
      moving(0).map((event) => ({ ...event, durationTicks: 160 })),
      '5',
    ],
    ['two equal keys with moving timestamps', [...moving(0), ...moving(2560)], '55'],
    [
      'two equal keys with moving timestamps, the first without end',
      [...moving(0).slice(0, 9), ...moving(2560)],
      '55',
    ],
    ['two equal keys', [...standing(0), ...standing(1600)], '55'],
    ['two equal keys without marker', [...standing(0, false), ...standing(1600, false)], '55'],
    [
      'two equal keys, the end of the first lost',
      [...standing(0).slice(0, 4), ...standing(1600)],
      '55',
    ],
    ['two short equal keys', [...standing(0).slice(0, 2), ...standing(640).slice(0, 2)], '55'],
  ];
  it.each(cases)('%s', (_name, events, digits) => {
    expect(pressed(events)).toBe(digits);
  });

  it('measures in the clock of the payload type', () => {
    expect(pressed(moving(0, 960), 48_000)).toBe('5');
  });
});
