import { describe, expect, it } from 'vitest';
import { ReceptionStats } from './reception-stats.ts';
import { RtcpReports } from './rtcp-reports.ts';
import type { ReportBlock } from './rtcp.ts';

const UNIX_MS = 1_700_000_000_000;

function open(random = 0.5) {
  const sent = {
    packetCount: 0,
    octetCount: 0,
    rtpTimestampAt: (nowMs: number) => nowMs * 8,
  };
  const clock = { unixMs: UNIX_MS };
  const reports = new RtcpReports(
    { ssrc: 7, cname: 'a@b', wallClock: () => clock.unixMs, random: () => random },
    new ReceptionStats(8000),
    sent,
  );
  return { reports, sent, clock };
}

/** What a peer says of SSRC 7 that heard our report of `UNIX_MS` and answers after `delayMs`. */
function block(delayMs: number, ssrc = 7): ReportBlock {
  // RFC 3550 §6.4.1: the middle 32 bits of the NTP time.
  const middle = Math.round((UNIX_MS / 1000 + 2_208_988_800) * 65_536) % 2 ** 32;
  return {
    ssrc,
    fractionLost: 0,
    cumulativeLost: 0,
    extendedHighestSequenceNumber: 0,
    jitter: 0,
    lastSenderReport: middle,
    delaySinceLastSenderReport: Math.round((delayMs * 65_536) / 1000),
  };
}

describe('RtcpReports', () => {
  it.each([
    [0, 500, 2052],
    [0.5, 750, 4104],
    [0.999, 999.5, 6152],
  ])('are due at the interval of RFC 3550 §6.3.1, random %d', (random, firstMs, intervalMs) => {
    const { reports } = open(random);
    expect(reports.takeDue(1e9)).toBe(false);
    reports.start(0);
    expect(reports.takeDue(firstMs - 0.1)).toBe(false);
    expect(reports.takeDue(firstMs + 0.1)).toBe(true);
    expect(reports.takeDue(firstMs + intervalMs - 1)).toBe(false);
    expect(reports.takeDue(firstMs + intervalMs + 1)).toBe(true);
  });

  it('begin with an SR when packets were sent since the last report, else with an RR', () => {
    const { reports, sent } = open();
    expect(reports.compose(0)).toEqual([
      { type: 'rr', ssrc: 7, reports: [] },
      { type: 'sdes', chunks: [{ ssrc: 7, cname: 'a@b' }] },
    ]);
    sent.packetCount = 3;
    sent.octetCount = 480;
    expect(reports.compose(60)).toMatchObject([
      { type: 'sr', ssrc: 7, rtpTimestamp: 480, packetCount: 3, octetCount: 480, reports: [] },
      { type: 'sdes' },
    ]);
    expect(reports.compose(80)).toMatchObject([{ type: 'rr' }, { type: 'sdes' }]);
  });

  it('learn the round trip from the block of our SSRC, smoothed by a quarter', () => {
    const { reports, clock } = open();
    clock.unixMs = UNIX_MS + 150;
    reports.onReportBlocks([block(50, 8)]);
    expect(reports.roundTripMs).toBeUndefined();
    reports.onReportBlocks([block(50, 8), block(50)]);
    expect(reports.roundTripMs).toBeCloseTo(100, 0);
    clock.unixMs = UNIX_MS + 250;
    reports.onReportBlocks([block(50)]);
    expect(reports.roundTripMs).toBeCloseTo(125, 0);
    reports.onReportBlocks([]);
    expect(reports.roundTripMs).toBeCloseTo(125, 0);
  });
});
