// Which addresses are never sent to.

import { describe, expect, it } from 'vitest';
import { isForbiddenDestination } from './transport.ts';

describe('isForbiddenDestination', () => {
  it.each([
    '255.255.255.255',
    '224.0.0.1',
    '239.255.255.250',
    '0.0.0.0',
    '::',
    'ff02::1',
    'FF0E::5',
    '::ffff:255.255.255.255',
    '::ffff:224.0.1.75',
  ])('%s is', (address) => {
    expect(isForbiddenDestination(address)).toBe(true);
  });

  it.each([
    '127.0.0.1',
    '192.168.1.255',
    '240.0.0.1',
    '::1',
    'fe80::1',
    '2001:db8::1',
    '::ffff:10.0.0.1',
  ])('%s is not', (address) => {
    expect(isForbiddenDestination(address)).toBe(false);
  });
});
