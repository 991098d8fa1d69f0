import { describe, expect, it } from 'vitest';
import { canonicalHeaderName, EMPTY_BODY, formatMessage, SipHeaders } from './message.ts';
import type { SipRequest } from './message.ts';

const REQUEST: SipRequest = {
  kind: 'request',
  method: 'INFO',
  uri: 'sip:bob@example.com',
  headers: new SipHeaders()
    .append('v', 'SIP/2.0/UDP a')
    .append('CALL-ID', 'x')
    .append('cseq', '1 INFO'),
  body: EMPTY_BODY,
};

describe('SipHeaders', () => {
  it('finds a header by any spelling', () => {
    const headers = new SipHeaders()
      .append('V', 'one')
      .append('via', 'two')
      .append('X-Own', 'three');
    expect(headers.get('Via')).toBe('one');
    expect(headers.getAll('VIA')).toEqual(['one', 'two']);
    expect(headers.has('x-OWN')).toBe(true);
    expect(headers.get('to')).toBeUndefined();
    expect(headers.size).toBe(3);
    for (const [compact, long] of [
      'vvia',
      'ffrom',
      'tto',
      'icall-id',
      'mcontact',
      'lcontent-length',
      'ccontent-type',
      'ksupported',
      'ssubject',
      'eContent-Encoding',
    ].map((pair) => [pair.slice(0, 1), pair.slice(1).toLowerCase()] as const)) {
      expect(canonicalHeaderName(compact)).toBe(long);
    }
  });

  it('inserts, replaces and removes values in order', () => {
    const headers = new SipHeaders()
      .append('Via', 'b')
      .append('To', 't')
      .append('Via', 'c')
      .prepend('Via', 'a');
    expect([...headers]).toEqual([
      ['via', 'a'],
      ['via', 'b'],
      ['to', 't'],
      ['via', 'c'],
    ]);
    expect([...headers.clone().setFirst('v', 'z')][0]).toEqual(['via', 'z']);
    expect(headers.clone().set('v', 'z').getAll('via')).toEqual(['z']);
    expect([...headers.clone().delete('via')]).toEqual([['to', 't']]);
    expect(headers.clone().set('from', 'f').setFirst('date', 'd').size).toBe(6);
    expect(headers.size).toBe(4);
  });

  it('treats __proto__ as an ordinary name', () => {
    const headers = new SipHeaders().append('__proto__', 'x').append('toString', 'y');
    expect(headers.get('__proto__')).toBe('x');
    expect(headers.getAll('tostring')).toEqual(['y']);
    expect(headers.get('constructor')).toBeUndefined();
  });
});

const illegal = (field: string) => expect.objectContaining({ code: 'ILLEGAL_CHARACTER', field });

describe('formatMessage', () => {
  it('writes the usual spellings and the actual length', () => {
    const body = Buffer.from('Grüße');
    const headers = REQUEST.headers
      .clone()
      .append('Content-Length', '4711')
      .append('www-authenticate', 'Digest x');
    expect(formatMessage({ ...REQUEST, headers, body }).toString()).toBe(
      'INFO sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/UDP a\r\nCall-ID: x\r\nCSeq: 1 INFO\r\n' +
        'WWW-Authenticate: Digest x\r\nContent-Length: 7\r\n\r\nGrüße',
    );
  });

  it('writes a response, with UTF-8 and without a reason', () => {
    const response = {
      kind: 'response',
      statusCode: 200,
      headers: new SipHeaders(),
      body: EMPTY_BODY,
    } as const;
    expect(formatMessage({ ...response, reasonPhrase: 'Schön' }).toString()).toBe(
      'SIP/2.0 200 Schön\r\nContent-Length: 0\r\n\r\n',
    );
    expect(formatMessage({ ...response, reasonPhrase: '' }).toString()).toMatch(
      /^SIP\/2\.0 200 \r\n/,
    );
  });

  it.each(['a\rb', 'a\nb', 'a\0b', 'a\r\nX: y'])(
    'refuses %j in a value, the URI or the reason',
    (text) => {
      const headers = REQUEST.headers.clone().append('Subject', text);
      expect(() => formatMessage({ ...REQUEST, headers })).toThrowError(illegal('subject'));
      expect(() => formatMessage({ ...REQUEST, uri: `sip:${text}` })).toThrowError(illegal('uri'));
      expect(() =>
        formatMessage({
          kind: 'response',
          statusCode: 200,
          reasonPhrase: text,
          headers: new SipHeaders(),
          body: EMPTY_BODY,
        }),
      ).toThrowError(illegal('reasonPhrase'));
    },
  );

  it('passes on an escaped NUL, which an echoed To may contain', () => {
    const echo = (to: string) =>
      formatMessage({ ...REQUEST, headers: REQUEST.headers.clone().append('To', to) }).toString();
    expect(echo('"a\\\0" <sip:b@c>')).toContain('To: "a\\\0" <sip:b@c>');
    expect(() => echo('"a\\\\\0" <sip:b@c>')).toThrowError(illegal('to'));
    expect(() => echo('"\0\\\0"')).toThrowError(illegal('to'));
  });

  it('refuses names and methods that are not tokens', () => {
    const syntax = expect.objectContaining({ code: 'SYNTAX' });
    for (const name of ['', 'a b', 'a:b', 'a\r\nb', 'ü']) {
      const headers = new SipHeaders().append(name, 'x');
      expect(() => formatMessage({ ...REQUEST, headers })).toThrowError(syntax);
      expect(() => formatMessage({ ...REQUEST, method: name })).toThrowError(syntax);
    }
  });
});
