import { setTimeout as pause } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { Admission, LoopLag } from './admission.ts';

function codeOf(run: () => void): string {
  try {
    run();
    return 'admitted';
  } catch (error) {
    return (error as { code: string }).code;
  }
}

describe('admission', () => {
  it('takes calls up to the bound', () => {
    const admission = new Admission({ maxCalls: 2, maxLoopLagMs: 0 });
    expect(codeOf(() => admission.check(1))).toBe('admitted');
    expect(codeOf(() => admission.check(2))).toBe('TOO_MANY_CALLS');
  });

  it('takes none while it drains, and waits for the last', async () => {
    const admission = new Admission({ maxCalls: 2, maxLoopLagMs: 0 });
    const ends: (() => void)[] = [];
    const calls = [1, 2].map(() => {
      const closed = new Promise<void>((resolve) => ends.push(resolve));
      return { closed: () => closed };
    });
    let isDrained = false;
    const drained = admission.drain(60_000, () => calls[0]).then(() => (isDrained = true));
    expect(admission.isDraining).toBe(true);
    expect(codeOf(() => admission.check(0))).toBe('DRAINING');
    for (const end of ends) {
      await pause(0);
      expect(isDrained).toBe(false);
      calls.shift();
      end();
    }
    await drained;
  });

  it('waits for no call beyond the deadline', async () => {
    const admission = new Admission({ maxCalls: 2, maxLoopLagMs: 0 });
    const never = { closed: () => new Promise<void>(() => {}) };
    await admission.drain(1, () => never);
    expect(admission.isDraining).toBe(true);
  });

  it('sees that the process is behind, and that it is no more', async () => {
    const lag = new LoopLag(60);
    try {
      const block = (): void => {
        const endMs = performance.now() + 130;
        while (performance.now() < endMs);
      };
      for (let turn = 0; turn < 30 && !lag.isTooLong; turn++) {
        block();
        await pause(1);
      }
      expect(lag.isTooLong).toBe(true);
      expect(lag.lastMs).toBeGreaterThan(60);
      await expect.poll(() => lag.isTooLong, { timeout: 10_000 }).toBe(false);
    } finally {
      lag.close();
    }
  });
});
