import { describe, expect, it } from 'vitest';
import { BlackVideo } from './black-video.ts';
import { H264Depacketizer } from './h264-depacketizer.ts';
import type { H264AccessUnit, RtpPacket } from '../codec/frame.ts';
import { NAL_TYPE, nalType, parseSps } from '../codec/h264.ts';
import { decodeRtp } from './rtp.ts';

function rig() {
  const packets: RtpPacket[] = [];
  const video = new BlackVideo({
    ssrc: 7,
    firstSequenceNumber: 65_534,
    firstTimestamp: 2 ** 32 - 90,
  });
  const play = (fromMs: number, toMs: number): number => {
    const before = packets.length;
    for (let nowMs = fromMs; nowMs < toMs; nowMs += 20) {
      video.tick(nowMs, (datagram) => {
        const packet = decodeRtp(datagram, nowMs);
        if (typeof packet !== 'string') packets.push(packet);
      });
    }
    return packets.length - before;
  };
  return { video, packets, play };
}

describe('BlackVideo', () => {
  it('sends nothing without a line', () => {
    expect(rig().play(0, 2000)).toBe(0);
  });

  it('sends an IDR picture with its parameter sets twice a second, of alternating idr_pic_id', () => {
    const { video, packets, play } = rig();
    video.use({ payloadType: 97 });
    play(0, 1100);
    const units: H264AccessUnit[] = [];
    const depacketizer = new H264Depacketizer();
    for (const packet of packets)
      for (const unit of depacketizer.push(packet)) {
        if (typeof unit === 'string') expect.fail(unit);
        else if ('codec' in unit) units.push(unit);
      }
    expect(
      units.map(({ nalus, isKeyFrame, rtpTimestamp }) => [
        nalus.map(nalType),
        isKeyFrame,
        rtpTimestamp,
      ]),
    ).toEqual(
      [2 ** 32 - 90, 500 * 90 - 90, 1000 * 90 - 90].map((rtpTimestamp) => [
        [NAL_TYPE.sps, NAL_TYPE.pps, NAL_TYPE.idrSlice],
        true,
        rtpTimestamp,
      ]),
    );
    expect(parseSps(units[0]!.nalus[0]!)).toMatchObject({
      profileIdc: 66,
      constraintFlags: 0xc0,
      levelIdc: 10,
      width: 176,
      height: 144,
    });
    // Slice header: first_mb `1`, slice_type `0001000`, pps `1`, frame_num `0000`, then idr_pic_id `1` or `010`.
    const pictures = units.map(({ nalus }) => Buffer.from(nalus[2]!));
    expect(pictures.map((picture) => (picture[2]! >> 2) & 1)).toEqual([1, 0, 1]);
    expect(pictures[0]).not.toEqual(pictures[1]);
    expect(pictures[0]).toEqual(pictures[2]);
    expect(packets.map(({ sequenceNumber, marker }) => [sequenceNumber, marker])).toEqual(
      packets.map((_, index) => [(65_534 + index) & 0xffff, index % 3 === 2]),
    );
    expect([video.packetCount, video.octetCount]).toEqual([9, 3 * (22 + 4 + 86)]);
  });

  it('answers a request at once, but not more than ten times a second', () => {
    const { video, play } = rig();
    video.use({ payloadType: 97, intervalMs: 5000 });
    expect(play(0, 100)).toBe(3);
    video.requestKeyFrame();
    expect(play(200, 220)).toBe(3);
    video.requestKeyFrame();
    expect([play(220, 300), play(300, 320)]).toEqual([0, 3]);
    expect(play(320, 5200)).toBe(0);
    video.use(undefined);
    expect(play(5200, 9000)).toBe(0);
  });

  it('keeps the line alive in the same sequence', () => {
    const { video, play, packets } = rig();
    expect(decodeRtp(video.keepAlive(127, 1000), 0)).toMatchObject({
      payloadType: 127,
      marker: false,
      sequenceNumber: 65_534,
      rtpTimestamp: 2 ** 32 - 90,
      payload: new Uint8Array(0),
    });
    video.use({ payloadType: 97 });
    play(1020, 1030);
    expect(packets[0]).toMatchObject({ sequenceNumber: 65_535, rtpTimestamp: 19 * 90 + 0 });
  });
});
