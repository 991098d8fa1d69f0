// Changes inside a call that we placed: re-INVITE, UPDATE, glare, session timers, PRACK, redirection, transfer.

import {
  type Clock,
  type InviteOptions,
  type InviteSession,
  type SipRequest,
  type SipUserAgent,
  type SipUserAgentOptions,
} from '@sipcast/sip';
import { afterEach, describe, expect, it } from 'vitest';
import {
  dialogRequest,
  openUserAgent,
  Recorder,
  type Reply,
  response,
  type ResponseParts,
  say,
  ScriptedPeer,
} from './sip-peer.ts';
import { until } from '../../support/wait.ts';

const ANSWER = 'v=0 peer\r\n';
const opened: { close(): Promise<void> }[] = [];

afterEach(async () => {
  for (const one of opened.splice(0)) await one.close();
});

/** A hundred times as fast as the real one. */
const fastClock: Clock = {
  now: () => performance.now() * 100,
  startTimer: (delayMs, callback) => {
    const timer = setTimeout(callback, delayMs / 100);
    return { cancel: () => clearTimeout(timer) };
  },
};
const FAST: SipUserAgentOptions = {
  clock: fastClock,
  timers: { t1Ms: 2000, t2Ms: 8000, t4Ms: 10_000 },
  closeGraceMs: 30_000,
};

interface Line {
  readonly userAgent: SipUserAgent;
  readonly peer: ScriptedPeer;
  readonly recorder: Recorder;
  /** Answers a request of ours in place of a plain 200. */
  answer: (request: SipRequest, reply: Reply) => boolean;
  dial(options?: Partial<InviteOptions>): InviteSession;
  /** A response with the peer's tag and Contact. */
  respond(request: SipRequest, statusCode: number, reply: Reply, parts?: ResponseParts): void;
}

async function openLine(options: SipUserAgentOptions = {}): Promise<Line> {
  const userAgent = await openUserAgent({ ...FAST, ...options });
  const peer = await new ScriptedPeer().openUdp();
  opened.push(userAgent, peer);
  const recorder = new Recorder();
  const line: Line = {
    userAgent,
    peer,
    recorder,
    answer: () => false,
    dial: (invite) =>
      userAgent.invite(
        {
          callId: `call-${Math.random().toString(36).slice(2)}@test`,
          target: `sip:bob@127.0.0.1:${peer.port}`,
          from: { uri: 'sip:alice@example.com' },
          transport: 'udp',
          offer: 'v=0 offer\r\n',
          ...invite,
        },
        recorder,
      ),
    respond: (request, statusCode, reply, parts = {}) => {
      const contact = ['contact', `<sip:bob@127.0.0.1:${peer.port}>`] as const;
      const headers = [contact, ...(parts.headers ?? [])];
      say(reply, response(request, statusCode, { tag: 'bob', ...parts, headers }));
    },
  };
  peer.script = (message, reply) => {
    if (message.kind !== 'request' || message.method === 'ACK') return;
    if (line.answer(message, reply)) return;
    const body = message.method === 'INVITE' ? { body: ANSWER } : {};
    line.respond(message, 200, reply, body);
  };
  return line;
}

async function establish(line: Line): Promise<{ session: InviteSession; invite: SipRequest }> {
  const session = line.dial();
  await line.recorder.answered;
  await line.peer.request('ACK');
  return { session, invite: await line.peer.request('INVITE') };
}

const isReinvite = (request: SipRequest): boolean =>
  request.method === 'INVITE' && /;tag=/.test(request.headers.get('to') ?? '');

describe('our re-INVITE', () => {
  it('sends a new offer in the dialog, and acknowledges every retransmission of the answer', async () => {
    const line = await openLine();
    const { session, invite } = await establish(line);
    line.answer = (request, reply) => {
      if (!isReinvite(request)) return false;
      line.respond(request, 100, reply);
      line.respond(request, 200, reply, { body: 'v=0 held\r\n' });
      line.respond(request, 200, reply, { body: 'v=0 held\r\n' });
      return true;
    };
    await expect(session.reoffer('v=0 hold\r\n')).resolves.toMatchObject({ sdp: 'v=0 held\r\n' });
    const again = await line.peer.request('INVITE', 2);
    expect(Buffer.from(again.body).toString()).toBe('v=0 hold\r\n');
    expect(again.headers.get('cseq')).toBe('2 INVITE');
    expect(again.headers.get('to')).toContain(';tag=bob');
    expect(again.headers.get('contact')).toBe(invite.headers.get('contact'));
    expect(again.headers.get('supported')).toBe('timer');
    const acks = (): SipRequest[] =>
      line.peer.copies('ACK').filter((ack) => ack.headers.get('cseq') === '2 ACK');
    await until(() => acks().length >= 2, 'an ACK for each 200');
    expect(new Set(acks().map((ack) => ack.headers.get('via'))).size).toBe(1);
    expect(session.state).toBe('established');
  });

  it('follows the Contact of the answer', async () => {
    const line = await openLine();
    const { session } = await establish(line);
    const elsewhere = await new ScriptedPeer().openUdp();
    opened.push(elsewhere);
    elsewhere.script = (message, reply) => {
      if (message.kind === 'request' && message.method !== 'ACK')
        say(reply, response(message, 200));
    };
    line.answer = (request, reply) => {
      if (!isReinvite(request)) return false;
      const headers = [['contact', `<sip:bob@127.0.0.1:${elsewhere.port}>`] as const];
      say(reply, response(request, 200, { headers, body: ANSWER }));
      return true;
    };
    await session.reoffer('v=0 hold\r\n');
    await session.terminate();
    expect(elsewhere.requests('ACK').length).toBe(1);
    expect(elsewhere.requests('BYE').length).toBe(1);
  });

  it('is refused: the session goes on as it was', async () => {
    const line = await openLine();
    const { session } = await establish(line);
    line.answer = (request, reply) => {
      if (!isReinvite(request)) return false;
      line.respond(request, 488, reply);
      return true;
    };
    await expect(session.reoffer('v=0 hold\r\n')).rejects.toMatchObject({
      code: 'REJECTED',
      statusCode: 488,
    });
    expect(session.state).toBe('established');
    line.answer = () => false;
    await expect(session.reoffer('v=0 resume\r\n')).resolves.toMatchObject({ sdp: ANSWER });
  });

  it('waits after 491, two to four seconds as the owner of the Call-ID, and tries again', async () => {
    const line = await openLine({ random: () => 0.5 });
    const { session } = await establish(line);
    const at: number[] = [];
    line.answer = (request, reply) => {
      if (!isReinvite(request)) return false;
      at.push(fastClock.now());
      if (at.length > 2) return false;
      line.respond(request, 491, reply);
      return true;
    };
    await session.reoffer('v=0 hold\r\n');
    expect(at.length).toBe(3);
    for (const [index, ms] of at.slice(1).entries())
      expect(ms - (at[index] ?? 0)).toBeGreaterThanOrEqual(3000);
  });

  it('after 491 offers what the session has become meanwhile', async () => {
    const line = await openLine();
    const { session } = await establish(line);
    let refused = false;
    line.answer = (request, reply) => {
      if (!isReinvite(request) || refused) return false;
      refused = true;
      line.respond(request, 491, reply);
      return true;
    };
    let version = 1;
    await session.reoffer(() => `v=0 version ${++version}\r\n`);
    const offers = line.peer
      .requests('INVITE')
      .map((request) => Buffer.from(request.body).toString());
    expect(offers.slice(1)).toEqual(['v=0 version 2\r\n', 'v=0 version 3\r\n']);
  });

  it('hands on what the peer answers to a refresh', async () => {
    const line = await openLine({ sessionTimer: { mode: 'request', expiresSeconds: 90 } });
    line.answer = (request, reply) => {
      if (request.method !== 'INVITE') return false;
      const headers = [['session-expires', '90;refresher=uac']] as const;
      line.respond(request, 200, reply, {
        headers,
        body: isReinvite(request) ? 'v=0 moved\r\n' : ANSWER,
      });
      return true;
    };
    await establish(line);
    await until(() => line.recorder.reanswers.length > 0);
    expect(line.recorder.reanswers[0]).toBe('v=0 moved\r\n');
  });

  it('gives way to no offer of the peer’s while its own is open: 491', async () => {
    const line = await openLine();
    const { session, invite } = await establish(line);
    let reply: Reply | undefined;
    let open: SipRequest | undefined;
    line.answer = (request, back) => {
      if (!isReinvite(request)) return false;
      open = request;
      reply = back;
      line.respond(request, 100, back);
      return true;
    };
    const offered = session.reoffer('v=0 hold\r\n');
    await until(() => open !== undefined);
    const at = (sequence: number) => ({ tag: 'bob', sequence, port: line.peer.port });
    say(reply!, dialogRequest(invite, 'INVITE', { ...at(3), body: 'v=0 theirs\r\n' }));
    expect((await line.peer.response('3 INVITE')).statusCode).toBe(491);
    say(reply!, dialogRequest(invite, 'UPDATE', { ...at(4), body: 'v=0 theirs\r\n' }));
    expect((await line.peer.response('4 UPDATE')).statusCode).toBe(491);
    expect(line.recorder.offers).toEqual([]);
    line.respond(open!, 200, reply!, { body: ANSWER });
    await offered;
    say(reply!, dialogRequest(invite, 'UPDATE', { ...at(5), body: 'v=0 theirs\r\n' }));
    expect((await line.peer.response('5 UPDATE')).statusCode).toBe(200);
  });

  it('waits until the peer has acknowledged its own', async () => {
    const line = await openLine();
    const { session, invite } = await establish(line);
    const at = { tag: 'bob', sequence: 3, port: line.peer.port };
    const theirs = dialogRequest(invite, 'INVITE', { ...at, body: 'v=0 theirs\r\n' });
    say(line.peer.lastReply, theirs);
    await line.peer.response('3 INVITE');
    const offered = session.reoffer('v=0 hold\r\n');
    await new Promise((resolve) => {
      setTimeout(resolve, 30);
    });
    expect(line.peer.requests('INVITE').length).toBe(1);
    say(line.peer.lastReply, dialogRequest(invite, 'ACK', at));
    await offered;
    expect(line.peer.requests('INVITE').length).toBe(2);
  });

  it.each([
    ['481', 481, 'remote', 'REJECTED'],
    ['408', 408, 'remote', 'REJECTED'],
  ] as const)('ends the session on %s', async (_, statusCode, endedBy, code) => {
    const line = await openLine();
    const { session } = await establish(line);
    line.answer = (request, reply) => {
      if (!isReinvite(request)) return false;
      line.respond(request, statusCode, reply);
      return true;
    };
    await expect(session.reoffer('v=0 hold\r\n')).rejects.toMatchObject({ code, statusCode });
    expect(await line.recorder.ended).toMatchObject({ endedBy, error: { code } });
    const hangUps = line.peer.requests('BYE').map((bye) => bye.headers.get('cseq'));
    expect(new Set(hangUps).size).toBe(1);
  });

  it('ends the session without a response, and everything queued behind it', async () => {
    const line = await openLine({ timers: { t1Ms: 200, t2Ms: 800, t4Ms: 1000 } });
    const { session } = await establish(line);
    line.answer = (request) => isReinvite(request);
    const first = session.reoffer('v=0 hold\r\n');
    const second = session.reoffer('v=0 resume\r\n');
    await expect(first).rejects.toMatchObject({ code: 'TIMEOUT' });
    await expect(second).rejects.toMatchObject({ code: 'CLOSED' });
    expect(await line.recorder.ended).toMatchObject({ endedBy: 'network', answered: true });
  });

  it('that changes nothing may stay without an answer, and the call goes on', async () => {
    const line = await openLine();
    const { session } = await establish(line);
    line.answer = (request) => isReinvite(request);
    await expect(session.refresh()).rejects.toMatchObject({ code: 'TIMEOUT' });
    expect(session.state).toBe('established');
    expect(line.peer.requests('BYE')).toEqual([]);
    line.answer = (request, reply) => {
      if (isReinvite(request)) line.respond(request, 408, reply);
      return isReinvite(request);
    };
    await expect(session.refresh()).rejects.toMatchObject({ statusCode: 408 });
    expect(session.state).toBe('established');
  });

  it('is cancelled when the peer only rings for a minute', async () => {
    const line = await openLine();
    const { session } = await establish(line);
    line.answer = (request, reply) => {
      if (!isReinvite(request)) return false;
      line.respond(request, 180, reply);
      return true;
    };
    await expect(session.reoffer('v=0 hold\r\n')).rejects.toMatchObject({ code: 'TIMEOUT' });
    await line.peer.request('CANCEL');
    await line.recorder.ended;
  });

  it('is given up when the session ends', async () => {
    const line = await openLine();
    const { session, invite } = await establish(line);
    line.answer = (request, reply) => {
      if (!isReinvite(request)) return false;
      line.respond(request, 491, reply);
      return true;
    };
    const offered = session.reoffer('v=0 hold\r\n');
    const refused = expect(offered).rejects.toMatchObject({ code: 'CLOSED' });
    await line.peer.request('INVITE', 2);
    await line.peer.request('ACK', 2);
    const at = { tag: 'bob', sequence: 9, port: line.peer.port };
    say(line.peer.lastReply, dialogRequest(invite, 'BYE', at));
    await refused;
  });

  it('UPDATE offers without a handshake', async () => {
    const line = await openLine();
    const { session } = await establish(line);
    line.answer = (request, reply) => {
      if (request.method !== 'UPDATE') return false;
      line.respond(request, 200, reply, { body: 'v=0 updated\r\n' });
      return true;
    };
    await expect(session.reoffer('v=0 hold\r\n', 'UPDATE')).resolves.toMatchObject({
      sdp: 'v=0 updated\r\n',
    });
    expect(line.peer.requests('ACK').length).toBe(1);
  });

  it('accepted without an answer is no agreement', async () => {
    const line = await openLine();
    const { session } = await establish(line);
    line.answer = (request, reply) => {
      if (!isReinvite(request)) return false;
      line.respond(request, 200, reply);
      return true;
    };
    await expect(session.reoffer('v=0 hold\r\n')).rejects.toMatchObject({ code: 'BAD_SDP' });
  });
});

describe('session timers', () => {
  const expires = (value: string): ResponseParts => ({
    headers: [['session-expires', value]],
    body: ANSWER,
  });

  it('are kept up by UPDATE where the peer takes it', async () => {
    const line = await openLine();
    line.answer = (request, reply) => {
      if (request.method !== 'INVITE' && request.method !== 'UPDATE') return false;
      const headers = [
        ['allow', 'INVITE, UPDATE'],
        ['session-expires', '10;refresher=uac'],
      ] as const;
      const body = request.method === 'INVITE' ? { body: ANSWER } : {};
      line.respond(request, 200, reply, { headers, ...body });
      return true;
    };
    const { session } = await establish(line);
    const second = await line.peer.request('UPDATE', 2);
    expect(second.body.length).toBe(0);
    expect(second.headers.get('session-expires')).toBe('10;refresher=uac');
    expect(session.state).toBe('established');
    expect(line.peer.requests('INVITE').length).toBe(1);
  });

  it('are kept up by a re-INVITE where UPDATE was promised and is refused', async () => {
    const line = await openLine();
    line.answer = (request, reply) => {
      if (request.method === 'UPDATE') {
        line.respond(request, 405, reply);
        return true;
      }
      if (request.method !== 'INVITE') return false;
      const headers = [
        ['allow', 'INVITE, UPDATE'],
        ['session-expires', '10;refresher=uac'],
      ] as const;
      line.respond(request, 200, reply, { headers, body: ANSWER });
      return true;
    };
    const { session } = await establish(line);
    await line.peer.request('INVITE', 3);
    expect(line.peer.requests('UPDATE').length).toBe(1);
    expect(session.state).toBe('established');
  });

  it('are kept up by a re-INVITE that changes nothing elsewhere', async () => {
    const line = await openLine();
    line.answer = (request, reply) => {
      if (request.method !== 'INVITE') return false;
      line.respond(request, 200, reply, expires('10;refresher=uac'));
      return true;
    };
    await establish(line);
    const again = await line.peer.request('INVITE', 3);
    expect(Buffer.from(again.body).toString()).toBe('v=0 offer\r\n');
    expect(line.recorder.events).toEqual(['answered 200']);
  });

  it('end the session when the peer does not refresh it', async () => {
    const line = await openLine();
    line.answer = (request, reply) => {
      if (request.method !== 'INVITE') return false;
      line.respond(request, 200, reply, expires('10;refresher=uas'));
      return true;
    };
    await establish(line);
    const ending = await line.recorder.ended;
    expect(ending).toMatchObject({ endedBy: 'local', error: { code: 'SESSION_EXPIRED' } });
    expect(line.peer.requests('BYE').length).toBe(1);
  });

  it('go on as long as the peer refreshes', async () => {
    const line = await openLine();
    line.answer = (request, reply) => {
      if (request.method !== 'INVITE') return false;
      line.respond(request, 200, reply, expires('20;refresher=uas'));
      return true;
    };
    const { session, invite } = await establish(line);
    for (let sequence = 1; sequence <= 6; sequence++) {
      await new Promise((resolve) => {
        setTimeout(resolve, 60);
      });
      const at = { tag: 'bob', sequence, port: line.peer.port };
      const headers = [
        ['supported', 'timer'],
        ['session-expires', '90;refresher=uac'],
      ] as const;
      say(line.peer.lastReply, dialogRequest(invite, 'UPDATE', { ...at, headers }));
      const refreshed = await line.peer.response(`${sequence} UPDATE`);
      expect(refreshed.headers.get('session-expires')).toBe('90;refresher=uac');
      expect(refreshed.headers.get('require')).toBe('timer');
    }
    expect(session.state).toBe('established');
  });

  it('422 is answered with the interval that the peer wants', async () => {
    const line = await openLine({ sessionTimer: { mode: 'request', expiresSeconds: 90 } });
    line.answer = (request, reply) => {
      if (request.method !== 'INVITE') return false;
      if (request.headers.get('session-expires') === '300')
        line.respond(request, 200, reply, expires('300;refresher=uac'));
      else line.respond(request, 422, reply, { headers: [['min-se', '300']] });
      return true;
    };
    await establish(line);
    const second = await line.peer.request('INVITE', 2);
    expect(second.headers.get('min-se')).toBe('300');
    expect(second.headers.get('cseq')).toBe('2 INVITE');
  });

  it('422 refuses an interval of the peer’s that is too short, and changes nothing', async () => {
    const line = await openLine();
    const { invite } = await establish(line);
    const at = { tag: 'bob', sequence: 4, port: line.peer.port };
    const headers = [['session-expires', '30']] as const;
    const body = 'v=0 theirs\r\n';
    say(line.peer.lastReply, dialogRequest(invite, 'UPDATE', { ...at, headers, body }));
    const refused = await line.peer.response('4 UPDATE');
    expect([refused.statusCode, refused.headers.get('min-se')]).toEqual([422, '90']);
    expect(line.recorder.offers).toEqual([]);
  });
});

describe('reliable provisional responses', () => {
  const reliable = (rseq: number, parts: ResponseParts = {}): ResponseParts => ({
    ...parts,
    headers: [
      ['require', '100rel'],
      ['rseq', String(rseq)],
    ],
  });

  it('are acknowledged once, in their order', async () => {
    const line = await openLine();
    line.answer = (request, reply) => {
      if (request.method === 'PRACK') {
        line.respond(request, 200, reply);
        if (line.peer.requests('PRACK').length === 2)
          line.respond(line.peer.requests('INVITE')[0]!, 200, reply, { body: ANSWER });
        return true;
      }
      if (request.method !== 'INVITE') return false;
      line.respond(request, 183, reply, reliable(7, { body: 'v=0 early\r\n' }));
      line.respond(request, 183, reply, reliable(7, { body: 'v=0 early\r\n' }));
      line.respond(request, 180, reply, reliable(9));
      line.respond(request, 180, reply, reliable(8));
      return true;
    };
    const session = line.dial();
    await line.recorder.answered;
    expect(line.recorder.events).toEqual(['183', '180', 'answered 200']);
    const pracks = line.peer.requests('PRACK');
    expect(pracks.map((one) => one.headers.get('rack'))).toEqual(['7 1 INVITE', '8 1 INVITE']);
    expect(pracks.map((one) => one.headers.get('cseq'))).toEqual(['2 PRACK', '3 PRACK']);
    expect(line.peer.requests('INVITE')[0]?.headers.getAll('supported')).toEqual([
      '100rel',
      'timer',
    ]);
    expect((await line.peer.request('ACK')).headers.get('cseq')).toBe('1 ACK');
    await session.terminate();
    expect(line.peer.requests('BYE')[0]?.headers.get('cseq')).toBe('4 BYE');
  });

  it('of several forks are acknowledged in their own dialogs', async () => {
    const line = await openLine();
    line.answer = (request, reply) => {
      if (request.method !== 'INVITE') return false;
      line.respond(request, 183, reply, { ...reliable(1), tag: 'bob' });
      line.respond(request, 183, reply, { ...reliable(50), tag: 'carol' });
      return true;
    };
    const session = line.dial();
    await line.peer.request('PRACK', 2);
    const pracks = line.peer.requests('PRACK').map(({ headers }) => {
      const tag = /;tag=(\w+)/.exec(headers.get('to') ?? '')?.[1];
      return [tag, headers.get('rack')];
    });
    expect(pracks).toEqual([
      ['bob', '1 1 INVITE'],
      ['carol', '50 1 INVITE'],
    ]);
    void session.terminate();
    await line.peer.request('CANCEL');
    line.respond(await line.peer.request('INVITE'), 487, line.peer.lastReply);
    await line.recorder.ended;
  });
});

describe('redirection', () => {
  async function openTarget(): Promise<ScriptedPeer> {
    const target = await new ScriptedPeer().openUdp();
    opened.push(target);
    target.script = (message, reply) => {
      if (message.kind !== 'request' || message.method === 'ACK') return;
      const headers = [['contact', `<sip:moved@127.0.0.1:${target.port}>`] as const];
      const body = message.method === 'INVITE' ? { body: ANSWER } : {};
      say(reply, response(message, 200, { tag: 'moved', headers, ...body }));
    };
    return target;
  }

  const to = (...contacts: string[]): ResponseParts => ({
    headers: contacts.map((contact) => ['contact', contact] as const),
  });

  it('is followed, the best address first', async () => {
    const line = await openLine();
    const target = await openTarget();
    line.peer.script = (message, reply) => {
      if (message.kind !== 'request' || message.method !== 'INVITE') return;
      const contacts = to(
        '<tel:+123>',
        '<sip:worse@127.0.0.1:1>;q=0.2',
        `<sip:moved@127.0.0.1:${target.port}>;q=0.9`,
      );
      say(reply, response(message, 302, { tag: 'proxy', ...contacts }));
    };
    line.dial();
    await line.recorder.answered;
    const [first] = line.peer.requests('INVITE');
    const [second] = target.requests('INVITE');
    expect(second?.uri).toBe(`sip:moved@127.0.0.1:${target.port}`);
    expect(second?.headers.get('call-id')).toBe(first?.headers.get('call-id'));
    expect(second?.headers.get('to')).toBe(first?.headers.get('to'));
    expect(second?.headers.get('from')).toBe(first?.headers.get('from'));
    expect(second?.headers.get('cseq')).toBe('2 INVITE');
    expect(line.recorder.events).toEqual(['answered 200']);
    await target.request('ACK');
  });

  async function openRefusing(statusCode: number): Promise<ScriptedPeer> {
    const refusing = await new ScriptedPeer().openUdp();
    opened.push(refusing);
    refusing.script = (message, reply) => {
      if (message.kind !== 'request' || message.method !== 'INVITE') return;
      // Whom it names is not asked: that was no redirection.
      const headers = [['contact', '<sip:other@127.0.0.1:1>']] as const;
      say(reply, response(message, statusCode, { tag: 'refusing', headers }));
    };
    return refusing;
  }

  function redirect(line: Line, ...contacts: string[]): void {
    line.peer.script = (message, reply) => {
      if (message.kind !== 'request' || message.method !== 'INVITE') return;
      say(reply, response(message, 302, { tag: 'proxy', ...to(...contacts) }));
    };
  }

  it('goes on to the next address when one is busy, and when nothing is there', async () => {
    const line = await openLine();
    const busy = await openRefusing(486);
    const target = await openTarget();
    redirect(
      line,
      `<sip:busy@127.0.0.1:${busy.port}>;q=0.9`,
      '<sip:nobody@127.0.0.1:1;transport=tcp>;q=0.5',
      `<sip:moved@127.0.0.1:${target.port}>;q=0.1`,
    );
    line.dial();
    await line.recorder.answered;
    expect(line.recorder.events).toEqual(['answered 200']);
    expect(busy.requests('INVITE')[0]?.headers.get('cseq')).toBe('2 INVITE');
    expect(target.requests('INVITE')[0]?.headers.get('cseq')).toBe('4 INVITE');
    await busy.request('ACK');
  });

  it('ends with the answer of the last address, or with the word of the callee himself', async () => {
    const [line, declined] = [await openLine(), await openLine()];
    const [busy, gone] = [await openRefusing(486), await openRefusing(404)];
    const contacts = [busy, gone].map(({ port }) => `<sip:x@127.0.0.1:${port}>`);
    redirect(line, ...contacts);
    line.dial();
    expect(await line.recorder.ended).toMatchObject({ statusCode: 404, endedBy: 'remote' });

    const decline = await openRefusing(603);
    redirect(declined, `<sip:x@127.0.0.1:${decline.port}>`, ...contacts);
    declined.dial();
    expect(await declined.recorder.ended).toMatchObject({ statusCode: 603, endedBy: 'remote' });
    expect(busy.requests('INVITE')).toHaveLength(1);
  });

  it('is followed over the transport that it names', async () => {
    const line = await openLine();
    const target = await new ScriptedPeer().openTcp();
    opened.push(target);
    line.peer.script = (message, reply) => {
      if (message.kind !== 'request' || message.method !== 'INVITE') return;
      const contacts = to(`<sip:moved@127.0.0.1:${target.port};transport=tcp>`);
      say(reply, response(message, 302, { tag: 'proxy', ...contacts }));
    };
    line.dial();
    const invite = await target.request('INVITE');
    expect(invite.headers.get('via')).toMatch(/^SIP\/2\.0\/TCP /);
    expect(invite.headers.get('contact')).toContain(';transport=tcp');
    line.respond(invite, 486, target.lastReply);
    expect(await line.recorder.ended).toMatchObject({ statusCode: 486 });
  });

  it('takes the rest of the call along, to the transport that it names', async () => {
    const line = await openLine();
    const proxy = await new ScriptedPeer().openTcp();
    opened.push(proxy);
    const target = await openTarget();
    proxy.script = (message, reply) => {
      if (message.kind !== 'request' || message.method !== 'INVITE') return;
      const contacts = to(`<sip:moved@127.0.0.1:${target.port};transport=udp>`);
      say(reply, response(message, 302, { tag: 'proxy', ...contacts }));
    };
    const session = line.dial({ target: `sip:bob@127.0.0.1:${proxy.port}`, transport: 'tcp' });
    await line.recorder.answered;
    await target.request('ACK');
    await session.terminate();
    await target.request('BYE');
  });

  it('behind an outbound proxy changes nothing of the way to that', async () => {
    const line = await openLine();
    line.peer.script = (message, reply) => {
      if (message.kind !== 'request' || message.method !== 'INVITE') return;
      const contacts = to('<sip:moved@192.0.2.1;transport=tcp>');
      if (message.uri.startsWith('sip:bob@'))
        say(reply, response(message, 302, { tag: 'proxy', ...contacts }));
      else line.respond(message, 486, reply);
    };
    line.dial({ outboundProxy: { host: '127.0.0.1', port: line.peer.port } });
    expect(await line.recorder.ended).toMatchObject({ statusCode: 486 });
    // On a busy machine the first one is repeated.
    const second = line.peer.requests('INVITE').find(({ uri }) => !uri.startsWith('sip:bob@'));
    expect(second?.uri).toBe('sip:moved@192.0.2.1;transport=tcp');
    expect(second?.headers.get('via')).toMatch(/^SIP\/2\.0\/UDP /);
  });

  it('to a port without a listener fails the call at once', async () => {
    const line = await openLine();
    const gone = await new ScriptedPeer().openTcp();
    const { port } = gone;
    await gone.close();
    line.peer.script = (message, reply) => {
      if (message.kind !== 'request' || message.method !== 'INVITE') return;
      const contacts = to(`<sip:moved@127.0.0.1:${port};transport=tcp>`);
      say(reply, response(message, 302, { tag: 'proxy', ...contacts }));
    };
    line.dial();
    expect(await line.recorder.ended).toMatchObject({ error: { code: 'TRANSPORT' } });
  });

  it('in a circle, or too far, fails the call with its 3xx', async () => {
    const line = await openLine();
    let count = 0;
    line.peer.script = (message, reply) => {
      if (message.kind !== 'request' || message.method !== 'INVITE') return;
      count++;
      const self = `<sip:bob@127.0.0.1:${line.peer.port}>`;
      say(reply, response(message, 302, { tag: 'p', ...to(self) }));
    };
    line.dial();
    expect(await line.recorder.ended).toMatchObject({ statusCode: 302, endedBy: 'remote' });
    expect(count).toBe(1);

    const far = await openLine();
    far.peer.script = (message, reply) => {
      if (message.kind !== 'request' || message.method !== 'INVITE') return;
      const hop = `<sip:hop${far.peer.requests('INVITE').length}@127.0.0.1:${far.peer.port}>`;
      say(reply, response(message, 302, { tag: 'p', ...to(hop) }));
    };
    far.dial();
    expect(await far.recorder.ended).toMatchObject({ statusCode: 302 });
    expect(far.peer.requests('INVITE').length).toBe(4);
  });

  it('goes where it may only', async () => {
    const line = await openLine();
    const target = await openTarget();
    line.peer.script = (message, reply) => {
      if (message.kind !== 'request' || message.method !== 'INVITE') return;
      const contacts = to(`<sip:x@127.0.0.1:${target.port}>`, '<sip:x@255.255.255.255>');
      say(reply, response(message, 302, { tag: 'p', ...contacts }));
    };
    const asked: string[] = [];
    line.dial({
      mayRedirect: (uri) => {
        asked.push(uri);
        return false;
      },
    });
    expect(await line.recorder.ended).toMatchObject({ statusCode: 302 });
    expect(asked).toEqual([`sip:x@127.0.0.1:${target.port}`]);
    expect(target.received).toEqual([]);
  });

  /** With a password, from where every name is that of this machine. */
  async function dialElsewhere(line: Line): Promise<void> {
    const dns = {
      naptr: async () => [],
      srv: async () => [],
      addresses: async () => [{ address: '127.0.0.1' }],
    };
    const elsewhere = await openUserAgent({ ...FAST, dns });
    opened.push(elsewhere);
    elsewhere.invite(
      {
        callId: 'c',
        target: `sip:bob@127.0.0.1:${line.peer.port}`,
        from: { uri: 'sip:alice@example.com' },
        transport: 'udp',
        offer: 'v=0\r\n',
        credentials: { username: 'alice', password: 'secret' },
      },
      line.recorder,
    );
  }

  it('takes no password to a host that another one named', async () => {
    const line = await openLine();
    line.peer.script = (message, reply) => {
      if (message.kind !== 'request' || message.method !== 'INVITE') return;
      const isFirst = line.peer.requests('INVITE').length === 1;
      if (isFirst) {
        const contacts = to(`<sip:x@localhost.example:${line.peer.port}>`);
        say(reply, response(message, 302, { tag: 'p', ...contacts }));
      } else {
        const headers = [['www-authenticate', 'Digest realm="evil", nonce="n"']] as const;
        say(reply, response(message, 401, { tag: 'p', headers }));
      }
    };
    await dialElsewhere(line);
    expect(await line.recorder.ended).toMatchObject({ error: { code: 'AUTH_FAILED' } });
    expect(line.peer.requests('INVITE').length).toBe(2);
    for (const { headers } of line.peer.requests('INVITE'))
      expect(headers.get('authorization')).toBeUndefined();
  });

  it('takes no answer to a challenge to a host that did not make one', async () => {
    const line = await openLine();
    const challenge = (message: SipRequest, reply: Reply, nonce: string): void => {
      const headers = [['www-authenticate', `Digest realm="ours", nonce="${nonce}"`]] as const;
      say(reply, response(message, 401, { tag: 'p', headers }));
    };
    line.peer.script = (message, reply) => {
      if (message.kind !== 'request' || message.method !== 'INVITE') return;
      const count = line.peer.requests('INVITE').length;
      if (count === 1) challenge(message, reply, 'one');
      else if (count === 2) {
        const contacts = to(`<sip:x@localhost.example:${line.peer.port}>`);
        say(reply, response(message, 302, { tag: 'p', ...contacts }));
      } else if (count === 3) challenge(message, reply, 'two');
      else line.respond(message, 486, reply);
    };
    await dialElsewhere(line);
    expect(await line.recorder.ended).toMatchObject({ statusCode: 486 });
    // Of the realm that it is for, the other host may ask by itself.
    expect(
      line.peer
        .requests('INVITE')
        .map(({ headers }) => /nonce="(\w+)"/.exec(headers.get('authorization') ?? '')?.[1]),
    ).toEqual([undefined, 'one', undefined, 'two']);
  });
});

describe('transfer', () => {
  const at = (line: Line, sequence: number) => ({ tag: 'bob', sequence, port: line.peer.port });
  const notify = (
    line: Line,
    invite: SipRequest,
    sequence: number,
    status: string,
    state: string,
  ): SipRequest => ({
    ...dialogRequest(invite, 'NOTIFY', {
      ...at(line, sequence),
      headers: [
        ['event', 'refer'],
        ['subscription-state', state],
        ['content-type', 'message/sipfrag'],
      ],
    }),
    body: Buffer.from(`SIP/2.0 ${status}\r\n`),
  });

  it('asks the peer, and reports the outcome', async () => {
    const line = await openLine();
    const { session, invite } = await establish(line);
    line.answer = (request, reply) => {
      if (request.method !== 'REFER') return false;
      line.respond(request, 202, reply);
      say(reply, notify(line, invite, 3, '100 Trying', 'active;expires=60'));
      say(reply, notify(line, invite, 4, '200 OK', 'terminated;reason=noresource'));
      return true;
    };
    const outcome = await session.refer('sip:carol@example.com');
    expect(outcome).toEqual({ statusCode: 200, reasonPhrase: 'OK' });
    const refer = await line.peer.request('REFER');
    expect(refer.headers.get('refer-to')).toBe('<sip:carol@example.com>');
    expect(refer.headers.get('referred-by')).toBe('<sip:alice@example.com>');
    expect((await line.peer.response('4 NOTIFY')).statusCode).toBe(200);
    say(line.peer.lastReply, notify(line, invite, 5, '200 OK', 'terminated'));
    expect((await line.peer.response('5 NOTIFY')).statusCode).toBe(481);
    expect(session.state).toBe('established');
  });

  it('reports a refusal, a failed call, and a session that ends', async () => {
    const line = await openLine();
    const { session, invite } = await establish(line);
    await expect(session.refer('no uri')).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    line.answer = (request, reply) => {
      if (request.method !== 'REFER') return false;
      line.respond(request, 603, reply);
      return true;
    };
    await expect(session.refer('sip:c@example.com')).rejects.toMatchObject({ statusCode: 603 });
    line.answer = (request, reply) => {
      if (request.method !== 'REFER') return false;
      line.respond(request, 202, reply);
      say(reply, notify(line, invite, 3, '486 Busy Here', 'terminated;reason=noresource'));
      return true;
    };
    await expect(session.refer('sip:c@example.com')).resolves.toMatchObject({ statusCode: 486 });
    line.answer = (request, reply) => {
      if (request.method !== 'REFER') return false;
      line.respond(request, 202, reply);
      say(reply, dialogRequest(invite, 'BYE', at(line, 9)));
      return true;
    };
    await expect(session.refer('sip:c@example.com')).rejects.toMatchObject({ code: 'CLOSED' });
  });

  it('is declined when the peer asks for it, unless the application accepts', async () => {
    const line = await openLine();
    const { invite } = await establish(line);
    const headers = [
      ['refer-to', '"Carol" <sip:carol@example.com?Replaces=1%3Bto-tag%3D2>'],
      ['referred-by', '<sip:bob@example.com>'],
    ] as const;
    say(line.peer.lastReply, dialogRequest(invite, 'REFER', { ...at(line, 3), headers }));
    expect((await line.peer.response('3 REFER')).statusCode).toBe(603);
    expect(line.recorder.refers[0]).toMatchObject({
      target: 'sip:carol@example.com?Replaces=1%3Bto-tag%3D2',
      referredBy: 'sip:bob@example.com',
    });
    line.recorder.takesRefer = true;
    say(line.peer.lastReply, dialogRequest(invite, 'REFER', { ...at(line, 4), headers }));
    expect((await line.peer.response('4 REFER')).statusCode).toBe(202);
    const first = await line.peer.request('NOTIFY');
    expect(Buffer.from(first.body).toString()).toBe('SIP/2.0 100 Trying\r\n');
    expect(first.headers.get('subscription-state')).toBe('active;expires=180');
    say(line.peer.lastReply, dialogRequest(invite, 'REFER', { ...at(line, 5), headers }));
    expect((await line.peer.response('5 REFER')).statusCode).toBe(491);
    const taken = line.recorder.refers[1];
    taken?.report(180, 'Ringing');
    taken?.report(200, 'OK');
    taken?.report(200, 'OK');
    const last = await line.peer.request('NOTIFY', 3);
    expect(Buffer.from(last.body).toString()).toBe('SIP/2.0 200 OK\r\n');
    expect(last.headers.get('subscription-state')).toBe('terminated;reason=noresource');
    expect(line.peer.requests('NOTIFY').length).toBe(3);
  });

  it('requested by the peer has its outcome reported before our BYE', async () => {
    const line = await openLine();
    const { session, invite } = await establish(line);
    // Slow to answer: the first report is still open when the last one is made.
    line.answer = (request) => request.method === 'NOTIFY';
    line.recorder.takesRefer = true;
    const headers = [['refer-to', '<sip:carol@example.com>']] as const;
    say(line.peer.lastReply, dialogRequest(invite, 'REFER', { ...at(line, 3), headers }));
    await line.peer.request('NOTIFY');
    line.recorder.refers[0]?.report(200, 'OK');
    await session.terminate();
    const told = line.peer.requests('NOTIFY').map(({ body }) => Buffer.from(body).toString());
    expect(told).toContain('SIP/2.0 200 OK\r\n');
  });
});
