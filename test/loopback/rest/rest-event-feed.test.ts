// Server-sent events, read as a browser reads them, from every HTTP server that the API can be mounted in.

import { once } from 'node:events';
import type { EventEmitter } from 'node:events';
import { createServer } from 'node:http';
import { connect } from 'node:net';
import type { AddressInfo } from 'node:net';
import type { CallGateway } from '@sipcast/core';
import { createRestRouter, nodeListener } from '@sipcast/rest';
import type { EventFeedOptions, RestRouter } from '@sipcast/rest';
import { describe, expect, it } from 'vitest';
import { HOSTS } from './rest-http-hosts.ts';
import { openGateway, openPhone, openSink } from '../../support/call-ends.ts';
import { afterTest } from '../../support/cleanup.ts';

interface SentEvent {
  readonly id: string | undefined;
  readonly name: string;
  readonly body: Record<string, unknown>;
}

/** Reads one connection's events. */
class EventReader {
  readonly events: SentEvent[] = [];
  comments = 0;
  /** Resolves when the server ends the stream. */
  readonly ended: Promise<void>;
  readonly response: Response;

  private constructor(response: Response) {
    this.response = response;
    this.ended = this.#read(response.body as ReadableStream<Uint8Array>);
  }

  static async open(url: string, headers: Record<string, string> = {}): Promise<EventReader> {
    const abort = new AbortController();
    const response = await fetch(url, { headers, signal: abort.signal });
    expect(response.status).toBe(200);
    const reader = new EventReader(response);
    afterTest(() => {
      abort.abort();
      return reader.ended;
    });
    return reader;
  }

  /** `<event> <call status>` of each. */
  get statuses(): string[] {
    return this.events
      .filter(({ name }) => name === 'CallStatusEvent')
      .map(({ body }) => String(body['status']));
  }

  async #read(stream: ReadableStream<Uint8Array>): Promise<void> {
    let text = '';
    try {
      for await (const octets of stream) {
        text += Buffer.from(octets).toString();
        const blocks = text.split('\n\n');
        text = blocks.pop() ?? '';
        for (const block of blocks) this.#take(block);
      }
    } catch {
      // Aborted by the test.
    }
  }

  #take(block: string): void {
    const field = (name: string): string | undefined =>
      new RegExp(`^${name}: (.*)$`, 'm').exec(block)?.[1];
    const data = field('data');
    if (data === undefined) this.comments++;
    else {
      const body = JSON.parse(data) as Record<string, unknown>;
      this.events.push({ id: field('id'), name: field('event') ?? '', body });
    }
  }
}

async function openServer(
  gateway: CallGateway,
  events: EventFeedOptions = {},
): Promise<{ router: RestRouter; url: string; port: number }> {
  const router = createRestRouter(gateway, { events });
  const listener = nodeListener(router);
  const server = createServer((request, response) => void listener(request, response));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  afterTest(() => {
    router.close();
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  });
  const { port } = server.address() as AddressInfo;
  return { router, port, url: `http://127.0.0.1:${port}/rest-api/events` };
}

describe.each(HOSTS)('$name', (host) => {
  it('streams what happens, and ends with the gateway, behind the last event', async () => {
    const phone = await openPhone();
    const gateway = await openGateway();
    const { port, close } = await host.open([createRestRouter(gateway)]);
    afterTest(close);
    const reader = await EventReader.open(`http://127.0.0.1:${port}/rest-api/events`);
    expect(reader.response.headers.get('content-type')).toBe('text/event-stream');
    await expect
      .poll(() => reader.events[0])
      .toMatchObject({
        name: 'FeedOpened',
        body: { nodeId: gateway.nodeId, missed: false },
      });
    const call = await gateway.startup({ callId: 'c1', callee: phone.uri });
    await call.established();
    const peer = await phone.nextCall();
    await peer.sendDigits('7');
    await expect.poll(() => reader.events.at(-1)?.name).toBe('CallDtmfEvent');
    expect(reader.events.at(-1)?.body).toMatchObject({ callId: 'c1', dtmf: '7', type: 'RFC2833' });
    await gateway.close();
    await reader.ended;
    expect(reader.statuses.at(0)).toBe('PENDING');
    expect(reader.statuses).toContain('ESTABLISHED');
    expect(reader.statuses.at(-1)).toBe('FINISH');
    const numbers = reader.events.map(({ id }) => Number(id));
    expect(numbers).toEqual(numbers.map((_, index) => Number(numbers[0]) + index));
  });
});

/** Emits in place of the gateway: not for applications. */
function emitterOf(gateway: CallGateway): EventEmitter {
  return gateway as unknown as EventEmitter;
}

describe('the event feed', () => {
  it('sends again what was missed, by header or by query, and says when it cannot', async () => {
    const phone = await openPhone();
    const gateway = await openGateway();
    const { url } = await openServer(gateway, { replaySize: 4 });
    const first = await EventReader.open(url);
    await expect.poll(() => first.events.length).toBe(1);
    const beginning = first.events[0]?.id as string;
    const call = await gateway.startup({ callee: phone.uri });
    await call.established();
    await call.terminate();
    await expect.poll(() => first.statuses.at(-1)).toBe('FINISH');
    const { id } = first.events.at(-3) as SentEvent;
    const expected = first.events.slice(-2);

    const byHeader = await EventReader.open(`${url}?lastEventId=1`, { 'last-event-id': `${id}` });
    await expect.poll(() => byHeader.events.slice(1)).toEqual(expected);
    expect(byHeader.events[0]).toMatchObject({ id: undefined, body: { missed: false } });
    const byQuery = await EventReader.open(`${url}?lastEventId=${id}`);
    await expect.poll(() => byQuery.events.slice(1)).toEqual(expected);

    expect(first.events.length).toBeGreaterThan(5);
    const tooOld = await EventReader.open(`${url}?lastEventId=${beginning}`);
    await expect.poll(() => tooOld.events.slice(1)).toEqual(first.events.slice(-4));
    expect(tooOld.events[0]?.body).toMatchObject({ missed: true });
    for (const unknown of ['99999999999999', '-1', 'x']) {
      const reader = await EventReader.open(url, { 'last-event-id': unknown });
      await expect.poll(() => reader.events[0]?.body).toMatchObject({ missed: true });
    }
  });

  it('reports pushes: started, active, muted, ended; without the secrets of their address', async () => {
    const phone = await openPhone();
    const sink = await openSink();
    const gateway = await openGateway();
    const { url } = await openServer(gateway);
    const reader = await EventReader.open(url);
    const call = await gateway.startup({ callId: 'c1', callee: phone.uri, toStream: 's' });
    await call.established();
    const rtmpUrl = sink.url.replace('rtmp://', 'rtmp://user:secret-word@');
    const { mediaSessionId } = gateway.pushes.start({ streamName: 's', rtmpUrl });
    const pushes = (): Record<string, unknown>[] =>
      reader.events.filter(({ name }) => name === 'PushStatusEvent').map(({ body }) => body);
    await expect.poll(() => pushes().at(-1)?.['status']).toBe('RTMP_STREAM_ACTIVE');
    gateway.pushes.get(mediaSessionId).mute();
    await expect.poll(() => pushes().at(-1)).toMatchObject({ muted: true, closed: false });
    await gateway.pushes.get(mediaSessionId).close();
    await expect.poll(() => pushes().at(-1)).toMatchObject({ mediaSessionId, closed: true });
    expect(pushes()[0]).toMatchObject({ callId: 'c1', status: 'RTMP_STREAM_WAIT', closed: false });
    expect(JSON.stringify(reader.events)).not.toContain('secret-word');
  });

  it('sends a comment while nothing happens, and releases readers that left', async () => {
    const { router, url } = await openServer(await openGateway(), { heartbeatMs: 20 });
    const abort = new AbortController();
    const response = await fetch(url, { signal: abort.signal });
    let text = '';
    for await (const octets of response.body as ReadableStream<Uint8Array>) {
      text += Buffer.from(octets).toString();
      if (text.endsWith(':\n\n:\n\n')) break;
    }
    abort.abort();
    await expect.poll(() => router.eventStats).toEqual({ readers: 0, dropped: 0 });
  });

  it('disconnects only the reader that reads nothing, and counts it', async () => {
    const gateway = await openGateway();
    const { router, url, port } = await openServer(gateway, { maxQueuedBytes: 20_000 });
    const slow = connect(port, '127.0.0.1');
    afterTest(() => slow.destroy());
    await once(slow, 'connect');
    slow.pause();
    slow.write('GET /rest-api/events HTTP/1.1\r\nHost: a\r\n\r\n');
    const quick = await EventReader.open(url);
    await expect.poll(() => router.eventStats.readers).toBe(2);
    const custom = { text: 'x'.repeat(4000) };
    const emitter = emitterOf(gateway);
    // More than the kernel keeps for the slow one.
    for (let sent = 0; sent < 60_000 && router.eventStats.dropped === 0; sent += 100) {
      for (let i = 0; i < 100; i++) {
        emitter.emit('callChange', {}, { callId: 'c1', rtmpUrl: null, custom }, ['status']);
        // The quick one reads in between.
        if (i % 4 === 0) await new Promise(setImmediate);
      }
    }
    expect(router.eventStats).toEqual({ readers: 1, dropped: 1 });
    const before = quick.events.length;
    emitter.emit('callChange', {}, { callId: 'c2', rtmpUrl: null }, ['status']);
    await expect.poll(() => quick.events.at(-1)?.body['callId']).toBe('c2');
    expect(quick.events.length).toBeGreaterThan(before);
  });

  it('takes no more readers than allowed, none after its end, and only GET', async () => {
    const gateway = await openGateway();
    const { router, url } = await openServer(gateway, { maxReaders: 1 });
    const head = await fetch(url, { method: 'HEAD' });
    expect([head.status, router.eventStats.readers]).toEqual([200, 0]);
    const reader = await EventReader.open(url);
    const second = await fetch(url);
    expect([second.status, second.headers.get('retry-after')]).toEqual([503, '5']);
    expect(await second.json()).toMatchObject({ code: 'TOO_MANY_READERS' });
    const post = await fetch(url, { method: 'POST' });
    expect([post.status, post.headers.get('allow')]).toEqual([405, 'GET']);
    router.close();
    await reader.ended;
    expect((await fetch(url)).status).toBe(503);
    expect(gateway.listenerCount('callChange')).toBe(0);
  });
});
