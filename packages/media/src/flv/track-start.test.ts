import { expect, it } from 'vitest';
import type { FlvTag, FlvTagRole } from '../codec/frame.ts';
import { amf0Object, EcmaArray, encodeAmf0 } from './amf0.ts';
import { TrackStart } from './track-start.ts';

const tag = (role: FlvTagRole, type: 8 | 9, timestampMs = 0, body = 1): FlvTag => ({
  role,
  type,
  timestampMs,
  body: new Uint8Array([body]),
});
const metadata = (names: Record<string, number>): FlvTag => ({
  role: 'metadata',
  type: 18,
  timestampMs: 0,
  body: encodeAmf0('onMetaData', new EcmaArray(amf0Object(names))),
});
const BOTH = metadata({ audiocodecid: 10, videocodecid: 7 });

it('begins with the last key frame once all promised headers are there', () => {
  const start = new TrackStart();
  start.describe(BOTH);
  expect(start.describe(tag('sequence-header', 9))).toBe(true);
  expect(start.hold(tag('key-frame', 9, 0))).toEqual([]);
  expect(start.hold(tag('inter-frame', 9, 40))).toEqual([]);
  // The header of the sound comes late: the key frame is not lost.
  start.describe(tag('sequence-header', 8));
  const begun = start.hold(tag('audio', 8, 50));
  expect(begun.map(({ role }) => role)).toEqual(['key-frame', 'inter-frame', 'audio']);
  expect(start.headers.map(({ type }) => type)).toEqual([18, 9, 8]);
});

it('begins without a promised medium that does not come within two seconds', () => {
  const start = new TrackStart();
  start.describe(BOTH);
  start.describe(tag('sequence-header', 8));
  expect(start.hold(tag('audio', 8, 0))).toEqual([]);
  expect(start.hold(tag('audio', 8, 1999))).toEqual([]);
  expect(start.hold(tag('audio', 8, 2000))).toHaveLength(3);
});

it('says when tracks change, and forgets what waits with former parameters', () => {
  const start = new TrackStart();
  start.describe(BOTH);
  start.describe(tag('sequence-header', 9));
  start.hold(tag('key-frame', 9));
  expect(start.describe(tag('sequence-header', 9, 10))).toBe(false);
  expect(start.describe(tag('sequence-header', 9, 20, 2))).toBe(true);
  expect(start.take()).toEqual([]);
});

it('holds a bounded number of tags', () => {
  const start = new TrackStart();
  start.describe(BOTH);
  for (let at = 0; at < 2000; at++) start.hold(tag('audio', 8, 0));
  expect(start.take().length).toBeLessThanOrEqual(500);
});
