import { describe, expect, it } from 'vitest';
import { maskSecrets } from './mask-secrets.ts';

const CASES: readonly (readonly [string, string, string])[] = [
  [
    'a digest',
    'Authorization: Digest username="bob", realm="a", nonce="n1", uri="sip:a", response="0a1b", cnonce="cc", opaque="oo", qop=auth, nc=00000001',
    'Authorization: Digest username="bob", realm="a", nonce="n1", uri="sip:a", response="***", cnonce="***", opaque="***", qop=auth, nc=00000001',
  ],
  [
    'an unquoted, folded digest in mixed case',
    'proxy-authorization : digest realm="a",\r\n RESPONSE = abc,\r\n\tcnonce=xy\r\nVia: x',
    'proxy-authorization : digest realm="a",\r\n RESPONSE = ***,\r\n\tcnonce=***\r\nVia: x',
  ],
  ['another scheme', 'Authorization: Bearer eyJhbGciOi', 'Authorization: Bearer ***'],
  ['a plain-text password', 'Authorization: Basic Ym9iOnB3', 'Authorization: Basic ***'],
  [
    'the server’s proof',
    'Authentication-Info: rspauth="00ff", cnonce="c", nc=00000001, qop=auth',
    'Authentication-Info: rspauth="***", cnonce="***", nc=00000001, qop=auth',
  ],
  [
    'SDES keys',
    'a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj|2^20|1:32;inline:aaaa',
    'a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:***|2^20|1:32;inline:***',
  ],
  ['MIKEY keys', 'a=key-mgmt:mikey AQAFgM0X', 'a=key-mgmt:mikey ***'],
  ['the key line in SDP', 'v=0\r\nk=clear:secret word\r\n', 'v=0\r\nk=clear:***\r\n'],
  ['a password in a URI', 'To: <sip:bob:pw;1@host:5060>', 'To: <sip:bob:***@host:5060>'],
  ['a host with a port', 'INVITE sip:host:5060 SIP/2.0', 'INVITE sip:host:5060 SIP/2.0'],
  [
    'a challenge, which is not secret',
    'WWW-Authenticate: Digest realm="a", nonce="n", opaque="o"',
    'WWW-Authenticate: Digest realm="a", nonce="n", opaque="o"',
  ],
  ['a Via parameter', 'Via: SIP/2.0/UDP a;response=x', 'Via: SIP/2.0/UDP a;response=x'],
];

describe('maskSecrets', () => {
  it.each(CASES)('%s', (_, text, expected) => {
    expect(maskSecrets(text)).toBe(expected);
    // Masking is idempotent and removes nothing else.
    expect(maskSecrets(expected)).toBe(expected);
  });

  it('can keep the length, so that Content-Length stays correct', () => {
    for (const [, text] of CASES) {
      const masked = maskSecrets(text, (secret) => '*'.repeat(secret.length));
      expect(masked).toHaveLength(text.length);
    }
  });

  it.each([
    ['sip:'.repeat(16_000)],
    ['sip:a:'.repeat(10_000)],
    [`Authorization: Digest ${'response="'.repeat(6000)}`],
    ['inline:'.repeat(9000)],
    [`Authorization:${'\r\n '.repeat(20_000)}x`],
  ])('runs in time linear in the length of %#', (text) => {
    const timeOf = (input: string): number => {
      let best = Infinity;
      for (let round = 0; round < 5; round++) {
        const from = performance.now();
        maskSecrets(input);
        best = Math.min(best, performance.now() - from);
      }
      return best;
    };
    timeOf(text);
    // Quadratic time would be a factor of four. Half a millisecond allows for the clock's resolution.
    expect(timeOf(text + text)).toBeLessThan(3.2 * timeOf(text) + 0.5);
  });
});
