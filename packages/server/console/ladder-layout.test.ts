import { expect, it } from 'vitest';
import { layoutLadder, offsetText } from './ladder-layout.ts';
import type { TracedMessage } from './ladder-layout.ts';

function traced(
  ms: number,
  direction: 'in' | 'out',
  startLine: string,
  more: Partial<TracedMessage> & { readonly body?: string; readonly method?: string } = {},
): TracedMessage {
  const { body = '', method = 'INVITE', ...others } = more;
  return {
    at: new Date(Date.UTC(2026, 0, 1) + ms).toISOString(),
    direction,
    transport: 'UDP',
    local: '192.0.2.1:5060',
    remote: '192.0.2.9:5060',
    startLine,
    message: `${startLine}\r\nCSeq: 1 ${method}\r\n\r\n${body}`,
    retransmission: false,
    ...others,
  };
}

it('a call is arrows between two lifelines, in order of their time', () => {
  const { columns, rows } = layoutLadder([
    traced(0, 'out', 'INVITE sip:bob@h SIP/2.0', { body: 'v=0\r\n' }),
    traced(20, 'in', 'SIP/2.0 180 Ringing'),
    traced(1500, 'out', 'ACK sip:bob@h SIP/2.0'),
    traced(1490, 'in', 'SIP/2.0 200 OK', { body: 'v=0\r\n' }),
    traced(3000, 'in', 'BYE sip:us@h SIP/2.0', { method: 'BYE' }),
    traced(3000, 'out', 'SIP/2.0 200 OK', { method: 'BYE' }),
  ]);
  expect(columns).toEqual(['sipcast', '192.0.2.9:5060']);
  expect(
    rows.map(({ from, to, label, note, kind, offsetMs }) => [
      from,
      to,
      label,
      note,
      kind,
      offsetMs,
    ]),
  ).toEqual([
    [0, 1, 'INVITE', 'SDP', 'request', 0],
    [1, 0, '180 Ringing', '', 'provisional', 20],
    [1, 0, '200 OK', 'SDP', 'success', 1490],
    [0, 1, 'ACK', '', 'request', 1500],
    [1, 0, 'BYE', '', 'request', 3000],
    [0, 1, '200 OK', 'BYE', 'success', 3000],
  ]);
});

it('every peer has a lifeline', () => {
  const { columns, rows } = layoutLadder([
    traced(0, 'out', 'INVITE sip:bob@h SIP/2.0'),
    traced(5, 'in', 'SIP/2.0 486 Busy Here', { remote: '[2001:db8::1]:5061' }),
    traced(9, 'out', 'ACK sip:bob@h SIP/2.0'),
  ]);
  expect(columns).toEqual(['sipcast', '192.0.2.9:5060', '[2001:db8::1]:5061']);
  expect(rows.map(({ from, to, kind }) => [from, to, kind])).toEqual([
    [0, 1, 'request'],
    [2, 0, 'failure'],
    [0, 1, 'request'],
  ]);
});

it('malformed messages are drawn as well', () => {
  const odd = ['', 'SIP/2.0', 'SIP/2.0 999', 'SIP/2.0 200', '<img src=x onerror=alert(1)>'];
  const { rows } = layoutLadder(odd.map((startLine, at) => traced(at, 'in', startLine)));
  expect(rows.map(({ label }) => label)).toEqual(['', 'SIP/2.0', '999', '200', '<img']);
  expect(layoutLadder([])).toEqual({ columns: ['sipcast'], rows: [] });
});

it('times are seconds since the first message', () => {
  expect([0, 7, 61_234].map(offsetText)).toEqual(['+0.000', '+0.007', '+61.234']);
});
