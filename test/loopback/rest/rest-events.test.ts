import { createHmac } from 'node:crypto';
import { EventEmitter, once } from 'node:events';
import { createServer } from 'node:http';
import type { IncomingHttpHeaders, Server, ServerResponse } from 'node:http';
import { createServer as createTcpServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { performance } from 'node:perf_hooks';
import type { CallGateway, CallView } from '@sipcast/core';
import { deliverCallEvents } from '@sipcast/rest';
import type { CallAppDelivery, CallAppOptions } from '@sipcast/rest';
import { describe, expect, it } from 'vitest';
import { afterTest } from '../../support/cleanup.ts';
import { until } from '../../support/wait.ts';

interface Arrival {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  readonly event: Record<string, unknown>;
  readonly atMs: number;
}

/** The application's server: keeps what arrives and answers as told. */
class Receiver {
  readonly arrivals: Arrival[] = [];
  answer: (response: ServerResponse, arrival: Arrival) => void = (response) => void response.end();
  readonly server: Server;

  constructor() {
    this.server = createServer((request, response) => {
      const parts: Buffer[] = [];
      request.on('data', (part: Buffer) => parts.push(part));
      request.on('end', () => {
        const text = Buffer.concat(parts).toString();
        const event = JSON.parse(text) as Record<string, unknown>;
        const { url: path = '', headers } = request;
        const arrival = { path, headers, text, event, atMs: performance.now() };
        this.arrivals.push(arrival);
        this.answer(response, arrival);
      });
    });
  }

  async open(): Promise<string> {
    this.server.listen(0, '127.0.0.1');
    await once(this.server, 'listening');
    afterTest(async () => {
      this.server.closeAllConnections();
      if (this.server.listening) await new Promise((resolve) => this.server.close(resolve));
    });
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}/CallApp`;
  }

  async count(wanted: number): Promise<void> {
    await until(() => this.arrivals.length >= wanted);
  }
}

const VIEW: CallView = {
  custom: { order: 7 },
  nodeId: 'n@127.0.0.1',
  appKey: 'defaultApp',
  sessionId: '127.0.0.1:1',
  callId: 'c1',
  parentCallId: null,
  incoming: false,
  status: 'PENDING',
  sipStatus: null,
  rtmpUrl: null,
  rtmpStream: null,
  streamName: 'call-1',
  rtmpStreamStatus: null,
  rtmpStreamError: null,
  caller: 'gate',
  callee: '1000',
  hasAudio: true,
  hasVideo: false,
  sdp: null,
  visibleName: 'Gate',
  inviteParameters: null,
  mediaProvider: 'Flash',
  sipMessageRaw: null,
  isMsrp: false,
  target: null,
  holdForTransfer: false,
  info: null,
  endedBy: null,
  createdAt: '2030-01-01T00:00:00.000Z',
  establishedAt: null,
  endedAt: null,
  media: null,
  pushes: [],
};

type Source = Pick<CallGateway, 'on' | 'off' | 'listenerCount'>;

/** The events of a gateway without the gateway. */
function source(): { gateway: Source; change: (parts: Partial<CallView>) => void } {
  const emitter = new EventEmitter();
  const gateway = emitter as unknown as Source;
  const change = (parts: Partial<CallView>): void => {
    emitter.emit('callChange', {}, { ...VIEW, ...parts }, ['status']);
  };
  return { gateway, change };
}

function deliver(gateway: Source, options: CallAppOptions): CallAppDelivery {
  const delivery = deliverCallEvents(gateway, { retryDelayMs: 20, ...options });
  afterTest(() => delivery.close(0));
  return delivery;
}

describe('events to callApp', () => {
  it('has the documented keys, without those that are null', async () => {
    const receiver = new Receiver();
    const { gateway, change } = source();
    deliver(gateway, { callAppUrl: `${await receiver.open()}/` });
    change({});
    change({
      sipStatus: 200,
      rtmpUrl: 'rtmp://h/a',
      rtmpStream: 's',
      rtmpStreamStatus: 'RTMP_STREAM_WAIT',
      info: 'words',
    });
    await receiver.count(2);
    const [first, second] = receiver.arrivals;
    expect(first?.path).toBe('/CallApp/CallStatusEvent');
    expect(first?.headers['content-type']).toBe('application/json');
    const always =
      'nodeId appKey sessionId callId incoming status caller callee hasAudio hasVideo visibleName mediaProvider isMsrp custom timestamp sequence';
    expect(Object.keys(first?.event ?? {}).toSorted()).toEqual(always.split(' ').toSorted());
    const all = `${always} sipStatus rtmpUrl rtmpStream rtmpStreamStatus info`;
    expect(Object.keys(second?.event ?? {}).toSorted()).toEqual(all.split(' ').toSorted());
    expect(first?.event).toMatchObject({ custom: { order: 7 }, sequence: 1, incoming: false });
    expect(first?.headers['webhook-signature']).toBeUndefined();
  });

  it('shows no user, password or query of an rtmpUrl', async () => {
    const receiver = new Receiver();
    const { gateway, change } = source();
    deliver(gateway, { callAppUrl: await receiver.open() });
    change({ rtmpUrl: 'rtmp://us%40er:pa@ss@h:1935/app/inst?key=secret&x=a@b?c' });
    await receiver.count(1);
    expect(receiver.arrivals[0]?.event['rtmpUrl']).toBe('rtmp://h:1935/app/inst');
    expect(receiver.arrivals[0]?.text).not.toMatch(/secret|pa@ss/);
  });

  it('keeps the order of each call, also through retries, and calls do not wait for each other', async () => {
    const receiver = new Receiver();
    const { gateway, change } = source();
    const delivery = deliver(gateway, { callAppUrl: await receiver.open() });
    const refusals = new Map<string, number>();
    receiver.answer = (response, { event }) => {
      const key = `${String(event['callId'])} ${String(event['sipStatus'])}`;
      const refused = refusals.get(key) ?? 0;
      refusals.set(key, refused + 1);
      response.statusCode = event['callId'] === 'a' && refused < 2 ? 500 : 200;
      response.end();
    };
    for (let sipStatus = 1; sipStatus <= 5; sipStatus++) {
      change({ callId: 'a', sipStatus });
      change({ callId: 'b', sipStatus });
    }
    await until(() => delivery.stats.delivered === 10);
    const of = (callId: string) =>
      receiver.arrivals.filter(({ event }) => event['callId'] === callId);
    expect(of('a').map(({ event }) => event['sipStatus'])).toEqual(
      [1, 2, 3, 4, 5].flatMap((sipStatus) => [sipStatus, sipStatus, sipStatus]),
    );
    expect(of('b').map(({ event }) => event['sipStatus'])).toEqual([1, 2, 3, 4, 5]);
    expect(of('b').at(-1)?.atMs).toBeLessThan(of('a').at(-1)?.atMs ?? 0);
    expect(delivery.stats).toEqual({ delivered: 10, lost: 0, queued: 0 });
  });

  it('tries four times with growing pauses, and gives up', async () => {
    const receiver = new Receiver();
    const { gateway, change } = source();
    const lost: string[] = [];
    const onLost = (reason: string): void => void lost.push(reason);
    const delivery = deliver(gateway, {
      callAppUrl: await receiver.open(),
      retryDelayMs: 40,
      onLost,
    });
    receiver.answer = (response) => void response.writeHead(302, { location: '/other' }).end();
    change({});
    await until(() => delivery.stats.lost === 1);
    const times = receiver.arrivals.map(({ atMs }) => atMs);
    expect(times).toHaveLength(4);
    const pauses = times.slice(1).map((atMs, index) => atMs - (times[index] ?? 0));
    for (const [index, least] of [38, 78, 158].entries())
      expect(pauses[index]).toBeGreaterThanOrEqual(least);
    expect(lost).toEqual(['HTTP 302']);
    expect(new Set(receiver.arrivals.map(({ path }) => path))).toEqual(
      new Set(['/CallApp/CallStatusEvent']),
    );
  });

  it('gives up a receiver that does not answer in time, and one that is not there', async () => {
    const receiver = new Receiver();
    receiver.answer = () => {};
    const { gateway, change } = source();
    const lost: string[] = [];
    const onLost = (reason: string): void => void lost.push(reason);
    const callAppUrl = await receiver.open();
    const silent = deliver(gateway, { callAppUrl, timeoutMs: 50, retries: 1, onLost });
    change({});
    await until(() => silent.stats.lost === 1);
    await silent.close();
    receiver.server.closeAllConnections();
    await new Promise((resolve) => receiver.server.close(resolve));
    const absent = deliver(gateway, { callAppUrl, retries: 1, onLost });
    change({});
    await until(() => absent.stats.lost === 1);
    expect(receiver.arrivals).toHaveLength(2);
    expect(lost).toEqual(['no answer within 50 ms', expect.stringContaining('ECONNREFUSED')]);
  });

  it('never holds up the one that reports, and bounds what waits', async () => {
    const receiver = new Receiver();
    receiver.answer = () => {};
    const { gateway, change } = source();
    const lost: string[] = [];
    const delivery = deliver(gateway, {
      callAppUrl: await receiver.open(),
      maxQueued: 200,
      onLost: (reason) => lost.push(reason),
    });
    let slowestMs = 0;
    for (let index = 0; index < 1000; index++) {
      const startMs = performance.now();
      change({ callId: `c${index % 50}` });
      slowestMs = Math.max(slowestMs, performance.now() - startMs);
    }
    expect(slowestMs).toBeLessThan(50);
    expect(delivery.stats).toEqual({ delivered: 0, lost: 800, queued: 200 });
    expect(lost).toEqual(Array.from({ length: 800 }, () => 'queue full'));
    await receiver.count(50);
    // One at a time for each of the 50 calls.
    expect(receiver.arrivals).toHaveLength(50);
  });

  it('opens at most 64 connections to a receiver that hangs, and delivers the rest once it recovers', async () => {
    const receiver = new Receiver();
    const hanging: ServerResponse[] = [];
    receiver.answer = (response) => void hanging.push(response);
    const { gateway, change } = source();
    const delivery = deliver(gateway, { callAppUrl: await receiver.open(), maxQueued: 400 });
    for (let index = 0; index < 300; index++) change({ callId: `c${index}` });
    await receiver.count(64);
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(receiver.arrivals).toHaveLength(64);
    receiver.answer = (response) => void response.end();
    for (const response of hanging) response.end();
    await until(() => delivery.stats.delivered === 300);
    expect(new Set(receiver.arrivals.map(({ event }) => event['callId'])).size).toBe(300);
  });

  it('signs by the Standard Webhooks scheme', async () => {
    const key = Buffer.from('0123456789abcdef0123456789abcdef');
    for (const secret of [`whsec_${key.toString('base64')}`, key.toString()]) {
      const receiver = new Receiver();
      const { gateway, change } = source();
      const delivery = deliver(gateway, { callAppUrl: await receiver.open(), secret });
      receiver.answer = (response) => {
        response.statusCode = receiver.arrivals.length === 1 ? 503 : 200;
        response.end();
      };
      change({ visibleName: 'Jürgen ☎' });
      await until(() => delivery.stats.delivered === 1);
      const ids = receiver.arrivals.map(({ headers, text }) => {
        const id = String(headers['webhook-id']);
        const timestamp = String(headers['webhook-timestamp']);
        expect(Math.abs(Number(timestamp) - Date.now() / 1000)).toBeLessThan(5);
        const signed = createHmac('sha256', key).update(`${id}.${timestamp}.${text}`);
        expect(headers['webhook-signature']).toBe(`v1,${signed.digest('base64')}`);
        return id;
      });
      expect(ids).toHaveLength(2);
      // The same event: a receiver can tell that it has it already.
      expect(ids[0]).toBe(ids[1]);
    }
  });

  it('takes no secret without a key, which everybody could sign with', () => {
    for (const secret of ['', 'whsec_', 'whsec_!'])
      expect(() => deliverCallEvents(source().gateway, { callAppUrl: 'http://a', secret })).toThrow(
        'secret must hold a key that is not empty',
      );
  });

  it('delivers what waits when it is closed, and leaves nothing', async () => {
    const receiver = new Receiver();
    const { gateway, change } = source();
    const delivery = deliver(gateway, { callAppUrl: await receiver.open() });
    for (let index = 0; index < 20; index++) change({ sipStatus: index });
    await delivery.close();
    expect(delivery.stats).toEqual({ delivered: 20, lost: 0, queued: 0 });
    expect(gateway.listenerCount('callChange')).toBe(0);
    change({});
    expect(delivery.stats.queued).toBe(0);
    // No kept-alive connection holds up the receiver's own end.
    const startMs = performance.now();
    await new Promise((resolve) => receiver.server.close(resolve));
    expect(performance.now() - startMs).toBeLessThan(1000);
    expect(receiver.arrivals).toHaveLength(20);
  });

  it('does not wait for a dead receiver when it is closed', async () => {
    const receiver = new Receiver();
    receiver.answer = () => {};
    const { gateway, change } = source();
    const lost: string[] = [];
    const onLost = (reason: string): void => void lost.push(reason);
    const delivery = deliver(gateway, { callAppUrl: await receiver.open(), onLost });
    const warnings: Error[] = [];
    const onWarning = (warning: Error): void => void warnings.push(warning);
    process.on('warning', onWarning);
    for (let index = 0; index < 40; index++) change({ callId: `c${index % 20}` });
    await receiver.count(20);
    const startMs = performance.now();
    await Promise.all([delivery.close(100), delivery.close(100)]);
    process.off('warning', onWarning);
    expect(performance.now() - startMs).toBeLessThan(1000);
    expect(delivery.stats).toEqual({ delivered: 0, lost: 40, queued: 0 });
    expect(lost).toHaveLength(40);
    expect(warnings).toEqual([]);
  });

  it('gives up a receiver that switches protocols', async () => {
    const { gateway, change } = source();
    const receiver = createTcpServer((socket) => {
      socket.on('error', () => {});
      const answer =
        'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n';
      socket.once('data', () => socket.end(answer));
    });
    receiver.listen(0, '127.0.0.1');
    await once(receiver, 'listening');
    afterTest(() => new Promise((resolve) => receiver.close(resolve)));
    const { port } = receiver.address() as AddressInfo;
    const callAppUrl = `http://127.0.0.1:${port}/CallApp`;
    const delivery = deliver(gateway, { callAppUrl, retries: 1, retryDelayMs: 5 });
    change({ status: 'PENDING' });
    await until(() => delivery.stats.lost === 1);
    expect(delivery.stats).toEqual({ delivered: 0, lost: 1, queued: 0 });
  });

  it('refuses a URL that is none', () => {
    const { gateway } = source();
    for (const callAppUrl of ['nonsense', 'ftp://127.0.0.1/x', ''])
      expect(() => deliverCallEvents(gateway, { callAppUrl })).toThrow(TypeError);
    expect(gateway.listenerCount('callChange')).toBe(0);
  });
});
