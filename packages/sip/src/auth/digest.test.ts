import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { DigestClient, parseChallenges } from './digest.ts';
import { EMPTY_BODY, SipHeaders } from '../message/message.ts';
import type { SipResponse } from '../message/message.ts';

const MUFASA = { username: 'Mufasa', password: 'Circle of Life' };

function challenge(statusCode: number, ...values: string[]): SipResponse {
  const headers = new SipHeaders();
  for (const value of values) {
    headers.append(statusCode === 407 ? 'Proxy-Authenticate' : 'WWW-Authenticate', value);
  }
  return { kind: 'response', statusCode, reasonPhrase: '', headers, body: EMPTY_BODY };
}

function md5(text: string): string {
  return createHash('md5').update(text).digest('hex');
}

function parameter(pairs: [string, string][], name: string, index = 0): string | undefined {
  return parseChallenges(pairs[index]?.[1] ?? '')[0]?.parameters.get(name);
}

const PLAIN = 'Digest realm="sip.example.com", nonce="n1", qop="auth"';

const RFC7616 = (algorithm: string) =>
  `Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm=${algorithm}, ` +
  'nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"';

describe('published vectors', () => {
  it.each([
    ['MD5', '8ca523f5e9506fed4657c9700eebdbec'],
    ['SHA-256', '753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1'],
  ])('RFC 7616 §3.9.1 %s', (algorithm, response) => {
    const client = new DigestClient(MUFASA, () => 'f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ');
    expect(client.challenged(challenge(401, RFC7616(algorithm)), 1)).toBe('retry');
    expect(client.authorization('GET', '/dir/index.html', EMPTY_BODY)).toEqual([
      [
        'Authorization',
        'Digest username="Mufasa", realm="http-auth@example.org", nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", ' +
          `uri="/dir/index.html", response="${response}", algorithm=${algorithm}, ` +
          'cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS", ' +
          'qop=auth, nc=00000001',
      ],
    ]);
  });

  it('RFC 2617 §3.5', () => {
    const client = new DigestClient(
      { username: 'Mufasa', password: 'Circle Of Life' },
      () => '0a4f113b',
    );
    const value =
      'Digest realm="testrealm@host.com", qop="auth,auth-int", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", opaque="5ccc069c403ebaf9f0171e9517f40e41"';
    client.challenged(challenge(401, value), 1);
    const headers = client.authorization('GET', '/dir/index.html', EMPTY_BODY);
    expect(parameter(headers, 'response')).toBe('6629fae49393a05397450978507c4ef1');
  });

  it('RFC 2069 §2.4, as its erratum corrects it: no qop, no cnonce, no nc', () => {
    const client = new DigestClient(
      { username: 'Mufasa', password: 'CircleOfLife' },
      () => 'unused',
    );
    const value = 'Digest realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093"';
    client.challenged(challenge(401, value), 1);
    const headers = client.authorization('GET', '/dir/index.html', EMPTY_BODY);
    expect(parameter(headers, 'response')).toBe('1949323746fe6a43ef61f9606e7febea');
    expect(headers[0]?.[1]).not.toMatch(/cnonce|nc=|qop/);
  });
});

const answer = (...values: string[]) => {
  const client = new DigestClient(MUFASA, () => 'c');
  return client.challenged(challenge(401, ...values), 1) === 'retry'
    ? parameter(client.authorization('INVITE', 'sip:a@b', EMPTY_BODY), 'algorithm')
    : 'give-up';
};

const digest = (rest: string) => `Digest realm="r", nonce="n", ${rest}`;

describe('which challenge is answered', () => {
  it('answers the first supported one in the server’s order', () => {
    expect(answer(digest('algorithm=SHA-256'), digest('algorithm=MD5'))).toBe('SHA-256');
    expect(answer(digest('algorithm=MD5'), digest('algorithm=SHA-256'))).toBe('MD5');
    expect(answer(digest('algorithm=WHIRLPOOL'), digest('algorithm="sha-256"'))).toBe('sha-256');
    expect(
      answer('Bearer realm="r"', 'NoOneKnowsThisScheme opaque-data=here', digest('algorithm=MD5')),
    ).toBe('MD5');
    expect(answer(`Basic realm="x", ${digest('algorithm=SHA-256-sess')}`)).toBe('SHA-256-sess');
  });

  it.each([
    ['an unknown algorithm', digest('algorithm=SHA-1')],
    ['no nonce', 'Digest realm="r"'],
    ['no realm', 'Digest nonce="n"'],
    ['another scheme', 'Basic realm="r"'],
    ['invalid grammar', '"""'],
    ['nothing', ''],
  ])('ignores one with %s', (_, value) => {
    expect(answer(value)).toBe('give-up');
  });

  it('ignores a realm that the credentials are not for', () => {
    const client = new DigestClient({ ...MUFASA, realm: 'home' }, () => 'c');
    expect(client.challenged(challenge(401, 'Digest realm="evil", nonce="n"'), 1)).toBe('give-up');
    expect(client.authorization('BYE', 'sip:a@b', EMPTY_BODY)).toEqual([]);
    const both = challenge(401, 'Digest realm="evil", nonce="n"', 'Digest realm="home", nonce="m"');
    expect(client.challenged(both, 1)).toBe('retry');
    expect(parameter(client.authorization('BYE', 'sip:a@b', EMPTY_BODY), 'realm')).toBe('home');
  });

  it('without a configured realm, answers only the one that challenged first', () => {
    const client = new DigestClient(MUFASA, () => 'c');
    expect(client.challenged(challenge(401, PLAIN), 1)).toBe('retry');
    expect(client.challenged(challenge(401, 'Digest realm="evil", nonce="n"'), 1)).toBe('give-up');
  });
});

const stale = (nonce: string) =>
  `Digest realm="sip.example.com", nonce="${nonce}", qop="auth", stale=TRUE`;

describe('attempts', () => {
  it('gives up when the answer is refused', () => {
    const client = new DigestClient(MUFASA, () => 'c');
    expect(client.challenged(challenge(401, PLAIN), 1)).toBe('retry');
    expect(client.challenged(challenge(401, PLAIN.replace('n1', 'n2')), 2)).toBe('give-up');
  });

  it('accepts one stale nonce, and never tries a third time', () => {
    const client = new DigestClient(MUFASA, () => 'c');
    expect(client.challenged(challenge(401, PLAIN), 1)).toBe('retry');
    expect(client.challenged(challenge(401, stale('n1')), 2)).toBe('give-up');
    expect(client.challenged(challenge(401, stale('n2')), 2)).toBe('retry');
    expect(parameter(client.authorization('INVITE', 'sip:a@b', EMPTY_BODY), 'nonce')).toBe('n2');
    expect(client.challenged(challenge(401, stale('n3')), 3)).toBe('give-up');
  });

  it('starts over after a nonce that expired between requests', () => {
    const client = new DigestClient(MUFASA, () => 'c');
    client.challenged(challenge(401, PLAIN), 1);
    client.authorization('INVITE', 'sip:a@b', EMPTY_BODY);
    expect(client.challenged(challenge(401, stale('n2')), 1)).toBe('retry');
    expect(parameter(client.authorization('BYE', 'sip:a@b', EMPTY_BODY), 'nc')).toBe('00000001');
  });

  it('answers both a proxy and a server for the same request', () => {
    const client = new DigestClient(MUFASA, () => 'c');
    expect(client.challenged(challenge(407, 'Digest realm="proxy", nonce="p"'), 1)).toBe('retry');
    expect(client.challenged(challenge(401, 'Digest realm="server", nonce="s"'), 2)).toBe('retry');
    const headers = client.authorization('INVITE', 'sip:a@b', EMPTY_BODY);
    expect(headers.map(([name]) => name)).toEqual(['Proxy-Authorization', 'Authorization']);
    expect(parameter(headers, 'realm', 0)).toBe('proxy');
    expect(parameter(headers, 'realm', 1)).toBe('server');
  });
});

describe('the credentials header', () => {
  it('counts the uses of a nonce in eight hexadecimal digits', () => {
    const client = new DigestClient(MUFASA, () => 'c');
    client.challenged(challenge(401, PLAIN), 1);
    for (let use = 1; use <= 17; use++) {
      const headers = client.authorization('INVITE', 'sip:a@b', EMPTY_BODY);
      const nc = use.toString(16).padStart(8, '0');
      const a1 = md5('Mufasa:sip.example.com:Circle of Life');
      expect(parameter(headers, 'nc')).toBe(nc);
      expect(parameter(headers, 'response')).toBe(
        md5(`${a1}:n1:${nc}:c:auth:${md5('INVITE:sip:a@b')}`),
      );
    }
  });

  it.each([
    ['MD5-sess', 'md5'],
    ['SHA-256-sess', 'sha256'],
  ])('%s hashes nonce and cnonce into the key', (algorithm, hash) => {
    const hex = (text: string) => createHash(hash).update(text).digest('hex');
    const client = new DigestClient(MUFASA, () => 'c0');
    client.challenged(
      challenge(401, `Digest realm="r", nonce="n", qop="auth", algorithm=${algorithm}`),
      1,
    );
    const a1 = hex(`${hex('Mufasa:r:Circle of Life')}:n:c0`);
    const response = hex(`${a1}:n:00000001:c0:auth:${hex('INVITE:sip:a@b')}`);
    expect(parameter(client.authorization('INVITE', 'sip:a@b', EMPTY_BODY), 'response')).toBe(
      response,
    );
  });

  it('escapes quotes and backslashes in username and realm', () => {
    const client = new DigestClient({ username: 'a"b\\c', password: 'p' }, () => 'c');
    client.challenged(challenge(401, 'Digest realm="x\\"y\\\\z", nonce="n"'), 1);
    const headers = client.authorization('INVITE', 'sip:a@b', EMPTY_BODY);
    expect(headers[0]?.[1]).toContain('username="a\\"b\\\\c", realm="x\\"y\\\\z"');
    const a1 = md5('a"b\\c:x"y\\z:p');
    expect(parameter(headers, 'response')).toBe(md5(`${a1}:n:${md5('INVITE:sip:a@b')}`));
  });

  it('refuses line breaks in the username', () => {
    expect(
      () => new DigestClient({ username: 'a\r\nX: y', password: 'p' }, () => 'c'),
    ).toThrowError(expect.objectContaining({ code: 'ILLEGAL_CHARACTER', field: 'username' }));
  });

  it('is absent before any challenge', () => {
    expect(
      new DigestClient(MUFASA, () => 'c').authorization('INVITE', 'sip:a@b', EMPTY_BODY),
    ).toEqual([]);
  });
});

describe('several realms', () => {
  const of = (realm: string, nonce = realm) =>
    `Digest realm="${realm}", nonce="${nonce}", qop="auth"`;
  const realmsIn = (client: DigestClient) =>
    client
      .authorization('INVITE', 'sip:b@c', EMPTY_BODY)
      .map(([name, value]) => `${name} ${parseChallenges(value)[0]?.parameters.get('realm')}`);

  it.each([
    ['only the first by default', undefined, ['a']],
    ['those of the list', ['b'], ['a', 'b']],
    ['any', 'any', ['a', 'b', 'c', 'd']],
  ] as const)('are answered: %s', (_, realms, answered) => {
    const client = new DigestClient({ ...MUFASA, ...(realms && { realms }) }, () => 'c');
    let attempt = 1;
    for (const realm of ['a', 'b', 'c', 'd', 'e']) {
      const isAnswered = (answered as readonly string[]).includes(realm);
      const result = client.challenged(challenge(407, of(realm)), attempt++);
      expect([realm, result]).toEqual([realm, isAnswered ? 'retry' : 'give-up']);
    }
    expect(realmsIn(client)).toEqual(answered.map((realm) => `Proxy-Authorization ${realm}`));
  });

  it('gives up on a realm that refuses twice', () => {
    const client = new DigestClient({ ...MUFASA, realms: 'any' }, () => 'c');
    expect(client.challenged(challenge(407, of('a')), 1)).toBe('retry');
    expect(client.challenged(challenge(407, of('b')), 2)).toBe('retry');
    expect(client.challenged(challenge(407, of('b', 'other')), 3)).toBe('give-up');
    const refreshed = `${of('b', 'fresh')}, stale=true`;
    expect(client.challenged(challenge(407, refreshed), 3)).toBe('retry');
  });

  it('answers no new realm on a host that another party chose', () => {
    const client = new DigestClient({ ...MUFASA, realms: 'any' }, () => 'c');
    client.challenged(challenge(401, of('a')), 1);
    client.bind();
    expect(client.challenged(challenge(401, of('evil')), 1)).toBe('give-up');
    expect(client.challenged(challenge(401, of('a')), 1)).toBe('retry');
  });

  it('accepts a 401 with Proxy-Authenticate only', () => {
    const client = new DigestClient(MUFASA, () => 'c');
    const proxy = { ...challenge(407, of('a')), statusCode: 401 };
    expect(client.challenged(proxy, 1)).toBe('retry');
    expect(realmsIn(client)).toEqual(['Proxy-Authorization a']);
  });

  it('signs the body if only auth-int is offered', () => {
    const client = new DigestClient(MUFASA, () => 'c');
    const value = 'Digest realm="r", nonce="n", qop="auth-int"';
    expect(client.challenged(challenge(401, value), 1)).toBe('retry');
    const headers = client.authorization('INVITE', 'sip:b@c', Buffer.from('body'));
    const a1 = md5('Mufasa:r:Circle of Life');
    const a2 = md5(`INVITE:sip:b@c:${md5('body')}`);
    expect(parameter(headers, 'response')).toBe(md5(`${a1}:n:00000001:c:auth-int:${a2}`));
    expect(parameter(headers, 'qop')).toBe('auth-int');
  });
});
