// Pushes of whole calls to servers with wishes: another server, a password, a name that is still in use, TLS or none.

import type { CallGateway, CallGatewayOptions, RtmpStreamStatus } from '@sipcast/core';
import type { ReceivedTag } from '@sipcast/testkit';
import { describe, expect, it } from 'vitest';
import { openGateway, openPhone, openSink } from '../../support/call-ends.ts';

async function open(
  options: Partial<CallGatewayOptions> = {},
): Promise<{ gateway: CallGateway; callee: string; lines: string[] }> {
  const peer = await openPhone({ t1Ms: 100 });
  const lines: string[] = [];
  const log = (message: string): void => void lines.push(message);
  const gateway = await openGateway({
    logger: { debug: log, info: log, warn: log, error: log },
    ...options,
  });
  return { gateway, callee: peer.uri, lines };
}

const pictures = (tags: readonly ReceivedTag[]): string[] =>
  tags
    .filter(({ type, body }) => type === 9 && body[1] === 1)
    .map(({ body }) => Buffer.from(body).toString('base64'));

describe('a server that asks for a new connection', () => {
  it('is fed until the other one has its key frame: no picture is lost, and the status stays', async () => {
    const first = await openSink();
    const second = await openSink();
    const { gateway, callee } = await open({
      rtmp: { enhanced: 'auto', mayRedirect: (url) => url === second.url },
    });
    const call = await gateway.startup({ callee, rtmpUrl: first.url, rtmpStream: 'key' });
    const statuses: RtmpStreamStatus[] = [];
    call.on('rtmpStreamStatus', (status) => statuses.push(status));
    await call.established();
    const old = await first.nextPublication();
    expect(old.connectObject.get('capsEx')).toBe(1);
    await expect.poll(() => pictures(old.tags).length, { timeout: 5000 }).toBeGreaterThan(30);
    first.requestReconnect(second.url);
    const next = await second.nextPublication();
    expect([next.app, next.streamName]).toEqual(['live', 'key']);
    await old.ended;
    await expect.poll(() => pictures(next.tags).length).toBeGreaterThan(25);
    expect(old.endedOrderly).toBe(true);
    const [before, after] = [pictures(old.tags), pictures(next.tags)];
    expect(before).toContain(after[0]);
    // What both have is the same: nothing is missing between them.
    const at = before.indexOf(after[0] ?? '');
    expect(after.slice(0, before.length - at)).toEqual(before.slice(at));
    expect(next.tags.filter(({ type }) => type === 9)[0]?.body[1]).toBe(0);
    expect(statuses).toEqual(['RTMP_STREAM_WAIT', 'RTMP_STREAM_ACTIVE'].slice(-statuses.length));
    expect(call.rtmpStreamStatus).toBe('RTMP_STREAM_ACTIVE');
  });

  it('is not followed to where the owner has not allowed it', async () => {
    const first = await openSink();
    const second = await openSink();
    const { gateway, callee, lines } = await open();
    const call = await gateway.startup({ callee, rtmpUrl: first.url, rtmpStream: 'key' });
    await call.established();
    const old = await first.nextPublication();
    first.requestReconnect(second.url);
    await expect
      .poll(() => lines.join('\n'))
      .toMatch(/redirects the push to a host that is not allowed/);
    const count = old.tagCount;
    await expect.poll(() => old.tagCount).toBeGreaterThan(count + 20);
    expect(second.connectionCount).toBe(0);
    expect(call.rtmpStreamStatus).toBe('RTMP_STREAM_ACTIVE');
  });
});

describe('a server with a password', () => {
  const auth = { scheme: 'adobe', username: 'joe', password: 'canary-password' } as const;

  it('is answered, and neither log nor error nor event says a secret', async () => {
    const sink = await openSink({ auth });
    const { gateway, callee, lines } = await open();
    const seen: string[] = [];
    gateway.on('callChange', (_call, view) => {
      // The client's own words come back to it, and to nobody else.
      const own = { rtmpUrl: null, rtmpStream: null };
      const pushes = view.pushes.map(({ lastError }) => lastError);
      seen.push(JSON.stringify({ ...view, ...own, pushes }));
    });
    const url = (password: string): string => sink.url.replace('//', `//joe:${password}@`);
    const rtmpStream = 'canary-key?canary=query';
    const good = await gateway.startup({ callee, rtmpUrl: url('canary-password'), rtmpStream });
    await good.established();
    await expect.poll(() => good.rtmpStreamStatus).toBe('RTMP_STREAM_ACTIVE');
    await good.terminate();
    const bad = await gateway.startup({ callee, rtmpUrl: url('canary-wrong'), rtmpStream });
    await bad.established();
    await expect.poll(() => bad.rtmpStreamStatus).toBe('RTMP_CONNECTION_FAILED');
    expect(lines.join('\n')).toMatch(/AUTH_FAILED/);
    expect(bad.status).toBe('ESTABLISHED');
    expect([...lines, ...seen].join('\n')).not.toMatch(/canary/);
  });
});

describe('a name that is still in use', () => {
  it('is asked for again until the old session is gone', async () => {
    const sink = await openSink();
    const code = 'NetStream.Publish.BadName';
    sink.refuse({ at: 'publish', code, description: 'canary-key is already publishing' });
    const { gateway, callee } = await open();
    const call = await gateway.startup({ callee, rtmpUrl: sink.url, rtmpStream: 'canary-key' });
    await call.established();
    await new Promise((resolve) => {
      setTimeout(resolve, 1500);
    });
    expect(call.rtmpStreamStatus).toBe('RTMP_STREAM_WAIT');
    sink.refuse(undefined);
    await expect.poll(() => call.rtmpStreamStatus).toBe('RTMP_STREAM_ACTIVE');
  });
});

describe('a server that is down when the call starts', () => {
  it('is reached when it comes up, and says why it is not there meanwhile', async () => {
    const gone = await openSink();
    const port = Number(new URL(gone.url).port);
    await gone.close();
    const { gateway, callee } = await open({ rtmp: { firstConnectTimeoutMs: 100 } });
    const call = await gateway.startup({ callee, rtmpUrl: gone.url, rtmpStream: 'key' });
    const seen: [RtmpStreamStatus, string | undefined][] = [];
    call.on('rtmpStreamStatus', (status, error) => seen.push([status, error?.code]));
    await call.established();
    await expect.poll(() => call.rtmpStreamStatus).toBe('RTMP_CONNECTION_FAILED');
    expect(call.view().rtmpStreamError).toMatch(/^CONNECT_FAILED: .*ECONNREFUSED/);
    expect(gateway.pushes.find()).toMatchObject([{ isTrying: true, streamName: 'key' }]);
    const server = await openSink({ port });
    await expect.poll(() => call.rtmpStreamStatus, { timeout: 9000 }).toBe('RTMP_STREAM_ACTIVE');
    await expect.poll(() => server.publications[0]?.tagCount ?? 0).toBeGreaterThan(10);
    expect(call.view().rtmpStreamError).toBeNull();
    expect(seen).toEqual([
      ['RTMP_CONNECTION_FAILED', 'CONNECT_FAILED'],
      ['RTMP_STREAM_ACTIVE', undefined],
    ]);
  });

  it('blocks no new push, which then says what the status of the call is', async () => {
    const gone = await openSink();
    await gone.close();
    const { gateway, callee } = await open({ rtmp: { firstConnectTimeoutMs: 50 } });
    const call = await gateway.startup({ callee, rtmpUrl: gone.url, rtmpStream: 'key' });
    await call.established();
    await expect.poll(() => call.rtmpStreamStatus).toBe('RTMP_CONNECTION_FAILED');
    const server = await openSink({ port: Number(new URL(gone.url).port) });
    // A call without `toStream` has a name, too.
    const { streamName } = call.view();
    gateway.pushes.start({ streamName, rtmpUrl: gone.url });
    expect(call.rtmpStreamStatus).toBe('RTMP_STREAM_WAIT');
    await expect.poll(() => call.rtmpStreamStatus).toBe('RTMP_STREAM_ACTIVE');
    expect(server.publications.map((one) => one.streamName)).toContain(streamName);
    expect(() => gateway.pushes.start({ streamName, rtmpUrl: gone.url })).toThrow(
      expect.objectContaining({ code: 'PUSH_EXISTS' }) as Error,
    );
  });

  it('is replaced by a push to the same server while it still tries', async () => {
    const gone = await openSink();
    await gone.close();
    const { gateway, callee } = await open({ rtmp: { firstConnectTimeoutMs: 50 } });
    const call = await gateway.startup({ callee, toStream: 'cam' });
    await call.established();
    const start = () => gateway.pushes.start({ streamName: 'cam', rtmpUrl: gone.url });
    const first = start();
    expect(start).toThrow(expect.objectContaining({ code: 'PUSH_EXISTS' }) as Error);
    await expect.poll(() => gateway.pushes.find()[0]?.status).toBe('RTMP_CONNECTION_FAILED');
    const second = start();
    expect(gateway.pushes.find().map((push) => push.mediaSessionId)).toEqual([
      second.mediaSessionId,
    ]);
    expect(second.mediaSessionId).not.toBe(first.mediaSessionId);
  });

  it('with refused credentials is final until retry', async () => {
    const auth = { scheme: 'adobe', username: 'joe', password: 'right' } as const;
    const sink = await openSink({ auth });
    const { gateway, callee } = await open();
    const call = await gateway.startup({ callee, toStream: 'cam' });
    await call.established();
    const url = sink.url.replace('//', '//joe:wrong@');
    const { mediaSessionId } = gateway.pushes.start({ streamName: 'cam', rtmpUrl: url });
    const push = gateway.pushes.get(mediaSessionId);
    await expect.poll(() => push.failed).toBe(true);
    expect(gateway.pushes.find()).toEqual([]);
    expect(call.view().pushes).toMatchObject([
      { status: 'RTMP_CONNECTION_FAILED', isTrying: false },
    ]);
    push.retry();
    expect(push.failed).toBe(false);
    await expect.poll(() => push.failed).toBe(true);
  });
});
