import { SipHeaders } from '@sipcast/sip';
import type { SipRequest } from '@sipcast/sip';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { InviteServer } from './invite-server.ts';
import { phoneResponse } from './phone-response.ts';
import { TimerSet } from '../timer-set.ts';

const T1_MS = 500;
const INVITE: SipRequest = {
  kind: 'request',
  method: 'INVITE',
  uri: 'sip:phone@192.0.2.2',
  headers: new SipHeaders()
    .append('via', 'SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1')
    .append('from', '<sip:a@192.0.2.1>;tag=1')
    .append('to', '<sip:phone@192.0.2.2>')
    .append('call-id', 'x')
    .append('cseq', '1 INVITE'),
  body: new Uint8Array(),
};

function open(protocol: 'udp' | 'tcp') {
  const sentAtMs: number[] = [];
  const unacknowledged: number[] = [];
  let over = false;
  const timers = new TimerSet();
  const beganMs = performance.now();
  const server = new InviteServer(
    INVITE,
    { protocol, address: '192.0.2.1', port: 5060 },
    { t1Ms: T1_MS, respond: () => sentAtMs.push(performance.now() - beganMs), timers },
    { isOver: () => over, onUnacknowledged: (statusCode) => unacknowledged.push(statusCode) },
  );
  const end = (): void => {
    over = true;
  };
  return { server, sentAtMs, unacknowledged, timers, end };
}

const response = (statusCode: number) => phoneResponse(INVITE, statusCode, { toTag: 'p' });
/** The wait doubles each time, up to T2, for 64·T1. */
const REPEATED = [0, 500, 1500, 3500, 7500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500];

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
});
afterEach(() => {
  vi.useRealTimers();
});

describe('InviteServer', () => {
  it.each(['udp', 'tcp'] as const)('repeats a 2xx over %s until 64·T1', (protocol) => {
    const { server, sentAtMs, unacknowledged } = open(protocol);
    server.respond(response(200));
    vi.advanceTimersByTime(100 * T1_MS);
    expect(sentAtMs).toEqual(REPEATED);
    expect(server.sent2xx).toBe(REPEATED.length);
    expect(unacknowledged).toEqual([200]);
  });

  it.each([
    ['udp', REPEATED],
    ['tcp', [0]],
  ] as const)('repeats a failure over %s at %j', (protocol, times) => {
    const { server, sentAtMs, unacknowledged, end } = open(protocol);
    server.respond(response(486));
    // The call has ended, but the ACK is still due.
    end();
    vi.advanceTimersByTime(100 * T1_MS);
    expect(sentAtMs).toEqual(times);
    expect(server.sent2xx).toBe(0);
    expect(unacknowledged).toEqual([486]);
  });

  it('sends nothing more once acknowledged', () => {
    const { server, sentAtMs, unacknowledged } = open('udp');
    server.respond(response(200));
    vi.advanceTimersByTime(600);
    server.acknowledge();
    vi.advanceTimersByTime(100 * T1_MS);
    expect(sentAtMs).toEqual([0, 500]);
    expect(server.acks).toBe(1);
    expect(unacknowledged).toEqual([]);
  });

  it('does not repeat a 2xx of an ended call, nor anything once the timers are cleared', () => {
    const ended = open('udp');
    ended.server.respond(response(200));
    ended.end();
    const closed = open('udp');
    closed.server.respond(response(486));
    closed.timers.clear();
    vi.advanceTimersByTime(100 * T1_MS);
    expect([ended.sentAtMs, closed.sentAtMs]).toEqual([[0], [0]]);
    expect([ended.unacknowledged, closed.unacknowledged]).toEqual([[], []]);
  });

  it('sends a provisional response once, and again on demand', () => {
    const { server, sentAtMs } = open('udp');
    server.sendAgain();
    expect([server.hasProvisional, sentAtMs]).toEqual([false, []]);
    server.respond(response(180));
    vi.advanceTimersByTime(T1_MS / 2 - 1);
    expect([server.hasProvisional, server.hasJustSpoken]).toEqual([true, true]);
    vi.advanceTimersByTime(1);
    expect(server.hasJustSpoken).toBe(false);
    server.sendAgain();
    vi.advanceTimersByTime(100 * T1_MS);
    expect(sentAtMs).toEqual([0, T1_MS / 2]);
  });
});
