import { describe, expect, it } from 'vitest';
import { childLogger, guardLogger, isEnabled, silentLogger } from './logger.ts';
import type { LogFields, Logger } from './logger.ts';

/** Writes down what it gets; children know all fields. */
function recorder(lines: string[], fields: LogFields = {}): Logger {
  const write = (level: string) => (message: string) =>
    void lines.push(`${level} ${JSON.stringify(fields)} ${message}`);
  return {
    debug: write('debug'),
    info: write('info'),
    warn: write('warn'),
    error: write('error'),
    child: (more) => recorder(lines, { ...fields, ...more }),
    isLevelEnabled: (level) => level !== 'debug',
  };
}

describe('guardLogger', () => {
  it('passes lines on, and survives a logger that throws', () => {
    const lines: string[] = [];
    const broken = {
      debug: (message: string) => lines.push(message),
      info() {
        throw new Error('EPIPE');
      },
      warn: (message: string) => lines.push(message),
      error() {
        throw new Error('EPIPE');
      },
    };
    const logger = guardLogger(broken);
    logger.debug('a');
    logger.info('b');
    logger.warn('c');
    logger.error('d');
    expect(lines).toEqual(['a', 'c']);
    expect(logger.child).toBeUndefined();
  });

  it('guards children, and those that cannot be made', () => {
    const lines: string[] = [];
    const logger = guardLogger({
      ...recorder(lines),
      child: ({ callId }) => {
        if (callId === undefined) throw new Error('no child');
        return {
          ...recorder(lines, { callId }),
          warn() {
            throw new Error('EPIPE');
          },
        };
      },
      isLevelEnabled() {
        throw new Error('no level');
      },
    });
    const child = childLogger(logger, { callId: 'c1' });
    child.warn('lost');
    child.info('kept');
    childLogger(logger, { area: 'sip' }).info('of the parent');
    expect(lines).toEqual(['info {"callId":"c1"} kept', 'info {} of the parent']);
    expect(isEnabled(logger, 'error')).toBe(false);
  });
});

describe('childLogger', () => {
  it('gives fields to a logger that takes them', () => {
    const lines: string[] = [];
    const call = childLogger(recorder(lines), { area: 'call', callId: 'c1' });
    childLogger(call, { area: 'rtp' }).warn('no RTP');
    expect(lines).toEqual(['warn {"area":"rtp","callId":"c1"} no RTP']);
    expect([isEnabled(call, 'debug'), isEnabled(call, 'info')]).toEqual([false, true]);
  });

  it('puts the id in front of the lines of any other', () => {
    const lines: string[] = [];
    const line = (message: string) => void lines.push(message);
    const plain = { debug: line, info: line, warn: line, error: line };
    const call = childLogger(plain, { area: 'call', callId: 'c1' });
    for (const level of ['debug', 'info', 'warn', 'error'] as const) call[level](level);
    childLogger(call, { area: 'sip', status: 'BUSY' }).info('once');
    childLogger(plain, { callId: 'c1', mediaSessionId: 'c1-2' }).info('push');
    expect(lines).toEqual([
      'c1: debug',
      'c1: info',
      'c1: warn',
      'c1: error',
      'c1: once',
      'c1-2: push',
    ]);
    expect(isEnabled(call, 'debug')).toBe(true);
    expect(isEnabled(childLogger(silentLogger, { callId: 'c1' }), 'error')).toBe(false);
  });
});
