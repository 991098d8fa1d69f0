import { H264Depacketizer } from '@sipcast/media/wire';
import type { H264AccessUnit } from '@sipcast/media/wire';
import { describe, expect, it } from 'vitest';
import { loadClip } from './clip.ts';
import { packetizeAccessUnit } from './h264-payloads.ts';

const nal = (header: number, length: number): Uint8Array =>
  Uint8Array.from({ length }, (_, at) => (at === 0 ? header : at & 0xff));
const sps = nal(0x67, 20);
const pps = nal(0x48, 6);

describe('payloads of RFC 6184', () => {
  it('§5.6: a NAL unit that fits is its own payload', () => {
    const slice = nal(0x41, 100);
    expect(packetizeAccessUnit([slice], 1, 100)).toEqual([slice]);
  });

  it('§5.7.1: SPS and PPS share a STAP-A: largest NRI, type 24, a size before each', () => {
    const [stap, ...rest] = packetizeAccessUnit([sps, pps, nal(0x65, 50)], 1, 1188);
    expect(stap![0]).toBe(0x60 | 24);
    expect([...stap!.subarray(1, 3)]).toEqual([0, 20]);
    expect(stap!.subarray(3, 23)).toEqual(sps);
    expect([...stap!.subarray(23, 25)]).toEqual([0, 6]);
    expect(stap!.subarray(25)).toEqual(pps);
    expect(rest).toHaveLength(1);
  });

  it('no STAP-A above the limit, for a single parameter set, or across another NAL unit', () => {
    expect(packetizeAccessUnit([sps, pps], 1, 30)).toEqual([sps, pps]);
    expect(packetizeAccessUnit([sps, nal(0x65, 9)], 1, 1188)[0]).toBe(sps);
    expect(packetizeAccessUnit([sps, nal(0x06, 9), pps], 1, 1188)).toHaveLength(3);
  });

  it('§5.8: FU-A: F and NRI and type 28, then S, E and the type; the header octet is not repeated', () => {
    const idr = nal(0x65, 1 + 98 + 98 + 1);
    const fragments = packetizeAccessUnit([idr], 1, 100);
    expect(fragments.map((one) => one.length)).toEqual([100, 100, 3]);
    expect(fragments.map((one) => one[0])).toEqual([0x7c, 0x7c, 0x7c]);
    expect(fragments.map((one) => one[1])).toEqual([0x85, 0x05, 0x45]);
    const joined = fragments.flatMap((one) => [...one.subarray(2)]);
    expect(joined).toEqual([...idr.subarray(1)]);
  });

  it('§5.8: one octet too many makes two fragments, never one with S and E', () => {
    const fragments = packetizeAccessUnit([nal(0x41, 101)], 1, 100);
    expect(fragments.map((one) => one[1])).toEqual([0x81, 0x41]);
  });

  it('§6.2: mode 0 has single NAL units only', () => {
    const nalus = [sps, pps, nal(0x65, 5000)];
    expect(packetizeAccessUnit(nalus, 0, 1188)).toEqual(nalus);
  });

  it.each([
    [1, 1188],
    [1, 64],
    [0, 1188],
  ] as const)(
    'the clip passes through the depacketizer unchanged: mode %i, %i octets',
    (mode, size) => {
      const { video } = loadClip();
      const received: H264AccessUnit[] = [];
      const broken: string[] = [];
      const depacketizer = new H264Depacketizer();
      let sequenceNumber = 65_000;
      for (const { nalus, index } of video) {
        const payloads = packetizeAccessUnit(nalus, mode, size);
        if (mode === 1)
          expect(Math.max(...payloads.map((one) => one.length))).toBeLessThanOrEqual(size);
        for (const [at, payload] of payloads.entries()) {
          const units = depacketizer.push({
            datagram: payload,
            payload,
            payloadType: 96,
            marker: at === payloads.length - 1,
            sequenceNumber: sequenceNumber++ & 0xffff,
            rtpTimestamp: index * 3600,
            ssrc: 1,
            arrivalMs: 0,
          });
          for (const unit of units) {
            if (typeof unit === 'string') broken.push(unit);
            else if ('codec' in unit) received.push(unit);
          }
        }
      }
      expect(broken).toEqual([]);
      expect(received).toHaveLength(video.length);
      for (const [index, unit] of received.entries()) {
        const same = unit.nalus.every(
          (one, at) => Buffer.compare(one, video[index]!.nalus[at]!) === 0,
        );
        expect(same && unit.nalus.length === video[index]!.nalus.length).toBe(true);
        expect(unit.isKeyFrame).toBe(video[index]!.isKeyFrame);
      }
    },
  );
});
