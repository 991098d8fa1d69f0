import { describe, expect, it } from 'vitest';
import { readBody } from './body.ts';
import { SipHeaders } from './message.ts';

const SDP = 'v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nm=audio 4000 RTP/AVP 8\r\n';

function read(type: string | undefined, body: string, disposition?: string) {
  const headers = new SipHeaders();
  if (type !== undefined) headers.append('content-type', type);
  if (disposition !== undefined) headers.append('content-disposition', disposition);
  return readBody({ headers, body: Buffer.from(body) });
}

function multipart(...parts: readonly string[]): string {
  return `${parts.map((part) => `--b1\r\n${part}\r\n`).join('')}--b1--\r\n`;
}

const DESCRIBED = `Content-Type: application/sdp\r\n\r\n${SDP}`;
const MIXED = 'multipart/mixed;boundary=b1';

describe('readBody', () => {
  it.each([
    ['no type', undefined, SDP],
    ['its type', 'Application/SDP', SDP],
    ['parameters', 'application/sdp;charset=utf-8', SDP],
    ['one part', MIXED, multipart(DESCRIBED)],
    ['a quoted boundary', 'multipart/mixed; boundary="b1"', multipart(DESCRIBED)],
    ['a preamble', MIXED, `ignored\r\n${multipart(DESCRIBED)}`],
    ['alternatives', 'multipart/alternative;boundary=b1', multipart('\r\nplain', DESCRIBED)],
    ['LF alone', MIXED, multipart(DESCRIBED).replaceAll('\r\n', '\n')],
    ['the last delimiter missing', MIXED, `--b1\r\n${DESCRIBED}`],
    ['header names in small letters', MIXED, multipart(DESCRIBED.toLowerCase())],
    [
      'an optional part',
      MIXED,
      multipart(
        'Content-Type: application/pidf+xml\r\nContent-Disposition: render;handling=optional\r\n\r\n<presence/>',
        DESCRIBED,
      ),
    ],
    [
      'a part without a handling parameter',
      MIXED,
      multipart('Content-Type: application/isup\r\n\r\n\x01', DESCRIBED),
    ],
    [
      'nested parts',
      MIXED,
      multipart(
        `Content-Type: multipart/related;boundary=in\r\n\r\n--in\r\n${DESCRIBED}\r\n--in--`,
      ),
    ],
    [
      'base64',
      MIXED,
      multipart(
        `Content-Type: application/sdp\r\nContent-Transfer-Encoding: base64\r\n\r\n${Buffer.from(SDP).toString('base64')}`,
      ),
    ],
  ])('finds the description with %s', (_, type, body) => {
    const found = read(type, body);
    expect(found.sdp?.replaceAll('\r', '').trim().toLowerCase()).toBe(
      SDP.replaceAll('\r', '').trim().toLowerCase(),
    );
    expect(found.unreadable).toBeUndefined();
  });

  it.each([
    ['nothing', 'application/sdp', '', {}],
    ['another type', 'text/plain', 'x', { unreadable: 'text/plain' }],
    [
      'a required part',
      MIXED,
      multipart(
        'Content-Type: application/isup\r\nContent-Disposition: signal;handling=required\r\n\r\nx',
      ),
      { unreadable: 'application/isup' },
    ],
    ['no boundary', 'multipart/mixed', multipart(DESCRIBED), { unreadable: 'multipart/mixed' }],
    ['no part', MIXED, 'x', {}],
  ])('reports %s', (_, type, body, result) => {
    expect(read(type, body)).toEqual(result);
  });

  it('ignores an optional body', () => {
    expect(read('text/plain', 'x', 'render;handling=optional')).toEqual({});
  });

  it('limits the number of parts and their depth', () => {
    const many = multipart(
      ...Array.from({ length: 100 }, () => 'Content-Type: text/x\r\n\r\nx'),
      DESCRIBED,
    );
    expect(read(MIXED, many)).toEqual({});
    let nested = DESCRIBED;
    for (let depth = 0; depth < 6; depth++)
      nested = `Content-Type: multipart/mixed;boundary=n${depth}\r\n\r\n--n${depth}\r\n${nested}\r\n--n${depth}--`;
    expect(read('multipart/mixed;boundary=b1', multipart(nested)).sdp).toBeUndefined();
  });
});
