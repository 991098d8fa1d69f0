import { describe, expect, it } from 'vitest';
import type { MediaError } from '../errors.ts';
import { normalAddress } from './udp-socket.ts';

describe('normalAddress', () => {
  it.each([
    ['192.0.2.1', '192.0.2.1'],
    ['0.0.0.0', '0.0.0.0'],
    ['2001:DB8:0:0::1', '2001:db8::1'],
  ])('spells %s as the socket does', (text, expected) => {
    expect(normalAddress('address', text)).toBe(expected);
  });

  it.each(['', 'localhost', '256.1.1.1', '224.0.0.1', '255.255.255.255', 'ff02::1', '1.2.3'])(
    'refuses %j',
    (text) => {
      let caught: unknown;
      try {
        normalAddress('rtcpAddress', text);
      } catch (error) {
        caught = error;
      }
      expect((caught as MediaError | undefined)?.field).toBe('rtcpAddress');
    },
  );
});
