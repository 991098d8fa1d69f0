import type { FlvTag, SoundSource } from '@sipcast/media';
import { describe, expect, it } from 'vitest';
import { PushSound } from './push-sound.ts';

const tag = (head: number, octets: number[], role: FlvTag['role'] = 'audio'): FlvTag => ({
  type: 8,
  timestampMs: 40,
  body: Uint8Array.from([head, ...octets]),
  role,
});
function rig(frames: (number[] | undefined)[]) {
  const told: string[] = [];
  const queue = [...frames];
  const sound = new PushSound(
    (codec): SoundSource => {
      told.push(`open ${codec}`);
      return {
        read: () => {
          const frame = queue.shift();
          return frame && Uint8Array.from(frame);
        },
        get ended() {
          return queue.length === 0;
        },
        close: () => void told.push('close'),
      };
    },
    () => told.push('ended'),
  );
  return { sound, told };
}

describe('a sound in place of the audio', () => {
  it('takes the place of AAC frames one by one, at their times; headers pass', () => {
    const { sound, told } = rig([undefined, [1, 2, 3], [4]]);
    const header = tag(0xaf, [0, 0x12, 0x08], 'sequence-header');
    expect(sound.replace(header)).toBe(header);
    const early = tag(0xaf, [1, 9]);
    expect(sound.replace(early)).toBe(early);
    expect(sound.replace(tag(0xaf, [1, 9]))).toMatchObject({
      timestampMs: 40,
      body: Buffer.from([0xaf, 1, 1, 2, 3]),
    });
    expect([...sound.replace(tag(0xaf, [1, 9])).body]).toEqual([0xaf, 1, 4]);
    for (const behind of [tag(0xaf, [1, 9]), tag(0xaf, [1, 9])])
      expect(sound.replace(behind)).toBe(behind);
    expect(told).toEqual(['open aac', 'close', 'ended']);
  });

  it('is the same for both connections of a push that changes its server', () => {
    const { sound } = rig([[1], [2], [3]]);
    const shared = tag(0xaf, [1, 9]);
    expect(sound.replace(shared)).toBe(sound.replace(shared));
    expect([...sound.replace(tag(0xaf, [1, 9])).body]).toEqual([0xaf, 1, 2]);
  });

  it('fills G.711 tags of any length', () => {
    const { sound } = rig([
      [1, 2],
      [3, 4],
      [5, 6],
    ]);
    expect([...sound.replace(tag(0x72, [0, 0, 0])).body]).toEqual([0x72, 1, 2, 3]);
    expect([...sound.replace(tag(0x72, [0, 0, 0])).body]).toEqual([0x72, 4, 5, 6]);
  });

  it('begins anew when the stream changes its codec, and is silent about its end when closed', () => {
    const { sound, told } = rig([[1], [2], [3]]);
    sound.replace(tag(0x82, [0]));
    sound.replace(tag(0xaf, [1, 0]));
    sound.close();
    const own = tag(0xaf, [1, 0]);
    expect(sound.replace(own)).toBe(own);
    expect(told).toEqual(['open pcmu', 'close', 'open aac', 'close']);
  });
});
