import { describe, expect, it } from 'vitest';
import { CodecChanges } from './codec-changes.ts';

describe('CodecChanges', () => {
  it('follows a peer, but not one that changes with each packet', () => {
    const changes = new CodecChanges<'pcma' | 'opus'>();
    expect(changes.codec).toBeNull();
    let followed = 0;
    let taken = 0;
    for (let packet = 0; packet < 1000; packet++) {
      const before = changes.codec;
      if (changes.take(packet % 2 === 0 ? 'pcma' : 'opus', packet * 20)) taken++;
      if (changes.codec !== before) followed++;
    }
    // The first is no change.
    expect(followed).toBe(7);
    // What comes in the codec that it stayed with is taken all the same.
    expect(taken).toBeGreaterThan(490);
    expect(changes.take('opus', 90_000)).toBe(true);
    expect(changes.codec).toBe('opus');
  });
});
