// What a user agent answers to requests that belong to no call of its own, and how it registers.

import { EMPTY_BODY, formatMessage, SipHeaders, type SipRequest, SipUserAgent } from '@sipcast/sip';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openUserAgent, response, say, ScriptedPeer, SHORT_TIMERS } from './sip-peer.ts';
import { until } from '../../support/wait.ts';

let userAgent: SipUserAgent;
let peer: ScriptedPeer;
let faults: string[];
let number = 0;

beforeEach(async () => {
  faults = [];
  userAgent = new SipUserAgent(
    { bindAddress: '127.0.0.1', timers: SHORT_TIMERS, maxTransactions: 20 },
    { onFault: (fault) => void faults.push(fault) },
  );
  await userAgent.open();
  peer = await new ScriptedPeer().openUdp();
});

afterEach(async () => {
  await userAgent.close();
  await peer.close();
});

interface Parts {
  readonly uri?: string;
  readonly headers?: readonly (readonly [string, string])[];
  readonly body?: string;
  readonly branch?: string;
  readonly toTag?: string;
  readonly sequence?: number;
  readonly callId?: string;
}

function request(method: string, parts: Parts = {}): SipRequest {
  number += 1;
  const branch = parts.branch ?? `z9hG4bK-${number}`;
  const to = parts.toTag === undefined ? '' : `;tag=${parts.toTag}`;
  const headers = new SipHeaders()
    .append('via', `SIP/2.0/UDP 192.0.2.1:9;branch=${branch};rport`)
    .append('max-forwards', '0')
    .append('from', '<sip:peer@127.0.0.1>;tag=peer')
    .append('to', `<sip:us@127.0.0.1>${to}`)
    .append('call-id', parts.callId ?? `id-${number}`)
    .append('cseq', `${parts.sequence ?? number} ${method}`);
  for (const [name, value] of parts.headers ?? []) headers.append(name, value);
  const body = parts.body === undefined ? EMPTY_BODY : Buffer.from(parts.body);
  return { kind: 'request', method, uri: parts.uri ?? 'sip:us@127.0.0.1', headers, body };
}

async function ask(message: SipRequest) {
  peer.send(formatMessage(message), userAgent.localPort);
  return peer.response(message.headers.get('cseq') ?? '');
}

describe('outside of dialogs', () => {
  it('answers OPTIONS with what it can, to the source of the request', async () => {
    const answer = await ask(request('OPTIONS'));
    expect(answer.statusCode).toBe(200);
    expect(answer.headers.get('allow')).toContain('INVITE');
    expect(answer.headers.get('accept')).toBe('application/sdp');
    expect(answer.headers.get('to')).toMatch(/;tag=./);
    expect(answer.headers.get('via')).toContain(`;received=127.0.0.1`);
    expect(answer.headers.get('via')).toContain(`;rport=${peer.port}`);
  });

  const sdp: Parts = { body: 'v=0\r\n', headers: [['content-type', 'application/sdp']] };
  const cases: [string, SipRequest, number, (readonly [string, string])?][] = [
    ['INVITE', request('INVITE', sdp), 403],
    ['INVITE without SDP', request('INVITE'), 403],
    ['REGISTER', request('REGISTER'), 405, ['allow', 'INVITE']],
    ['MESSAGE', request('MESSAGE', { body: 'hello' }), 405],
    ['SUBSCRIBE', request('SUBSCRIBE'), 405],
    ['PUBLISH', request('PUBLISH'), 405],
    ['REFER', request('REFER'), 405],
    ['an unknown method', request('NEWMETHOD'), 501],
    ['a BYE of no dialog', request('BYE', { toTag: 'x' }), 481],
    ['a CANCEL of nothing', request('CANCEL'), 481],
    ['an INVITE in an unknown dialog', request('INVITE', { toTag: 'gone' }), 481],
    ['another URI scheme', request('OPTIONS', { uri: 'nobodyKnowsThisScheme:x' }), 416],
    [
      'an unknown extension',
      request('OPTIONS', {
        headers: [
          ['require', 'nothingSupportsThis'],
          ['proxy-require', 'nor-this'],
        ],
      }),
      420,
      ['unsupported', 'nothingSupportsThis'],
    ],
    [
      'a body that is no SDP',
      request('INVITE', { body: 'x', headers: [['content-type', 'application/x-odd']] }),
      415,
      ['accept', 'application/sdp'],
    ],
    ['an Accept without SDP', request('INVITE', { headers: [['accept', 'text/plain']] }), 406],
  ];
  for (const [name, message, statusCode, header] of cases) {
    it(`answers ${statusCode} to ${name}`, async () => {
      const answer = await ask(message);
      expect(answer.statusCode).toBe(statusCode);
      if (header !== undefined) expect(answer.headers.get(header[0])).toContain(header[1]);
    });
  }

  it('answers a retransmission with the same response, from the transaction', async () => {
    const message = request('OPTIONS');
    const first = await ask(message);
    peer.send(formatMessage(message), userAgent.localPort);
    await until(() => peer.received.length === 2);
    expect(peer.received[1]?.headers.get('to')).toBe(first.headers.get('to'));
    expect(userAgent.stats.serverTransactions).toBe(1);
    await until(() => userAgent.stats.serverTransactions === 0);
  });

  it('answers 482 to the same request that came on another way', async () => {
    const parts = { callId: 'merged', sequence: 900 };
    expect((await ask(request('OPTIONS', parts))).statusCode).toBe(200);
    peer.received.length = 0;
    expect((await ask(request('OPTIONS', parts))).statusCode).toBe(482);
  });

  it('absorbs the ACK of its refusal, with and without the magic cookie', async () => {
    for (const branch of ['z9hG4bKack', 'old-style']) {
      peer.received.length = 0;
      const invite = request('INVITE', { branch });
      const refusal = await ask(invite);
      const headers = invite.headers.clone();
      headers.set('cseq', (invite.headers.get('cseq') ?? '').replace('INVITE', 'ACK'));
      headers.set('to', refusal.headers.get('to') ?? '');
      peer.send(formatMessage({ ...invite, method: 'ACK', headers }), userAgent.localPort);
      await until(() => userAgent.stats.serverTransactions === 0);
    }
    expect(faults).toEqual([]);
  });

  it('answers 200 to a CANCEL of an INVITE that it has refused', async () => {
    const invite = request('INVITE', { branch: 'z9hG4bKcancel' });
    const refusal = await ask(invite);
    const headers = invite.headers.clone();
    headers.set('cseq', (invite.headers.get('cseq') ?? '').replace('INVITE', 'CANCEL'));
    const answer = await ask({ ...invite, method: 'CANCEL', headers });
    expect(answer.statusCode).toBe(200);
    expect(answer.headers.get('to')).toBe(refusal.headers.get('to'));
  });

  it('drops stray responses and ACKs, and counts them', async () => {
    say(
      (octets) => peer.send(octets, userAgent.localPort),
      response(request('INVITE'), 200, { tag: 'x' }),
    );
    peer.send(formatMessage(request('ACK', { toTag: 'x' })), userAgent.localPort);
    await until(() => faults.length === 2);
    expect(faults).toEqual(['stray-response', 'stray-ack']);
    expect(peer.received).toEqual([]);
  });

  it('answers 400 without state to a request that it can half read', async () => {
    const text = formatMessage(request('OPTIONS')).toString();
    peer.send(
      Buffer.from(text.replace('Max-Forwards: 0', 'Max-Forwards: many')),
      userAgent.localPort,
    );
    await until(() => peer.received.length === 1);
    expect(peer.received[0]).toMatchObject({ kind: 'response', statusCode: 400 });
    expect(userAgent.stats.serverTransactions).toBe(0);
    const ack = formatMessage(request('ACK')).toString();
    peer.send(
      Buffer.from(ack.replace('Max-Forwards: 0', 'Max-Forwards: many')),
      userAgent.localPort,
    );
    await until(() => faults.length === 2);
    expect(peer.received.length).toBe(1);
  });

  it('answers 503 without state above its limit', async () => {
    for (let i = 0; i < 25; i++) peer.send(formatMessage(request('OPTIONS')), userAgent.localPort);
    await until(() => peer.received.length >= 25);
    const busy = peer.received.filter((m) => m.kind === 'response' && m.statusCode === 503);
    expect(busy.length).toBe(5);
    expect(busy[0]?.headers.get('retry-after')).toBe('5');
    expect(faults).toEqual(Array.from({ length: 5 }, () => 'transaction-limit'));
    expect(userAgent.stats.serverTransactions).toBe(20);
  });

  it('lets the owner decide about an INVITE, silence included', async () => {
    const verdicts = [{ statusCode: 480, reasonPhrase: 'Not Now' }, 'drop' as const];
    const choosy = new SipUserAgent(
      { bindAddress: '127.0.0.1', timers: SHORT_TIMERS },
      { onInvite: () => verdicts.shift() ?? 'drop' },
    );
    await choosy.open();
    const first = request('INVITE');
    peer.send(formatMessage(first), choosy.localPort);
    const answer = await peer.response(first.headers.get('cseq') ?? '');
    expect([answer.statusCode, answer.reasonPhrase]).toEqual([480, 'Not Now']);
    await until(() => choosy.stats.serverTransactions === 0, 'timer H');
    // Its answer comes behind the last copy of the 480.
    const options = request('OPTIONS');
    peer.send(formatMessage(options), choosy.localPort);
    await peer.response(options.headers.get('cseq') ?? '');
    await until(() => choosy.stats.serverTransactions === 0, 'timer J');
    const copies = peer.received.length;
    expect(copies).toBeGreaterThan(2);
    peer.send(formatMessage(request('INVITE')), choosy.localPort);
    await until(() => verdicts.length === 0);
    expect(choosy.stats.serverTransactions).toBe(0);
    await choosy.close();
    expect(peer.received.length).toBe(copies);
  });
});

describe('REGISTER', () => {
  const account = () => ({
    registrar: `sip:127.0.0.1:${peer.port}`,
    from: { uri: 'sip:alice@example.com' },
    credentials: { username: 'alice', password: 'secret' },
    transport: 'udp' as const,
  });

  it('answers the challenge, learns the granted time, and removes the binding', async () => {
    peer.script = (message, reply) => {
      if (message.kind !== 'request') return;
      if (!message.headers.has('authorization')) {
        const challenge = 'Digest realm="test", nonce="n1", qop="auth", algorithm=SHA-256';
        say(reply, response(message, 401, { headers: [['www-authenticate', challenge]] }));
        return;
      }
      const contact = `${message.headers.get('contact') ?? ''};expires=120`;
      say(reply, response(message, 200, { headers: [['contact', contact]] }));
    };
    const registration = await userAgent.register(account());
    expect(registration.expiresSeconds).toBe(120);
    expect(registration.contact).toBe(`<sip:alice@127.0.0.1:${userAgent.localPort}>`);
    await registration.unregister();
    await registration.unregister();
    const sent = peer.requests('REGISTER');
    expect(sent.map((r) => r.headers.get('cseq'))).toEqual([
      '1 REGISTER',
      '2 REGISTER',
      '3 REGISTER',
    ]);
    expect(sent.map((r) => r.headers.get('expires'))).toEqual(['3600', '3600', '0']);
    expect(new Set(sent.map((r) => r.headers.get('call-id'))).size).toBe(1);
    expect(sent[1]?.headers.get('authorization')).toContain('algorithm=SHA-256');
    expect(sent[2]?.headers.get('authorization')).toContain('nc=00000002');
    await until(() => userAgent.stats.clientTransactions === 0);
  });

  it('asks once more with Min-Expires after 423', async () => {
    peer.script = (message, reply) => {
      if (message.kind !== 'request') return;
      const brief = Number(message.headers.get('expires')) < 600;
      say(
        reply,
        brief
          ? response(message, 423, { headers: [['min-expires', '600']] })
          : response(message, 200),
      );
    };
    const registration = await userAgent.register({ ...account(), expiresSeconds: 60 });
    expect(registration.expiresSeconds).toBe(600);
  });

  it('rejects for a wrong password, a refusal, and silence', async () => {
    peer.script = (message, reply) => {
      if (message.kind !== 'request') return;
      const challenge = `Digest realm="test", nonce="${peer.received.length}", qop="auth"`;
      say(reply, response(message, 401, { headers: [['www-authenticate', challenge]] }));
    };
    await expect(userAgent.register(account())).rejects.toMatchObject({ code: 'AUTH_FAILED' });
    expect(peer.requests('REGISTER').length).toBe(2);
    peer.script = (message, reply) => {
      if (message.kind === 'request') say(reply, response(message, 404));
    };
    await expect(userAgent.register(account())).rejects.toMatchObject({
      code: 'REJECTED',
      statusCode: 404,
    });
    peer.script = () => {};
    await expect(userAgent.register(account())).rejects.toMatchObject({ code: 'TIMEOUT' });
  });

  it('is refused with CLOSED when the user agent closes', async () => {
    const agent = await openUserAgent();
    const pending = agent.register(account());
    const refused = expect(pending).rejects.toMatchObject({ code: 'CLOSED' });
    await peer.request('REGISTER');
    await agent.close();
    await refused;
  });

  it('names the wrong argument', async () => {
    await expect(userAgent.register({ ...account(), registrar: '' })).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      field: 'registrar',
    });
    await expect(userAgent.register({ ...account(), expiresSeconds: -1 })).rejects.toMatchObject({
      field: 'expiresSeconds',
    });
  });
});
