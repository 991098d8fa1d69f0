import { describe, expect, it } from 'vitest';
import { Redaction } from './redaction.ts';

/** A text, and its redacted form. */
const FORMS: readonly (readonly [string, string])[] = [
  ['to rtmp://user:pass@host/live', 'to rtmp://***@host/live'],
  ['rtmp://host/live/key-1 failed', 'rtmp://host/live/*** failed'],
  ['rtmps://host:443/app/inst/key?x=1', 'rtmps://host:443/app/***'],
  ['"rtmp://host/live?token=abc"', '"rtmp://host/live/***"'],
  ['rtmp://host/live is plain', 'rtmp://host/live is plain'],
  ['https://u:p@h/x?a=1&api_key=k&b=2', 'https://***@h/x?a=1&api_key=***&b=2'],
  ['GET /stream/s.flv?token=17.abc 200', 'GET /stream/s.flv?token=*** 200'],
  ['authorization Bearer abcdefgh.i-j', 'authorization Bearer ***'],
  ['authorization: Basic YWRtaW46YWRtaW4=', 'authorization: Basic ***'],
  [
    'Authorization: Digest username="u", response="0a1b"',
    'Authorization: Digest username="u", response="***"',
  ],
  ['{"sipPassword":"a \\u0022b","x":1}', '{"sipPassword":***,"x":1}'],
  ['SIPCAST_SIP_PASSWORD=abc', 'SIPCAST_SIP_PASSWORD=***'],
  ["secret: 'a b', next", 'secret: ***, next'],
  ['whsec_MfKQ9r8GKYqrTwjU', 'whsec_***'],
  ['scrypt$16384$8$5$AA$BB and sha256$00ff', 'scrypt$*** and sha256$***'],
  [
    'a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:c2VjcmV0',
    'a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:***',
  ],
  ['sip:bob:pass@host', 'sip:bob:***@host'],
  ['NEW -> PENDING (Normal call clearing)', 'NEW -> PENDING (Normal call clearing)'],
  ['users: the password of bob must be a hash', 'users: the password of bob must be a hash'],
  ['HTTP API at http://127.0.0.1:8081/rest-api', 'HTTP API at http://127.0.0.1:8081/rest-api'],
];

describe('Redaction', () => {
  for (const [text, left] of FORMS)
    it(`leaves of ${text}: ${left}`, () => {
      const redaction = new Redaction();
      expect(redaction.redact(text)).toBe(left);
      expect(redaction.redactForms(left)).toBe(left);
    });

  it('masks values for as long as they are held', () => {
    const redaction = new Redaction();
    const first = redaction.hold(['stream-key', 'short', undefined]);
    const second = redaction.hold(['stream-key']);
    const text = 'short stream-key';
    expect(redaction.redact(text)).toBe('short ***');
    expect(redaction.redactForms(text)).toBe(text);
    first();
    first();
    expect(redaction.redact(text)).toBe('short ***');
    second();
    expect(redaction.redact(text)).toBe(text);
  });

  it('runs in linear time, whatever the text', () => {
    const redaction = new Redaction();
    for (const part of [
      'password',
      'a',
      'rtmp://',
      '?token',
      '&key=',
      'Bearer ',
      'a@',
      '"secret":"',
    ])
      expect(redaction.redact(part.repeat(100_000)).length).toBeLessThan(20_000);
  });
});
