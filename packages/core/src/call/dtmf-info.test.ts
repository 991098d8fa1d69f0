import { describe, expect, it } from 'vitest';
import { InfoDigitSender, parseInfoDigit } from './dtmf-info.ts';

describe('a digit in an INFO', () => {
  const cases: [type: string, body: string, expected: unknown][] = [
    ['application/dtmf-relay', 'Signal=5\r\nDuration=160\r\n', { type: 'INFO_RELAY', digit: '5' }],
    ['application/dtmf-relay', 'signal = *\nduration=90', { type: 'INFO_RELAY', digit: '*' }],
    ['application/dtmf-relay', 'Duration=160\r\nSignal=a\r\n', { type: 'INFO_RELAY', digit: 'A' }],
    ['application/dtmf-relay', 'Signal=10\r\n', { type: 'INFO_RELAY', digit: '*' }],
    ['application/dtmf-relay', 'Signal=hf\r\n', { type: 'INFO_RELAY' }],
    ['application/dtmf-relay', '', { type: 'INFO_RELAY' }],
    ['application/dtmf', '7', { type: 'INFO', digit: '7' }],
    ['application/dtmf', ' # \r\n', { type: 'INFO', digit: '#' }],
    ['application/dtmf', '16', { type: 'INFO' }],
    ['application/dtmf', 'Signal=5\r\nDuration=160\r\n', { type: 'INFO', digit: '5' }],
    ['application/dtmf', '"9"', { type: 'INFO', digit: '9' }],
    [
      'application/dtmf-relay',
      'Signal= 5\r\nDuration= 160\r\n',
      { type: 'INFO_RELAY', digit: '5' },
    ],
    ['application/dtmf-relay', 'SIGNAL : "5"; Duration=1', { type: 'INFO_RELAY', digit: '5' }],
    ['application/dtmf-relay', 'Duration=160 Signal=5', { type: 'INFO_RELAY', digit: '5' }],
    ['application/dtmf-relay', '5\r\n', { type: 'INFO_RELAY', digit: '5' }],
    ['application/dtmf-relay', 'Signal=pound', { type: 'INFO_RELAY', digit: '#' }],
    ['application/dtmf-info', 'Signal=8', { type: 'INFO_RELAY', digit: '8' }],
    ['audio/telephone-event', '7', { type: 'INFO', digit: '7' }],
    ['audio/telephone-event', '11\r\n', { type: 'INFO', digit: '#' }],
    [
      'application/vnd.nortelnetworks.digits',
      'p=Digit-Collection\r\ny=Digits\r\ns=success\r\nu=12345678\r\ni=87654321\r\nd=4\r\n',
      { type: 'INFO', digit: '4' },
    ],
    ['text/plain', '7', undefined],
  ];
  for (const [type, body, expected] of cases) {
    it(`of ${type} ${JSON.stringify(body)}`, () => {
      expect(parseInfoDigit(type, body)).toEqual(expected);
    });
  }
});

it('stops sending digits when the call ends', async () => {
  const sent: string[] = [];
  const sender = new InfoDigitSender(
    {
      sendInfo: (_type, body) => {
        sent.push(body);
        return Promise.resolve(200);
      },
    },
    Promise.resolve(),
    () => sent.length === 2,
  );
  await sender.send('1,2,3', 'INFO');
  expect(sent).toEqual(['1', '2']);
});
