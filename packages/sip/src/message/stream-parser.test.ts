import { describe, expect, it } from 'vitest';
import type { ParseOutcome } from './message-head.ts';
import { StreamParser } from './stream-parser.ts';

/** An OPTIONS with these lines added. */
function options(extra: readonly string[] = [], body = ''): Buffer {
  return Buffer.from(
    [
      'OPTIONS sip:bob@example.com SIP/2.0',
      'Via: SIP/2.0/TCP 192.0.2.1:5060;branch=z9hG4bKnashds8;rport',
      'Max-Forwards: 70',
      'From: "Alice" <sip:alice@example.com>;tag=1928301774',
      'To: <sip:bob@example.com>',
      'Call-ID: a84b4c76e66710@192.0.2.1',
      'CSeq: 314159 OPTIONS',
      ...extra,
      '',
      body,
    ].join('\r\n'),
  );
}

function collect() {
  const seen: (ParseOutcome | 'keep-alive')[] = [];
  const parser = new StreamParser({
    onOutcome: (outcome) => seen.push(outcome),
    onKeepAlive: () => seen.push('keep-alive'),
  });
  return { parser, seen };
}

describe('StreamParser', () => {
  const one = options(['Content-Length: 5'], 'hello');
  const two = options(['Content-Length: 0']);

  it('finds three messages and two keep-alives at every cut', () => {
    const stream = Buffer.concat([
      one,
      Buffer.from('\r\n\r\n'),
      two,
      Buffer.from('\r\n'),
      one,
      Buffer.from('\r\n\r\n'),
    ]);
    for (let cut = 0; cut <= stream.length; cut++) {
      const { parser, seen } = collect();
      parser.push(stream.subarray(0, cut));
      parser.push(stream.subarray(cut));
      expect(
        seen.map((entry) => (entry === 'keep-alive' ? entry : entry.message?.body.length)),
      ).toEqual([5, 'keep-alive', 0, 5, 'keep-alive']);
      expect(parser.pendingBytes).toBe(0);
      expect(parser.midMessage).toBe(false);
    }
  });

  it.each(['\0', '\0\0\0\r\n', '\n', ' \t', '\r\n\0\r\n'])(
    'skips %j between messages at every cut',
    (between) => {
      const stream = Buffer.concat([one, Buffer.from(between), two, Buffer.from(between), one]);
      for (let cut = 0; cut <= stream.length; cut++) {
        const { parser, seen } = collect();
        parser.push(stream.subarray(0, cut));
        parser.push(stream.subarray(cut));
        const messages = seen.filter((entry) => entry !== 'keep-alive');
        expect(messages.map((entry) => entry.message?.body.length)).toEqual([5, 0, 5]);
        expect([parser.failed, parser.pendingBytes]).toEqual([false, 0]);
      }
    },
  );

  it('keeps no view of the chunk', () => {
    const { parser, seen } = collect();
    const chunk = Buffer.from(one);
    parser.push(chunk);
    chunk.fill(0);
    const [outcome] = seen;
    if (outcome === undefined || outcome === 'keep-alive') throw new Error('no message');
    expect(Buffer.from(outcome.message?.body ?? []).toString()).toBe('hello');
    expect(outcome.message?.headers.get('call-id')).toBe('a84b4c76e66710@192.0.2.1');
  });

  it('continues after a message that is framed but invalid', () => {
    const { parser, seen } = collect();
    parser.push(Buffer.concat([options(['Content-Length: 2', 'To: <sip:second@y>'], 'xx'), two]));
    expect(seen.length).toBe(2);
    expect(seen[0]).toMatchObject({ fault: { field: 'to', statusCode: 400 } });
    expect(seen[1]).toHaveProperty('message.method', 'OPTIONS');
    expect(parser.failed).toBe(false);
  });

  it.each([
    ['no Content-Length', options([]), 'BAD_CONTENT_LENGTH'],
    ['a negative one', options(['l: -1']), 'BAD_CONTENT_LENGTH'],
    ['two that agree', options(['l: 0', 'Content-Length: 0']), 'BAD_CONTENT_LENGTH'],
    ['one above the limit', options(['l: 65537']), 'BODY_TOO_LARGE'],
    ['one with 400 digits', options([`l: ${'9'.repeat(400)}`]), 'BAD_CONTENT_LENGTH'],
    ['a line that is no header', options(['l: 0', 'nothing']), 'SYNTAX'],
    ['an HTTP request', Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n'), 'SYNTAX'],
  ])('fails once on %s and ignores what follows', (_, octets, code) => {
    const { parser, seen } = collect();
    parser.push(Buffer.concat([octets, two]));
    parser.push(two);
    expect(seen.length).toBe(1);
    expect(seen[0]).toMatchObject({ fault: { code } });
    expect(parser.failed).toBe(true);
    expect(parser.pendingBytes).toBe(0);
  });

  it('does not wait past the limit for an empty line', () => {
    const { parser, seen } = collect();
    const piece = Buffer.from(`X: ${'y'.repeat(1019)}\r\n`);
    parser.push(Buffer.from('OPTIONS sip:a@b SIP/2.0\r\n'));
    for (let i = 0; i < 70; i++) parser.push(piece);
    expect(seen).toMatchObject([{ fault: { code: 'HEADER_TOO_LONG' } }]);
    expect(parser.failed).toBe(true);
  });

  it('takes a full-size message octet by octet without repeated copying', () => {
    const { parser, seen } = collect();
    const octets = options(['Content-Length: 65536'], 'b'.repeat(65536));
    for (let i = 0; i < octets.length; i++) parser.push(octets.subarray(i, i + 1));
    expect(seen.length).toBe(1);
    expect(seen[0]).toHaveProperty('message.method', 'OPTIONS');
  });
});
