import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseNameAddress } from './name-address.ts';
import { equalUris, formatHostPort, formatUri, parseCSeq, parseUri } from './uri.ts';
import type { SipUri } from './uri.ts';
import { parseVia } from './via.ts';

const SYNTAX = expect.objectContaining({ name: 'SipError', code: 'SYNTAX' });

describe('parseUri', () => {
  it('reads every part', () => {
    expect(
      parseUri('SIPS:alice%20b:se%3Acret@[2001:DB8::1]:5061;transport=TCP;LR?Subject=a%26b&x='),
    ).toEqual({
      scheme: 'sips',
      user: 'alice b',
      password: 'se:cret',
      host: '2001:db8::1',
      port: 5061,
      parameters: new Map([
        ['transport', 'TCP'],
        ['lr', ''],
      ]),
      headers: new Map([
        ['subject', 'a&b'],
        ['x', ''],
      ]),
    });
    expect(parseUri('sip:Example.COM')).toEqual({
      scheme: 'sip',
      host: 'example.com',
      parameters: new Map(),
      headers: new Map(),
    });
  });

  it('keeps a parameter named __proto__', () => {
    expect([...parseUri('sip:a@b;__proto__=x;constructor').parameters]).toEqual([
      ['__proto__', 'x'],
      ['constructor', ''],
    ]);
  });

  it.each([
    '',
    'sip:',
    'sip:@host',
    'sip:a@',
    'sip:a@b:',
    'sip:a@b:70000',
    'sip:a@b:5x',
    'sip:a@[::1',
    'sip:a@[]',
    'sip:a@[fe80::1%25eth0]',
    'sip:2001:db8::10',
    'sip:a b@c',
    'sip:a@b;x y',
    'sip:a@b>',
    '<sip:a@b>',
    'sip:%4@b',
    'sip:a@b;%zz',
    'sip:a@b/c',
    'sip:a\r\nb@c',
    'alice',
    '1x:y',
  ])('refuses %j', (text) => {
    expect(() => parseUri(text)).toThrowError(SYNTAX);
  });

  it.each(['tel:+1234', 'http://x', 'urn:service:sos', 'sipx:a@b'])(
    'recognizes the other scheme of %j',
    (text) => {
      expect(() => parseUri(text)).toThrowError(
        expect.objectContaining({ code: 'UNSUPPORTED_SCHEME', statusCode: 416 }),
      );
    },
  );
});

describe('formatUri', () => {
  const text = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 });
  const pairs = fc
    .array(
      fc.tuple(
        text.map((name) => name.toLowerCase()),
        fc.oneof(fc.constant(''), text),
      ),
      { maxLength: 4 },
    )
    .map((entries) => new Map(entries));
  const uri: fc.Arbitrary<SipUri> = fc
    .record({
      scheme: fc.constantFrom('sip' as const, 'sips' as const),
      user: fc.option(text, { nil: undefined }),
      password: fc.option(text, { nil: undefined }),
      host: fc.oneof(
        fc.constantFrom('example.com', '192.0.2.1', 'a_b'),
        fc.ipV6().map((host) => host.toLowerCase()),
      ),
      port: fc.option(fc.integer({ min: 0, max: 65535 }), { nil: undefined }),
      parameters: pairs,
      headers: pairs,
    })
    .map(({ user, password, port, ...rest }) => ({
      ...rest,
      ...(user !== undefined && { user }),
      ...(user !== undefined && password !== undefined && { password }),
      ...(port !== undefined && { port }),
    }));

  it('parses what it formats, whatever the characters', () => {
    fc.assert(
      fc.property(uri, (value) => {
        const written = formatUri(value);
        expect(written).toMatch(/^[\x21-\x7e]+$/);
        expect(parseUri(written)).toEqual(value);
        expect(equalUris(parseUri(written), value)).toBe(true);
      }),
      { numRuns: 500 },
    );
  });

  it('refuses an invalid host and an empty user', () => {
    const none = { scheme: 'sip', parameters: new Map(), headers: new Map() } as const;
    for (const host of ['', 'a b', 'a>b', 'a@b', '::1]', 'a\r\nb']) {
      expect(() => formatUri({ ...none, host })).toThrowError(SYNTAX);
    }
    expect(() => formatUri({ ...none, user: '', host: 'a' })).toThrowError(SYNTAX);
  });
});

describe('equalUris: the examples of RFC 3261 §19.1.4', () => {
  it.each([
    ['sip:%61lice@atlanta.com;transport=TCP', 'sip:alice@AtLanTa.CoM;Transport=tcp'],
    ['sip:carol@chicago.com', 'sip:carol@chicago.com;newparam=5'],
    ['sip:carol@chicago.com', 'sip:carol@chicago.com;security=on'],
    [
      'sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com',
      'sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com',
    ],
    [
      'sip:alice@atlanta.com?subject=project%20x&priority=urgent',
      'sip:alice@atlanta.com?priority=urgent&subject=project%20x',
    ],
  ])('%s = %s', (a, b) => {
    expect(equalUris(parseUri(a), parseUri(b))).toBe(true);
    expect(equalUris(parseUri(b), parseUri(a))).toBe(true);
  });

  it.each([
    ['SIP:ALICE@AtLanTa.CoM;Transport=udp', 'sip:alice@AtLanTa.CoM;Transport=UDP'],
    ['sip:bob@biloxi.com', 'sip:bob@biloxi.com:5060'],
    ['sip:bob@biloxi.com', 'sip:bob@biloxi.com;transport=udp'],
    ['sip:bob@biloxi.com', 'sip:bob@biloxi.com:6000;transport=tcp'],
    ['sip:carol@chicago.com', 'sip:carol@chicago.com?Subject=next%20meeting'],
    ['sip:bob@phone21.boxesbybob.com', 'sip:bob@192.0.2.4'],
    ['sip:carol@chicago.com;security=on', 'sip:carol@chicago.com;security=off'],
    ['sip:a@b', 'sips:a@b'],
    ['sip:a@b', 'sip:a@b;maddr=192.0.2.1'],
  ])('%s ≠ %s', (a, b) => {
    expect(equalUris(parseUri(a), parseUri(b))).toBe(false);
    expect(equalUris(parseUri(b), parseUri(a))).toBe(false);
  });
});

describe('CSeq, host and port', () => {
  it('reads CSeq up to 2^32 − 1', () => {
    expect(parseCSeq('2147483647\tINVITE')).toEqual({ sequence: 2 ** 31 - 1, method: 'INVITE' });
    expect(parseCSeq('4294967295 BYE').sequence).toBe(2 ** 32 - 1);
    for (const text of ['4294967296 INVITE', '1', 'INVITE', '1 A B', '1INVITE', '']) {
      expect(() => parseCSeq(text)).toThrowError(SYNTAX);
    }
  });

  it('puts IPv6 in brackets', () => {
    expect(formatHostPort('::1', 5060)).toBe('[::1]:5060');
    expect(formatHostPort('example.com')).toBe('example.com');
  });
});

it('64 KiB of any input is parsed in bounded time', () => {
  const size = 65_536;
  const shapes = [
    '@',
    ':',
    ';',
    '<',
    '"',
    '\\"',
    '%41',
    ',',
    ' ',
    '[',
    '?',
    '=',
    ';a=',
    'sip:',
    '"<',
    ';a="',
  ];
  for (const shape of shapes) {
    for (const start of ['', 'sip:', '<sip:', '"', 'SIP/2.0/UDP a', '<sip:a@b>']) {
      const text = start + shape.repeat(size / shape.length);
      const began = performance.now();
      for (const parse of [parseUri, parseNameAddress, parseVia, parseCSeq]) {
        try {
          parse(text);
        } catch (error) {
          expect(error).toHaveProperty('name', 'SipError');
        }
      }
      expect(performance.now() - began).toBeLessThan(500);
    }
  }
});
