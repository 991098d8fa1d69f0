import { describe, expect, it } from 'vitest';
import { KeyFrameRequester } from '../rtp/key-frame-requester.ts';
import { Rate, ReceivedFigures, VideoFigures } from './media-stats.ts';
import { ReceptionLine } from '../rtp/reception-line.ts';
import type { RtpSessionStats } from '../rtp/rtp-session.ts';

const RTP: RtpSessionStats = {
  packets: 95,
  bytes: 1000,
  lost: 5,
  jitterMs: 3,
  reordered: 2,
  duplicates: 1,
  lastRtpMs: 10,
  rtcpPackets: 1,
  lastRtcpMs: 10,
  roundTripMs: null,
  foreign: 0,
  faults: { 'rtp-version': 1, 'audio-codec-change': 9 },
  keyFrames: {
    ...new KeyFrameRequester({ methods: [] }).stats,
    requests: { pli: 1, fir: 2, info: 3, reinvite: 4 },
  },
  nacksSent: 0,
  packetsSent: 0,
  unknownPayloadType: null,
};
const line = () => new ReceptionLine(() => {}, {});

it('Rate: growth per second over the last period; null before the first has ended', () => {
  const rate = new Rate();
  rate.note(100, 5000);
  expect(rate.perSecond).toBeNull();
  rate.note(150, 5500);
  expect(rate.perSecond).toBe(100);
  rate.note(150, 6500);
  expect(rate.perSecond).toBe(0);
});

describe('ReceivedFigures', () => {
  it('reports loss as a share, bits per second, and faults of the session and of later stages', () => {
    const figures = new ReceivedFigures<'pcma' | 'pcmu'>();
    figures.note(RTP, 0);
    expect(figures.bitrateBps).toBeNull();
    figures.note({ ...RTP, bytes: 9000 }, 1000);
    figures.count('audio-codec-change');
    figures.count('audio-codec-change');
    expect(figures.stats(RTP, line(), 'pcma')).toMatchObject({
      codec: 'pcma',
      packets: 95,
      lost: 5,
      lossRatio: 0.05,
      jitterMs: 3,
      reordered: 2,
      duplicates: 1,
      bitrateBps: 64_000,
      faults: { 'rtp-version': 1, 'audio-codec-change': 2 },
    });
  });

  it('has no loss and no jitter before the first packet', () => {
    const none = { ...RTP, packets: 0, lost: 0 };
    expect(new ReceivedFigures().stats(none, line(), null)).toMatchObject({
      codec: null,
      lossRatio: null,
      jitterMs: null,
    });
  });
});

it('VideoFigures: pictures, drops, and key-frame requests', () => {
  const figures = new VideoFigures();
  figures.note(RTP, 0);
  figures.frames += 30;
  figures.keyFrames++;
  figures.countBroken('h264-gap');
  figures.note(RTP, 1000);
  const size = { width: 640, height: 360 };
  expect(
    figures.videoStats(RTP, line(), 'h264', { size, dropped: 2, frozenFrames: 7 }),
  ).toMatchObject({
    ...size,
    codec: 'h264',
    fps: 30,
    frames: 30,
    keyFrames: 1,
    droppedFrames: 3,
    keyFrameRequests: 10,
    frozenFrames: 7,
    faults: { 'h264-gap': 1 },
  });
  expect(
    figures.videoStats(RTP, line(), null, { size: undefined, dropped: 0, frozenFrames: 0 }),
  ).toMatchObject({ width: null, height: null });
});
