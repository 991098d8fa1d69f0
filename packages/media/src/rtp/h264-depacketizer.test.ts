import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  H264Depacketizer,
  MAX_FRAGMENTS_PER_NAL,
  MAX_FRAME_BYTES,
  MAX_NALUS_PER_ACCESS_UNIT,
} from './h264-depacketizer.ts';
import { NAL_HEADROOM_BYTES } from '../codec/frame.ts';
import type { H264AccessUnit, RtpPacket } from '../codec/frame.ts';
import { decodeRtp } from './rtp.ts';
import { hexNalus, testAccessUnits, testDatagrams, testPayloads } from '../codec/test-h264.ts';
import { mutations, seededRandom } from '../test-random.ts';

const hex = (text: string): Uint8Array =>
  new Uint8Array(Buffer.from(text.replaceAll(' ', ''), 'hex'));

function rig() {
  const frames: H264AccessUnit[] = [];
  const faults: string[] = [];
  const parameterSets: string[] = [];
  const depacketizer = new H264Depacketizer();
  const push = (packet: RtpPacket): void => {
    for (const unit of depacketizer.push(packet)) {
      if (typeof unit === 'string') faults.push(unit);
      else if ('parameterSet' in unit)
        parameterSets.push(Buffer.from(unit.parameterSet).toString('hex'));
      else frames.push(unit);
    }
  };
  let sequenceNumber = 65_530;
  const send = (payload: string | Uint8Array, rtpTimestamp = 0, marker = false): void => {
    const octets = typeof payload === 'string' ? hex(payload) : payload;
    push({
      datagram: octets,
      payloadType: 112,
      marker,
      sequenceNumber: sequenceNumber++ & 0xffff,
      rtpTimestamp,
      ssrc: 1,
      payload: octets,
      arrivalMs: 5,
    });
  };
  const lose = (): void => void sequenceNumber++;
  const nalus = (): string[][] => frames.map((frame) => hexNalus(frame.nalus));
  return { depacketizer, push, frames, faults, parameterSets, send, lose, nalus };
}

const packetOf = (datagram: Uint8Array): RtpPacket => {
  const packet = decodeRtp(datagram, 0);
  if (typeof packet === 'string') throw new Error(packet);
  return packet;
};

describe('H264Depacketizer', () => {
  it('passes single NAL units as views, ended by the marker', () => {
    const { send, frames, nalus } = rig();
    const idr = hex('65 88 01');
    send('67 42 00 1e');
    send(idr, 0, true);
    expect(nalus()).toEqual([['6742001e', '658801']]);
    expect(frames[0]).toMatchObject({ isKeyFrame: true, rtpTimestamp: 0, arrivalMs: 5 });
    expect(frames[0]!.nalus[1]).toBe(idr);
  });

  it('splits STAP-A', () => {
    const { send, nalus, parameterSets } = rig();
    send('78 0002 6742 0003 68ce01 0002 6588', 0, true);
    expect(nalus()).toEqual([['6742', '68ce01', '6588']]);
    expect(parameterSets).toEqual(['6742', '68ce01']);
  });

  it('joins FU-A, with empty fragments and with start and end in one', () => {
    const { send, nalus, frames } = rig();
    send('7c 85 88 01');
    send('7c 05');
    send('7c 05 02 03');
    send('7c 45 04', 0, true);
    send('5c c1 9a 0b', 3600, true);
    expect(nalus()).toEqual([['658801020304'], ['419a0b']]);
    expect(frames[0]!.nalus[0]!.buffer.byteLength).toBe(NAL_HEADROOM_BYTES + 6);
    expect(frames[0]!.withHeadroom).toBe(frames[0]!.nalus[0]);
  });

  it('ends an access unit at the next timestamp when the marker is never set', () => {
    const { send, nalus } = rig();
    send('65 88', 0);
    send('41 9a', 3600);
    send('41 1a', 3600);
    send('41 9b', 7200);
    expect(nalus()).toEqual([['6588'], ['419a', '411a']]);
  });

  it('joins parameter sets sent separately to the picture that follows', () => {
    const { send, nalus, faults } = rig();
    send('67 42', 100, true);
    send('68 ce', 200, true);
    send('', 250, true);
    send('65 88', 300, true);
    expect(nalus()).toEqual([['6742', '68ce', '6588']]);
    expect(faults).toEqual([]);
  });

  it('keeps delimiters and filler', () => {
    const { send, nalus } = rig();
    for (const nal of ['09 f0', '65 88', '0c ff ff 80']) send(nal);
    send('', 0, true);
    expect(nalus()).toEqual([['09f0', '6588', '0cffff80']]);
  });

  const loss: [name: string, run: (kit: ReturnType<typeof rig>) => void, left: string[][]][] = [
    [
      'first fragment',
      ({ lose, send }) => {
        lose();
        send('7c 05 02', 1);
        send('7c 45 03', 1, true);
      },
      [],
    ],
    [
      'middle fragment',
      ({ lose, send }) => {
        send('7c 85 88', 1);
        lose();
        send('7c 45 03', 1, true);
      },
      [],
    ],
    [
      'last fragment',
      ({ lose, send }) => {
        send('7c 85 88', 1);
        lose();
      },
      [],
    ],
    [
      'last slice with the marker',
      ({ lose, send }) => {
        send('65 88', 1);
        lose();
      },
      [],
    ],
    [
      'first slice',
      ({ lose, send }) => {
        lose();
        send('41 1a', 1, true);
      },
      [],
    ],
    [
      'middle slice',
      ({ lose, send }) => {
        send('41 9a', 1);
        lose();
        send('41 1a', 1, true);
      },
      [],
    ],
    [
      'whole picture',
      ({ lose }) => {
        lose();
        lose();
      },
      [],
    ],
    [
      'parameter set before a slice',
      ({ lose, send }) => {
        lose();
        send('65 88', 1, true);
      },
      [['6588']],
    ],
  ];
  it.each(loss)('never yields a picture without its %s', (_name, run, left) => {
    const kit = rig();
    kit.send('65 aa', 0, true);
    run(kit);
    kit.send('65 bb', 2, true);
    expect(kit.nalus()).toEqual([['65aa'], ...left, ['65bb']]);
    expect(kit.faults[0]).toBe('h264-loss');
    expect(kit.faults.filter((fault) => fault === 'h264-loss')).toHaveLength(1);
  });

  const bad: [name: string, payloads: string[], fault: string][] = [
    ['FU-A without start', ['7c 05 01', '7c 45 02'], 'h264-fu-no-start'],
    ['FU-A restarted', ['7c 85 88', '7c 85 88'], 'h264-fu-unfinished'],
    ['FU-A cut off by a NAL unit', ['7c 85 88', '41 9a'], 'h264-fu-unfinished'],
    ['FU-A without end at the marker', ['7c 85 88'], 'h264-fu-unfinished'],
    ['FU-A of changing type', ['7c 85 88', '7c 41 01'], 'h264-fu-type'],
    ['FU-A of one octet', ['7c'], 'h264-fu-short'],
    ['fragmented fragment', ['7c dc 01'], 'h264-nal-type'],
    ['STAP-A of one octet', ['78'], 'h264-stap-length'],
    ['STAP-A with half a size', ['78 0002 6742 00'], 'h264-stap-length'],
    ['STAP-A size past the end', ['78 0002 6742 0003 68ce'], 'h264-stap-length'],
    ['STAP-A with an empty NAL', ['78 0000 0002 6588'], 'h264-empty-nal'],
    ['STAP-A in STAP-A', ['78 0002 7800'], 'h264-nal-type'],
    ['STAP-B', ['79 0000 0002 6588'], 'h264-interleaved'],
    ['MTAP16', ['7a 0000'], 'h264-interleaved'],
    ['MTAP24', ['7b 0000'], 'h264-interleaved'],
    ['FU-B', ['7d 85 0000 88'], 'h264-interleaved'],
    ['type 0', ['60 01'], 'h264-nal-type'],
    ['type 30', ['7e 01'], 'h264-nal-type'],
    ['forbidden bit', ['e5 88'], 'h264-forbidden-bit'],
  ];
  it.each(bad)('drops the access unit whole: %s', (_name, payloads, fault) => {
    const { send, nalus, faults } = rig();
    send('65 aa', 0, true);
    send('06 01', 1);
    payloads.forEach((payload, index) => send(payload, 1, index === payloads.length - 1));
    send('65 bb', 2, true);
    expect(nalus()).toEqual([['65aa'], ['65bb']]);
    expect(faults).toEqual([fault]);
  });

  it('stays usable for a device that sets the marker on every slice', () => {
    const { send, nalus, faults } = rig();
    send('65 88', 0, true);
    send('65 08', 0, true);
    send('41 9a', 1, true);
    send('41 1a', 1, true);
    send('41 9b', 2, true);
    expect(faults).toEqual(['h264-marker-misplaced']);
    expect(nalus()).toEqual([['6588'], ['419a', '411a']]);
  });

  it('bounds octets, NAL units and fragments', () => {
    const big = rig();
    const fragment = new Uint8Array(65_000);
    fragment.set([0x7c, 0x05]);
    big.send('7c 85 88');
    for (let sent = 0; sent < MAX_FRAME_BYTES + 65_000; sent += 65_000) big.send(fragment);
    big.send('7c 45', 0, true);
    expect(big.faults).toEqual(['h264-oversize']);
    const many = rig();
    for (let index = 0; index <= MAX_NALUS_PER_ACCESS_UNIT; index++) many.send('06 01');
    many.send('65 88', 0, true);
    expect(many.faults).toEqual(['h264-oversize']);
    const thin = rig();
    thin.send('7c 85 88');
    for (let index = 0; index <= MAX_FRAGMENTS_PER_NAL; index++) thin.send('7c 05 00');
    expect(thin.faults).toEqual(['h264-oversize']);
    expect([...big.frames, ...many.frames, ...thin.frames]).toEqual([]);
  });

  it('starts in mid-picture without yielding half of it, and starts over after a reset', () => {
    const { depacketizer, send, nalus, faults } = rig();
    send('41 1a', 0, true);
    send('65 88', 1, true);
    send('41 9a', 2);
    depacketizer.reset();
    send('41 1a', 2, true);
    send('65 89', 3, true);
    expect(nalus()).toEqual([['6588'], ['6589']]);
    expect(faults).toEqual([]);
  });

  it('returns any access units bit-exact, over the sequence wrap, with and without marker', () => {
    fc.assert(
      fc.property(fc.nat(), fc.boolean(), (seed, marker) => {
        const sent = testAccessUnits(20, seededRandom(seed), { firstTimestamp: 0xffff_0000 });
        const { push, frames, faults } = rig();
        for (const datagram of testDatagrams(sent, { firstSequence: 65_500, marker })) {
          push(packetOf(datagram));
        }
        const expected = marker ? sent : sent.slice(0, -1);
        expect(faults).toEqual([]);
        expect(frames.map(({ nalus, isKeyFrame }) => [hexNalus(nalus), isKeyFrame])).toEqual(
          expected.map(({ nalus, isKeyFrame }) => [hexNalus(nalus), isKeyFrame]),
        );
      }),
      { numRuns: 30 },
    );
  });

  it('yields only whole access units at any loss', () => {
    fc.assert(
      fc.property(
        fc.nat(),
        fc.double({ min: 0, max: 0.5, noNaN: true }),
        fc.boolean(),
        (seed, rate, marker) => {
          const random = seededRandom(seed);
          const sent = testAccessUnits(20, random);
          const { push, frames, faults } = rig();
          let lost = 0;
          for (const datagram of testDatagrams(sent, { marker })) {
            if (random() < rate) lost++;
            else push(packetOf(datagram));
          }
          const whole = new Map(sent.map((unit) => [unit.rtpTimestamp, hexNalus(unit.nalus)]));
          for (const frame of frames) {
            const original = whole.get(frame.rtpTimestamp)!;
            const got = hexNalus(frame.nalus);
            // What stands before the first slice may be lost unnoticed; the picture may not.
            expect(original.slice(original.length - got.length)).toEqual(got);
            const missing = original.slice(0, original.length - got.length);
            expect(missing.every((nal) => ['66', '67', '68'].includes(nal.slice(0, 2)))).toBe(true);
          }
          if (lost === 0) expect(faults).toEqual([]);
        },
      ),
      { numRuns: 100 },
    );
  });

  it('never throws on 100,000 mutated payloads, and recovers', () => {
    const random = seededRandom(3);
    const seeds = testAccessUnits(4, random).flatMap(({ nalus }) =>
      testPayloads(
        nalus.map((nal) => nal.subarray(0, 60)),
        30,
      ),
    );
    const { send, frames, faults } = rig();
    let timestamp = 0;
    for (const payload of mutations(seeds, 100_000, 4)) {
      if (random() < 0.3) timestamp = (timestamp + 3600) >>> 0;
      send(payload, timestamp, random() < 0.3);
    }
    expect(new Set(faults).size).toBeGreaterThanOrEqual(8);
    for (const frame of frames) {
      expect(frame.nalus.length).toBeLessThanOrEqual(MAX_NALUS_PER_ACCESS_UNIT);
    }
    const before = frames.length;
    send('65 88', 1, true);
    send('65 88', 2, true);
    send('65 88', 3, true);
    expect(frames.length).toBeGreaterThan(before);
  });
});
