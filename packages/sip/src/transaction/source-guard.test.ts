import { describe, expect, it } from 'vitest';
import { EMPTY_BODY, SipHeaders, type SipRequest } from '../message/message.ts';
import { SourceGuard, type SourceGuardOptions } from './source-guard.ts';

function request(method: string, userAgent?: string): SipRequest {
  const headers = new SipHeaders();
  if (userAgent !== undefined) headers.append('user-agent', userAgent);
  return { kind: 'request', method, uri: 'sip:a', headers, body: EMPTY_BODY };
}

function setUp(options: SourceGuardOptions = {}, known: readonly string[] = []) {
  let nowMs = 0;
  const faults: string[] = [];
  const clock = { now: () => nowMs, startTimer: () => ({ cancel: () => {} }) };
  const guard = new SourceGuard(
    options,
    clock,
    (address) => known.includes(address),
    (fault, address) => faults.push(`${fault} ${address}`),
  );
  return { guard, faults, pass: (ms: number) => (nowMs += ms) };
}

const INVITE = request('INVITE');
const OPTIONS = request('OPTIONS');

describe('SourceGuard', () => {
  it('leaves strangers without an answer, but lets the owner decide about their calls', () => {
    const { guard, faults } = setUp({}, ['192.0.2.9']);
    for (const method of ['OPTIONS', 'REGISTER', 'BYE', 'SUBSCRIBE', 'NONSENSE'])
      expect(guard.admits('192.0.2.1', request(method))).toBe(false);
    expect(guard.admits('192.0.2.1', undefined)).toBe(false);
    expect(faults).toEqual(Array.from({ length: 6 }, () => 'stranger 192.0.2.1'));
    expect(guard.admits('192.0.2.1', INVITE)).toBe(true);
    expect(guard.admits('192.0.2.9', OPTIONS)).toBe(true);
    expect(setUp({ strangers: 'answer' }).guard.admits('192.0.2.1', OPTIONS)).toBe(true);
  });

  it('limits each address, and lets it go on after a while', () => {
    const { guard, pass } = setUp({ perSource: 10 });
    const burst = (address: string): number =>
      Array.from({ length: 100 }, () => guard.admits(address, INVITE)).filter(Boolean).length;
    expect(burst('192.0.2.1')).toBe(20);
    expect(burst('192.0.2.2')).toBe(20);
    pass(1000);
    expect(burst('192.0.2.1')).toBe(10);
    pass(3_600_000);
    expect(burst('192.0.2.1')).toBe(20);
  });

  it('limits all strangers together, and nobody else by that', () => {
    const { guard, faults } = setUp({ total: 100 }, ['203.0.113.1']);
    const admitted = Array.from({ length: 5000 }, (_, n) =>
      guard.admits(`198.51.${n >> 8}.${n & 255}`, INVITE),
    ).filter(Boolean);
    expect(admitted).toHaveLength(200);
    expect(faults).toHaveLength(4800);
    expect(guard.admits('203.0.113.1', OPTIONS)).toBe(true);
  });

  it('bans who asks in vain again and again, for a time', () => {
    const { guard, faults, pass } = setUp({ strikes: 5, banMs: 10_000 });
    for (let n = 0; n < 5; n++) guard.strike('192.0.2.1');
    expect(faults).toEqual(['source-banned 192.0.2.1']);
    expect(guard.admits('192.0.2.1', INVITE)).toBe(false);
    expect(guard.admits('192.0.2.2', INVITE)).toBe(true);
    pass(10_001);
    expect(guard.admits('192.0.2.1', INVITE)).toBe(true);
    // Slowly is no attack.
    for (let n = 0; n < 50; n++) {
      pass(20_000);
      guard.strike('192.0.2.3');
    }
    expect(guard.admits('192.0.2.3', INVITE)).toBe(true);
  });

  it.each(['friendly-scanner', 'sipvicious', 'VaxSIPUserAgent/3.1', 'sipcli/v1.8', 'sundayddr'])(
    'bans %s at once',
    (userAgent) => {
      const { guard, faults } = setUp();
      expect(guard.admits('192.0.2.1', request('INVITE', userAgent))).toBe(false);
      expect(guard.admits('192.0.2.1', INVITE)).toBe(false);
      expect(faults[0]).toBe('source-banned 192.0.2.1');
    },
  );

  it('does not let others ban those that we call or trust', () => {
    const { guard } = setUp({ trusted: ['10.0.0.0/8', '2001:db8::/32'], strikes: 1 }, [
      '192.0.2.9',
    ]);
    for (const address of ['192.0.2.9', '10.1.2.3', '2001:db8::7']) {
      guard.strike(address);
      expect(guard.admits(address, request('OPTIONS', 'friendly-scanner'))).toBe(true);
    }
    for (let n = 0; n < 1000; n++) expect(guard.admits('10.1.2.3', OPTIONS)).toBe(true);
  });

  it('takes a network of IPv6 for one source', () => {
    const { guard } = setUp({ strikes: 2 });
    guard.strike('2001:db8:1:2::1');
    guard.strike('2001:db8:1:2:ffff::2');
    expect(guard.admits('2001:db8:1:2:3:4:5:6', INVITE)).toBe(false);
    expect(guard.admits('2001:db8:1:3::1', INVITE)).toBe(true);
  });

  it('keeps its memory within bounds', () => {
    const { guard } = setUp({ strikes: 1, total: 0x7fff_ffff });
    guard.strike('192.0.2.1');
    for (let n = 0; n < 10_000; n++)
      guard.admits(`10.${n >> 16}.${(n >> 8) & 255}.${n & 255}`, INVITE);
    expect(guard.admits('192.0.2.1', INVITE)).toBe(true); // forgotten, as the oldest
  });

  it.each([
    [{ trusted: ['pbx'] }, 'guard.trusted'],
    [{ trusted: ['10.0.0.0/99'] }, 'guard.trusted'],
    [{ strangers: 'hang' }, 'guard.strangers'],
    [{ perSource: 0 }, 'guard.perSource'],
    [{ strikes: 1.5 }, 'guard.strikes'],
  ])('names what is wrong with %j', (options, field) => {
    expect(() => setUp(options as never)).toThrow(
      expect.objectContaining({ code: 'INVALID_ARGUMENT', field }),
    );
  });
});
