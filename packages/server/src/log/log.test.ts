import { describe, expect, it } from 'vitest';
import { openLog } from './log.ts';
import type { LogOptions, ServerLogger } from './log.ts';
import { Redaction } from './redaction.ts';

function open(options: LogOptions): { log: ServerLogger; lines: string[]; redaction: Redaction } {
  const lines: string[] = [];
  const redaction = new Redaction();
  const log = openLog(options, redaction, (line) => lines.push(line), { withTime: false });
  return { log, lines, redaction };
}

describe('the log', () => {
  it('writes one object per line, with the fields of its subject', () => {
    const { log, lines } = open({ format: 'json' });
    const call = log.child({ area: 'call', callId: 'c1' });
    call.child({ status: 'BUSY', sipStatus: 486 }).info('RING -> BUSY');
    call.child({ area: 'rtp' }).warn('no RTP');
    expect(lines.every((line) => line.endsWith('}\n'))).toBe(true);
    const records = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(records).toEqual([
      {
        level: 'info',
        time: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
        area: 'call',
        callId: 'c1',
        status: 'BUSY',
        sipStatus: 486,
        msg: 'RING -> BUSY',
      },
      { level: 'warn', time: expect.any(String), area: 'rtp', callId: 'c1', msg: 'no RTP' },
    ]);
    // A field that is set again appears only once.
    expect(lines[1]?.match(/"area"/g)).toHaveLength(1);
  });

  it('writes human-readable lines', () => {
    const { log, lines } = open({ level: 'debug' });
    log.info('started');
    log.child({ area: 'call', callId: 'c1' }).warn('no RTP');
    log.child({ area: 'rtmp', callId: 'c1', mediaSessionId: 'c1-2' }).error('lost');
    log.debug('detail');
    expect(lines).toEqual([
      'started\n',
      'warning: c1 no RTP\n',
      'error: c1-2 lost\n',
      'debug: detail\n',
    ]);
  });

  it('supports a level per area', () => {
    const { log, lines } = open({ level: 'warn', areas: { sip: 'debug', rtmp: 'silent' } });
    const [sip, rtmp, call] = (['sip', 'rtmp', 'call'] as const).map((area) => log.child({ area }));
    for (const one of [sip, rtmp, call, log])
      for (const level of ['debug', 'info', 'warn', 'error'] as const) one?.[level](level);
    expect(lines.join('')).toBe(
      'debug: debug\ninfo\nwarning: warn\nerror: error\n' +
        'warning: warn\nerror: error\n'.repeat(2),
    );
    expect(sip?.isLevelEnabled('debug')).toBe(true);
    expect(sip?.child({ callId: 'c' }).isLevelEnabled('debug')).toBe(true);
    expect(call?.isLevelEnabled('info')).toBe(false);
    expect(rtmp?.isLevelEnabled('error')).toBe(false);
  });

  for (const format of ['json', 'line'] as const)
    it(`prevents injected lines and colors (${format})`, () => {
      const { log, lines } = open({ format });
      const evil = 'a\r\n{"level":"info","msg":"forged"}\u001b[2J\u0085\u2028"%s %j';
      log.child({ callId: evil, peer: evil, more: 'y'.repeat(1000) }).info(`says ${evil}`);
      log.info('x'.repeat(5000));
      for (const line of lines) expect(line).toMatch(/^[^\p{Cc}\u2028]+\n$/u);
      expect(lines.join('')).toContain('%s %j');
      expect(lines[1]).toContain(`${'x'.repeat(1024)}…`);
      expect(lines.join('')).not.toContain('x'.repeat(1025));
      if (format === 'line') return;
      const [record] = lines.map((line) => JSON.parse(line) as Record<string, string>);
      const escaped = String.raw`a\x0d\x0a{"level":"info","msg":"forged"}\x1b[2J\x85\u2028"%s %j`;
      expect(record).toMatchObject({ callId: escaped, peer: escaped, msg: `says ${escaped}` });
      expect(record?.['more']).toBe(`${'y'.repeat(256)}…`);
    });

  it('masks secrets in messages and fields, and keeps ids intact', () => {
    const { log, lines, redaction } = open({ format: 'json' });
    redaction.hold(['camera']);
    const call = log.child({ callId: 'camera-1', url: 'rtmp://u:p@h/live/camera', peer: 'camera' });
    call.warn('no camera at rtmp://u:p@h/live');
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({
      callId: 'camera-1',
      url: 'rtmp://***@h/live/***',
      peer: '***',
      msg: 'no *** at rtmp://***@h/live',
    });
  });
});
