// Calls that come in, over real UDP and TCP sockets: answer, refusal, CANCEL, PRACK, the ACK that does not come.

import { createSocket } from 'node:dgram';
import {
  EMPTY_BODY,
  type IncomingInvite,
  type IncomingSession,
  type InviteDecision,
  SipHeaders,
  type SipRequest,
  type SipResponse,
  SipUserAgent,
  type SipUserAgentOptions,
} from '@sipcast/sip';
import { afterEach, describe, expect, it } from 'vitest';
import { Recorder, response, say, ScriptedPeer, SHORT_TIMERS } from './sip-peer.ts';
import { until } from '../../support/wait.ts';

const tagOf = (value: string | undefined): string | undefined =>
  /;tag=([^;]*)/.exec(value ?? '')?.[1];

const opened: { close(): Promise<void> }[] = [];

afterEach(async () => {
  for (const one of opened.splice(0).toReversed()) await one.close();
});

/** A caller, and the user agent that it calls. */
async function openLine(
  options: {
    readonly decide?: (invite: IncomingInvite) => InviteDecision;
    readonly agent?: SipUserAgentOptions;
    readonly tcp?: boolean;
  } = {},
) {
  const recorder = new Recorder();
  const taken: { session?: IncomingSession; invite?: IncomingInvite } = {};
  const userAgent = new SipUserAgent(
    { bindAddress: '127.0.0.1', timers: SHORT_TIMERS, closeGraceMs: 300, ...options.agent },
    {
      onInvite: (invite) => {
        taken.invite = invite;
        if (options.decide !== undefined) return options.decide(invite);
        taken.session = invite.take(recorder);
        return 'taken';
      },
    },
  );
  await userAgent.open();
  const caller = await new ScriptedPeer().openUdp();
  opened.push(caller, userAgent);
  caller.script = (message, reply) => {
    if (message.kind === 'request' && message.method !== 'ACK') say(reply, response(message, 200));
  };
  /** A request of the caller's; with `to`, inside the dialog. */
  const request = (
    method: string,
    sequence: number,
    parts: {
      readonly to?: SipResponse;
      readonly headers?: readonly (readonly [string, string])[];
      readonly body?: string;
      readonly branch?: string;
    } = {},
  ): SipRequest => {
    const headers = new SipHeaders()
      .append(
        'via',
        `SIP/2.0/UDP 127.0.0.1:${caller.port};branch=${parts.branch ?? `z9hG4bK${method}${sequence}`}`,
      )
      .append('max-forwards', '70')
      .append('from', '"Carol" <sip:carol@example.com>;tag=carol')
      .append('to', parts.to?.headers.get('to') ?? '<sip:studio@127.0.0.1>')
      .append('call-id', 'incoming@test')
      .append('cseq', `${sequence} ${method}`)
      .append('contact', `<sip:carol@127.0.0.1:${caller.port}>`);
    for (const [name, value] of parts.headers ?? []) headers.append(name, value);
    if (parts.body !== undefined) headers.append('content-type', 'application/sdp');
    const body = parts.body === undefined ? EMPTY_BODY : Buffer.from(parts.body);
    const uri = `sip:studio@127.0.0.1:${userAgent.localPort}`;
    return { kind: 'request', method, uri, headers, body };
  };
  const send = (message: SipRequest): void =>
    say((octets) => caller.send(octets, userAgent.localPort), message);
  const final = async (cseq: string): Promise<SipResponse> => {
    const isFinal = (one: (typeof caller.received)[number]): boolean =>
      one.kind === 'response' && one.statusCode >= 200 && one.headers.get('cseq') === cseq;
    await until(() => caller.received.some(isFinal), cseq);
    return caller.received.find(isFinal) as SipResponse;
  };
  const provisional = async (statusCode: number, nth = 1): Promise<SipResponse> => {
    const all = () =>
      caller.received.filter((one) => one.kind === 'response' && one.statusCode === statusCode);
    await until(() => all().length >= nth, String(statusCode));
    return all()[nth - 1] as SipResponse;
  };
  /** Calls, is answered, acknowledges. */
  const establish = async (body: string | undefined = 'v=0 offer\r\n') => {
    send(request('INVITE', 1, body === '' ? {} : { body }));
    await until(() => taken.session !== undefined);
    taken.session?.answer('v=0 answer\r\n');
    const accepted = await final('1 INVITE');
    send(request('ACK', 1, { to: accepted, ...(body === '' && { body: 'v=0 theirs\r\n' }) }));
    await recorder.answered;
    return accepted;
  };
  const session = async (): Promise<IncomingSession> => {
    await until(() => taken.session !== undefined, 'a call');
    return taken.session!;
  };
  return {
    userAgent,
    caller,
    recorder,
    taken,
    request,
    send,
    final,
    provisional,
    establish,
    session,
  };
}

/** Nothing is left of calls; transactions end by their own timers. */
async function idle(userAgent: SipUserAgent): Promise<void> {
  await until(() => {
    const { sessions, clientTransactions, serverTransactions } = userAgent.stats;
    return sessions + clientTransactions + serverTransactions === 0;
  }, 'an idle user agent');
}

describe('an incoming call', () => {
  it('gets 100 and 180, is answered, and established by the ACK', async () => {
    const line = await openLine();
    line.send(line.request('INVITE', 1, { body: 'v=0 offer\r\n' }));
    const session = await line.session();
    expect(line.taken.invite?.offer).toBe('v=0 offer\r\n');
    expect(line.taken.invite?.source).toMatchObject({ address: '127.0.0.1', protocol: 'UDP' });
    expect(session.state).toBe('proceeding');
    await line.provisional(100);
    session.ring();
    const ringing = await line.provisional(180);
    expect(ringing.headers.get('require')).toBeUndefined();
    session.answer('v=0 answer\r\n');
    const accepted = await line.final('1 INVITE');
    expect(accepted.statusCode).toBe(200);
    expect(accepted.headers.get('to')).toBe(ringing.headers.get('to'));
    expect(accepted.headers.get('contact')).toBe(
      `<sip:studio@127.0.0.1:${line.userAgent.localPort}>`,
    );
    expect(Buffer.from(accepted.body).toString()).toBe('v=0 answer\r\n');
    expect(line.recorder.events).toEqual([]);
    line.send(line.request('ACK', 1, { to: accepted }));
    await line.recorder.answered;
    expect(session.state).toBe('established');

    const ended = session.terminate();
    const bye = await line.caller.request('BYE');
    expect(bye.uri).toBe(`sip:carol@127.0.0.1:${line.caller.port}`);
    expect(bye.headers.get('to')).toBe('"Carol" <sip:carol@example.com>;tag=carol');
    expect(bye.headers.get('from')).toBe(accepted.headers.get('to'));
    expect(bye.headers.get('cseq')).toBe('1 BYE');
    await ended;
    expect(await line.recorder.ended).toMatchObject({ endedBy: 'local', answered: true });
    await idle(line.userAgent);
  });

  it('without an offer gets ours, and answers in the ACK', async () => {
    const line = await openLine();
    const answers: (string | undefined)[] = [];
    const answered = line.recorder.onAnswered;
    line.recorder.onAnswered = (accepted: SipResponse, answer?: string) => {
      answers.push(answer);
      answered(accepted);
    };
    await line.establish('');
    expect(line.taken.invite?.offer).toBeUndefined();
    expect(answers).toEqual(['v=0 theirs\r\n']);
  });

  it('is ended by the caller', async () => {
    const line = await openLine();
    const accepted = await line.establish();
    line.send(line.request('BYE', 2, { to: accepted }));
    expect((await line.final('2 BYE')).statusCode).toBe(200);
    expect(await line.recorder.ended).toMatchObject({ endedBy: 'remote', answered: true });
  });

  it('is refused with the code that was chosen', async () => {
    const line = await openLine();
    line.send(line.request('INVITE', 1, { body: 'v=0 offer\r\n' }));
    const session = await line.session();
    expect(() => session.reject(200, 'OK')).toThrow(/statusCode/);
    session.reject(486, 'Busy Here', [['retry-after', '60']]);
    const refused = await line.final('1 INVITE');
    expect([refused.statusCode, refused.headers.get('retry-after')]).toEqual([486, '60']);
    expect(await line.recorder.ended).toMatchObject({ answered: false, statusCode: 486 });
    session.answer('v=0 late\r\n');
    line.send(line.request('ACK', 1, { to: refused, branch: 'z9hG4bKINVITE1' }));
    await idle(line.userAgent);
  });

  it('that is not accepted is refused, or gets no answer', async () => {
    const refusing = await openLine({
      decide: () => ({ statusCode: 404, reasonPhrase: 'Not Found' }),
    });
    refusing.send(refusing.request('INVITE', 1, { body: 'v=0 offer\r\n' }));
    expect((await refusing.final('1 INVITE')).statusCode).toBe(404);
    const silent = await openLine({ decide: () => 'drop' });
    silent.send(silent.request('INVITE', 1, { body: 'v=0 offer\r\n' }));
    silent.send(silent.request('OPTIONS', 2));
    await silent.final('2 OPTIONS');
    expect(silent.caller.received.length).toBe(1);
  });

  it('is cancelled by the caller', async () => {
    const line = await openLine();
    line.send(line.request('INVITE', 1, { body: 'v=0 offer\r\n' }));
    const session = await line.session();
    session.ring();
    await line.provisional(180);
    line.send(line.request('CANCEL', 1, { branch: 'z9hG4bKINVITE1' }));
    expect((await line.final('1 CANCEL')).statusCode).toBe(200);
    expect((await line.final('1 INVITE')).statusCode).toBe(487);
    expect(await line.recorder.ended).toMatchObject({ endedBy: 'remote', answered: false });
  });

  it('is established all the same when the CANCEL comes behind the answer', async () => {
    const line = await openLine();
    line.send(line.request('INVITE', 1, { body: 'v=0 offer\r\n' }));
    (await line.session()).answer('v=0 answer\r\n');
    const accepted = await line.final('1 INVITE');
    line.send(line.request('CANCEL', 1, { branch: 'z9hG4bKINVITE1' }));
    expect((await line.final('1 CANCEL')).statusCode).toBe(200);
    line.send(line.request('ACK', 1, { to: accepted }));
    await line.recorder.answered;
  });

  it('is ended by a BYE before the answer', async () => {
    const line = await openLine();
    line.send(line.request('INVITE', 1, { body: 'v=0 offer\r\n' }));
    (await line.session()).ring();
    const ringing = await line.provisional(180);
    line.send(line.request('BYE', 2, { to: ringing }));
    expect((await line.final('2 BYE')).statusCode).toBe(200);
    expect((await line.final('1 INVITE')).statusCode).toBe(487);
    await line.recorder.ended;
  });

  it('repeats its 200 until the ACK, and says BYE when none comes', async () => {
    const line = await openLine();
    line.send(line.request('INVITE', 1, { body: 'v=0 offer\r\n' }));
    const session = await line.session();
    session.answer('v=0 answer\r\n');
    expect(await line.recorder.ended).toMatchObject({
      endedBy: 'network',
      answered: false,
      error: { code: 'TIMEOUT' },
    });
    const oks = line.caller.received.filter(
      (one) => one.kind === 'response' && one.headers.get('cseq') === '1 INVITE',
    );
    expect(oks.length).toBeGreaterThan(5);
    expect(line.caller.requests('BYE').length).toBe(1);
    await idle(line.userAgent);
  });

  it('terminated before its ACK says BYE after it', async () => {
    const line = await openLine();
    line.send(line.request('INVITE', 1, { body: 'v=0 offer\r\n' }));
    const session = await line.session();
    session.answer('v=0 answer\r\n');
    const accepted = await line.final('1 INVITE');
    const ended = session.terminate();
    expect(line.caller.requests('BYE')).toEqual([]);
    line.send(line.request('ACK', 1, { to: accepted }));
    await line.caller.request('BYE');
    await ended;
    expect(line.recorder.events).toEqual(['ended']);
  });

  it('is declined by terminate, and refused when the user agent closes', async () => {
    const line = await openLine();
    line.send(line.request('INVITE', 1, { body: 'v=0 offer\r\n' }));
    const session = await line.session();
    await session.terminate();
    expect((await line.final('1 INVITE')).statusCode).toBe(603);
    const other = await openLine();
    other.send(other.request('INVITE', 1, { body: 'v=0 offer\r\n' }));
    await other.session();
    await other.userAgent.close();
    expect((await other.final('1 INVITE')).statusCode).toBe(603);
    expect(await other.recorder.ended).toMatchObject({ endedBy: 'local', answered: false });
  });

  it('sent again is one call; over another way it is merged (482)', async () => {
    const line = await openLine();
    const invite = line.request('INVITE', 1, { body: 'v=0 offer\r\n' });
    line.send(invite);
    const first = await line.session();
    line.send(invite);
    await line.provisional(100, 2);
    line.send(line.request('INVITE', 1, { body: 'v=0 offer\r\n', branch: 'z9hG4bKother' }));
    expect((await line.final('1 INVITE')).statusCode).toBe(482);
    expect(line.taken.session).toBe(first);
    expect(line.userAgent.stats.sessions).toBe(1);
  });
});

describe('what does not belong', () => {
  it('a new offer before the first one is answered is for later: 500 with Retry-After', async () => {
    const line = await openLine();
    line.send(line.request('INVITE', 1, { body: 'v=0 offer\r\n' }));
    const session = await line.session();
    session.ring();
    const ringing = await line.provisional(180);
    const early = { to: ringing, body: 'v=0 again\r\n' };
    line.send(line.request('UPDATE', 2, early));
    line.send(line.request('INVITE', 3, early));
    for (const cseq of ['2 UPDATE', '3 INVITE']) {
      const refused = await line.final(cseq);
      expect(refused.statusCode, cseq).toBe(500);
      expect(Number(refused.headers.get('retry-after')), cseq).toBeLessThanOrEqual(10);
    }
    line.send(line.request('ACK', 3, { to: ringing, branch: 'z9hG4bKINVITE3' }));
    expect(line.recorder.offers).toEqual([]);
    session.answer('v=0 answer\r\n');
    const accepted = await line.final('1 INVITE');
    expect(accepted.statusCode).toBe(200);
    // Our answer waits for its ACK only: nothing is open on the peer's side.
    line.send(line.request('ACK', 1, { to: accepted }));
    await line.recorder.answered;
    await session.terminate();
    await idle(line.userAgent);
  });

  it('a BYE, a CANCEL and a re-INVITE from elsewhere are told of, and judged as all others', async () => {
    const faults: string[] = [];
    const recorder = new Recorder();
    const userAgent = new SipUserAgent(
      { bindAddress: '0.0.0.0', timers: SHORT_TIMERS, closeGraceMs: 300 },
      {
        onInvite: (invite) => {
          invite.take(recorder).answer('v=0 answer\r\n');
          return 'taken';
        },
        onFault: (fault, { source, excerpt }) =>
          faults.push(`${fault} ${source.split(':')[0] ?? ''} ${excerpt}`),
      },
    );
    await userAgent.open();
    const caller = await new ScriptedPeer().openUdp();
    const forger = createSocket('udp4');
    await new Promise<void>((resolve) => {
      forger.bind(0, '127.0.0.2', resolve);
    });
    const answers: string[] = [];
    forger.on('message', (datagram) => answers.push(datagram.toString()));
    opened.push(userAgent, caller, {
      close: () =>
        new Promise((resolve) => {
          forger.close(() => resolve());
        }),
    });
    const text = (
      method: string,
      sequence: number,
      to: string,
      from = 'carol',
      body = '',
    ): Uint8Array =>
      Buffer.from(
        `${method} sip:studio@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:${caller.port};rport;branch=z9hG4bK${method}${sequence}${from}\r\n` +
          `From: <sip:carol@example.com>;tag=${from}\r\nTo: <sip:studio@127.0.0.1>${to}\r\nCall-ID: forged@test\r\nMax-Forwards: 70\r\n` +
          `CSeq: ${sequence} ${method}\r\nContact: <sip:carol@127.0.0.1:${caller.port}>\r\nContent-Type: application/sdp\r\n` +
          `Content-Length: ${body.length}\r\n\r\n${body}`,
      );
    caller.send(text('INVITE', 5, '', 'carol', 'v=0 offer\r\n'), userAgent.localPort);
    const accepted = await caller.response('5 INVITE').then(async () => {
      const isAnswer = (one: (typeof caller.received)[number]): boolean =>
        one.kind === 'response' && one.statusCode === 200;
      await until(() => caller.received.some(isAnswer));
      return caller.received.find(isAnswer) as SipResponse;
    });
    const to = `;tag=${tagOf(accepted.headers.get('to')) ?? ''}`;
    caller.send(text('ACK', 5, to), userAgent.localPort);
    await recorder.answered;
    const forge = async (octets: Uint8Array): Promise<string> => {
      const cseq = /^CSeq: .*$/m.exec(Buffer.from(octets).toString())?.[0] ?? '';
      // A refused INVITE is refused again and again, as nobody acknowledges it.
      const isOfThis = (answer: string): boolean =>
        answer.toLowerCase().includes(`\r\n${cseq.trim().toLowerCase()}\r\n`);
      forger.send(octets, userAgent.localPort, '127.0.0.1');
      await until(() => answers.some(isOfThis));
      return answers.find(isOfThis)?.split('\r\n', 1)[0] ?? '';
    };
    // Without our tag, with a wrong one, with a wrong one of its own, and out of order.
    expect(await forge(text('BYE', 6, ''))).toContain('481');
    expect(await forge(text('BYE', 7, ';tag=guess'))).toContain('481');
    expect(await forge(text('BYE', 8, to, 'mallory'))).toContain('481');
    expect(await forge(text('BYE', 4, to))).toContain('500');
    expect(await forge(text('INVITE', 3, to, 'carol', 'v=0 evil\r\n'))).toContain('500');
    expect(await forge(text('CANCEL', 9, ''))).toContain('481');
    expect(recorder.events).toEqual(['answered 200']);
    expect(recorder.offers).toEqual([]);
    const told = faults.filter((fault) => fault.startsWith('other-source 127.0.0.2'));
    expect(told).toEqual([
      'other-source 127.0.0.2 BYE forged@test',
      'other-source 127.0.0.2 BYE forged@test',
      'other-source 127.0.0.2 INVITE forged@test',
    ]);
    // Who knows all tags and numbers is the peer, wherever it has moved to; but not unnoticed.
    expect(await forge(text('BYE', 10, to))).toContain('200');
    expect(await recorder.ended).toMatchObject({ endedBy: 'remote' });
    expect(faults.filter((fault) => fault.startsWith('other-source'))).toHaveLength(4);
    await idle(userAgent);
  });

  it('methods that are not served in a dialog are refused with what is, or unknown', async () => {
    const line = await openLine();
    Object.assign(line.recorder, {
      onDialogRequest: () => ({ statusCode: 405, reasonPhrase: 'Method Not Allowed' }),
    });
    const to = await line.establish();
    let sequence = 1;
    for (const [method, statusCode] of [
      ['MESSAGE', 405],
      ['SUBSCRIBE', 405],
      ['REGISTER', 405],
      ['PUBLISH', 405],
      ['FOO', 501],
      ['NOTIFY', 481],
      ['REFER', 400],
    ] as const) {
      sequence++;
      line.send(line.request(method, sequence, { to }));
      const refused = await line.final(`${sequence} ${method}`);
      expect(refused.statusCode, method).toBe(statusCode);
      if (statusCode === 405 || statusCode === 501)
        expect(refused.headers.get('allow'), method).toContain('INVITE');
    }
    expect(line.taken.session?.state).toBe('established');
  });

  it('is not revealed to strangers: their faulty calls get no answer either', async () => {
    const faults: string[] = [];
    const userAgent = new SipUserAgent(
      {
        bindAddress: '127.0.0.1',
        timers: SHORT_TIMERS,
        guard: { perSource: 1000, strikes: 10_000 },
      },
      {
        recognizes: (request) => request.uri.startsWith('sip:studio@'),
        onInvite: () => ({ statusCode: 486, reasonPhrase: 'Busy Here' }),
        onFault: (fault) => faults.push(fault),
      },
    );
    await userAgent.open();
    const caller = await new ScriptedPeer().openUdp();
    opened.push(caller, userAgent);
    const ask = (user: string, id: string, extra: string, method = 'INVITE', to = ''): void =>
      caller.send(
        Buffer.from(
          `${method} sip:${user}@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:${caller.port};rport;branch=z9hG4bK${id}\r\n` +
            `From: <sip:x@y>;tag=${id}\r\nTo: <sip:x@y>${to}\r\nCall-ID: ${id}\r\nCSeq: 1 ${method}\r\nMax-Forwards: 70\r\n` +
            `Contact: <sip:x@127.0.0.1:${caller.port}>\r\n${extra}Content-Length: 0\r\n\r\n`,
        ),
        userAgent.localPort,
      );
    const wrong: Readonly<Record<string, string>> = {
      require: 'Require: teleportation\r\n',
      accept: 'Accept: text/plain\r\n',
      replaces: 'Replaces: a@b;to-tag=1;from-tag=2\r\n',
      interval: 'Session-Expires: 5\r\nSupported: timer\r\n',
    };
    for (const [id, extra] of Object.entries(wrong)) ask('nobody', id, extra);
    ask('nobody', 'dialog', '', 'INVITE', ';tag=guess');
    ask('nobody', 'cancel', '', 'CANCEL');
    // Who is expected is told.
    for (const [id, extra] of Object.entries(wrong)) ask('studio', `known-${id}`, extra);
    ask('studio', 'known', '');
    await until(() => caller.received.some((one) => one.headers.get('call-id') === 'known'));
    const answers = new Map(
      caller.received
        .filter((one): one is SipResponse => one.kind === 'response')
        .map((one) => [one.headers.get('call-id'), one.statusCode]),
    );
    expect(Object.fromEntries(answers)).toEqual({
      'known-require': 420,
      'known-accept': 406,
      'known-replaces': 481,
      'known-interval': 422,
      known: 486,
    });
    expect(faults.filter((fault) => fault === 'stranger')).toHaveLength(6);
  });
});

describe('what the caller may ask for', () => {
  it('changes by re-INVITE, and ours to it', async () => {
    const line = await openLine();
    const accepted = await line.establish();
    line.send(line.request('INVITE', 2, { to: accepted, body: 'v=0 theirs\r\n' }));
    const answered = await line.final('2 INVITE');
    expect(answered.statusCode).toBe(200);
    line.send(line.request('ACK', 2, { to: accepted }));
    line.caller.script = (message, reply) => {
      if (message.kind === 'request' && message.method !== 'ACK')
        say(reply, response(message, 200, { body: 'v=0 ok\r\n' }));
    };
    await expect(line.taken.session!.reoffer('v=0 hold\r\n')).resolves.toMatchObject({
      sdp: 'v=0 ok\r\n',
    });
    const ours = await line.caller.request('INVITE');
    expect(ours.headers.get('cseq')).toBe('1 INVITE');
    await line.caller.request('ACK');
  });

  it('never gets an answer to a digest challenge: the password is not for callers', async () => {
    const line = await openLine();
    await line.establish();
    line.caller.script = (message, reply) => {
      if (message.kind !== 'request') return;
      const headers = [['www-authenticate', 'Digest realm="r", nonce="n"']] as const;
      say(reply, response(message, 401, { headers }));
    };
    await line.taken.session!.terminate();
    const byes = line.caller.requests('BYE');
    expect(byes.length).toBe(1);
    expect(byes[0]?.headers.get('authorization')).toBeUndefined();
  });

  it('reliable provisional responses: the answer waits for the PRACK', async () => {
    const line = await openLine();
    const headers = [['require', '100rel']] as const;
    line.send(line.request('INVITE', 1, { body: 'v=0 offer\r\n', headers }));
    const session = await line.session();
    session.ring();
    const ringing = await line.provisional(180, 3);
    expect(ringing.headers.get('require')).toBe('100rel');
    const rseq = ringing.headers.get('rseq') ?? '';
    session.answer('v=0 answer\r\n');
    const prack = (sequence: number, rack: string): void =>
      line.send(line.request('PRACK', sequence, { to: ringing, headers: [['rack', rack]] }));
    prack(2, `${Number(rseq) + 1} 1 INVITE`);
    expect((await line.final('2 PRACK')).statusCode).toBe(481);
    prack(3, `${rseq} 1 INVITE`);
    expect((await line.final('3 PRACK')).statusCode).toBe(200);
    expect((await line.final('1 INVITE')).statusCode).toBe(200);
  });

  it('without its PRACK the call is given up', async () => {
    const line = await openLine();
    const headers = [['require', '100rel']] as const;
    line.send(line.request('INVITE', 1, { body: 'v=0 offer\r\n', headers }));
    (await line.session()).ring();
    expect((await line.final('1 INVITE')).statusCode).toBe(504);
    expect(await line.recorder.ended).toMatchObject({ error: { code: 'TIMEOUT' } });
  });

  it('early media: 183 with a description, reliably where the caller supports it', async () => {
    const line = await openLine();
    const headers = [['supported', '100rel, timer']] as const;
    line.send(line.request('INVITE', 1, { body: 'v=0 offer\r\n', headers }));
    (await line.session()).ring('v=0 early\r\n');
    const progress = await line.provisional(183);
    expect(progress.headers.get('require')).toBe('100rel');
    expect(Buffer.from(progress.body).toString()).toBe('v=0 early\r\n');
  });

  it('a session timer', async () => {
    const line = await openLine();
    const short = [['session-expires', '60']] as const;
    line.send(line.request('INVITE', 1, { body: 'v=0 offer\r\n', headers: short }));
    const refused = await line.final('1 INVITE');
    expect([refused.statusCode, refused.headers.get('min-se')]).toEqual([422, '90']);
    line.send(line.request('ACK', 1, { to: refused, branch: 'z9hG4bKINVITE1' }));
    const headers = [
      ['session-expires', '1800'],
      ['supported', 'timer'],
    ] as const;
    line.send(line.request('INVITE', 2, { body: 'v=0 offer\r\n', headers }));
    (await line.session()).answer('v=0 answer\r\n');
    const accepted = await line.final('2 INVITE');
    expect(accepted.headers.get('session-expires')).toBe('1800;refresher=uac');
    expect(accepted.headers.get('require')).toBe('timer');
  });

  it('no replacement of another call', async () => {
    const line = await openLine();
    const accepted = await line.establish();
    const ours = /;tag=(\w+)/.exec(accepted.headers.get('to') ?? '')?.[1] ?? '';
    const replacing = (sequence: number, value: string): SipRequest => {
      const request = line.request('INVITE', sequence, {
        body: 'v=0 offer\r\n',
        headers: [['replaces', value]],
      });
      request.headers.set('call-id', `other${sequence}@test`);
      return request;
    };
    line.send(replacing(11, `incoming@test;to-tag=${ours};from-tag=carol`));
    expect((await line.final('11 INVITE')).statusCode).toBe(603);
    line.send(replacing(12, 'unknown@test;to-tag=a;from-tag=b'));
    expect((await line.final('12 INVITE')).statusCode).toBe(481);
    line.send(replacing(13, ';;;='));
    expect((await line.final('13 INVITE')).statusCode).toBe(481);
    expect(line.taken.session?.state).toBe('established');
  });
});
