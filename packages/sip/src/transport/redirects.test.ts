// Which addresses of a 3xx are tried, and in what order.

import { describe, expect, it } from 'vitest';
import { EMPTY_BODY, SipHeaders, type SipResponse } from '../message/message.ts';
import { Redirects } from './redirects.ts';

function redirection(...contacts: string[]): SipResponse {
  const headers = new SipHeaders();
  for (const contact of contacts) headers.append('contact', contact);
  return { kind: 'response', statusCode: 302, reasonPhrase: 'Moved', headers, body: EMPTY_BODY };
}

const next = (redirects: Redirects, ...contacts: string[]): string | undefined =>
  redirects.next(redirection(...contacts))?.text;

describe('Redirects', () => {
  it('tries the best first, then the others, each once', () => {
    const redirects = new Redirects('sip:bob@a.example');
    expect(next(redirects, '<sip:low@b.example>;q=0.1', '<sip:high@b.example>;q=0.9')).toBe(
      'sip:high@b.example',
    );
    expect(next(redirects, '<sip:bob@a.example>', '<sip:high@B.example>')).toBe(
      'sip:low@b.example',
    );
    expect(next(redirects, '<sip:low@b.example>')).toBeUndefined();
  });

  it('continues with the others after a failure, whatever its response names', () => {
    const redirects = new Redirects('sip:bob@a.example');
    expect(next(redirects, '<sip:high@b.example>', '<sip:low@b.example>;q=0.1')).toBe(
      'sip:high@b.example',
    );
    const ambiguous = { ...redirection('<sip:other@c.example>'), statusCode: 485 };
    expect(redirects.next(ambiguous)?.text).toBe('sip:low@b.example');
    expect(redirects.next(undefined)).toBeUndefined();
  });

  it('follows three, or the configured number', () => {
    const redirects = new Redirects('sip:bob@a.example');
    for (const host of ['b', 'c', 'd']) expect(next(redirects, `<sip:x@${host}>`)).toBeDefined();
    expect(next(redirects, '<sip:x@e>')).toBeUndefined();
    expect(next(new Redirects('sip:bob@a.example', 0), '<sip:x@b>')).toBeUndefined();
  });

  it('skips other schemes, malformed URIs, forbidden targets and missing hosts', () => {
    const redirects = new Redirects('sip:bob@a.example', 3, (uri) => !uri.includes('internal'));
    const contacts = ['<tel:+1>', '<mailto:x@y>', 'nonsense', '<sip:x@internal>'];
    expect(next(redirects, ...contacts, '<sip:x@255.255.255.255>', '<sip:x@224.0.0.1>')).toBe(
      undefined,
    );
  });

  it('never turns a SIPS call into SIP; the reverse is allowed', () => {
    const secure = new Redirects('sips:bob@a.example');
    expect(next(secure, '<sip:x@b.example>', '<sips:y@b.example>')).toBe('sips:y@b.example');
    expect(next(secure, '<sip:z@b.example>')).toBeUndefined();
    expect(next(new Redirects('sip:bob@a.example'), '<sips:y@b.example>')).toBe('sips:y@b.example');
  });

  it('examines at most sixteen Contacts', () => {
    const many = Array.from({ length: 500 }, (_, n) => `<sip:x${n}@b.example>;q=0.${n % 9}`);
    const redirects = new Redirects('sip:bob@a.example', 10);
    const tried = [next(redirects, ...many)];
    while (tried.at(-1) !== undefined) tried.push(next(redirects));
    expect(tried.filter((one) => one !== undefined).every((one) => /x\d{1,2}@/.test(one))).toBe(
      true,
    );
  });
});
