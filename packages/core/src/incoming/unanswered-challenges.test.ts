import { describe, expect, it } from 'vitest';
import type { IncomingRule } from './incoming-rules.ts';
import { UnansweredChallenges } from './unanswered-challenges.ts';

const RULE: IncomingRule = { auth: { users: { alice: 'password' } }, accept: {} };

function setUp() {
  const lines: string[] = [];
  const timers: (() => void)[] = [];
  let nowMs = 0;
  const challenges = new UnansweredChallenges({
    now: () => nowMs,
    after: (_, callback) => timers.push(callback),
    warn: (problem) => lines.push(problem),
  });
  const pass = (ms: number): void => {
    nowMs += ms;
    for (const timer of timers.splice(0)) timer();
  };
  return { challenges, lines, pass };
}

describe('UnansweredChallenges', () => {
  it('names the setting, once for each source', () => {
    const { challenges, lines, pass } = setUp();
    for (const source of ['192.0.2.1', '192.0.2.1', '192.0.2.2'])
      challenges.challenged(source, RULE);
    pass(5000);
    challenges.challenged('192.0.2.1', RULE);
    pass(5000);
    expect(lines).toHaveLength(2);
    expect(lines[0]).toContain('192.0.2.1 was challenged, never answered');
    expect(lines[0]).toContain('auth.algorithms: [MD5]');
  });

  it('says nothing of callers that answer', () => {
    const { challenges, lines, pass } = setUp();
    challenges.challenged('192.0.2.1', RULE);
    challenges.answered('192.0.2.1');
    pass(5000);
    expect(lines).toEqual([]);
  });

  it('does not advise what is set already', () => {
    const { challenges, lines, pass } = setUp();
    const auth = { users: { alice: 'password' }, algorithms: ['MD5'] as const };
    challenges.challenged('192.0.2.1', { ...RULE, auth });
    pass(5000);
    expect(lines[0]).toContain('may have no password');
  });

  it('does not let strangers fill the log', () => {
    const { challenges, lines, pass } = setUp();
    for (let n = 0; n < 2000; n++) challenges.challenged(`192.0.${n >> 8}.${n & 255}`, RULE);
    pass(5000);
    expect(lines).toHaveLength(10);
    challenges.challenged('198.51.100.1', RULE);
    pass(60_000);
    expect(lines).toHaveLength(11);
  });
});
