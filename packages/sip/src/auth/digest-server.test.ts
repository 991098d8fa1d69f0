// The server side of digest, tested against this package's client and by hand.

import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { DigestClient } from './digest.ts';
import { DigestServer, type DigestServerOptions } from './digest-server.ts';
import { createResponse } from '../transaction/matching.ts';
import { EMPTY_BODY, SipHeaders, type SipRequest } from '../message/message.ts';

function setUp(options: Partial<DigestServerOptions> = {}) {
  const clock = { nowMs: 1_000_000, now: () => clock.nowMs, startTimer: () => ({ cancel() {} }) };
  const server = new DigestServer({
    realm: 'studio',
    passwordOf: (username) => new Map([['carol', 'secret']]).get(username),
    clock,
    secret: Buffer.from('a secret'),
    ...options,
  });
  return { server, clock };
}

function invite(fields: readonly (readonly [string, string])[] = []): SipRequest {
  const headers = new SipHeaders()
    .append('via', 'SIP/2.0/UDP h;branch=z9hG4bK1')
    .append('from', '<sip:carol@h>;tag=1')
    .append('to', '<sip:studio@h>')
    .append('call-id', 'c')
    .append('cseq', '1 INVITE');
  for (const [name, value] of fields) headers.append(name, value);
  return { kind: 'request', method: 'INVITE', uri: 'sip:studio@h', headers, body: EMPTY_BODY };
}

function answer(
  server: DigestServer,
  password = 'secret',
  username = 'carol',
  source = '192.0.2.1',
  signed = 'sip:studio@h',
): SipRequest {
  const judged = server.judge(invite(), source);
  if (judged.outcome !== 'challenge') throw new Error(judged.outcome);
  const response = createResponse(invite(), 401, 'Unauthorized', 't');
  for (const [name, value] of judged.headers) response.headers.append(name, value);
  const client = new DigestClient({ username, password }, () => 'cnonce');
  client.challenged(response, 1);
  return invite(client.authorization('INVITE', signed, EMPTY_BODY));
}

describe('DigestServer', () => {
  it('challenges with SHA-256 first, and accepts the right answer', () => {
    const { server } = setUp();
    const judged = server.judge(invite(), '192.0.2.1');
    expect(judged).toMatchObject({ outcome: 'challenge', reason: 'missing' });
    expect(judged.outcome === 'challenge' && judged.headers.map(([, v]) => v)).toEqual([
      expect.stringMatching(
        /^Digest realm="studio", nonce="[0-9a-f]+-[0-9a-f]{12}-[0-9a-f]{32}", algorithm=SHA-256, qop="auth"$/,
      ),
      expect.stringContaining('algorithm=MD5'),
    ]);
    const authorized = answer(server);
    expect(authorized.headers.get('authorization')).toContain('algorithm=SHA-256');
    expect(server.judge(authorized, '192.0.2.1')).toEqual({
      outcome: 'accepted',
      username: 'carol',
    });
  });

  it('refuses a repeated answer as stale', () => {
    const { server } = setUp();
    const authorized = answer(server);
    server.judge(authorized, '192.0.2.1');
    expect(server.judge(authorized, '192.0.2.1')).toMatchObject({ reason: 'stale' });
  });

  it('refuses an old nonce, and one that is not its own', () => {
    const { server, clock } = setUp();
    const authorized = answer(server);
    clock.nowMs += 120_001;
    const judged = server.judge(authorized, '192.0.2.1');
    expect(judged).toMatchObject({ reason: 'stale' });
    expect(judged.outcome === 'challenge' && judged.headers[0]?.[1]).toContain('stale=true');
    const other = setUp({ secret: Buffer.from('another') });
    expect(other.server.judge(answer(server), '192.0.2.1')).toMatchObject({ reason: 'stale' });
  });

  it('refuses an answer to another request', () => {
    const { server } = setUp();
    const authorized = { ...answer(server), uri: 'sip:other@h' };
    expect(server.judge(authorized, '192.0.2.1')).toMatchObject({ reason: 'wrong' });
  });

  it.each([
    ['of another host, as behind a proxy', (uri: string) => uri.replace('@h', '@proxy.example')],
    ['with other parameters', (uri: string) => `${uri};transport=tls`],
    ['without a user, as sipp writes it', (uri: string) => uri.replace(/[^:]*@/, '')],
  ])('accepts a signed URI %s', (_, signed) => {
    const { server } = setUp();
    const request = answer(server, 'secret', 'carol', '192.0.2.1', signed('sip:studio@h'));
    expect(server.judge(request, '192.0.2.1')).toMatchObject({ outcome: 'accepted' });
  });

  it.each([
    ['a wrong password', 'guess', 'carol'],
    ['an unknown user', 'secret', 'dave'],
    ['an unknown user without password', '', 'dave'],
  ])('responds identically to %s', (_, password, username) => {
    const { server } = setUp();
    const judged = server.judge(answer(server, password, username), '192.0.2.1');
    expect(judged).toMatchObject({ outcome: 'challenge', reason: 'wrong' });
    expect(judged.outcome === 'challenge' && judged.headers[0]?.[1]).not.toContain('stale');
  });

  it('locks out a source, and a user, for five minutes after repeated failures', () => {
    const { server, clock } = setUp();
    const outcomes = [];
    for (let n = 0; n < 5; n++)
      outcomes.push(server.judge(answer(server, 'guess', `u${n}`), '192.0.2.9').outcome);
    expect(outcomes).toEqual(['challenge', 'challenge', 'challenge', 'challenge', 'locked']);
    expect(server.judge(invite(), '192.0.2.9')).toEqual({ outcome: 'locked' });
    expect(server.judge(answer(server), '192.0.2.1').outcome).toBe('accepted');
    for (let n = 0; n < 50; n++)
      server.judge(answer(server, 'guess', 'carol', `192.0.2.1${n}`), `192.0.2.1${n}`);
    expect(server.judge(answer(server), '192.0.2.1')).toEqual({ outcome: 'locked' });
    clock.nowMs += 300_001;
    expect(server.judge(answer(server), '192.0.2.1').outcome).toBe('accepted');
  });

  it('can be configured to refuse MD5', () => {
    const { server } = setUp({ algorithms: ['SHA-256'] });
    const md5 = (text: string): string => createHash('md5').update(text).digest('hex');
    const judged = server.judge(invite(), '192.0.2.1');
    const nonce =
      judged.outcome === 'challenge' ? /nonce="([^"]+)"/.exec(judged.headers[0]![1])![1]! : '';
    const response = md5(`${md5('carol:studio:secret')}:${nonce}:${md5('INVITE:sip:studio@h')}`);
    const header = `Digest username="carol", realm="studio", nonce="${nonce}", uri="sip:studio@h", response="${response}"`;
    expect(server.judge(invite([['authorization', header]]), '192.0.2.1')).toMatchObject({
      reason: 'wrong',
    });
    const both = setUp();
    expect(both.server.judge(invite([['authorization', header]]), '192.0.2.1')).toEqual({
      outcome: 'accepted',
      username: 'carol',
    });
  });

  it('survives malformed input', () => {
    const { server } = setUp();
    for (const header of [
      '',
      'Digest',
      'Basic x',
      'Digest realm="studio"',
      'Digest realm="studio", nonce="-", nc=zz',
    ])
      expect(server.judge(invite([['authorization', header]]), '::1').outcome).toBeDefined();
    expect(() => setUp({ realm: '' })).toThrow(/realm/);
    expect(() => setUp({ nonceLifeMs: 1 })).toThrow(/nonceLifeMs/);
  });

  it('evicts the oldest of many sources', () => {
    const { server } = setUp({ maxFailures: 2 });
    const wrong = answer(server, 'guess');
    server.judge(wrong, 'first');
    for (let n = 0; n < 12_000; n++) server.judge(answer(server, 'x', `u${n}`, 'asker'), `s${n}`);
    expect(server.judge(answer(server, 'x', 'other', 'asker'), 'first').outcome).toBe('challenge');
  });
});
