import { describe, expect, it } from 'vitest';
import { SsrcChoice } from './ssrc-choice.ts';

/** Feeds `ssrc ms`, each the source of the stream at once if it is admitted; what was not. */
function refused(...packets: readonly (readonly [ssrc: number, nowMs: number])[]): string[] {
  const choice = new SsrcChoice();
  const out: string[] = [];
  for (const [ssrc, nowMs] of packets) {
    if (choice.admits(ssrc, nowMs)) choice.follow(ssrc, nowMs);
    else out.push(`${ssrc} at ${nowMs}`);
  }
  return out;
}

describe('SsrcChoice', () => {
  it('lets a source take over, and another from that', () => {
    expect(refused([1, 0], [1, 20], [2, 40], [2, 60], [3, 80], [3, 100])).toEqual([]);
  });

  it('stays with the first of two that send at once', () => {
    expect(refused([1, 0], [2, 10], [1, 20], [2, 30], [1, 40], [2, 50])).toEqual([
      '2 at 30',
      '2 at 50',
    ]);
  });

  it('lets the other take over once the first has been silent for half a second', () => {
    expect(refused([1, 0], [2, 10], [1, 20], [2, 519], [2, 520], [1, 1600])).toEqual(['2 at 519']);
  });

  it('takes a source that comes back after more than a second for one that takes over', () => {
    expect(refused([1, 0], [2, 10], [1, 1020], [2, 1030 + 1000], [1, 3040])).toEqual([]);
  });
});
