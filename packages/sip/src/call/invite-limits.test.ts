// Limits on what a peer can make of one outgoing call: dialogs from forks, and challenges.

import { describe, expect, it } from 'vitest';
import type { InviteSession } from './call-session.ts';
import type { SessionEnding } from '../dialog/session-handler.ts';
import { PEER, settle, TestWire } from '../test-wire.ts';

const CONTACT = ['contact', `<sip:bob@${PEER.address}>`] as const;

async function call(): Promise<{
  readonly wire: TestWire;
  readonly session: InviteSession;
  readonly told: string[];
  readonly endings: SessionEnding[];
}> {
  const wire = await new TestWire().open();
  const told: string[] = [];
  const endings: SessionEnding[] = [];
  const session = wire.userAgent.invite(
    {
      callId: 'call@us',
      target: `sip:bob@${PEER.address}`,
      from: { uri: 'sip:alice@example.com' },
      transport: 'udp',
      offer: 'v=0 offer\r\n',
      credentials: { username: 'alice', password: 'secret' },
    },
    {
      onProvisional: () => {},
      onAnswered: () => void told.push('answered'),
      onReoffer: () => ({ answer: 'v=0\r\n' }),
      onEnded: (ending) => void endings.push(ending),
    },
  );
  await settle();
  return { wire, session, told, endings };
}

describe('forks', () => {
  it('33 that ring are one call with at most 32 dialogs', async () => {
    const { wire, session } = await call();
    const invite = wire.request('INVITE');
    for (let fork = 1; fork <= 33; fork++) {
      wire.answer(invite, 180, [CONTACT], '', `fork${fork}`);
    }
    wire.take();
    // The peer may send requests in an early dialog, but not beyond the limit.
    for (const fork of [1, 32, 33]) {
      wire.ask('INFO', {
        callId: 'call@us',
        from: `${invite.headers.get('to') ?? ''};tag=fork${fork}`,
        to: invite.headers.get('from') ?? '',
        sequence: 1,
        branch: `z9hG4bK-fork${fork}`,
      });
    }
    expect(wire.take()).toEqual(['200 INFO', '200 INFO', '481 INFO']);
    expect(session.state).toBe('proceeding');
    await wire.close();
  });

  it('33 that answer: the first stays, 31 get a BYE, and one is ignored', async () => {
    const { wire, session, told } = await call();
    wire.take();
    const invite = wire.request('INVITE');
    for (let fork = 1; fork <= 33; fork++) {
      wire.answer(invite, 200, [CONTACT], 'v=0 answer\r\n', `fork${fork}`);
    }
    await settle();
    const sent = wire.take();
    const count = (label: string): number => sent.filter((one) => one === label).length;
    expect([count('ACK'), count('BYE'), sent.length]).toEqual([32, 31, 63]);
    expect([session.state, told]).toEqual(['established', ['answered']]);
    await wire.close();
    expect(wire.clock.running).toBe(0);
  });
});

describe('a challenge with a new nonce each time', () => {
  const challenge = (nonce: string, more = ''): [string, string] => [
    'www-authenticate',
    `Digest realm="example.com", nonce="${nonce}"${more}`,
  ];

  it('is answered once, then the call ends', async () => {
    const { wire, endings } = await call();
    for (let round = 1; round <= 10; round++) {
      wire.answer(wire.request('INVITE'), 401, [challenge(`n${round}`)]);
      await settle();
    }
    const invites = wire.history.filter((one) => one.kind === 'request' && one.method === 'INVITE');
    expect(invites.length).toBe(2);
    expect(endings).toMatchObject([{ statusCode: 401, error: { code: 'AUTH_FAILED' } }]);
    await wire.close();
    expect(wire.clock.running).toBe(0);
  });

  it('with stale=true is answered once more, but not endlessly', async () => {
    const { wire, endings } = await call();
    for (let round = 1; round <= 10; round++) {
      wire.answer(wire.request('INVITE'), 401, [challenge(`n${round}`, ', stale=true')]);
      await settle();
    }
    const invites = wire.history.filter((one) => one.kind === 'request' && one.method === 'INVITE');
    expect(invites.length).toBeLessThanOrEqual(3);
    expect(endings).toMatchObject([{ statusCode: 401, error: { code: 'AUTH_FAILED' } }]);
    await wire.close();
  });
});
