import type { MediaSession, NegotiatedMedia } from '@sipcast/media';
import { SipError, SipHeaders } from '@sipcast/sip';
import type {
  InviteOptions,
  InviteSession,
  InviteSessionHandler,
  Registration,
  SessionEnding,
  SipResponse,
} from '@sipcast/sip';
import { describe, expect, it, vi } from 'vitest';
import type { CallDeps, CallOptions } from './call-options.ts';
import type { CallView } from './call-view.ts';
import { GatewayCall } from './gateway-call.ts';
import { silentLogger } from '../logger.ts';
import { resolveStartup } from './startup.ts';
import type { StartupRequest } from './startup-request.ts';

const ANSWER = `v=0
o=- 1 1 IN IP4 127.0.0.1
s=-
c=IN IP4 127.0.0.1
t=0 0
m=audio 4000 RTP/AVP 8
m=video 4002 RTP/AVP 112
a=rtpmap:112 H264/90000
a=fmtp:112 packetization-mode=1
`.replaceAll('\n', '\r\n');

const response = (statusCode: number, body = ''): SipResponse => ({
  kind: 'response',
  statusCode,
  reasonPhrase: 'Because',
  headers: new SipHeaders().append('CSeq', '1 INVITE'),
  body: Buffer.from(body),
});

/** A call whose SIP session and media are played by the test. */
function setUp(request: Partial<StartupRequest> = {}, deps: Partial<CallDeps['userAgent']> = {}) {
  const sip: { options?: InviteOptions; handler?: InviteSessionHandler } = {};
  const session = {
    callId: 'id',
    state: 'calling' as InviteSession['state'],
    sendInfo: vi.fn(() => Promise.resolve(200)),
    reoffer: vi.fn(() => Promise.resolve({ sdp: '', source: undefined })),
    refresh: vi.fn(() => Promise.resolve()),
    refer: vi.fn(() => Promise.resolve({ statusCode: 200, reasonPhrase: 'OK' })),
    terminate: vi.fn(() => Promise.resolve()),
  };
  const media = {
    audio: { rtpPort: 30_000, rtcpPort: 30_001, ssrc: 1 },
    video: { rtpPort: 30_002, rtcpPort: 30_003, ssrc: 2 },
    start: vi.fn<(negotiated: NegotiatedMedia) => void>(),
    update: vi.fn<(negotiated: NegotiatedMedia) => void>(),
    stream: {
      prepare: vi.fn(() => () => {}),
      finish: vi.fn(() => Promise.resolve()),
    },
    onKeyFrameRequest: vi.fn(),
    injectAudio: vi.fn(),
    playSound: vi.fn(),
    stats: () => null,
    sendDtmf: vi.fn(() => Promise.resolve()),
    close: vi.fn(() => Promise.resolve()),
  };
  const unregister = vi.fn(() => Promise.resolve());
  const register = vi.fn(() => Promise.resolve({ unregister } as unknown as Registration));
  const startup = resolveStartup(
    { callee: 'bob@127.0.0.1', callId: 'id', ...request },
    () => 'made',
  );
  const options: CallOptions = {
    nodeId: 'node@127.0.0.1',
    sessionId: 'test:1',
    offer: {},
    inviteTimeoutMs: 1000,
    trace: { entries: () => [] },
  };
  const call = new GatewayCall(startup, media as unknown as MediaSession, options, {
    onOutputFailed: () => {},
    userAgent: {
      localAddressFor: () => Promise.resolve('127.0.0.1'),
      invite: (invited, handler) => {
        Object.assign(sip, { options: invited, handler });
        // As the user agent does when it has found the way.
        if (typeof invited.offer === 'function') invited.offer('127.0.0.1');
        return session;
      },
      resolve: (host) => Promise.reject(new Error(host)),
      register,
      ...deps,
    },
    logger: silentLogger,
    wallClock: () => 1000,
  });
  const changes: [CallView['status'], number | null, string | null][] = [];
  call.on('change', (view) => changes.push([view.status, view.sipStatus, view.info]));
  return { call, sip, session, media, register, unregister, changes };
}

async function answered(request: Partial<StartupRequest> = {}) {
  const parts = setUp(request);
  await parts.call.place();
  parts.sip.handler?.onAnswered(response(200, ANSWER));
  return parts;
}

describe('GatewayCall', () => {
  it('goes from NEW to ESTABLISHED by what the peer answers', async () => {
    const { call, sip, media, changes } = setUp();
    expect(call.status).toBe('NEW');
    await call.place();
    for (const status of [100, 180, 183, 180]) sip.handler?.onProvisional(response(status));
    sip.handler?.onAnswered(response(200, ANSWER));
    await call.established();
    expect(changes).toEqual([
      ['PENDING', null, null],
      ['TRYING', 100, null],
      ['RING', 180, null],
      ['SESSION_PROGRESS', 183, null],
      ['RING', 180, null],
      ['ESTABLISHED', 200, null],
    ]);
    expect(sip.options).toMatchObject({
      callId: 'id',
      target: 'sip:bob@127.0.0.1',
      transport: 'udp',
    });
    expect(media.start).toHaveBeenCalledWith(
      expect.objectContaining({ audio: expect.anything(), video: expect.anything() }),
    );
    expect(call.view().sdp).toBe(ANSWER);
  });

  const endings: [string, Partial<SessionEnding>, string, string, string][] = [
    ['486', { statusCode: 486, reasonPhrase: 'Busy Here' }, 'BUSY', 'Busy Here', 'remote'],
    [
      '600',
      { statusCode: 600, reasonPhrase: 'Busy Everywhere' },
      'BUSY',
      'Busy Everywhere',
      'remote',
    ],
    ['404', { statusCode: 404, reasonPhrase: 'Not Found' }, 'FAILED', '404 Not Found', 'remote'],
    [
      '403 with an error',
      { statusCode: 403, reasonPhrase: 'Forbidden', error: new SipError('REJECTED', 'x') },
      'FAILED',
      '403 Forbidden',
      'remote',
    ],
    [
      'no answer',
      { statusCode: 408, endedBy: 'network', error: new SipError('TIMEOUT', 'x') },
      'FAILED',
      'Failed by request timeout',
      'network',
    ],
    [
      'no way',
      { statusCode: 503, endedBy: 'network', error: new SipError('TRANSPORT', 'refused') },
      'FAILED',
      'Failed by error: refused',
      'network',
    ],
  ];
  for (const [name, ending, status, info, endedBy] of endings) {
    it(`ends ${status} by ${name}`, async () => {
      const { call, sip, media } = setUp();
      await call.place();
      sip.handler?.onEnded({ endedBy: 'remote', answered: false, cancelled: false, ...ending });
      await expect(call.established()).rejects.toMatchObject({
        code: 'CALL_FAILED',
        sipStatus: ending.statusCode,
      });
      await call.closed();
      expect(call.view()).toMatchObject({ status, info, endedBy, sipStatus: ending.statusCode });
      expect(media.close).toHaveBeenCalledTimes(1);
    });
  }

  it('ends FINISH when either side hangs up, FAILED when the network does', async () => {
    for (const [endedBy, status] of [
      ['remote', 'FINISH'],
      ['local', 'FINISH'],
      ['network', 'FAILED'],
    ] as const) {
      const { call, sip } = await answered();
      sip.handler?.onEnded({ endedBy, answered: true, cancelled: false });
      expect(call.status).toBe(status);
    }
  });

  it('hangs up on an answer that it cannot use', async () => {
    for (const [body, info] of [
      ['', 'Failed by error: No m-line'],
      ['nonsense', 'Failed by error: Description does not begin with v=0'],
      [
        ANSWER.replace('AVP 8', 'AVP 18').replaceAll('112', '31').replace('H264', 'H261'),
        'No common codecs: audio: no codec in common (the peer has G729/8000); video: no codec in common (the peer has H261/90000)',
      ],
    ] as const) {
      const { call, sip, session, media } = setUp();
      await call.place();
      sip.handler?.onAnswered(response(200, body));
      expect(session.terminate).toHaveBeenCalledTimes(1);
      expect(media.start).not.toHaveBeenCalled();
      sip.handler?.onEnded({ endedBy: 'local', answered: true, cancelled: false, statusCode: 200 });
      expect(call.view()).toMatchObject({ status: 'FAILED', info, endedBy: 'gateway' });
    }
  });

  it('rings with media when that is announced and flows, in either order', async () => {
    const announcedFirst = setUp();
    await announcedFirst.call.place();
    announcedFirst.sip.handler?.onProvisional(response(183, ANSWER));
    announcedFirst.call.onEarlyMedia();
    announcedFirst.sip.handler?.onProvisional(response(180));
    expect(announcedFirst.changes.slice(1)).toEqual([
      ['SESSION_PROGRESS', 183, null],
      ['RING_MEDIA', 183, null],
      ['RING_MEDIA', 180, null],
    ]);

    const flowsFirst = setUp();
    await flowsFirst.call.place();
    flowsFirst.call.onEarlyMedia();
    flowsFirst.sip.handler?.onProvisional(response(180));
    expect(flowsFirst.call.status).toBe('RING');
    flowsFirst.sip.handler?.onProvisional(response(183, ANSWER));
    expect(flowsFirst.call.status).toBe('RING_MEDIA');
    flowsFirst.sip.handler?.onAnswered(response(200, ANSWER));
    expect(flowsFirst.call.status).toBe('ESTABLISHED');
  });

  it('takes the answer from the provisional response of the same dialog when the 2xx has none', async () => {
    const from = (statusCode: number, tag: string, body: string): SipResponse => {
      const one = response(statusCode, body);
      one.headers.append('To', `<sip:bob@127.0.0.1>;tag=${tag}`);
      return one;
    };
    const { call, sip, media } = setUp();
    await call.place();
    sip.handler?.onProvisional(from(183, 'a', ANSWER));
    sip.handler?.onProvisional(from(180, 'a', ''));
    sip.handler?.onAnswered(from(200, 'a', ''));
    expect(call.view()).toMatchObject({ status: 'ESTABLISHED', sdp: ANSWER });
    expect(media.start).toHaveBeenCalledTimes(1);

    const forked = setUp();
    await forked.call.place();
    forked.sip.handler?.onProvisional(from(183, 'a', ANSWER.replace('8000', '8002')));
    forked.sip.handler?.onProvisional(from(183, 'b', ANSWER));
    const renamed = response(200, '');
    renamed.headers.append('To', '"Bob" <sip:bob@127.0.0.1>;tag=b;x=1');
    forked.sip.handler?.onAnswered(renamed);
    expect(forked.call.view()).toMatchObject({ status: 'ESTABLISHED', sdp: ANSWER });

    const other = setUp();
    await other.call.place();
    other.sip.handler?.onProvisional(from(183, 'a', ANSWER));
    other.sip.handler?.onAnswered(from(200, 'b', ''));
    expect(other.session.terminate).toHaveBeenCalledTimes(1);
    expect(other.media.start).not.toHaveBeenCalled();
  });

  it('ends when the BYE is sent, and is released when the BYE is answered', async () => {
    const { call, sip, session, media } = await answered();
    let byeAnswered = (): void => {};
    session.terminate.mockReturnValue(
      new Promise((resolve) => {
        byeAnswered = resolve;
      }),
    );
    let released = false;
    void call.terminate().then(() => {
      released = true;
    });
    expect(call.view()).toMatchObject({ status: 'FINISH', sipStatus: 200, endedBy: 'local' });
    await vi.waitFor(() => expect(media.close).toHaveBeenCalledTimes(1));
    expect(released).toBe(false);
    sip.handler?.onEnded({ endedBy: 'network', answered: true, cancelled: false, statusCode: 408 });
    byeAnswered();
    await call.closed();
    expect(call.view()).toMatchObject({ status: 'FINISH', sipStatus: 200, endedBy: 'local' });
  });

  it('fails once, even if its session has already ended', async () => {
    const { call, session } = await answered();
    call.fail(new Error('first'));
    call.fail(new Error('second'));
    expect(session.terminate).toHaveBeenCalledTimes(1);

    const over = await answered();
    over.session.state = 'ended';
    over.call.fail(new Error('too late for a BYE'));
    expect(over.call.view()).toMatchObject({ status: 'FAILED', info: 'Failed by error' });
  });

  it('terminates before dialling, while ringing and after the answer', async () => {
    const early = setUp();
    const done = early.call.terminate();
    await early.call.place();
    await done;
    expect(early.call.view()).toMatchObject({ status: 'FINISH', info: 'Normal call clearing' });
    expect(early.sip.handler).toBeUndefined();

    for (const ringing of [true, false]) {
      const { call, sip, session } = setUp();
      await call.place();
      if (ringing) sip.handler?.onProvisional(response(180));
      else sip.handler?.onAnswered(response(200, ANSWER));
      void call.terminate();
      void call.terminate();
      expect(session.terminate).toHaveBeenCalledTimes(1);
      const statusCode = ringing ? 487 : 200;
      sip.handler?.onEnded({
        endedBy: 'local',
        answered: !ringing,
        cancelled: ringing,
        statusCode,
      });
      await call.closed();
      expect(call.view()).toMatchObject({
        status: 'FINISH',
        endedBy: 'local',
        sipStatus: statusCode,
      });
    }
  });

  it('registers before the INVITE and un-registers after the call', async () => {
    const account = {
      sipRegisterRequired: true,
      sipLogin: 'alice',
      sipPassword: 'x',
      sipDomain: 'pbx',
    };
    const { call, sip, register, unregister } = setUp(account);
    await call.place();
    expect(register).toHaveBeenCalledWith(
      expect.objectContaining({
        registrar: 'sip:pbx',
        from: expect.objectContaining({ uri: 'sip:alice@pbx' }),
        credentials: { username: 'alice', password: 'x' },
      }),
      expect.any(Function),
      expect.any(AbortSignal),
    );
    expect(sip.options).toBeDefined();
    sip.handler?.onEnded({ endedBy: 'remote', answered: false, cancelled: false, statusCode: 404 });
    await call.closed();
    expect(unregister).toHaveBeenCalledTimes(1);
  });

  it('fails when the registration is refused, and sends no INVITE', async () => {
    const refused = new SipError('AUTH_FAILED', 'wrong password', { statusCode: 403 });
    const { call, sip } = setUp(
      { sipRegisterRequired: true },
      { register: () => Promise.reject(refused) },
    );
    await call.place();
    expect(call.view()).toMatchObject({
      status: 'FAILED',
      sipStatus: 403,
      info: '403 wrong password',
    });
    expect(sip.options).toBeUndefined();
  });

  it('keeps digits for the answer, and sends them one request after the other', async () => {
    const { call, sip, session, media } = setUp();
    await call.place();
    const relay = call.sendDtmf('1a', 'INFO_RELAY');
    const plain = call.sendDtmf('#', 'INFO');
    const events = call.sendDtmf('12,#');
    expect(session.sendInfo).not.toHaveBeenCalled();
    sip.handler?.onAnswered(response(200, ANSWER));
    await Promise.all([relay, plain, events]);
    expect(session.sendInfo.mock.calls).toEqual([
      ['application/dtmf-relay', 'Signal=1\r\nDuration=160\r\n'],
      ['application/dtmf-relay', 'Signal=A\r\nDuration=160\r\n'],
      ['application/dtmf', '#'],
    ]);
    expect(media.sendDtmf.mock.calls).toEqual([['12,#']]);
  });

  it('refuses other characters at once, and forgets digits when the call fails', async () => {
    const { call, sip, media } = setUp();
    await call.place();
    for (const digits of ['', 'x', '1 2', '1'.repeat(129)]) {
      expect(() => call.sendDtmf(digits)).toThrow(expect.objectContaining({ field: 'dtmf' }));
    }
    expect(() => call.sendDtmf('1', 'info' as 'INFO')).toThrow(
      expect.objectContaining({ field: 'type' }),
    );
    const waiting = call.sendDtmf('1');
    sip.handler?.onEnded({ endedBy: 'remote', answered: false, cancelled: false, statusCode: 486 });
    await waiting;
    expect(media.sendDtmf).not.toHaveBeenCalled();
  });

  it('answers a re-INVITE with the session as it is, and refuses a useless one', async () => {
    const { sip } = await answered();
    const answer = sip.handler?.onReoffer(ANSWER.replace('m=audio', 'a=sendonly\r\nm=audio'));
    expect(answer).toMatchObject({ answer: expect.stringContaining('m=audio 30000 RTP/AVP 8') });
    expect(sip.handler?.onReoffer('nonsense')).toMatchObject({ statusCode: 488 });
  });

  it('shows no SRTP key that a peer sends', async () => {
    const parts = setUp();
    await parts.call.place();
    const secret = 'WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz';
    const line = `a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:${secret}|2^20|1:4\r\n`;
    const answer = response(200, `${ANSWER}${line}`);
    parts.sip.handler?.onMessage?.('in', answer, {
      protocol: 'UDP',
      address: '127.0.0.1',
      port: 5060,
    });
    parts.sip.handler?.onAnswered(answer);
    const view = parts.call.view();
    expect(view.sdp).toContain('inline:***|2^20');
    expect(JSON.stringify(view)).not.toContain(secret);
  });

  it('shows every documented key, and no password', async () => {
    const { call } = await answered({ sipLogin: 'alice', sipPassword: 'hunter2' });
    const view = call.view();
    const keys =
      'custom nodeId appKey sessionId callId parentCallId incoming status sipStatus rtmpUrl rtmpStream streamName ' +
      'rtmpStreamStatus caller callee hasAudio hasVideo sdp visibleName inviteParameters mediaProvider sipMessageRaw ' +
      'isMsrp target holdForTransfer info createdAt establishedAt media pushes';
    for (const key of keys.split(' ')) {
      expect(view).toHaveProperty(key);
      expect(view[key as keyof CallView]).not.toBeUndefined();
    }
    expect(JSON.stringify([view, call.request])).not.toContain('hunter2');
  });
});
