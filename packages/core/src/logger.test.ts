import { expect, it } from 'vitest';
import { guardLogger } from './logger.ts';

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
});
