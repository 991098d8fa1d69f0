import { parseDatagram } from '@sipcast/sip';
import type { SipTraffic } from '@sipcast/sip';
import { describe, expect, it } from 'vitest';
import { FaultLog } from '../fault-log.ts';
import { silentLogger } from '../logger.ts';
import { SipTrace } from './sip-trace.ts';
import { SipTraces } from './sip-traces.ts';

function traffic(direction: 'in' | 'out', callId: string, extra = ''): SipTraffic {
  const octets = Buffer.from(
    `OPTIONS sip:a SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a>;tag=1\r\nTo: <sip:a>\r\n` +
      `Call-ID: ${callId}\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\n${extra}Content-Length: 0\r\n\r\n`,
  );
  const { message } = parseDatagram(octets);
  if (message === undefined) throw new Error('The test is wrong');
  return {
    direction,
    message,
    octets,
    local: { address: '192.0.2.1', port: 5060 },
    remote: { protocol: 'UDP', address: '2001:db8::2', port: 5070 },
  };
}

const newTrace = (maxMessages = 100, maxBytes = 100_000): SipTrace =>
  new SipTrace({ maxMessages, maxBytes });

describe('SipTrace', () => {
  it('records direction, time and message, and marks retransmissions', () => {
    const trace = newTrace();
    const at = new Date(1000);
    const extra = 'Authorization: Digest username="a", response="cafe"\r\n';
    for (const direction of ['out', 'out', 'in'] as const)
      trace.record(traffic(direction, 'c', extra), at);
    const entries = trace.entries();
    expect(entries[0]).toMatchObject({
      at,
      direction: 'out',
      transport: 'UDP',
      local: '192.0.2.1:5060',
      remote: '[2001:db8::2]:5070',
      startLine: 'OPTIONS sip:a SIP/2.0',
    });
    expect(entries[0]?.message).toContain('response="***"');
    expect(entries[0]?.message).not.toContain('cafe');
    expect(entries.map((entry) => entry.retransmission)).toEqual([false, true, false]);
  });

  it('keeps the newest within both bounds', () => {
    const few = newTrace(3);
    for (let n = 0; n < 10; n++) few.record(traffic('in', `c${n}`), new Date(n));
    expect(few.entries().map(({ at }) => at.getTime())).toEqual([7, 8, 9]);
    const short = newTrace(100, few.bytes - 1);
    for (let n = 0; n < 10; n++) short.record(traffic('in', `c${n}`), new Date(n));
    expect(short.entries()).toHaveLength(2);
    expect(short.bytes).toBeLessThan(few.bytes);
    const none = newTrace(0);
    none.record(traffic('in', 'c'), new Date(0));
    expect(none.entries()).toEqual([]);
    expect(none.bytes).toBe(0);
  });
});

describe('SipTraces', () => {
  const faults = new FaultLog(silentLogger, () => 0);
  const deps = { faults, wallClock: () => 5, logger: silentLogger };
  const open = (maxEnded: number): SipTraces => new SipTraces({ historySize: maxEnded }, deps);

  it('gives messages to the live call of that name, and keeps them beyond its end', () => {
    const traces = open(2);
    const first = traces.openCall('a');
    traces.record(traffic('out', 'a'));
    traces.record(traffic('out', 'stranger'));
    expect(traces.find('a')).toHaveLength(1);
    expect(traces.find('stranger')).toBeUndefined();
    const second = traces.openCall('a');
    traces.retireCall('a', first);
    expect(traces.find('a')).toEqual([]);
    traces.retireCall('a', second);
    expect(traces.find('a')).toEqual([]);
    traces.record(traffic('out', 'a'));
    expect(traces.find('a')).toEqual([]);
  });

  it('begins a call that came in with what was said before it was one', () => {
    const traces = open(2);
    traces.record(traffic('in', 'a'));
    for (let n = 0; n < 60; n++) traces.record(traffic('in', `stranger${n}`));
    traces.record(traffic('out', 'a'));
    const trace = traces.openCall('a');
    traces.catchUp('a', trace);
    expect(trace.entries().map(({ direction }) => direction)).toEqual(['in', 'out']);
    const again = traces.openCall('a');
    traces.catchUp('a', again);
    expect(again.entries()).toEqual([]);
    for (let n = 0; n < 65; n++) traces.record(traffic('in', n === 0 ? 'b' : `stranger${n}`));
    const flooded = traces.openCall('b');
    traces.catchUp('b', flooded);
    expect(flooded.entries()).toEqual([]);
  });

  it('says when the file cannot be written, and opens nothing then', async () => {
    const sipTrace = { pcap: '/nowhere/at/all.pcap' };
    const traces = new SipTraces({ sipTrace }, deps);
    const opened = traces.open(() => Promise.reject(new Error('SIP was opened')));
    await expect(opened).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      field: 'sipTrace.pcap',
    });
  });

  it('writes a line for each message to a log that wants it', () => {
    const lines: string[] = [];
    const logger = { ...silentLogger, debug: (line: string) => void lines.push(line) };
    const log = (isWanted: boolean): SipTraces => {
      const wanting = { ...logger, isLevelEnabled: () => isWanted };
      return new SipTraces({}, { ...deps, logger: wanting });
    };
    log(false).record(traffic('out', 'a'));
    expect(lines).toEqual([]);
    log(true).record(traffic('out', 'a'));
    expect(lines).toEqual(['OPTIONS sip:a to [2001:db8::2]:5070, a']);
  });

  it('forgets the oldest that ended', () => {
    const traces = open(2);
    for (const name of ['a', 'b', 'c']) traces.retireCall(name, traces.openCall(name));
    expect(traces.find('a')).toBeUndefined();
    expect(traces.find('b')).toEqual([]);
    expect(traces.find('c')).toEqual([]);
  });
});
