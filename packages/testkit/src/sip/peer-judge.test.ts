import { describe, expect, it } from 'vitest';
import { parseInfoDigit } from './info-digit.ts';
import { judgeReanswer } from './peer-judge.ts';
import { parseSdp } from './peer-sdp.ts';

const sdp = (direction: string, version = 1, audioPort = 4000): string =>
  `v=0\r\no=- 5 ${version} IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n` +
  `m=audio ${audioPort} RTP/AVP 8\r\na=${direction}\r\n`;

describe('the answer to a re-INVITE', () => {
  it.each([
    ['sendrecv', ['sendrecv', 'sendonly', 'recvonly', 'inactive']],
    ['sendonly', ['recvonly', 'inactive']],
    ['recvonly', ['sendonly', 'inactive']],
    ['inactive', ['inactive']],
  ])('to %s may say %j', (offered, allowed) => {
    for (const direction of ['sendrecv', 'sendonly', 'recvonly', 'inactive']) {
      const wrong = judgeReanswer(sdp(direction), parseSdp(sdp(offered)), undefined);
      expect(wrong).toEqual(
        allowed.includes(direction) ? [] : [`answer to re-INVITE says ${direction} to ${offered}`],
      );
    }
  });

  it('keeps m-lines, refusals and the session', () => {
    const offer = parseSdp(sdp('sendrecv'));
    const before = parseSdp(sdp('sendrecv', 3));
    const judge = (text: string, to = offer) => judgeReanswer(text, to, before);
    expect(judge(sdp('sendrecv', 3))).toEqual([]);
    expect(judge(sdp('sendrecv', 2))).toEqual(['answer to re-INVITE has an older o= version']);
    expect(judge(sdp('sendrecv', 4).replace('o=- 5', 'o=- 6'))).toEqual([
      'answer to re-INVITE has another o= id',
    ]);
    expect(judge(sdp('sendrecv', 4).replace('m=audio', 'm=video'))).toEqual([
      'answer to re-INVITE has other m-lines',
    ]);
    expect(judge(sdp('sendrecv', 4), parseSdp(sdp('sendrecv', 1, 0)))).toEqual([
      'answer to re-INVITE revives a medium',
    ]);
    expect(judge('nonsense')[0]).toMatch(/^answer to re-INVITE: SyntaxError/);
  });
});

describe('a key press by INFO', () => {
  it.each([
    ['application/dtmf-relay', 'Signal=5\r\nDuration=160\r\n', '5', 160],
    ['application/dtmf-relay', 'signal = *\r\n', '*', undefined],
    ['application/dtmf', '#', '#', undefined],
  ])('%s %j', (type, text, digit, durationMs) => {
    expect(parseInfoDigit(type, text)).toMatchObject({ digit, via: 'info', durationMs });
  });

  it('is none without a key', () => {
    expect(parseInfoDigit('application/dtmf-relay', 'Duration=160')).toBeUndefined();
    expect(parseInfoDigit('application/dtmf', ' ')).toBeUndefined();
  });
});
