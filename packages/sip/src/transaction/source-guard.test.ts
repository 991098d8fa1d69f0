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
  it('does not answer strangers, but passes their calls on for a decision', () => {
    const { guard, faults } = setUp({}, ['192.0.2.9']);
    for (const method of ['OPTIONS', 'REGISTER', 'BYE', 'SUBSCRIBE', 'NONSENSE'])
      expect(guard.admits('192.0.2.1', request(method))).toBe(false);
    expect(guard.admits('192.0.2.1', undefined)).toBe(false);
    expect(faults).toEqual(Array.from({ length: 6 }, () => 'stranger 192.0.2.1'));
    expect(guard.admits('192.0.2.1', INVITE)).toBe(true);
    expect(guard.admits('192.0.2.9', OPTIONS)).toBe(true);
    expect(setUp({ strangers: 'answer' }).guard.admits('192.0.2.1', OPTIONS)).toBe(true);
  });

  it('limits each address, and admits it again later', () => {
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

  it('limits all strangers together, without affecting others', () => {
    const { guard, faults } = setUp({ total: 100 }, ['203.0.113.1']);
    const admitted = Array.from({ length: 5000 }, (_, n) =>
      guard.admits(`198.51.${n >> 8}.${n & 255}`, INVITE),
    ).filter(Boolean);
    expect(admitted).toHaveLength(200);
    expect(faults).toHaveLength(4800);
    expect(guard.admits('203.0.113.1', OPTIONS)).toBe(true);
  });

  it('bans a source temporarily after repeated bad requests', () => {
    const { guard, faults, pass } = setUp({ strikes: 5, banMs: 10_000 });
    for (let n = 0; n < 5; n++) guard.strike('192.0.2.1');
    expect(faults).toEqual(['source-banned 192.0.2.1']);
    expect(guard.admits('192.0.2.1', INVITE)).toBe(false);
    expect(guard.admits('192.0.2.2', INVITE)).toBe(true);
    pass(10_001);
    expect(guard.admits('192.0.2.1', INVITE)).toBe(true);
    // A slow rate is not an attack.
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

  it('never bans peers that we call or trust', () => {
    const { guard } = setUp({ trusted: ['10.0.0.0/8', '2001:db8::/32'], strikes: 1 }, [
      '192.0.2.9',
    ]);
    for (const address of ['192.0.2.9', '10.1.2.3', '2001:db8::7']) {
      guard.strike(address);
      expect(guard.admits(address, request('OPTIONS', 'friendly-scanner'))).toBe(true);
    }
    for (let n = 0; n < 1000; n++) expect(guard.admits('10.1.2.3', OPTIONS)).toBe(true);
  });

  it('treats an IPv6 network as one source', () => {
    const { guard } = setUp({ strikes: 2 });
    guard.strike('2001:db8:1:2::1');
    guard.strike('2001:db8:1:2:ffff::2');
    expect(guard.admits('2001:db8:1:2:3:4:5:6', INVITE)).toBe(false);
    expect(guard.admits('2001:db8:1:3::1', INVITE)).toBe(true);
  });

  it('bounds its memory', () => {
    const { guard } = setUp({ strikes: 1, total: 0x7fff_ffff });
    guard.strike('192.0.2.1');
    for (let n = 0; n < 10_000; n++)
      guard.admits(`10.${n >> 16}.${(n >> 8) & 255}.${n & 255}`, INVITE);
    expect(guard.admits('192.0.2.1', INVITE)).toBe(true); // evicted as the oldest
  });

  it.each([
    [{ trusted: ['pbx'] }, 'guard.trusted'],
    [{ trusted: ['10.0.0.0/99'] }, 'guard.trusted'],
    [{ strangers: 'hang' }, 'guard.strangers'],
    [{ perSource: 0 }, 'guard.perSource'],
    [{ strikes: 1.5 }, 'guard.strikes'],
  ])('names the invalid option in %j', (options, field) => {
    expect(() => setUp(options as never)).toThrow(
      expect.objectContaining({ code: 'INVALID_ARGUMENT', field }),
    );
  });
});
