// INFO both ways: asked once it is known to be of use, answered by what it holds.

import { EMPTY_BODY, SipHeaders } from '@sipcast/sip';
import type { SipRequest } from '@sipcast/sip';
import { describe, expect, it } from 'vitest';
import { InfoRequests } from './info-requests.ts';

function setUp() {
  const told: unknown[] = [];
  const infos = new InfoRequests({
    onPictureWanted: () => told.push('picture'),
    onDtmf: (dtmf) => told.push(dtmf),
  });
  return { infos, told };
}

function request(method: string, contentType?: string, body?: string): SipRequest {
  const headers = new SipHeaders();
  if (contentType !== undefined) headers.append('content-type', contentType);
  return {
    kind: 'request',
    method,
    uri: 'sip:a@b',
    headers,
    body: body === undefined ? EMPTY_BODY : Buffer.from(body),
  };
}

describe('InfoRequests', () => {
  it.each([
    [request('INFO'), 200, []],
    [request('INFO', 'Application/Media_Control+XML; x=1', '<x/>'), 200, ['picture']],
    [request('INFO', 'application/dtmf', '5'), 200, [{ digit: '5', type: 'INFO' }]],
    [
      request('INFO', 'application/dtmf-relay', 'Signal=#\r\nDuration=100\r\n'),
      200,
      [{ digit: '#', type: 'INFO_RELAY' }],
    ],
    [request('INFO', 'application/dtmf-relay', 'Signal=16\r\n'), 200, []],
    [request('INFO', 'text/plain', 'x'), 415, []],
    [request('INFO', undefined, 'x'), 415, []],
    [request('MESSAGE', 'text/plain', 'x'), 405, []],
  ] as const)('%# is answered', (asked, statusCode, expected) => {
    const { infos, told } = setUp();
    expect(infos.answer(asked).statusCode).toBe(statusCode);
    expect(told).toEqual(expected);
  });

  it('takes one key from several payloads of RFC 4733, and the same key again', () => {
    const { infos, told } = setUp();
    const press = (body: string | number[]) => {
      const notify = request('NOTIFY', 'audio/telephone-event', 'x');
      notify.headers.append('event', 'telephone-event;rate=1000');
      const octets = typeof body === 'string' ? Buffer.from(body) : Uint8Array.from(body);
      expect(infos.answer({ ...notify, body: octets }).statusCode).toBe(200);
    };
    for (const pressed of [
      [5, 0x0a, 0, 100],
      [5, 0x0a, 0, 200],
      [5, 0x8a, 1, 0],
      [5, 0x0a, 0, 100],
      [5, 0x0a, 0, 90],
      '0x0b8a0190',
      [16, 0x8a, 1, 0],
    ])
      press(pressed);
    expect(told).toEqual(['5', '5', '5', '#'].map((digit) => ({ digit, type: 'INFO' })));
  });

  it('asks for pictures until that is refused; a failure says nothing', async () => {
    const { infos } = setUp();
    const answers = [200, new Error('timeout'), 415];
    const sent: string[] = [];
    const session = {
      sendInfo: (contentType: string) => {
        sent.push(contentType);
        const answer = answers[sent.length - 1];
        return typeof answer === 'number' ? Promise.resolve(answer) : Promise.reject(answer!);
      },
    };
    for (let n = 0; n < 6; n++) {
      infos.askForPicture(session);
      await new Promise(setImmediate);
    }
    expect(sent).toEqual(Array.from({ length: 3 }, () => 'application/media_control+xml'));
  });
});
