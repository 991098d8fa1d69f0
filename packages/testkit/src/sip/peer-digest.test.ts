import { DigestClient, EMPTY_BODY, SipHeaders } from '@sipcast/sip';
import { describe, expect, it } from 'vitest';
import { DigestChallenger, parseCredentials } from './peer-digest.ts';
import type { PeerAuth } from './peer-digest.ts';

const ACCOUNT = { username: 'alice', password: 'secret' };
const URI = 'sip:phone@127.0.0.1';

/** The answer of @sipcast/sip's client to the challenge. */
function credentialsFor(
  challenge: readonly [string, string],
  account = ACCOUNT,
  client = new DigestClient(account, () => 'cnonce'),
): string {
  const headers = new SipHeaders().append(...challenge);
  const statusCode = challenge[0].startsWith('proxy') ? 407 : 401;
  client.challenged(
    { kind: 'response', statusCode, reasonPhrase: '', headers, body: EMPTY_BODY },
    1,
  );
  return client.authorization('INVITE', URI, EMPTY_BODY)[0]?.[1] ?? '';
}

function challengeOf(challenger: DigestChallenger, credentials?: string) {
  const verdict = challenger.check('INVITE', URI, credentials);
  if (verdict.passed) throw new Error('Passed');
  return verdict;
}

describe('the digest challenger', () => {
  it.each<Partial<PeerAuth>>([
    {},
    { algorithm: 'SHA-256' },
    { status: 407 },
    { qop: 'none' },
    { realm: 'another, with a comma' },
  ])('accepts the right answer: %j', (auth) => {
    const challenger = new DigestChallenger({ ...ACCOUNT, ...auth });
    const { challenge, fault } = challengeOf(challenger);
    expect(fault).toBeUndefined();
    expect(challenge[0]).toBe(auth.status === 407 ? 'proxy-authenticate' : 'www-authenticate');
    expect(challenger.check('INVITE', URI, credentialsFor(challenge))).toEqual({ passed: true });
  });

  it('calls the first nonce stale, once', () => {
    const challenger = new DigestChallenger({ ...ACCOUNT, stale: true });
    const stale = challengeOf(challenger, credentialsFor(challengeOf(challenger).challenge));
    expect(stale.fault).toBeUndefined();
    expect(stale.challenge[1]).toContain('stale=true');
    expect(challenger.check('INVITE', URI, credentialsFor(stale.challenge)).passed).toBe(true);
  });

  it('names the problem', () => {
    const challenger = new DigestChallenger(ACCOUNT);
    const { challenge } = challengeOf(challenger);
    const right = credentialsFor(challenge);
    const faultOf = (text: string) => challengeOf(challenger, text).fault;
    expect(faultOf(credentialsFor(challenge, { ...ACCOUNT, password: 'wrong' }))).toBe(
      'wrong response',
    );
    expect(faultOf(right.replace('alice', 'bob'))).toBe('wrong username');
    expect(faultOf(right.replace(/nc=\d+/, 'nc=00000002'))).toBe('nc is 00000002 after 0');
    expect(faultOf(right.replace(/nc=\d+/, 'nc=1'))).toBe('nc is not eight hexadecimal digits');
    expect(faultOf(right.replace(/nonce="[^"]*"/, 'nonce="x"'))).toBe('unknown nonce');
    expect(faultOf(right.replace('testkit-opaque', 'x'))).toBe('opaque was not returned');
    expect(faultOf(right.replace(URI, 'sip:x@y'))).toBe('digest uri is not the Request-URI');
    expect(faultOf('Basic abc')).toBe('credentials are no Digest');
    expect(challenger.check('INVITE', URI, right).passed).toBe(true);
    expect(faultOf(right)).toBe('nc is 00000001 after 1');
  });

  it('parses credentials strictly', () => {
    expect(parseCredentials('Digest a="x, \\"y\\"", b=2')).toEqual(
      new Map([
        ['a', 'x, "y"'],
        ['b', '2'],
      ]),
    );
    expect(parseCredentials('Digest a="x" b=2')).toBeUndefined();
    expect(parseCredentials('Digest a=1, a=2')).toBeUndefined();
    expect(parseCredentials('Digest a="x')).toBeUndefined();
  });
});
