// The short form of `npm run faults`: the attacks themselves, against the program, with all that is no matter of time judged.

import { expect, it } from 'vitest';
import { describeWith } from '../../support/programs.ts';
import { Script } from '../../support/script.ts';

const FIGURES =
  'injection ssrf slowloris sip-flood stalls dependencies secrets kills draining'.split(' ');

describeWith(['ffmpeg'], 'npm run faults -- --quick', () => {
  it('holds every bound that is no matter of time, in every figure', async () => {
    const script = new Script('bench/faults.ts', ['--quick', '--seed', '7']);
    try {
      expect(await script.exited, script.output).toBe(0);
      for (const name of FIGURES)
        expect(script.output).toMatch(new RegExp(`^${name}: .*\n  bound: .*\n.*\n  holds`, 'm'));
      expect(script.output).not.toContain('MISSED');
    } finally {
      await script.kill();
    }
  }, 300_000);

  it('knows its figures', async () => {
    const script = new Script('bench/faults.ts', ['--only', 'nothing']);
    expect(await script.exited).toBe(2);
    expect(script.output).toContain(`There are: ${FIGURES.join(', ')}`);
  });
});
