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
  const leftOut: string[] = [];
  const depacketizer = new H264Depacketizer();
  const push = (packet: RtpPacket): void => {
    for (const unit of depacketizer.push(packet)) {
      if (typeof unit === 'string') faults.push(unit);
      else if ('leftOut' in unit) leftOut.push(unit.leftOut);
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
  const skip = (): void => {
    const other = hex('ff');
    for (const unit of depacketizer.skip({
      datagram: other,
      payloadType: 35,
      marker: true,
      sequenceNumber: sequenceNumber++ & 0xffff,
      rtpTimestamp: 77,
      ssrc: 1,
      payload: other,
      arrivalMs: 5,
    }))
      if (typeof unit === 'string') faults.push(unit);
  };
  const nalus = (): string[][] => frames.map((frame) => hexNalus(frame.nalus));
  return { depacketizer, push, frames, faults, parameterSets, leftOut, send, lose, skip, nalus };
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
    ['FU-A of changing type', ['7c 85 88', '7c 41 01'], 'h264-fu-type'],
    ['FU-A of one octet', ['7c'], 'h264-fu-short'],
    ['STAP-A with half a size', ['78 0002 6742 01'], 'h264-stap-length'],
    ['STAP-A size past the end', ['78 0002 6742 0003 68ce'], 'h264-stap-length'],
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

  /** Packets of one picture with a key frame before and after; a packet that ends with `!` has the marker. */
  const devices: [device: string, payloads: string[], nalus: string[]][] = [
    ['the marker on every FU-A packet', ['7c 85 88!', '7c 05 01!', '7c 45 02!'], ['65880102']],
    ['no E bit, then the marker', ['7c 85 88', '7c 05 01', '7c 05 02!'], ['65880102']],
    ['no E bit before another NAL unit', ['7c 85 88', '7c 05 01', '65 08!'], ['658801', '6508']],
    ['no E bit before another FU-A', ['7c 87 42', '7c 85 88', '7c 45 01!'], ['6742', '658801']],
    ['no S bit', ['67 42', '7c 05 88', '7c 45 01!'], ['6742', '658801']],
    ['neither S nor E bit, and no marker', ['7c 05 88', '7c 05 01'], ['658801']],
    [
      'marker on every NAL unit',
      ['67 42!', '68 ce!', '65 88!', '65 08!'],
      ['6742', '68ce', '6588', '6508'],
    ],
    [
      'markers on fragments of two slices',
      ['7c 85 88!', '7c 45 01!', '7c 85 08!', '7c 45 02!'],
      ['658801', '650802'],
    ],
    ['PACSI before the picture (Polycom, Lync)', ['7e 80 00 00 07', '65 88!'], ['6588']],
    ['PACSI in the STAP-A', ['78 0005 7e80000007 0002 6588!'], ['6588']],
    ['only PACSI in a STAP-A', ['78 0005 7e80000007', '65 88!'], ['6588']],
    ['PACSI in FU-A', ['7c 9e 80', '7c 5e 00', '65 88!'], ['6588']],
    ['PACSI last, with the marker', ['65 88', '7e 80 00 00 07!'], ['6588']],
    [
      'every unknown type',
      ['60 01', '6e 01', '6f 01', '70 01', '74 01', '76 01', '77 01', '7f 01', '65 88!'],
      ['6588'],
    ],
    [
      'unknown types in a STAP-A',
      ['78 0002 7801 0002 7c85 0002 6001 0002 7f01 0002 6588!'],
      ['6588'],
    ],
    [
      'interleaved packets',
      ['79 0000 0002 6588', '7a 0000', '7b 0000', '7d 85 0000 88', '65 89!'],
      ['6589'],
    ],
    ['a fragmented fragment', ['7c dc 01', '65 88!'], ['6588']],
    ['scalable layers beside each slice', ['6e 40 80 01', '65 88', '74 40 80 01 02!'], ['6588']],
    [
      'start codes in one FU-A',
      ['7c 87 42 00 00 00 01 68 ce 00 00', '7c 47 00 01 65 88!'],
      ['6742', '68ce', '6588'],
    ],
    [
      'start codes in one NAL unit',
      ['67 42 00 00 01 68 ce 00 00 01 65 88!'],
      ['6742', '68ce', '6588'],
    ],
    ['start codes between slices', ['65 88 00 00 01 65 08!'], ['6588', '6508']],
    ['start codes in a STAP-A', ['78 0008 67420000 000168ce 0002 6588!'], ['6742', '68ce', '6588']],
    ['a start code first', ['00 00 00 01 67 42 00 00 00 01 65 88!'], ['6742', '6588']],
    ['zeros behind a STAP-A', ['78 0002 6742 0002 6588 0000 0000 00!'], ['6742', '6588']],
    ['an empty NAL unit in a STAP-A', ['78 0000 0002 6588!'], ['6588']],
    ['an empty STAP-A', ['78', '65 88!'], ['6588']],
  ];
  it.each(devices)('understands %s', (_device, payloads, nalus) => {
    const kit = rig();
    kit.send('65 aa', 0, true);
    for (let picture = 1; picture <= 3; picture++)
      for (const payload of payloads)
        kit.send(payload.replace('!', ''), picture * 3600, payload.endsWith('!'));
    kit.send('65 bb', 4 * 3600, true);
    kit.send('65 cc', 5 * 3600, true);
    expect(kit.faults).toEqual([]);
    expect(kit.nalus().slice(0, 5)).toEqual([['65aa'], nalus, nalus, nalus, ['65bb']]);
  });

  it('names what it leaves out once for a packet', () => {
    const { send, leftOut } = rig();
    send('78 0002 6001 0002 7f01 0002 7e01', 0);
    send('79 0000 0002 6588', 0);
    send('65 88', 0, true);
    expect(leftOut).toEqual(['h264-nal-type', 'h264-interleaved']);
  });

  it('joins no fragments over a gap, whatever their bits say', () => {
    const kit = rig();
    kit.send('65 aa', 0, true);
    kit.send('7c 85 88', 1, true);
    kit.lose();
    kit.send('7c 05 01', 1, true);
    kit.send('7c 05 02', 1, true);
    kit.send('65 bb', 2, true);
    kit.lose();
    kit.send('7c 05 03', 3);
    kit.send('7c 45 04', 3, true);
    kit.send('65 cc', 4, true);
    kit.send('65 dd', 5, true);
    expect(
      kit
        .nalus()
        .flat()
        .every((nal) => ['65aa', '65bb', '65cc', '65dd'].includes(nal)),
    ).toBe(true);
    expect(kit.nalus().flat()).toContain('65cc');
  });

  it('trusts the marker again when only parameter sets had one too many', () => {
    const { depacketizer, send, nalus } = rig();
    for (const nal of ['67 42', '68 ce', '65 88']) send(nal, 0, true);
    expect(nalus()).toEqual([]);
    // Nothing else of the picture comes (it arrived at 5 ms).
    expect(depacketizer.expire(30)).toEqual([]);
    expect(depacketizer.expire(40)).toMatchObject([{ isKeyFrame: true, rtpTimestamp: 0 }]);
    for (const nal of ['67 42', '68 ce', '65 88']) send(nal, 1800, true);
    for (let picture = 1; picture <= 4; picture++) {
      send('7c 81 9a', picture * 3600);
      send('7c 41 01', picture * 3600, true);
    }
    // Not only the pictures before: the fourth came out with its marker.
    expect(nalus()).toEqual([
      ['6742', '68ce', '6588'],
      ...Array.from({ length: 4 }, () => ['619a01']),
    ]);
  });

  it('a packet without pictures takes its place in the sequence, between pictures and within one', () => {
    const kit = rig();
    kit.skip();
    kit.send('65 aa', 0, true);
    kit.skip();
    kit.send('7c 85 88', 3600);
    kit.skip();
    kit.send('7c 45 01', 3600, true);
    expect(kit.nalus()).toEqual([['65aa'], ['658801']]);
    expect(kit.faults).toEqual([]);
    kit.lose();
    kit.skip();
    kit.send('41 1a', 7200, true);
    expect(kit.faults).toEqual(['h264-loss']);
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
    const { send, frames, faults, leftOut } = rig();
    let timestamp = 0;
    for (const payload of mutations(seeds, 100_000, 4)) {
      if (random() < 0.3) timestamp = (timestamp + 3600) >>> 0;
      send(payload, timestamp, random() < 0.3);
    }
    expect(new Set([...faults, ...leftOut]).size).toBe(6);
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
