import { describe, expect, it } from 'vitest';
import { MediaProblems } from './media-problems.ts';
import type { MediumActivity } from './media-problems.ts';

type Counter = 'packets' | 'unknown' | 'unreadable' | 'frames' | 'withheld' | 'repeated' | 'silent';

/** Seconds of a call: which counters grow in each, `held` for a second in which nothing is expected. */
function run(
  kind: 'audio' | 'video',
  seconds: readonly (readonly (Counter | 'held')[])[],
  { onAir = false } = {},
): string[] {
  const problems = new MediaProblems(kind);
  const counters: Record<Counter, number> = {
    packets: 0,
    unknown: 0,
    unreadable: 0,
    frames: 0,
    withheld: 0,
    repeated: 0,
    silent: 0,
  };
  const changes: string[] = [];
  seconds.forEach((growing, second) => {
    for (const name of growing) if (name !== 'held') counters[name]++;
    const activity: MediumActivity = {
      ...counters,
      unknownType: counters.unknown > 0 ? 8 : undefined,
      expected: !growing.includes('held'),
      heldOnAir: onAir && growing.includes('held'),
    };
    if (problems.check(activity, second * 1000))
      changes.push(`${second} ${problems.problem ?? 'well'} ${problems.sinceMs ?? '-'}`);
  });
  return changes;
}
const times = <Item>(count: number, item: Item): Item[] =>
  Array.from({ length: count }, () => item);
const GOOD = ['packets', 'frames'] as const;

describe('MediaProblems', () => {
  it('names a hold while outputs are attached, from its first second on', () => {
    const seconds = [GOOD, ['held'], ['held'], GOOD] as const;
    expect(run('video', seconds, { onAir: true })).toEqual(['1 HELD 1000', '3 well -']);
    expect(run('video', seconds)).toEqual([]);
  });

  const causes: [name: string, kind: 'audio' | 'video', growing: Counter[], problem: string][] = [
    ['nothing', 'video', [], 'NO_PACKETS'],
    ['nothing', 'audio', [], 'NO_PACKETS'],
    ['another type', 'video', ['unknown'], 'UNKNOWN_PAYLOAD_TYPE 8'],
    ['another type', 'audio', ['unknown'], 'UNKNOWN_PAYLOAD_TYPE 8'],
    ['pictures without key frame', 'video', ['packets', 'withheld'], 'NO_KEY_FRAME'],
    ['packets without pictures', 'video', ['packets'], 'UNDECODABLE'],
    ['packets that cannot be decrypted', 'audio', ['unreadable'], 'UNDECODABLE'],
    ['silence', 'audio', ['packets', 'silent'], 'SILENT'],
    [
      'good packets and a few of another type',
      'video',
      ['packets', 'unknown', 'withheld'],
      'NO_KEY_FRAME',
    ],
  ];
  it.each(causes)(
    'from the start %s (%s): named after three seconds, once',
    (_name, kind, growing, problem) => {
      expect(run(kind, times(10, growing))).toEqual([`3 ${problem} 0`]);
    },
  );

  it('says since when, follows another cause, and ends with the first frame', () => {
    const seconds = [
      ...times(5, GOOD),
      ...times(4, ['unknown'] as const),
      ...times(4, []),
      GOOD,
      GOOD,
    ];
    expect(run('video', seconds)).toEqual([
      '7 UNKNOWN_PAYLOAD_TYPE 8 4000',
      '11 FROZEN 4000',
      '13 well -',
    ]);
  });

  it('a picture that stops is frozen; sound that stops is gone, or silent if the sender announced it', () => {
    expect(run('video', [...times(2, GOOD), ...times(5, [])])).toEqual(['4 FROZEN 1000']);
    expect(run('audio', [...times(2, GOOD), ...times(5, [])])).toEqual(['4 NO_PACKETS 1000']);
  });

  it('one picture again and again is frozen', () => {
    const seconds = [...times(3, GOOD), ...times(6, ['packets', 'repeated'] as const), GOOD];
    expect(run('video', seconds)).toEqual(['5 FROZEN 2000', '9 well -']);
  });

  it('pauses of speech are none; ten seconds of silence are, until there is sound for two', () => {
    const pause = ['packets', 'silent'] as const;
    const speech = times(6, [GOOD, ...times(6, pause)]).flat();
    expect(run('audio', speech)).toEqual([]);
    expect(run('audio', [...times(2, GOOD), pause, ...times(10, [])])).toEqual(['11 SILENT 1000']);
    const clicks = [...times(2, GOOD), ...times(12, pause), GOOD, ...times(5, pause), GOOD, GOOD];
    expect(run('audio', clicks)).toEqual(['11 SILENT 1000', '21 well -']);
  });

  it('has no problem on hold, and waits three seconds again after it', () => {
    const seconds = [...times(2, GOOD), ...times(6, ['held'] as const), ...times(5, [])];
    expect(run('video', seconds)).toEqual(['11 NO_PACKETS 8000']);
    expect(run('video', [...times(6, []), ['held'], ...times(2, [])])).toEqual([
      '3 NO_PACKETS 0',
      '6 well -',
    ]);
  });

  it('short breaks are none', () => {
    const seconds = times(5, [GOOD, [], []] as const).flat();
    expect(run('video', seconds)).toEqual([]);
  });
});
