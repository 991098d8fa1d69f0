import { describe, expect, it } from 'vitest';
import type { FlvTag } from '../codec/frame.ts';
import { audioSilence } from '../codec/silence.ts';
import { codecOfTag, silencedTag, soundBytesOf, withSound } from './audio-tag.ts';
import { enhancedOpusTag } from './enhanced-tags.ts';

describe('silencedTag', () => {
  const tag = (body: string, role: FlvTag['role'] = 'audio'): FlvTag => ({
    type: 8,
    timestampMs: 7,
    body: Buffer.from(body, 'hex'),
    role,
  });

  it.each([
    ['72112233', '72d5d5d5'],
    ['82112233', '82ffffff'],
    ['af01112233', 'af0101182007'],
    ['af0121112233', 'af01211004608c1c'],
    ['b2112233', `b2${Buffer.from(audioSilence('speex-wb')).toString('hex')}`],
    ['22112233', '22112233'],
  ])('%s becomes %s', (before, after) => {
    const silent = silencedTag(tag(before));
    expect(Buffer.from(silent.body).toString('hex')).toBe(after);
    expect(silent).toMatchObject({ type: 8, timestampMs: 7, role: 'audio' });
  });

  it('leaves everything else as it is', () => {
    const header = tag('af001208', 'sequence-header');
    expect(silencedTag(header)).toBe(header);
  });
});

describe('the sound of an audio tag', () => {
  const tag = (body: string, role: FlvTag['role'] = 'audio'): FlvTag => ({
    type: 8,
    timestampMs: 7,
    body: Buffer.from(body, 'hex'),
    role,
  });

  it.each([
    ['pcma', tag('72112233'), 3, '72aabb'],
    ['pcmu', tag('8211'), 1, '82aabb'],
    ['aac', tag('af011122'), 2, 'af01aabb'],
    ['speex-wb', tag('b2'), 0, 'b2aabb'],
    ['opus', enhancedOpusTag(Uint8Array.of(1, 2, 3), 7), 3, '914f707573aabb'],
  ] as const)('of %s is found, measured and replaced', (codec, original, bytes, replaced) => {
    expect(codecOfTag(original)).toBe(codec);
    expect(soundBytesOf(original, codec)).toBe(bytes);
    const { body, ...others } = withSound(original, codec, Uint8Array.of(0xaa, 0xbb));
    expect(Buffer.from(body).toString('hex')).toBe(replaced);
    expect(others).toEqual({ type: 8, timestampMs: 7, role: 'audio' });
  });

  it('is of no codec in headers, other formats and empty tags', () => {
    expect(codecOfTag(tag('af001208', 'sequence-header'))).toBeUndefined();
    expect(codecOfTag(tag('22112233'))).toBeUndefined();
    expect(codecOfTag(tag(''))).toBeUndefined();
  });
});
