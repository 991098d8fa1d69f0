import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatNameAddress, parseNameAddress } from './name-address.ts';

const SYNTAX = expect.objectContaining({ name: 'SipError', code: 'SYNTAX' });

describe('name-addr', () => {
  it.each<[string, string | undefined, string, [string, string][]]>([
    ['<sip:a@b>', undefined, 'sip:a@b', []],
    ['Bob<sip:a@b>;tag=1', 'Bob', 'sip:a@b', [['tag', '1']]],
    ['"" <sip:a@b>', '', 'sip:a@b', []],
    ['"<x>, \\"y\\"" <sip:a@b;lr>;TAG = "q;\\\\"', '<x>, "y"', 'sip:a@b;lr', [['tag', 'q;\\']]],
    ['sip:a@b;tag=1', undefined, 'sip:a@b', [['tag', '1']]],
    ['sip:a@b;x="<"', undefined, 'sip:a@b', [['x', '<']]],
    ['Jörg Müller (mobile) <tel:1>', 'Jörg Müller (mobile)', 'tel:1', []],
  ])('reads %j', (text, displayName, uri, parameters) => {
    expect(parseNameAddress(text)).toEqual({
      ...(displayName !== undefined && { displayName }),
      uri,
      parameters: new Map(parameters),
    });
  });

  it.each([
    '',
    '*',
    '<>',
    '"open <sip:a@b>',
    '"name" sip:a@b',
    'a, b <sip:a@b>',
    '<sip:a@b',
    '< sip:a@b>',
    '<sip:a@b>x',
    '<sip:a@b>;;',
    '<sip:a@b>;=x',
    '<sip:a@b>;x="',
    'sip:a@b?x=y',
    'sip:a@b, sip:c@d',
  ])('refuses %j', (text) => {
    expect(() => parseNameAddress(text)).toThrowError(SYNTAX);
  });

  it('parses what it formats', () => {
    const value = fc.string({ unit: 'grapheme', maxLength: 20 });
    fc.assert(
      fc.property(
        value,
        fc.array(fc.tuple(fc.stringMatching(/^[a-z0-9\-.!%*_+`'~]{1,8}$/), value), {
          maxLength: 4,
        }),
        (displayName, entries) => {
          const address = { displayName, uri: 'sip:a@[::1];x', parameters: new Map(entries) };
          expect(parseNameAddress(formatNameAddress(address))).toEqual(address);
        },
      ),
    );
  });

  it('cannot be made to contain another address', () => {
    expect(() =>
      formatNameAddress({ uri: 'sip:a@b>,<sip:c@d', parameters: new Map() }),
    ).toThrowError(SYNTAX);
  });
});
