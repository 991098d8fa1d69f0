import { describe, expect, it } from 'vitest';
import type { FlvTag } from '../codec/frame.ts';
import type { SoundSource } from '../codec/sound-source.ts';
import { SoundReplacement } from './sound-replacement.ts';

const tag = (head: number, octets: number[], role: FlvTag['role'] = 'audio'): FlvTag => ({
  type: 8,
  timestampMs: 40,
  body: Uint8Array.from([head, ...octets]),
  role,
});
function rig(frames: (number[] | undefined)[]) {
  const told: string[] = [];
  const queue = [...frames];
  const sound = new SoundReplacement(
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
    { onEnded: () => void told.push('ended'), onClosed: () => void told.push('closed') },
  );
  return { sound, told };
}

describe('a sound instead of the audio', () => {
  it('takes the place of AAC frames one by one, at their times; headers pass', () => {
    const { sound, told } = rig([undefined, [1, 2, 3], [4]]);
    const header = tag(0xaf, [0, 0x12, 0x08], 'sequence-header');
    expect(sound.replace(header)).toEqual([header]);
    const early = tag(0xaf, [1, 9]);
    expect(sound.replace(early)).toEqual([early]);
    expect(sound.replace(tag(0xaf, [1, 9]))).toMatchObject([
      { timestampMs: 40, body: Buffer.from([0xaf, 1, 1, 2, 3]) },
    ]);
    expect([...sound.replace(tag(0xaf, [1, 9]))[0]!.body]).toEqual([0xaf, 1, 4]);
    for (const behind of [tag(0xaf, [1, 9]), tag(0xaf, [1, 9])])
      expect(sound.replace(behind)).toEqual([behind]);
    expect(told).toEqual(['open aac', 'close', 'closed', 'ended']);
  });

  it('is the same for both connections of a push that changes its server', () => {
    const { sound } = rig([[1], [2], [3]]);
    const shared = tag(0xaf, [1, 9]);
    expect(sound.replace(shared)).toBe(sound.replace(shared));
    expect([...sound.replace(tag(0xaf, [1, 9]))[0]!.body]).toEqual([0xaf, 1, 2]);
  });

  it('fills G.711 tags of any length', () => {
    const { sound } = rig([
      [1, 2],
      [3, 4],
      [5, 6],
    ]);
    expect([...sound.replace(tag(0x72, [0, 0, 0]))[0]!.body]).toEqual([0x72, 1, 2, 3]);
    expect([...sound.replace(tag(0x72, [0, 0, 0]))[0]!.body]).toEqual([0x72, 4, 5, 6]);
  });

  it('starts over when the stream changes its codec, and does not report an end when closed', () => {
    const { sound, told } = rig([[1], [2], [3]]);
    sound.replace(tag(0x82, [0]));
    sound.replace(tag(0xaf, [1, 0]));
    sound.close();
    const own = tag(0xaf, [1, 0]);
    expect(sound.replace(own)).toEqual([own]);
    expect(told).toEqual(['open pcmu', 'close', 'open aac', 'close', 'closed']);
  });

  it('takes the place of Opus in packets of 20 ms, whatever those of the stream last', () => {
    const { sound, told } = rig([[1], [2], [3], [4], undefined, [5]]);
    const opus = (timestampMs: number): FlvTag => ({
      ...tag(0x91, [...Buffer.from('Opus'), 9, 9]),
      timestampMs,
    });
    const heard = (timestampMs: number): [number, number][] =>
      sound.replace(opus(timestampMs)).map((one) => [one.timestampMs, one.body.at(-1)!]);
    expect(heard(100)).toEqual([[100, 1]]);
    expect(heard(160)).toEqual([
      [120, 2],
      [140, 3],
      [160, 4],
    ]);
    // Nothing is decoded yet: the stream's own sound is heard.
    expect(heard(180)).toEqual([[180, 9]]);
    const [last] = sound.replace(opus(200));
    expect(Buffer.from(last!.body).toString('latin1')).toBe('\x91Opus\x05');
    expect(told).toEqual(['open opus']);
  });
});
