import { describe, expect, it } from 'vitest';
import { answerRtmpAuth, parseRtmpAuthDemand } from './auth.ts';
import type { RtmpAuthDemand } from './auth.ts';

const joe = { username: 'joe', password: 's3cret' };

function answer(description: string, app = 'live', credentials = joe): string {
  const demand = parseRtmpAuthDemand(description);
  if (!demand || demand.kind === 'failed') throw new Error(`No demand: ${description}`);
  return answerRtmpAuth(demand, credentials, app, 'deadbeef');
}

describe('RTMP authentication', () => {
  const demands: [string, RtmpAuthDemand['kind'] | undefined, string?][] = [
    ['[ AccessManager.Reject ] : [ code=403 need auth; authmod=adobe ] : ', 'name'],
    ['[ AccessManager.Reject ] : [ code=403 need auth; authmod=llnw ] : ', 'name'],
    ['code=403 need auth; authmod=adobe', 'name'],
    ['authmod=adobe ?reason=needauth&user=joe&salt=a&challenge=b', 'digest'],
    [
      '[ AccessManager.Reject ] : [ authmod=adobe ] : ?reason=authfailed&opaque=x',
      'failed',
      'authfailed',
    ],
    ['[ AccessManager.Reject ] : [ authmod=adobe ] : ?reason=nosuchuser', 'failed', 'nosuchuser'],
    ['[ code=403 need auth; authmod=kerberos ]', 'failed', 'unknown-scheme'],
    ['No such application', undefined],
    ['', undefined],
  ];
  for (const [description, kind, reason] of demands) {
    it(`reads ${JSON.stringify(description)}`, () => {
      const demand = parseRtmpAuthDemand(description);
      expect(demand?.kind).toBe(kind);
      if (reason !== undefined) expect(demand).toMatchObject({ reason });
    });
  }

  it('sends the name first', () => {
    expect(answer('[ code=403 need auth; authmod=adobe ]')).toBe('authmod=adobe&user=joe');
    const odd = { username: 'joe@x.com&a b', password: '' };
    expect(answer('[ code=403 need auth; authmod=llnw ]', 'live', odd)).toBe(
      'authmod=llnw&user=joe@x.com%26a%20b',
    );
  });

  // Expected digests from Python: base64(md5(base64(md5('joeNaCls3cret')) + challenge + 'deadbeef')).
  it('answers Adobe with the challenge, or with the opaque value if there is one', () => {
    const needauth = '[ authmod=adobe ] : ?reason=needauth&user=joe&salt=NaCl&challenge=chal1==';
    expect(answer(needauth)).toBe(
      'authmod=adobe&user=joe&challenge=deadbeef&response=UgsRVZVEWiMClkbW/T+gzQ==',
    );
    expect(answer(`${needauth}&opaque=opq`)).toBe(
      'authmod=adobe&user=joe&challenge=deadbeef&response=M8nNuyjbzUNX6kbXJQqqAA==&opaque=opq',
    );
  });

  // Expected digests from Python: md5(md5('joe:live:s3cret') : nonce : nc : cnonce : auth : md5('publish:/live/_definst_')).
  it('answers Limelight, whose digest covers the application and its instance', () => {
    const needauth = '[ authmod=llnw ] : ?reason=needauth&user=joe&nonce=n0nce';
    const head = 'authmod=llnw&user=joe&nonce=n0nce&cnonce=deadbeef&nc=00000001&response=';
    expect(answer(needauth)).toBe(`${head}d540e9c69a09dc69421affc1b0b770f0`);
    expect(answer(needauth, 'live/inst')).toBe(`${head}ddcb1a47b93b99735100acc93e112beb`);
  });
});
