import { describe, expect, it } from 'vitest';
import type { FlvTag, FlvTagRole } from '../codec/frame.ts';
import type { Output } from './output.ts';
import { OutputSet } from './output-set.ts';

const tag = (role: FlvTagRole, timestampMs = 0): FlvTag => ({
  type: role === 'audio' ? 8 : role === 'metadata' ? 18 : 9,
  timestampMs,
  body: new Uint8Array(1),
  role,
});

function join(set: OutputSet): string[] {
  const seen: string[] = [];
  set.add({ push: (one) => seen.push(`${one.role}@${one.timestampMs}`) });
  return seen;
}

/** No output throws where nobody says so. */
const failed = (error: unknown): never => {
  throw error;
};

describe('OutputSet', () => {
  const preamble = [tag('metadata', 5), tag('sequence-header', 5)];

  it('shows the last key frame to who joins while none comes, and skips what refers to others', () => {
    const set = new OutputSet(() => preamble, failed);
    set.expectVideo(true);
    set.push(tag('key-frame', 0));
    for (let ms = 40; ms <= 10_000; ms += 40) set.push(tag('inter-frame', ms));
    const seen = join(set);
    for (let ms = 10_040; ms <= 11_600; ms += 40) {
      set.push(tag('inter-frame', ms));
      set.push(tag('audio', ms - 100));
    }
    set.push(tag('key-frame', 11_640));
    set.push(tag('inter-frame', 11_680));
    const pictures = seen.filter((one) => !one.startsWith('audio'));
    expect(pictures).toEqual([
      'metadata@5',
      'sequence-header@5',
      'key-frame@10440',
      'key-frame@10960',
      'key-frame@11480',
      'key-frame@11640',
      'inter-frame@11680',
    ]);
    expect(seen.filter((one) => one.startsWith('audio')).length).toBeGreaterThan(20);
  });

  it('gives black pictures only to who takes a placeholder, until the first real one', () => {
    const set = new OutputSet(() => [tag('metadata', 5)], failed);
    set.expectVideo(true);
    const plain = join(set);
    const seen: FlvTag[] = [];
    set.add({ push: (one) => seen.push(one) }, { placeholder: true });
    for (let ms = 0; ms <= 2000; ms += 20) set.push(tag('audio', ms));
    expect(plain.filter((one) => !one.startsWith('audio'))).toEqual(['metadata@5']);
    const pictures = seen.filter(({ type }) => type === 9);
    expect(pictures.map(({ role, timestampMs }) => [role, timestampMs])).toEqual([
      ['sequence-header', 1000],
      ['key-frame', 1000],
      ['key-frame', 1500],
      ['key-frame', 2000],
    ]);
    expect(pictures[1]!.body).not.toEqual(pictures[2]!.body);
    set.push(tag('sequence-header', 2040));
    set.push(tag('key-frame', 2040));
    set.push(tag('inter-frame', 2080));
    expect(seen.slice(-3).map(({ role }) => role)).toEqual([
      'sequence-header',
      'key-frame',
      'inter-frame',
    ]);
  });

  it('begins with the preamble and a key frame; audio waits for it', () => {
    const set = new OutputSet(() => preamble, failed);
    set.expectVideo(true);
    const seen = join(set);
    for (const one of [
      tag('metadata'),
      tag('audio', 0),
      tag('inter-frame', 20),
      tag('sequence-header', 40),
      tag('key-frame', 40),
      tag('audio', 40),
    ]) {
      set.push(one);
    }
    expect(seen).toEqual(['metadata@5', 'sequence-header@5', 'key-frame@40', 'audio@40']);
  });

  it('drops audio from before the first picture, whenever it arrives', () => {
    const set = new OutputSet(() => [], failed);
    set.expectVideo(true);
    const early = join(set);
    for (const one of [tag('key-frame', 200), tag('audio', 100), tag('inter-frame', 240)])
      set.push(one);
    const late = join(set);
    for (const at of [199, 200, 223]) set.push(tag('audio', at));
    for (const seen of [early, late])
      expect(seen).toEqual(['key-frame@200', 'inter-frame@240', 'audio@200', 'audio@223']);
  });

  it('audio does not wait longer than a second, and not at all without video', () => {
    const set = new OutputSet(() => preamble, failed);
    set.expectVideo(true);
    const seen = join(set);
    for (const at of [100, 1000, 1100]) set.push(tag('audio', at));
    expect(seen).toEqual(['metadata@5', 'sequence-header@5', 'audio@1100']);
    set.expectVideo(false);
    const other = join(set);
    set.push(tag('audio', 2000));
    expect(other.at(-1)).toBe('audio@2000');
  });

  it('a late output begins with the newest key frame, unless that is more than two seconds old', () => {
    const set = new OutputSet(() => preamble, failed);
    set.expectVideo(true);
    for (const at of [0, 1000]) set.push(tag('key-frame', at));
    set.push(tag('audio', 1010));
    set.push(tag('inter-frame', 3000));
    expect(join(set).slice(2)).toEqual(['key-frame@1000', 'audio@1010', 'inter-frame@3000']);
    set.push(tag('inter-frame', 3001));
    const late = join(set);
    set.push(tag('inter-frame', 3040));
    expect(late).toEqual([]);
    set.push(tag('key-frame', 3080));
    expect(late.at(-1)).toBe('key-frame@3080');
    for (let i = 0; i < 9; i++)
      set.push({ ...tag('inter-frame', 3100), body: new Uint8Array(1 << 19) });
    expect(join(set)).toEqual([]);
  });

  it('outputs join and leave independently, and joining twice has no effect', () => {
    const set = new OutputSet(() => preamble, failed);
    const first = join(set);
    set.push(tag('key-frame', 0));
    const second: FlvTag[] = [];
    const output = { push: (one: FlvTag) => second.push(one) };
    set.add(output);
    set.add(output);
    set.push(tag('inter-frame', 40));
    set.push(tag('key-frame', 80));
    set.remove(output);
    set.push(tag('inter-frame', 120));
    expect(first.slice(2)).toEqual([
      'key-frame@0',
      'inter-frame@40',
      'key-frame@80',
      'inter-frame@120',
    ]);
    expect(second.map((one) => `${one.role}@${one.timestampMs}`)).toEqual([
      'metadata@5',
      'sequence-header@5',
      'key-frame@0',
      'inter-frame@40',
      'key-frame@80',
    ]);
    expect(set.size).toBe(1);
    set.clear();
    expect(set.size).toBe(0);
    expect(join(set)).toEqual([]);
  });

  it('removes an output that throws, reports the error to it, and serves the others', () => {
    const reported: unknown[] = [];
    const set = new OutputSet(
      () => preamble,
      (error) => reported.push(error),
    );
    const ends: unknown[] = [];
    const problem = new Error('mine');
    let pushes = 0;
    const bad: Output = {
      push: () => {
        pushes++;
        throw problem;
      },
      onEnded: (error) => void ends.push(error),
    };
    set.add(bad);
    const seen = join(set);
    set.push(tag('key-frame', 40));
    set.add(bad);
    set.push(tag('audio', 40));
    expect(seen).toEqual(['metadata@5', 'sequence-header@5', 'key-frame@40', 'audio@40']);
    expect([pushes, ends, set.size]).toEqual([2, [problem, problem], 1]);
    expect(reported).toEqual([problem, problem]);
  });
});
