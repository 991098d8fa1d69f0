import type { RestError, RestScope } from '@sipcast/rest';
import { beforeAll, describe, expect, it } from 'vitest';
import { Authenticator } from './authenticator.ts';
import { networkOf } from './address-table.ts';
import { hashPassword, hashToken, isPasswordHash, verifyPassword } from './password-hash.ts';

const hashes: Record<string, string> = {};
beforeAll(async () => {
  for (const password of ['right-word', 'other-word'])
    hashes[password] = await hashPassword(password);
});

function setUp() {
  let nowMs = 0;
  const locked: string[] = [];
  const authenticator = new Authenticator({
    users: [
      { name: 'ann', password: hashes['right-word'] ?? '' },
      { name: 'bob', password: hashes['other-word'] ?? '', scope: 'calls' },
    ],
    tokens: [{ name: 'reader', hash: hashToken('abc-token'), scope: 'read' }],
    now: () => nowMs,
    onLocked: (address) => locked.push(address),
  });
  /** `ok`, or the status of the refusal. */
  const ask = async (
    authorization: string | undefined,
    scope: RestScope = 'read',
    clientAddress = '192.0.2.1',
  ): Promise<string | number> => {
    try {
      await authenticator.check({ authorization, clientAddress }, scope);
      return 'ok';
    } catch (error) {
      const { status, headers } = error as RestError;
      const wait = headers['retry-after'];
      return wait === undefined ? status : `${status} after ${wait}`;
    }
  };
  return { ask, locked, pass: (ms: number) => (nowMs += ms) };
}

const basic = (text: string): string => `Basic ${Buffer.from(text).toString('base64')}`;

describe('authenticator', () => {
  it('recognizes users and tokens, and enforces their scopes', async () => {
    const { ask } = setUp();
    for (const scope of ['read', 'calls', 'admin'] as const)
      expect(await ask(basic('ann:right-word'), scope)).toBe('ok');
    expect(await ask(basic('bob:other-word'), 'calls')).toBe('ok');
    expect(await ask(basic('bob:other-word'), 'admin')).toBe(403);
    expect(await ask('Bearer abc-token')).toBe('ok');
    expect(await ask('Bearer abc-token', 'calls')).toBe(403);
  });

  it.each([
    undefined,
    '',
    'Basic',
    'Basic !!!',
    'Bearer',
    'Digest x',
    basic('ann'),
    basic('ann:'),
    basic('ann:right-word '),
    basic('ANN:right-word'),
    basic('bob:right-word'),
    basic('__proto__:x'),
    'Bearer abc-toke',
    `Bearer ${hashToken('abc-token')}`,
    basic(`ann:${'x'.repeat(10_000)}`),
  ])('refuses %j', async (authorization) => {
    expect(await setUp().ask(authorization)).toBe(401);
  });

  it('refuses an address for a minute after five guesses, and no other', async () => {
    const { ask, locked, pass } = setUp();
    for (let n = 0; n < 5; n++) expect(await ask(basic(`ann:${n}`))).toBe(401);
    expect(locked).toEqual(['192.0.2.1']);
    pass(10_500);
    // The right password gets it too; otherwise the answer would reveal it.
    expect(await ask(basic('ann:right-word'))).toBe('429 after 50');
    expect(await ask(basic('ann:right-word'), 'read', '192.0.2.2')).toBe('ok');
    pass(50_000);
    expect(await ask(basic('ann:right-word'))).toBe('ok');
    expect(locked).toHaveLength(1);
  });

  it('does not allow more guesses when they arrive at once', async () => {
    const { ask } = setUp();
    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, n) => ask(basic(`ann:guess-${n}`))),
    );
    expect(answers.filter((answer) => answer === 401)).toHaveLength(5);
  });

  it('accepts many simultaneous requests of one page', async () => {
    const { ask } = setUp();
    const answers = await Promise.all(
      Array.from({ length: 50 }, () => ask(basic('ann:right-word'))),
    );
    expect(new Set(answers)).toEqual(new Set(['ok']));
  });

  it('counts no request without credentials', async () => {
    const { ask } = setUp();
    for (let n = 0; n < 20; n++) expect(await ask(undefined)).toBe(401);
    expect(await ask(basic('ann:right-word'))).toBe('ok');
  });

  it('treats an IPv6 network as one client', async () => {
    const { ask } = setUp();
    for (let n = 0; n < 5; n++) await ask(basic(`ann:${n}`), 'read', `2001:db8:1:2::${n}`);
    expect(await ask(basic('ann:right-word'), 'read', '2001:db8:1:2:3:4:5:6')).toMatch(/^429/);
    expect(await ask(basic('ann:right-word'), 'read', '2001:db8:1:3::1')).toBe('ok');
    expect(networkOf('::1')).toBe('0:0:0:0::/64');
    expect(networkOf('fe80::1%eth0')).toBe('fe80:0:0:0::/64');
    expect(networkOf('unknown')).toBe('unknown');
  });
});

describe('password hash', () => {
  it('is new each time, and matches only its password', async () => {
    const hash = await hashPassword('right-word');
    expect(hash).not.toBe(hashes['right-word']);
    expect(await verifyPassword('right-word', hash)).toBe(true);
    expect(await verifyPassword('right-wore', hash)).toBe(false);
    // The same letters, composed and decomposed.
    expect(await verifyPassword('\u00e9', await hashPassword('e\u0301'))).toBe(true);
  });

  it.each([
    'right-word',
    'scrypt$16384$8$5$short$short',
    `scrypt$16383$8$5$${'A'.repeat(22)}$${'A'.repeat(43)}`,
    `scrypt$9999999$99$99$${'A'.repeat(22)}$${'A'.repeat(43)}`,
    `scrypt$0$8$5$${'A'.repeat(22)}$${'A'.repeat(43)}`,
  ])('rejects %s', async (text) => {
    expect(isPasswordHash(text)).toBe(false);
    expect(await verifyPassword('right-word', text)).toBe(false);
  });
});
