// Whole calls, driven by nothing but HTTP requests, against a phone and an RTMP server of the testkit.

import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createCallGateway } from '@sipcast/core';
import type { CallGateway, CallGatewayOptions, CallView, RtmpPushView } from '@sipcast/core';
import { createRestRouter, deliverCallEvents, nodeListener } from '@sipcast/rest';
import type { RtmpPublication } from '@sipcast/testkit';
import { afterEach, describe, expect, it } from 'vitest';
import { openPhone, openSink } from '../../support/call-ends.ts';
import { afterTest } from '../../support/cleanup.ts';

const gateways: CallGateway[] = [];
afterEach(async () => {
  // While the phones still answer the BYE.
  await Promise.all(gateways.splice(0).map((gateway) => gateway.close()));
});

interface Reply {
  readonly status: number;
  readonly type: string | null;
  readonly text: string;
}

interface Api {
  readonly gateway: CallGateway;
  readonly ask: (path: string, body?: unknown) => Promise<Reply>;
  /** The JSON of a 200. */
  readonly json: <T = unknown>(path: string, body?: unknown) => Promise<T>;
}

async function openApi(options: CallGatewayOptions = {}): Promise<Api> {
  const gateway = await createCallGateway({
    transcoding: false,
    bindAddress: '127.0.0.1',
    ...options,
  });
  gateways.push(gateway);
  const listener = nodeListener(createRestRouter(gateway));
  const server = createServer((request, response) => void listener(request, response));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  afterTest(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  const root = `http://127.0.0.1:${(server.address() as AddressInfo).port}/rest-api`;
  const ask = async (path: string, body: unknown = {}): Promise<Reply> => {
    const response = await fetch(root + path, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    const type = response.headers.get('content-type');
    return { status: response.status, type, text: await response.text() };
  };
  const json = async <T>(path: string, body?: unknown): Promise<T> => {
    const reply = await ask(path, body);
    expect(reply, path).toMatchObject({ status: 200, type: 'application/json' });
    return JSON.parse(reply.text) as T;
  };
  return { gateway, ask, json };
}

/** Polls until the condition holds of what `find` finds, as clients do. */
async function untilFound(
  api: Api,
  callId: string,
  condition: (call: CallView) => boolean,
): Promise<CallView> {
  const endMs = Date.now() + 10_000;
  for (;;) {
    const [call] = await api.json<CallView[]>('/call/find', { callId });
    if (call && condition(call)) return call;
    if (Date.now() > endMs) throw new Error(`waited in vain: ${JSON.stringify(call)}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function untilGone(api: Api, path: string, body: unknown): Promise<void> {
  const endMs = Date.now() + 10_000;
  while ((await api.ask(path, body)).status !== 404) {
    if (Date.now() > endMs) throw new Error(`${path} still finds it`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function untilTags(publication: RtmpPublication, more: number): Promise<void> {
  const wanted = publication.tagCount + more;
  const endMs = Date.now() + 10_000;
  while (publication.tagCount < wanted) {
    if (Date.now() > endMs) throw new Error('no media arrives');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

const VOID = { status: 200, type: null, text: '' };

/** Every key of the documented call object, and ours. */
const CALL_KEYS =
  `custom nodeId appKey sessionId callId parentCallId incoming status sipStatus rtmpUrl rtmpStream
  streamName rtmpStreamStatus caller callee hasAudio hasVideo sdp visibleName inviteParameters mediaProvider
  sipMessageRaw isMsrp target holdForTransfer info createdAt establishedAt media pushes`.split(
    /\s+/,
  );

const PUSH_KEYS =
  'mediaSessionId streamName rtmpUrl width height muted soundEnabled options status bytesSent droppedFrames reconnects';

describe('a call by HTTP', () => {
  it('goes from startup to history', async () => {
    const api = await openApi();
    const phone = await openPhone({ script: { ring: 50, answerAfterMs: 400 } });
    const sink = await openSink();
    const callId = 'whole-call@test';
    const request = {
      callId,
      callee: phone.uri,
      sipLogin: 'gate',
      sipPassword: 'secret word',
      visibleName: 'The gate',
      appKey: 'door',
      toStream: 'room',
      rtmpUrl: sink.url,
      rtmpStream: 'main',
      hasVideo: 'true',
      custom: { order: 7 },
    };
    expect(await api.json('/call/startup', request)).toEqual({});
    const [atOnce] = await api.json<CallView[]>('/call/find', { callId });
    expect(atOnce).toMatchObject({
      callId,
      status: expect.stringMatching(/^(PENDING|TRYING|RING)$/),
      establishedAt: null,
      media: null,
      sdp: null,
      rtmpStreamStatus: 'RTMP_STREAM_WAIT',
      caller: 'gate',
      visibleName: 'The gate',
      appKey: 'door',
      streamName: 'room',
      sessionId: '127.0.0.1:1',
      custom: { order: 7 },
    });
    expect(Object.keys(atOnce ?? {})).toEqual(expect.arrayContaining(CALL_KEYS));
    expect(atOnce?.nodeId).toMatch(/^[0-9a-f]{32}@127\.0\.0\.1$/);

    // Before the answer: digits wait for it, and the stream's name can be pushed.
    expect(await api.ask('/call/send_dtmf', { callId, dtmf: '12#' })).toEqual(VOID);
    const push = await api.json<RtmpPushView>('/push/startup', {
      streamName: 'room',
      rtmpUrl: `${sink.url}/`,
    });
    expect(Object.keys(push)).toEqual(expect.arrayContaining(PUSH_KEYS.split(' ')));
    expect(push).toMatchObject({ streamName: 'room', muted: false, width: null, options: {} });
    expect(push.mediaSessionId).toContain(callId);

    const established = await untilFound(
      api,
      callId,
      ({ status, pushes }) =>
        status === 'ESTABLISHED' && pushes.every((one) => one.status === 'RTMP_STREAM_ACTIVE'),
    );
    expect(established).toMatchObject({ sipStatus: 200, rtmpStreamStatus: 'RTMP_STREAM_ACTIVE' });
    expect(established.sdp).toContain('m=video');
    expect(established.sipMessageRaw).toMatch(/^SIP\/2\.0 200 OK\r\n/);
    expect(Object.keys(established)).toEqual(Object.keys(atOnce ?? {}));
    expect(JSON.stringify(established)).not.toContain('secret word');

    const published = [await sink.nextPublication(), await sink.nextPublication()];
    expect(published.map(({ streamName }) => streamName).toSorted()).toEqual(['main', 'room']);
    const room = published.find(({ streamName }) => streamName === 'room') as RtmpPublication;
    await untilTags(room, 100);
    for (const streamName of ['room', 'rtmp_room']) {
      const [found] = await api.json<RtmpPushView[]>('/push/find', { streamName });
      expect(found).toMatchObject({ mediaSessionId: push.mediaSessionId, width: 640, height: 360 });
      expect(found?.bytesSent).toBeGreaterThan(1000);
    }
    expect(await api.json('/push/find_all')).toHaveLength(2);

    const { mediaSessionId } = push;
    expect(await api.ask('/push/mute', { mediaSessionId })).toEqual(VOID);
    await untilTags(room, 50);
    const audio = room.tags.filter(({ type }) => type === 8).slice(-3);
    for (const { body } of audio) expect(new Set(body.subarray(1))).toEqual(new Set([0xd5]));
    expect(await api.json('/push/find', { streamName: 'room' })).toMatchObject([{ muted: true }]);
    expect(await api.ask('/push/unmute', { mediaSessionId })).toEqual(VOID);
    expect(await api.json('/push/find', { streamName: 'room' })).toMatchObject([{ muted: false }]);

    expect(await api.ask('/push/terminate', { mediaSessionId })).toEqual(VOID);
    expect((await api.ask('/push/find', { streamName: 'room' })).status).toBe(404);
    expect((await api.ask('/push/mute', { mediaSessionId })).status).toBe(404);
    await room.ended;
    expect(room.endedOrderly).toBe(true);
    // The call and its own stream go on.
    await untilTags(
      published.find(({ streamName }) => streamName === 'main') as RtmpPublication,
      50,
    );

    const call = await phone.nextCall();
    await expect.poll(() => call.digits.map(({ digit }) => digit).join('')).toBe('12#');
    expect(await api.ask('/call/terminate', { callId })).toEqual(VOID);
    await untilGone(api, '/call/find', { callId });
    expect((await api.ask('/call/find_all')).status).toBe(404);
    expect((await api.ask('/call/terminate', { callId })).status).toBe(404);
    expect((await call.ended).by).toBe('caller');
    const [ended] = await api.json<CallView[]>('/call/history');
    expect(ended).toMatchObject({
      callId,
      status: 'FINISH',
      info: 'Normal call clearing',
      endedBy: 'local',
    });
    expect(ended?.media?.video).toMatchObject({ width: 640, height: 360 });
    // The ladder stays readable, and is told of another call by 404.
    const ladder = await api.json<Record<string, unknown>[]>('/call/trace', { callId });
    expect(ladder[0]).toMatchObject({
      at: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
      direction: 'out',
      transport: 'UDP',
      startLine: expect.stringContaining('INVITE '),
      retransmission: false,
    });
    expect(ladder.map(({ startLine }) => String(startLine).split(' ')[0])).toContain('BYE');
    expect((await api.ask('/call/trace', { callId: 'other' })).status).toBe(404);
    expect(phone.violations).toEqual([]);
  });

  it('sends DTMF by both forms of INFO', async () => {
    const api = await openApi();
    const phone = await openPhone({ script: { telephoneEvent: false } });
    await api.json('/call/startup', { callId: 'info', callee: phone.uri });
    await untilFound(api, 'info', ({ status }) => status === 'ESTABLISHED');
    const call = await phone.nextCall();
    const digits = { callId: 'info', dtmf: '1#' };
    // The phone takes no RFC 4733 events, and that is told instead of being ignored.
    const refused = await api.ask('/call/send_dtmf', digits);
    expect(refused.status).toBe(409);
    expect(JSON.parse(refused.text)).toMatchObject({ code: 'CALL_STATE' });
    expect(await api.ask('/call/send_dtmf', { ...digits, type: 'INFO' })).toEqual(VOID);
    expect(await api.ask('/call/send_dtmf', { ...digits, type: 'INFO_RELAY' })).toEqual(VOID);
    await expect.poll(() => call.digits.map(({ digit }) => digit).join('')).toBe('1#1#');
    expect(call.infos.map(({ headers }) => headers.get('content-type'))).toEqual([
      'application/dtmf',
      'application/dtmf',
      'application/dtmf-relay',
      'application/dtmf-relay',
    ]);
    expect(phone.violations).toEqual([]);
  });

  it('answers 404 for a call that the peer has ended, and remembers why', async () => {
    const api = await openApi();
    const busy = await openPhone({ script: { answer: 486 } });
    await api.json('/call/startup', { callId: 'busy', callee: busy.uri });
    await untilGone(api, '/call/find', { callId: 'busy' });
    const brief = await openPhone({ script: { hangUpAfterMs: 100 } });
    await api.json('/call/startup', { callId: 'brief', callee: brief.uri });
    await untilGone(api, '/call/find', { callId: 'brief' });
    expect(await api.json('/call/history')).toMatchObject([
      { callId: 'brief', status: 'FINISH', endedBy: 'remote' },
      { callId: 'busy', status: 'BUSY', sipStatus: 486 },
    ]);
  });

  it('answers 409 for what is taken, until its call has ended', async () => {
    const api = await openApi();
    const phone = await openPhone({ script: { answer: 'none' } });
    const sink = await openSink();
    const callee = phone.uri;
    const first = { callId: 'c1', callee, toStream: 's', rtmpUrl: sink.url, rtmpStream: 'k' };
    await api.json('/call/startup', first);
    const conflict = async (body: unknown, path = '/call/startup') => {
      const { status, text } = await api.ask(path, body);
      const { code, field } = JSON.parse(text) as { code: string; field?: string };
      return [status, code, field];
    };
    expect(await conflict({ callId: 'c1', callee })).toEqual([409, 'CALL_EXISTS', 'callId']);
    expect(await conflict({ callee, toStream: 's' })).toEqual([409, 'STREAM_EXISTS', 'toStream']);
    const { rtmpUrl, rtmpStream } = first;
    expect(await conflict({ callee, rtmpUrl, rtmpStream })).toEqual([
      409,
      'RTMP_STREAM_EXISTS',
      'rtmpStream',
    ]);
    await api.json('/call/startup', { callId: 'c2', callee, rtmpUrl, rtmpStream: 'other' });
    const push = { streamName: 's', rtmpUrl: 'rtmp://127.0.0.1:1/live' };
    const { mediaSessionId } = await api.json<RtmpPushView>('/push/startup', push);
    expect(await conflict(push, '/push/startup')).toEqual([409, 'PUSH_EXISTS', 'rtmpUrl']);
    await api.ask('/push/terminate', { mediaSessionId });
    await api.json('/push/startup', push);
    await api.ask('/call/terminate', { callId: 'c1' });
    await untilGone(api, '/call/find', { callId: 'c1' });
    await api.json('/call/startup', first);
  });

  it('of two requests at once with the same names takes one', async () => {
    const api = await openApi();
    const phone = await openPhone({ script: { answer: 'none' } });
    const asked = Array.from({ length: 8 }, (_, index) =>
      api.ask('/call/startup', { callId: `c${index % 2}`, callee: phone.uri }),
    );
    const statuses = (await Promise.all(asked)).map(({ status }) => status);
    expect(statuses.filter((status) => status === 200)).toHaveLength(2);
    expect(statuses.filter((status) => status === 409)).toHaveLength(6);
  });

  it('answers 503 when as many calls as allowed are live', async () => {
    const api = await openApi({ maxCalls: 1 });
    const phone = await openPhone({ script: { answer: 'none' } });
    await api.json('/call/startup', { callId: 'c1', callee: phone.uri });
    const { status, text } = await api.ask('/call/startup', { callId: 'c2', callee: phone.uri });
    expect(status).toBe(503);
    expect(JSON.parse(text)).toMatchObject({ code: 'TOO_MANY_CALLS' });
    await api.ask('/call/terminate', { callId: 'c1' });
    await untilGone(api, '/call/find', { callId: 'c1' });
    await api.json('/call/startup', { callId: 'c2', callee: phone.uri });
  });

  it('answers 503 when the RTP ports are used up, and not when they are free again', async () => {
    const api = await openApi({ rtpPorts: { min: 47_316, max: 47_319 } });
    const phone = await openPhone({ script: { answer: 'none' } });
    await api.json('/call/startup', { callId: 'c1', callee: phone.uri });
    const { status, text } = await api.ask('/call/startup', { callId: 'c2', callee: phone.uri });
    expect(status).toBe(503);
    expect(JSON.parse(text)).toMatchObject({ code: 'NO_PORTS' });
    expect((await api.ask('/call/find', { callId: 'c2' })).status).toBe(404);
    await api.ask('/call/terminate', { callId: 'c1' });
    await expect
      .poll(
        async () => (await api.ask('/call/startup', { callId: 'c2', callee: phone.uri })).status,
        { timeout: 10_000 },
      )
      .toBe(200);
  });

  it('names each field whose value the gateway refuses', async () => {
    const api = await openApi();
    const callee = 'sip:a@127.0.0.1:9';
    const long = 'x'.repeat(3000);
    const cases: [field: string, body: Record<string, unknown>][] = [
      ['callId', { callee, callId: 'a b' }],
      ['callId', { callee, callId: long }],
      ['callee', { callee: 'a' }],
      ['callee', { callee: 'sip:' }],
      ['callee', { callee: 'a@b c' }],
      ['callee', { callee: `${long}@127.0.0.1` }],
      ['sipLogin', { callee, sipLogin: 'a\nb' }],
      ['sipAuthenticationName', { callee, sipAuthenticationName: long }],
      ['sipPassword', { callee, sipPassword: long }],
      ['sipDomain', { callee, sipDomain: 'a/b' }],
      ['sipDomain', { callee, sipDomain: 'a:99999' }],
      ['sipOutboundProxy', { callee, sipOutboundProxy: 'a b' }],
      ['sipPort', { callee, sipPort: 0 }],
      ['sipPort', { callee, sipPort: 65_536 }],
      ['visibleName', { callee, visibleName: 'a\u0000b' }],
      ['appKey', { callee, appKey: long }],
      ['toStream', { callee, toStream: '../up' }],
      ['toStream', { callee, toStream: 'a/b' }],
      ['rtmpUrl', { callee, rtmpStream: 's' }],
      ['rtmpUrl', { callee, rtmpStream: 's', rtmpUrl: 'rtmp://h' }],
      ['rtmpUrl', { callee, rtmpStream: 's', rtmpUrl: 'rtmp://h:0/a' }],
      ['rtmpStream', { callee, rtmpUrl: 'rtmp://h/a' }],
      ['rtmpStream', { callee, rtmpUrl: 'rtmp://h/a', rtmpStream: '../../x' }],
      ['rtmpStream', { callee, rtmpUrl: 'rtmp://h/a', rtmpStream: 'a b' }],
      ['custom', { callee, custom: { x: 'y'.repeat(5000) } }],
      ['sipHeaders', { callee, sipHeaders: { Via: 'x' } }],
      ['sipHeaders', { callee, sipHeaders: { 'X-A': 'a\r\nb' } }],
      ['sipHeaders', { callee, sipHeaders: { 'X A': 'a' } }],
    ];
    for (const [field, body] of cases) {
      const { status, text } = await api.ask('/call/startup', body);
      expect([status, JSON.parse(text)], JSON.stringify(body).slice(0, 80)).toMatchObject([
        400,
        { code: 'INVALID_ARGUMENT', field },
      ]);
    }
    const pushes: [field: string, body: Record<string, unknown>][] = [
      ['rtmpUrl', { streamName: 's', rtmpUrl: 'http://h/a' }],
      ['streamName', { streamName: 'a b', rtmpUrl: 'rtmp://h/a' }],
      ['rtmpUrl', { streamName: 's', rtmpUrl: 'rtmp://h/a', rtmpTransponderFullUrl: true }],
      ['rtmpUrl', { streamName: 's', rtmpUrl: 'rtmp://h/a/a|b', rtmpTransponderFullUrl: true }],
    ];
    for (const [field, body] of pushes) {
      const { status, text } = await api.ask('/push/startup', body);
      expect([status, JSON.parse(text)], JSON.stringify(body)).toMatchObject([400, { field }]);
    }
    expect((await api.ask('/call/find_all')).status).toBe(404);
  });

  it('is not delayed by an application that never answers its events', async () => {
    const deaf = createServer(() => {});
    deaf.listen(0, '127.0.0.1');
    await once(deaf, 'listening');
    afterTest(async () => {
      deaf.closeAllConnections();
      await new Promise((resolve) => deaf.close(resolve));
    });
    const measure = async (withEvents: boolean): Promise<number> => {
      const api = await openApi();
      const phone = await openPhone({ script: { media: false } });
      const { port } = deaf.address() as AddressInfo;
      const delivery = withEvents
        ? deliverCallEvents(api.gateway, { callAppUrl: `http://127.0.0.1:${port}/CallApp` })
        : undefined;
      const startMs = performance.now();
      await api.json('/call/startup', { callId: 'c', callee: phone.uri });
      await untilFound(api, 'c', ({ status }) => status === 'ESTABLISHED');
      await api.ask('/call/terminate', { callId: 'c' });
      await untilGone(api, '/call/find', { callId: 'c' });
      const tookMs = performance.now() - startMs;
      if (delivery) expect(delivery.stats).toMatchObject({ delivered: 0, lost: 0 });
      if (delivery) expect(delivery.stats.queued).toBeGreaterThanOrEqual(3);
      await delivery?.close(0);
      return tookMs;
    };
    const without = await measure(false);
    expect(await measure(true)).toBeLessThan(without + 500);
  });
});
