import { describe, expect, it } from 'vitest';
import { ImpairedLine } from './impaired-line.ts';
import type { Impairments } from './impaired-line.ts';

function run(impairments: Impairments, count = 1000) {
  const out: number[] = [];
  const line = new ImpairedLine(impairments, (datagram) =>
    out.push(Buffer.from(datagram).readUInt16BE()),
  );
  for (let i = 0; i < count; i++) {
    const datagram = Buffer.alloc(2);
    datagram.writeUInt16BE(i);
    line.push(datagram, i * 5);
    line.flush(i * 5);
  }
  const beforeDrain = out.length;
  line.drain();
  return { out, beforeDrain, stats: line.stats };
}

const inOrder = (out: readonly number[]) =>
  out.every((value, at) => at === 0 || value > out[at - 1]!);

describe('a bad line', () => {
  it('is perfect by default', () => {
    const { out, stats } = run({});
    expect(out).toHaveLength(1000);
    expect(inOrder(out)).toBe(true);
    expect(stats).toEqual({ lost: 0, duplicated: 0, reordered: 0 });
  });

  it('loses the share, and says so', () => {
    const { out, stats } = run({ loss: 0.1 });
    expect(out.length + stats.lost).toBe(1000);
    expect(stats.lost).toBeGreaterThan(60);
    expect(stats.lost).toBeLessThan(140);
    expect(inOrder(out)).toBe(true);
  });

  it('sends twice', () => {
    const { out, stats } = run({ duplicate: 0.2 });
    expect(out.length).toBe(1000 + stats.duplicated);
    expect(new Set(out).size).toBe(1000);
  });

  it('lets at most so many others pass', () => {
    const { out, stats } = run({ reorder: 0.1, reorderDepth: 2 });
    expect(stats.reordered).toBeGreaterThan(60);
    expect(out.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 1000 }, (_, i) => i));
    expect(inOrder(out)).toBe(false);
  });

  it('sends a late packet after 100 ms even if none follows', () => {
    const out: number[] = [];
    const line = new ImpairedLine({ reorder: 1 }, (datagram) => out.push(datagram[0]!));
    line.push(Uint8Array.of(7), 1000);
    line.flush(1099);
    expect(out).toEqual([]);
    line.flush(1100);
    expect(out).toEqual([7]);
  });

  it('delays without overtaking', () => {
    const { out, beforeDrain } = run({ jitterMs: 40 });
    expect(beforeDrain).toBeLessThan(1000);
    expect(out).toHaveLength(1000);
    expect(inOrder(out)).toBe(true);
  });

  it('repeats itself with the same seed only', () => {
    const bad = { loss: 0.1, reorder: 0.1, duplicate: 0.1 };
    expect(run({ ...bad, seed: 5 }).out).toEqual(run({ ...bad, seed: 5 }).out);
    expect(run({ ...bad, seed: 5 }).out).not.toEqual(run({ ...bad, seed: 6 }).out);
  });

  it.each([
    { loss: 1.1 },
    { duplicate: -0.1 },
    { reorder: Number.NaN },
    { jitterMs: -1 },
    { reorderDepth: 0 },
  ])('refuses %j', (impairments) => {
    expect(() => new ImpairedLine(impairments, () => {})).toThrow(RangeError);
  });
});
