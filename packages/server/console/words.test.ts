import { expect, it } from 'vitest';
import { statsPoint, withPoint } from './stats-series.ts';
import {
  bitrateText,
  bytesText,
  directionText,
  durationText,
  peerText,
  percentText,
  proposedStream,
  publicUrl,
  pushesSummary,
} from './words.ts';

it.each([
  [-5, '0:00'],
  [7000, '0:07'],
  [61_500, '1:01'],
  [3_723_000, '1:02:03'],
])('%d ms is %s', (ms, text) => expect(durationText(ms)).toBe(text));

it('amounts have units', () => {
  expect([null, 64_000, 1_250_000].map(bitrateText)).toEqual(['–', '64 kbit/s', '1.25 Mbit/s']);
  expect([12, 1200, 3.4e6, 5e9].map(bytesText)).toEqual(['12 B', '1.2 kB', '3.4 MB', '5.00 GB']);
  expect([null, 0, 0.004, 0.25].map(percentText)).toEqual(['–', '0 %', '0.4 %', '25 %']);
});

it('the peer is the one that we called, or that called us', () => {
  const call = { incoming: true, caller: 'alice', callee: 'sip:studio@h', visibleName: '' };
  const peers = [
    call,
    { ...call, visibleName: 'Alice' },
    { ...call, visibleName: 'alice' },
    { ...call, caller: '' },
    { ...call, visibleName: '\u202Emoc.live' },
    { ...call, visibleName: '\u05d0\u05d1' },
    { ...call, incoming: false },
  ].map(peerText);
  expect(peers).toEqual([
    'alice',
    'Alice · alice',
    'alice',
    'Unknown caller',
    'moc.live · alice',
    '\u2068\u05d0\u05d1\u2069 · alice',
    'studio@h',
  ]);
  expect([call, { ...call, callee: '' }, { ...call, incoming: false }].map(directionText)).toEqual([
    'Incoming, for studio@h',
    'Incoming',
    'Outgoing',
  ]);
});

it('a stream is named after the callee, without illegal characters', () => {
  const now = new Date(2026, 0, 1, 9, 5, 7);
  expect(
    ['sip:Room 1@h;x=y', 'bob', 'sips:a/b?c@h', '', '<b>@h', 'x'.repeat(90)].map((callee) =>
      proposedStream(callee, now),
    ),
  ).toEqual([
    'Room-1-090507',
    'bob-090507',
    'a-b-090507',
    'call-090507',
    'b-090507',
    `${'x'.repeat(40)}-090507`,
  ]);
});

it('addresses are shown without their secrets', () => {
  expect(publicUrl('rtmps://user:word@h/app/x?key=1')).toBe('rtmps://h/app/x?…');
  expect(publicUrl('rtmp://h/app')).toBe('rtmp://h/app');
});

it('many pushes are one badge', () => {
  const [on, wait, failed] = [
    'RTMP_STREAM_ACTIVE',
    'RTMP_STREAM_WAIT',
    'RTMP_CONNECTION_FAILED',
  ] as const;
  expect(pushesSummary([])).toBeUndefined();
  expect(pushesSummary([on])).toEqual({ text: 'On air', tone: 'good' });
  expect(pushesSummary([on, on])).toEqual({ text: 'On air ×2', tone: 'good' });
  expect(pushesSummary([on, wait])).toEqual({ text: '1 of 2 on air', tone: 'busy' });
  expect(pushesSummary([on, wait, failed])).toEqual({ text: '1 of 3 on air', tone: 'bad' });
});

it('losses are counted between samples, other values as measured', () => {
  const measured = (packets: number, lost: number) => ({
    packets,
    lost,
    jitterMs: 3,
    bitrateBps: 64_000,
  });
  const first = { audio: measured(100, 50), video: null };
  expect(statsPoint(null, first, 0).audio).toEqual({
    lossPercent: null,
    jitterMs: 3,
    bitrateKbps: 64,
  });
  const second = { audio: measured(175, 75), video: null };
  expect(statsPoint(first, second, 1).audio.lossPercent).toBe(25);
  // Late packets arrived after all.
  expect(statsPoint(second, { audio: measured(275, 70), video: null }, 2).audio.lossPercent).toBe(
    0,
  );
  expect(statsPoint(second, null, 3).video.lossPercent).toBeNull();
  const points = [0, 1000, 2000].map((atMs) => statsPoint(null, null, atMs));
  expect(withPoint(points, statsPoint(null, null, 3000), 1500).map(({ atMs }) => atMs)).toEqual([
    2000, 3000,
  ]);
});
