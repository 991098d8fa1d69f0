// Calls over real UDP sockets against a scripted peer: answer, refusal, challenge, CANCEL, BYE, forks, re-INVITE.

import { createHash } from 'node:crypto';
import {
  formatMessage,
  type InviteOptions,
  type InviteSession,
  type SipDns,
  type SipRequest,
  type SipUserAgent,
} from '@sipcast/sip';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  dialogRequest,
  openUserAgent,
  Recorder,
  response,
  say,
  ScriptedPeer,
  SHORT_TIMERS,
} from './sip-peer.ts';
import { until } from '../../support/wait.ts';
import { afterTest } from '../../support/cleanup.ts';

const OFFER = 'v=0 offer\r\n';
let userAgent: SipUserAgent;
let peer: ScriptedPeer;

beforeEach(async () => {
  userAgent = await openUserAgent();
  peer = await new ScriptedPeer().openUdp();
});

afterEach(async () => {
  await userAgent.close();
  await peer.close();
  expect(userAgent.stats).toEqual({
    sessions: 0,
    clientTransactions: 0,
    serverTransactions: 0,
    connections: 0,
  });
});

function call(
  recorder: Recorder,
  options: Partial<InviteOptions> = {},
  agent = userAgent,
): InviteSession {
  return agent.invite(
    {
      callId: `call-${Math.random().toString(36).slice(2)}@test`,
      target: `sip:bob@127.0.0.1:${peer.port}`,
      from: { uri: 'sip:alice@example.com', displayName: 'Alice "A"' },
      transport: 'udp',
      offer: OFFER,
      ...options,
    },
    recorder,
  );
}

const contact = (): [string, string] => ['contact', `<sip:bob@127.0.0.1:${peer.port}>`];

/** Answers INVITE with 200 and everything in the dialog with 200. */
function answering(tag = 'bob'): void {
  peer.script = (message, reply) => {
    if (message.kind !== 'request' || message.method === 'ACK') return;
    if (message.method === 'INVITE') {
      say(reply, response(message, 200, { tag, headers: [contact()], body: 'v=0 peer\r\n' }));
    } else say(reply, response(message, 200, { tag }));
  };
}

async function established(): Promise<{
  recorder: Recorder;
  session: InviteSession;
  invite: SipRequest;
}> {
  answering();
  const recorder = new Recorder();
  const session = call(recorder);
  await recorder.answered;
  await peer.request('ACK');
  const invite = await peer.request('INVITE');
  return { recorder, session, invite };
}

describe('an answered call', () => {
  it('sends INVITE and ACK as the RFC wants them, and BYE on terminate', async () => {
    peer.script = (message, reply) => {
      if (message.kind !== 'request') return;
      if (message.method === 'INVITE') {
        say(reply, response(message, 100));
        say(reply, response(message, 180, { tag: 'bob' }));
        say(
          reply,
          response(message, 200, { tag: 'bob', headers: [contact()], body: 'v=0 peer\r\n' }),
        );
      } else if (message.method === 'BYE') say(reply, response(message, 200));
    };
    const recorder = new Recorder();
    const session = call(recorder, {
      callId: 'abc@host',
      headers: [
        ['X-Order', '1'],
        ['User-Agent', 'mine'],
      ],
    });
    expect(session.state).toBe('starting');
    const accepted = await recorder.answered;
    expect(Buffer.from(accepted.body).toString()).toBe('v=0 peer\r\n');
    const [invite] = peer.requests('INVITE');
    expect(invite?.uri).toBe(`sip:bob@127.0.0.1:${peer.port}`);
    expect(invite?.headers.get('call-id')).toBe('abc@host');
    expect(invite?.headers.get('x-order')).toBe('1');
    expect(invite?.headers.getAll('user-agent')).toEqual(['mine']);
    expect(invite?.headers.get('from')).toMatch(
      /^"Alice \\"A\\"" <sip:alice@example.com>;tag=[0-9a-f]+$/,
    );
    expect(invite?.headers.get('contact')).toBe(`<sip:alice@127.0.0.1:${userAgent.localPort}>`);
    expect(invite?.headers.get('via')).toMatch(
      new RegExp(`^SIP/2.0/UDP 127.0.0.1:${userAgent.localPort};branch=z9hG4bK[0-9a-f]+;rport$`),
    );
    expect(Buffer.from(invite?.body ?? []).toString()).toBe(OFFER);
    const ack = await peer.request('ACK');
    expect(ack.headers.get('cseq')).toBe('1 ACK');
    expect(ack.headers.get('to')).toContain('tag=bob');
    expect(ack.headers.get('via')).not.toBe(invite?.headers.get('via'));
    expect(session.state).toBe('established');
    await session.terminate({ reason: 'SIP;cause=200;text="done"' });
    const bye = await peer.request('BYE');
    expect(bye.headers.get('cseq')).toBe('2 BYE');
    expect(bye.headers.get('reason')).toBe('SIP;cause=200;text="done"');
    expect(recorder.events).toEqual(['100', '180', 'answered 200', 'ended']);
    expect(await recorder.ended).toMatchObject({ endedBy: 'local', answered: true });
    expect((await recorder.ended).error).toBeUndefined();
    expect(session.state).toBe('ended');
    await session.terminate();
  });

  it("answers the peer's BYE", async () => {
    const { recorder, invite } = await established();
    const bye = dialogRequest(invite, 'BYE', { tag: 'bob', sequence: 7, port: peer.port });
    say(peer.lastReply, bye);
    expect((await peer.response('7 BYE')).statusCode).toBe(200);
    expect(await recorder.ended).toMatchObject({
      endedBy: 'remote',
      answered: true,
      cancelled: false,
    });
    // A retransmitted BYE is answered from its transaction, a new one belongs to nothing.
    say(peer.lastReply, bye);
    await until(() => peer.received.filter((m) => m.kind === 'response').length === 2);
    say(peer.lastReply, dialogRequest(invite, 'BYE', { tag: 'bob', sequence: 8, port: peer.port }));
    expect((await peer.response('8 BYE')).statusCode).toBe(481);
  });

  it('ends without a response to our BYE', async () => {
    const { session, recorder } = await established();
    peer.script = () => {};
    await session.terminate();
    expect(await recorder.ended).toMatchObject({ endedBy: 'local', answered: true });
    expect(peer.copies('BYE').length).toBeGreaterThan(5);
  });

  it('acknowledges each retransmitted 200 with the same ACK', async () => {
    const { invite } = await established();
    const again = response(invite, 200, { tag: 'bob', headers: [contact()], body: 'v=0 peer\r\n' });
    say(peer.lastReply, again);
    say(peer.lastReply, again);
    await peer.copy('ACK', 3);
    const vias = new Set(peer.copies('ACK').map((ack) => ack.headers.get('via')));
    expect(vias.size).toBe(1);
    // Long after the transaction is gone, still.
    await until(() => userAgent.stats.clientTransactions === 0);
    say(peer.lastReply, again);
    await peer.copy('ACK', 4);
  });

  it('follows Record-Route, and the Contact that a re-INVITE brings', async () => {
    const proxy = await new ScriptedPeer().openUdp();
    peer.script = (message, reply) => {
      if (message.kind !== 'request' || message.method !== 'INVITE') return;
      say(
        reply,
        response(message, 200, {
          tag: 'bob',
          headers: [
            ['contact', '<sip:bob@127.0.0.1:9>'],
            ['record-route', '<sip:far.invalid;lr>'],
            ['record-route', `<sip:127.0.0.1:${proxy.port};lr>`],
          ],
        }),
      );
    };
    proxy.script = (message, reply) => {
      if (message.kind === 'request' && message.method !== 'ACK')
        say(reply, response(message, 200));
    };
    const recorder = new Recorder();
    const session = call(recorder);
    const ack = await proxy.request('ACK');
    expect(ack.uri).toBe('sip:bob@127.0.0.1:9');
    expect(ack.headers.getAll('route')).toEqual([
      `<sip:127.0.0.1:${proxy.port};lr>`,
      '<sip:far.invalid;lr>',
    ]);
    say(
      proxy.lastReply,
      dialogRequest(await peer.request('INVITE'), 'UPDATE', {
        tag: 'bob',
        sequence: 1,
        port: proxy.port,
        headers: [['contact', '<sip:moved@127.0.0.1:10>']],
      }),
    );
    expect((await proxy.response('1 UPDATE')).statusCode).toBe(200);
    await session.terminate();
    expect((await proxy.request('BYE')).uri).toBe('sip:moved@127.0.0.1:10');
    await proxy.close();
  });

  it('sends INFO and reports its status; 481 ends the call', async () => {
    const { session, recorder } = await established();
    expect(await session.sendInfo('application/dtmf-relay', 'Signal=1\r\n')).toBe(200);
    const info = await peer.request('INFO');
    expect(info.headers.get('content-type')).toBe('application/dtmf-relay');
    peer.script = (message, reply) => {
      if (message.kind === 'request') say(reply, response(message, 481));
    };
    expect(await session.sendInfo('application/dtmf', '1')).toBe(481);
    expect(await recorder.ended).toMatchObject({ endedBy: 'remote', statusCode: 481 });
    await expect(session.sendInfo('application/dtmf', '1')).rejects.toMatchObject({
      code: 'CLOSED',
    });
  });

  it('reports every message of the call, in both directions', async () => {
    answering();
    const recorder = new Recorder();
    const seen: string[] = [];
    // A request that is sent again is reported again, so leave the peer time to answer.
    const patient = await openUserAgent({ timers: { ...SHORT_TIMERS, t1Ms: 5000 } });
    afterTest(() => patient.close());
    const session = patient.invite(
      {
        callId: 'traced',
        target: `sip:bob@127.0.0.1:${peer.port}`,
        from: { uri: 'sip:alice@example.com' },
        transport: 'udp',
        offer: OFFER,
      },
      {
        onProvisional: () => {},
        onReoffer: () => ({ answer: '' }),
        onAnswered: recorder.onAnswered,
        onEnded: recorder.onEnded,
        onMessage: (direction, message, remote) => {
          expect(remote).toEqual({ protocol: 'UDP', address: '127.0.0.1', port: peer.port });
          const what = message.kind === 'request' ? message.method : String(message.statusCode);
          seen.push(`${direction} ${what}`);
        },
      },
    );
    await recorder.answered;
    await session.terminate();
    expect(seen).toEqual(['out INVITE', 'in 200', 'out ACK', 'out BYE', 'in 200']);
  });
});

describe('a refused call', () => {
  it('acknowledges 486 and ends', async () => {
    peer.script = (message, reply) => {
      if (message.kind === 'request' && message.method === 'INVITE') {
        say(reply, response(message, 486, { tag: 'bob', reason: 'Busy Here' }));
      }
    };
    const recorder = new Recorder();
    call(recorder);
    expect(await recorder.ended).toMatchObject({
      endedBy: 'remote',
      answered: false,
      cancelled: false,
      statusCode: 486,
      reasonPhrase: 'Busy Here',
      error: { code: 'REJECTED', statusCode: 486 },
    });
    const ack = await peer.request('ACK');
    const [invite] = peer.requests('INVITE');
    expect(ack.headers.get('via')).toBe(invite?.headers.get('via'));
    expect(ack.headers.get('to')).toContain('tag=bob');
  });

  it('ends with 408 without a response (timer B), after retransmissions', async () => {
    const recorder = new Recorder();
    call(recorder);
    expect(await recorder.ended).toMatchObject({
      endedBy: 'network',
      statusCode: 408,
      error: { code: 'TIMEOUT' },
    });
    expect(peer.copies('INVITE').length).toBeGreaterThan(4);
  });

  it('cancels and ends with TIMEOUT when it rings for too long', async () => {
    peer.script = (message, reply) => {
      if (message.kind !== 'request') return;
      if (message.method === 'INVITE') say(reply, response(message, 180, { tag: 'bob' }));
      if (message.method === 'CANCEL') {
        say(reply, response(message, 200));
        const invite = peer.requests('INVITE')[0];
        if (invite !== undefined) say(reply, response(invite, 487, { tag: 'bob' }));
      }
    };
    const recorder = new Recorder();
    call(recorder, { inviteTimeoutMs: 60 });
    expect(await recorder.ended).toMatchObject({
      endedBy: 'local',
      cancelled: false,
      statusCode: 408,
      error: { code: 'TIMEOUT' },
    });
    await peer.request('ACK');
  });

  it('ends when the name does not resolve', async () => {
    const agent = await openUserAgent({ dns: dnsOf(() => Promise.reject(new Error('NXDOMAIN'))) });
    const recorder = new Recorder();
    call(recorder, { target: 'sip:bob@nowhere.invalid' }, agent);
    expect(await recorder.ended).toMatchObject({
      endedBy: 'network',
      statusCode: 503,
      error: { code: 'TRANSPORT' },
    });
    await agent.close();
  });

  it('resolves names through the resolver it was given', async () => {
    answering();
    const agent = await openUserAgent({
      dns: dnsOf(() => Promise.resolve([{ address: '127.0.0.1' }])),
    });
    const recorder = new Recorder();
    const session = call(recorder, { target: `sip:bob@pbx.example:${peer.port}` }, agent);
    await recorder.answered;
    expect((await peer.request('INVITE')).uri).toBe(`sip:bob@pbx.example:${peer.port}`);
    await session.terminate();
    await agent.close();
  });
});

/** Knows addresses, and no services. */
function dnsOf(addresses: SipDns['addresses']): SipDns {
  return { naptr: async () => [], srv: async () => [], addresses };
}

describe('digest', () => {
  const md5 = (text: string): string => createHash('md5').update(text).digest('hex');

  /** True when the request answers the challenge for alice with this password. */
  function proves(request: SipRequest, header: string, password: string): boolean {
    const value = request.headers.get(header) ?? '';
    const part = (name: string): string => new RegExp(`${name}="?([^",]*)`).exec(value)?.[1] ?? '';
    const ha1 = md5(`alice:test:${password}`);
    const ha2 = md5(`${request.method}:${request.uri}`);
    const wanted = md5(`${ha1}:n1:${part(' nc')}:${part('cnonce')}:auth:${ha2}`);
    return part('response') === wanted;
  }

  const cases = [
    [401, 'www-authenticate', 'authorization'],
    [407, 'proxy-authenticate', 'proxy-authorization'],
  ] as const;
  for (const [statusCode, challenge, credentials] of cases) {
    it(`answers ${statusCode} to the INVITE and to the BYE`, async () => {
      peer.script = (message, reply) => {
        if (message.kind !== 'request' || message.method === 'ACK') return;
        if (!proves(message, credentials, 'secret')) {
          say(
            reply,
            response(message, statusCode, {
              tag: 'uas',
              headers: [[challenge, 'Digest realm="test", nonce="n1", qop="auth"']],
            }),
          );
        } else say(reply, response(message, 200, { tag: 'bob', headers: [contact()] }));
      };
      const recorder = new Recorder();
      const session = call(recorder, { credentials: { username: 'alice', password: 'secret' } });
      await recorder.answered;
      const [first, second] = peer.requests('INVITE');
      expect(first?.headers.get('cseq')).toBe('1 INVITE');
      expect(second?.headers.get('cseq')).toBe('2 INVITE');
      expect(second?.headers.get('call-id')).toBe(first?.headers.get('call-id'));
      expect(second?.headers.get('from')).toBe(first?.headers.get('from'));
      expect(second?.headers.get('to')).not.toContain('tag=');
      const isSecond = (ack: SipRequest): boolean => ack.headers.get('cseq') === '2 ACK';
      await until(() => peer.requests('ACK').some(isSecond));
      const ack = peer.requests('ACK').find(isSecond);
      expect(ack?.headers.get(credentials)).toBe(second?.headers.get(credentials));
      await session.terminate();
      expect(peer.requests('BYE').length).toBe(1);
    });

    it(`gives up after a second ${statusCode}: wrong password`, async () => {
      peer.script = (message, reply) => {
        if (message.kind !== 'request' || message.method !== 'INVITE') return;
        const nonce = `n${peer.received.length}`;
        say(
          reply,
          response(message, statusCode, {
            tag: 'uas',
            headers: [[challenge, `Digest realm="test", nonce="${nonce}", qop="auth"`]],
          }),
        );
      };
      const recorder = new Recorder();
      call(recorder, { credentials: { username: 'alice', password: 'wrong' } });
      expect(await recorder.ended).toMatchObject({
        endedBy: 'remote',
        statusCode,
        error: { code: 'AUTH_FAILED', statusCode },
      });
      const sent = new Set(peer.requests('INVITE').map((invite) => invite.headers.get('cseq')));
      expect([...sent]).toEqual(['1 INVITE', '2 INVITE']);
    });
  }
});

describe('CANCEL', () => {
  it('waits for a provisional response', async () => {
    const recorder = new Recorder();
    const session = call(recorder);
    const invite = await peer.request('INVITE');
    const done = session.terminate();
    await peer.copy('INVITE', 2);
    expect(peer.requests('CANCEL').length).toBe(0);
    peer.script = (message, reply) => {
      if (message.kind !== 'request' || message.method !== 'CANCEL') return;
      say(reply, response(message, 200));
      say(reply, response(invite, 487, { tag: 'bob', reason: 'Request Terminated' }));
    };
    say(peer.lastReply, response(invite, 100));
    await done;
    const cancel = await peer.request('CANCEL');
    expect(cancel.headers.get('via')).toBe(invite.headers.get('via'));
    expect(cancel.headers.get('cseq')).toBe('1 CANCEL');
    expect(cancel.uri).toBe(invite.uri);
    expect(recorder.events).toEqual(['ended']);
    expect(await recorder.ended).toMatchObject({
      endedBy: 'local',
      cancelled: true,
      statusCode: 487,
    });
    await peer.request('ACK');
  });

  it('ends although the peer never says anything', async () => {
    const recorder = new Recorder();
    const session = call(recorder);
    await peer.request('INVITE');
    await session.terminate();
    expect(await recorder.ended).toMatchObject({ endedBy: 'local', cancelled: true });
    expect(peer.requests('CANCEL').length).toBe(0);
  });

  it('ends 64·T1 after a CANCEL that changes nothing', async () => {
    peer.script = (message, reply) => {
      if (message.kind !== 'request') return;
      say(reply, response(message, message.method === 'INVITE' ? 180 : 200, { tag: 'bob' }));
    };
    const recorder = new Recorder();
    const session = call(recorder);
    await until(() => session.state === 'proceeding');
    await session.terminate();
    expect(await recorder.ended).toMatchObject({ endedBy: 'local', cancelled: true });
  });

  it('acknowledges and hangs up when the 200 was faster', async () => {
    const recorder = new Recorder();
    const session = call(recorder);
    const invite = await peer.request('INVITE');
    peer.script = (message, reply) => {
      if (message.kind !== 'request') return;
      if (message.method === 'CANCEL') {
        say(reply, response(invite, 200, { tag: 'bob', headers: [contact()] }));
        say(reply, response(message, 200));
      } else if (message.method === 'BYE') say(reply, response(message, 200));
    };
    say(peer.lastReply, response(invite, 180, { tag: 'bob' }));
    await until(() => session.state === 'proceeding');
    await session.terminate();
    await peer.request('ACK');
    await peer.request('BYE');
    expect(recorder.events).toEqual(['180', 'ended']);
    expect(await recorder.ended).toMatchObject({
      endedBy: 'local',
      answered: false,
      cancelled: true,
    });
  });

  it('sends nothing when the call is terminated before its INVITE left', async () => {
    const recorder = new Recorder();
    await call(recorder).terminate();
    expect(await recorder.ended).toMatchObject({ endedBy: 'local', cancelled: true });
    await new Promise((resolve) => {
      setTimeout(resolve, 20);
    });
    expect(peer.received).toEqual([]);
  });
});

describe('forks', () => {
  it('keeps the first 200 and hangs up the second', async () => {
    const recorder = new Recorder();
    const session = call(recorder);
    const invite = await peer.request('INVITE');
    peer.script = (message, reply) => {
      if (message.kind === 'request' && message.method === 'BYE')
        say(reply, response(message, 200));
    };
    say(peer.lastReply, response(invite, 180, { tag: 'one' }));
    say(peer.lastReply, response(invite, 180, { tag: 'two' }));
    say(peer.lastReply, response(invite, 200, { tag: 'two', headers: [contact()] }));
    say(peer.lastReply, response(invite, 200, { tag: 'one', headers: [contact()] }));
    const bye = await peer.request('BYE');
    expect(bye.headers.get('to')).toContain('tag=one');
    const acked = peer
      .requests('ACK')
      .map((ack) => /tag=(\w+)/.exec(ack.headers.get('to') ?? '')?.[1]);
    expect(acked).toEqual(['two', 'one']);
    expect(session.state).toBe('established');
    expect(recorder.events.filter((event) => event.startsWith('answered'))).toHaveLength(1);
    await session.terminate();
    expect(peer.requests('BYE').at(-1)?.headers.get('to')).toContain('tag=two');
  });
});

describe("the peer's requests in the dialog", () => {
  const at = (sequence: number) => ({ tag: 'bob', sequence, port: peer.port });

  it('answers a re-INVITE by the handler and repeats the 200 until the ACK', async () => {
    const { recorder, invite } = await established();
    recorder.reoffer = { answer: 'v=0 second\r\n' };
    const headers = [contact(), ['session-expires', '90;refresher=uas'] as const];
    say(
      peer.lastReply,
      dialogRequest(invite, 'INVITE', { ...at(10), body: 'v=0 hold\r\n', headers }),
    );
    const accepted = await peer.response('10 INVITE');
    expect(accepted.statusCode).toBe(200);
    expect(accepted.headers.get('contact')).toBe(`<sip:alice@127.0.0.1:${userAgent.localPort}>`);
    expect(Buffer.from(accepted.body).toString()).toBe('v=0 second\r\n');
    expect(recorder.offers).toEqual(['v=0 hold\r\n']);
    const copies = (): number =>
      peer.received.filter((m) => m.kind === 'response' && m.headers.get('cseq') === '10 INVITE')
        .length;
    await until(() => copies() >= 3);
    say(peer.lastReply, dialogRequest(invite, 'ACK', { ...at(10), branch: 'z9hG4bKack' }));
    await new Promise((resolve) => {
      setTimeout(resolve, 60);
    });
    const settled = copies();
    await new Promise((resolve) => {
      setTimeout(resolve, 120);
    });
    expect(copies()).toBe(settled);
  });

  it('sends its last description for an offerless re-INVITE and takes the answer from the ACK', async () => {
    const { recorder, invite } = await established();
    say(peer.lastReply, dialogRequest(invite, 'INVITE', at(3)));
    const accepted = await peer.response('3 INVITE');
    expect(Buffer.from(accepted.body).toString()).toBe(OFFER);
    say(peer.lastReply, dialogRequest(invite, 'INVITE', { ...at(4), body: 'v=0 glare\r\n' }));
    expect((await peer.response('4 INVITE')).statusCode).toBe(491);
    say(
      peer.lastReply,
      dialogRequest(invite, 'ACK', { ...at(3), branch: 'z9hG4bKa', body: 'v=0 late\r\n' }),
    );
    await until(() => recorder.reanswers.length === 1);
    expect(recorder.reanswers).toEqual(['v=0 late\r\n']);
    expect(recorder.offers).toEqual([]);
  });

  it('hangs up when its 200 is never acknowledged', async () => {
    const { recorder, invite } = await established();
    say(peer.lastReply, dialogRequest(invite, 'INVITE', { ...at(3), body: 'v=0 again\r\n' }));
    expect(await recorder.ended).toMatchObject({ endedBy: 'network', error: { code: 'TIMEOUT' } });
    expect(peer.requests('BYE').length).toBe(1);
  });

  it('passes a refusal of the handler on and keeps the session', async () => {
    const { recorder, invite, session } = await established();
    recorder.reoffer = { statusCode: 488, reasonPhrase: 'Not Acceptable Here' };
    say(peer.lastReply, dialogRequest(invite, 'UPDATE', { ...at(3), body: 'v=0 odd\r\n' }));
    expect((await peer.response('3 UPDATE')).statusCode).toBe(488);
    expect(session.state).toBe('established');
  });

  it('refuses what is out of order, unknown, or not for it', async () => {
    const { invite } = await established();
    const cases: [SipRequest, number][] = [
      [dialogRequest(invite, 'OPTIONS', at(20)), 200],
      [dialogRequest(invite, 'OPTIONS', at(19)), 500],
      [dialogRequest(invite, 'INFO', at(21)), 200],
      [dialogRequest(invite, 'INFO', { ...at(22), body: 'x' }), 415],
      [dialogRequest(invite, 'REFER', at(23)), 400],
      [dialogRequest(invite, 'FROBNICATE', at(24)), 501],
      [dialogRequest(invite, 'UPDATE', { ...at(25), headers: [['require', 'gruu']] }), 420],
      [dialogRequest(invite, 'PRACK', at(26)), 481],
      [dialogRequest(invite, 'BYE', { ...at(27), tag: 'mallory' }), 481],
    ];
    for (const [request, statusCode] of cases) {
      say(peer.lastReply, request);
      const cseq = request.headers.get('cseq') ?? '';
      expect((await peer.response(cseq)).statusCode, cseq).toBe(statusCode);
    }
  });

  it('answers 491 to a re-INVITE while its own INVITE is open, and 200 to an early UPDATE without offer', async () => {
    const recorder = new Recorder();
    const session = call(recorder);
    const invite = await peer.request('INVITE');
    say(peer.lastReply, response(invite, 183, { tag: 'bob', headers: [contact()] }));
    await until(() => session.state === 'proceeding');
    say(peer.lastReply, dialogRequest(invite, 'INVITE', { ...at(1), body: 'v=0\r\n' }));
    expect((await peer.response('1 INVITE')).statusCode).toBe(491);
    say(peer.lastReply, dialogRequest(invite, 'UPDATE', at(2)));
    expect((await peer.response('2 UPDATE')).statusCode).toBe(200);
  });
});

describe('under load', () => {
  it('serves its dialogs above the limit that strangers meet', async () => {
    const agent = await openUserAgent({ maxTransactions: 1 });
    answering();
    const recorder = new Recorder();
    call(recorder, {}, agent);
    await recorder.answered;
    const invite = await peer.request('INVITE');
    const at = (sequence: number, tag: string) =>
      dialogRequest(invite, 'OPTIONS', { tag, sequence, port: peer.port });
    const statusOf = async (request: SipRequest): Promise<number> => {
      peer.send(formatMessage(request), agent.localPort);
      return (await peer.response(request.headers.get('cseq') ?? '')).statusCode;
    };
    expect(await statusOf(at(1, 'mallory'))).toBe(481);
    expect(await statusOf(at(2, 'mallory'))).toBe(503);
    expect(await statusOf(at(3, 'bob'))).toBe(200);
    await agent.close();
  });

  it('answers 500 when the owner of the call answers nonsense', async () => {
    const { recorder, invite } = await established();
    recorder.reoffer = { statusCode: 488, reasonPhrase: 'No\r\nWay: 1' };
    const reoffer = { tag: 'bob', sequence: 3, port: peer.port, body: 'v=0\r\n' };
    say(peer.lastReply, dialogRequest(invite, 'INVITE', reoffer));
    expect((await peer.response('3 INVITE')).statusCode).toBe(500);
  });
});

describe('closing', () => {
  it('hangs up established calls, cancels ringing ones, and reports both', async () => {
    const { recorder } = await established();
    const ringing = new Recorder();
    peer.script = (message, reply) => {
      if (message.kind !== 'request' || message.method === 'ACK') return;
      say(reply, response(message, message.method === 'INVITE' ? 180 : 200, { tag: 'bob' }));
    };
    const session = call(ringing);
    await until(() => session.state === 'proceeding');
    await userAgent.close();
    expect(peer.requests('BYE').length).toBe(1);
    expect(peer.requests('CANCEL').length).toBe(1);
    expect(await recorder.ended).toMatchObject({ endedBy: 'local', answered: true });
    expect(await ringing.ended).toMatchObject({ endedBy: 'local', cancelled: true });
    expect(() => call(new Recorder())).toThrow(expect.objectContaining({ code: 'CLOSED' }));
  });
});

describe('arguments', () => {
  const cases: [string, Partial<InviteOptions>, string, string][] = [
    ['an empty target', { target: '' }, 'INVALID_ARGUMENT', 'target'],
    ['CRLF in the target', { target: 'sip:a@b\r\nX: y' }, 'ILLEGAL_CHARACTER', 'target'],
    ['a tel target', { target: 'tel:123' }, 'INVALID_ARGUMENT', 'target'],
    ['CRLF in a header', { headers: [['X-A', 'b\r\nVia: c']] }, 'ILLEGAL_CHARACTER', 'X-A'],
    ['a header of ours', { headers: [['v', 'x']] }, 'INVALID_ARGUMENT', 'headers'],
    [
      'a display name',
      { from: { uri: 'sip:a@b', displayName: 'x\n' } },
      'ILLEGAL_CHARACTER',
      'from.displayName',
    ],
    ['an empty offer', { offer: '' }, 'INVALID_ARGUMENT', 'offer'],
    ['white space in Call-ID', { callId: 'a b' }, 'INVALID_ARGUMENT', 'callId'],
    [
      'a proxy port',
      { outboundProxy: { host: 'p', port: 0 } },
      'INVALID_ARGUMENT',
      'outboundProxy.port',
    ],
    [
      'a proxy host',
      { outboundProxy: { host: 'a b', port: 1 } },
      'INVALID_ARGUMENT',
      'outboundProxy.host',
    ],
  ];
  for (const [name, options, code, field] of cases) {
    it(`throws for ${name}`, () => {
      expect(() => call(new Recorder(), options)).toThrow(expect.objectContaining({ code, field }));
      expect(userAgent.stats.sessions).toBe(0);
    });
  }
});

describe('many calls', () => {
  it('leaves nothing after 1,000', { timeout: 60_000 }, async () => {
    answering();
    for (let i = 0; i < 1000; i++) {
      const recorder = new Recorder();
      const session = call(recorder, { callId: `many-${i}` });
      await recorder.answered;
      await session.terminate();
    }
    expect(userAgent.stats.sessions).toBe(0);
    await until(() => {
      const { clientTransactions, serverTransactions } = userAgent.stats;
      return clientTransactions + serverTransactions === 0;
    });
    expect(peer.requests('BYE').length).toBe(1000);
  });
});
