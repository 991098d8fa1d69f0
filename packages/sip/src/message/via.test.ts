import { describe, expect, it } from 'vitest';
import { formatVia, parseVia, salvageVia } from './via.ts';

const SYNTAX = expect.objectContaining({ name: 'SipError', code: 'SYNTAX' });

describe('Via', () => {
  it('reads and writes a Via', () => {
    const via = {
      transport: 'TCP',
      host: '2001:db8::1',
      port: 5060,
      parameters: new Map([
        ['branch', 'z9hG4bK1'],
        ['rport', ''],
      ]),
    };
    expect(parseVia('SIP / 2.0/ tcp [2001:DB8::1] : 5060 ;branch=z9hG4bK1; rport')).toEqual(via);
    expect(formatVia(via)).toBe('SIP/2.0/TCP [2001:db8::1]:5060;branch=z9hG4bK1;rport');
  });

  it.each([
    '',
    'SIP/2.0',
    'SIP/2.0/UDP',
    'SIP/2.0/UDPhost',
    'SIP/2.0/UDP a:b',
    'SIP/2.0/UDP a:99999',
    'SIP/2.0/UDP a b',
    'SIP/2.0/UDP a;',
  ])('refuses the Via %j', (text) => {
    expect(() => parseVia(text)).toThrowError(SYNTAX);
  });

  it('keeps the part before malformed parameters', () => {
    expect(salvageVia('SIP/2.0/UDP 192.0.2.1:5070;branch=a;;x')).toEqual({
      transport: 'UDP',
      host: '192.0.2.1',
      port: 5070,
      parameters: new Map(),
    });
    expect(salvageVia('SIP/2.0/UDP')).toBeUndefined();
  });
});
