// A sender that jumps: another SSRC, sequence, timestamp or payload type in mid-call. Pictures go on within a second.

import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { H264Depacketizer } from '../rtp/h264-depacketizer.ts';
import { KeyFrameGate } from './key-frame-gate.ts';
import { ReceptionLine } from '../rtp/reception-line.ts';
import { decodeRtp, encodeRtp } from '../rtp/rtp.ts';
import { type TestAccessUnit, testAccessUnits, testPayloads } from '../codec/test-h264.ts';
import { seededRandom } from '../test-random.ts';

interface Source {
  readonly ssrc: number;
  readonly firstSequence: number;
  readonly firstTimestamp: number;
  readonly payloadType: number;
}

/** Plays pictures of several sources, one after the other, 40 ms each, through the path; what came out and when. */
function play(sources: readonly Source[], units: readonly TestAccessUnit[]) {
  const out: { atMs: number; source: number; isKeyFrame: boolean }[] = [];
  let nowMs = 0;
  let source = 0;
  const gate = new KeyFrameGate(() => {});
  const depacketizer = new H264Depacketizer();
  const line = new ReceptionLine((packet) => {
    for (const unit of depacketizer.push(packet)) {
      if (typeof unit === 'string') gate.break();
      else if ('codec' in unit && gate.admit(unit))
        out.push({ atMs: nowMs, source, isKeyFrame: unit.isKeyFrame });
    }
  });
  const beginsMs: number[] = [];
  for (; source < sources.length; source++) {
    const { ssrc, firstSequence, firstTimestamp, payloadType } = sources[source]!;
    let sequence = firstSequence;
    beginsMs.push(nowMs);
    units.forEach(({ nalus }, index) => {
      const payloads = testPayloads(nalus);
      payloads.forEach((payload, place) => {
        const packet = decodeRtp(
          encodeRtp({
            payloadType,
            marker: place === payloads.length - 1,
            sequenceNumber: sequence++,
            rtpTimestamp: (firstTimestamp + index * 3600) >>> 0,
            ssrc,
            payload,
          }),
          nowMs,
        );
        if (typeof packet === 'object') line.push(packet);
      });
      for (let step = 0; step < 2; step++) {
        nowMs += 20;
        line.tick(nowMs, 2);
      }
    });
  }
  return { out, beginsMs };
}

// The key frame of a request comes at the latest with the tenth picture.
const UNITS = testAccessUnits(30, seededRandom(3), { keyInterval: 10 });
const PACKETS = UNITS.reduce((sum, { nalus }) => sum + testPayloads(nalus).length, 0);
const FIRST: Source = { ssrc: 1, firstSequence: 100, firstTimestamp: 5000, payloadType: 96 };

function expectResync(next: Source): number {
  const { out, beginsMs } = play([FIRST, next], UNITS);
  expect(out.filter(({ source }) => source === 0)).toHaveLength(30);
  const resumed = out.find(({ source }) => source === 1);
  expect(resumed?.isKeyFrame).toBe(true);
  const waitMs = resumed!.atMs - beginsMs[1]!;
  expect(waitMs).toBeLessThanOrEqual(1000);
  return waitMs;
}

describe('a sender that jumps', () => {
  it.each<[string, Partial<Source>]>([
    ['another SSRC', { ssrc: 2, firstSequence: 40_000, firstTimestamp: 123_456 }],
    ['another SSRC that goes on in the sequence', { ssrc: 2 }],
    ['the sequence, far away', { firstSequence: 30_000 }],
    ['the sequence, back to where it began', { firstSequence: 100 }],
    ['the sequence, a little behind', { firstSequence: 100 + PACKETS - 30 }],
    ['the timestamp by 2^31', { firstTimestamp: 5000 + 2 ** 31 }],
    ['the timestamp by −2^31', { firstTimestamp: (5000 - 2 ** 31) >>> 0 }],
    ['the payload type', { payloadType: 97 }],
  ])('%s: goes on within a second', (_name, change) => {
    expectResync({ ...FIRST, ...change });
  });

  it('anything at once: goes on within a second', () => {
    const u16 = fc.nat(0xffff);
    const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
    let worstMs = 0;
    fc.assert(
      fc.property(
        fc.record({
          ssrc: fc.constantFrom(1, 2),
          firstSequence: u16,
          firstTimestamp: u32,
          payloadType: fc.constantFrom(96, 97),
        }),
        (next) => {
          worstMs = Math.max(worstMs, expectResync(next));
        },
      ),
    );
    console.log(`resync after any jump: worst ${worstMs} ms`);
  });
});
