import { describe, expect, it } from 'vitest';
import { FaultLog } from './fault-log.ts';

describe('FaultLog', () => {
  it('counts every fault, and logs one line a second with the last example', () => {
    const lines: string[] = [];
    let nowMs = 0;
    const logger = { debug() {}, info() {}, warn: (line: string) => lines.push(line), error() {} };
    const log = new FaultLog(logger, () => nowMs);
    for (let i = 0; i < 100; i++) log.count('rtp-version', '10.0.0.1:5');
    nowMs = 1000;
    log.count('rtp-short', '10.0.0.2:6');
    expect(log.counts).toEqual({ 'rtp-version': 100, 'rtp-short': 1 });
    expect(lines).toEqual([
      'bad input: rtp-version from 10.0.0.1:5 (1 since the last line)',
      'bad input: rtp-short from 10.0.0.2:6 (100 since the last line)',
    ]);
  });
});
