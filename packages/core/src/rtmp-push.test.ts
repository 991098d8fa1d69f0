import { RtmpError } from '@sipcast/media';
import type {
  FlvTag,
  MediaSession,
  RtmpPublisherHandler,
  RtmpPublisherOptions,
  StreamOutput,
} from '@sipcast/media';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { silentLogger } from './logger.ts';
import { RtmpPush } from './rtmp-push.ts';
import type { RtmpOptions } from './rtmp-push.ts';

interface Connection {
  readonly options: RtmpPublisherOptions;
  readonly handler: RtmpPublisherHandler;
  readonly sent: FlvTag[];
  closed: boolean;
}

/** A push whose connections are made by the test: no socket, and time stands still until it is moved. */
function setUp(options: RtmpOptions = {}, url = 'rtmp://server/live') {
  const connections: Connection[] = [];
  const outputs: StreamOutput[] = [];
  const media = {
    addOutput: (output: StreamOutput) => outputs.push(output),
    removeOutput: (output: StreamOutput) => {
      if (outputs.includes(output)) outputs.splice(outputs.indexOf(output), 1);
    },
    requestKeyFrame: vi.fn(),
    stats: () => ({ video: { width: 640, height: 360 } }),
  } as unknown as MediaSession;
  const push = new RtmpPush(
    {
      mediaSessionId: 'call-1',
      streamName: 'cam',
      rtmpUrl: url,
      connectUrl: url,
      publishName: 'secret-key',
      muted: false,
    },
    options,
    {
      openRtmpPublisher: (publisherOptions, handler) => {
        const connection: Connection = {
          options: publisherOptions,
          handler,
          sent: [],
          closed: false,
        };
        connections.push(connection);
        return {
          send: (tag) => {
            connection.sent.push(tag);
            return 'sent';
          },
          stats: {
            bytesSent: 1000,
            bytesAcknowledged: null,
            outstandingBytes: 0,
            droppedFrames: 2,
          },
          close: () => {
            connection.closed = true;
            // As the publisher does where there is nothing to flush.
            handler.onEnded(undefined);
            return Promise.resolve();
          },
        };
      },
      logger: silentLogger,
      now: () => Date.now(),
      random: () => 0.5,
    },
  );
  const statuses: string[] = [];
  push.on('status', (status) => statuses.push(status));
  const last = (): Connection => {
    const connection = connections.at(-1);
    if (!connection) throw new Error('No connection');
    return connection;
  };
  return { push, media, connections, outputs, statuses, last };
}

const lost = new RtmpError('CONNECTION_LOST', 'gone');
const refusedPort = new RtmpError('CONNECT_FAILED', 'ECONNREFUSED');

describe('RtmpPush', () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    expect(vi.getTimerCount()).toBe(0);
    vi.useRealTimers();
  });

  it('waits, publishes, loses the connection, and publishes again', async () => {
    const { push, media, connections, outputs, statuses, last } = setUp();
    expect(push.status).toBe('RTMP_STREAM_WAIT');
    expect(connections).toHaveLength(0);
    push.start(media);
    expect(last().options).toMatchObject({ url: 'rtmp://server/live', streamName: 'secret-key' });
    last().handler.onPublishing();
    expect(outputs).toHaveLength(1);
    last().handler.onEnded(lost);
    expect(outputs).toHaveLength(0);
    expect(connections).toHaveLength(1);
    vi.advanceTimersByTime(250);
    expect(connections).toHaveLength(2);
    last().handler.onPublishing();
    expect(statuses).toEqual(['RTMP_STREAM_ACTIVE', 'RTMP_CONNECTION_LOST', 'RTMP_STREAM_ACTIVE']);
    expect(push.view()).toMatchObject({ reconnects: 1, bytesSent: 2000, droppedFrames: 4 });
    await push.close();
    expect(last().closed).toBe(true);
  });

  it('backs off from 0.25 s to 0.8 s for five minutes, then to 5 s, and never gives up on its own', async () => {
    const { push, media, connections, last } = setUp();
    push.start(media);
    last().handler.onPublishing();
    last().handler.onEnded(lost);
    const delays: number[] = [];
    for (const until = Date.now() + 6 * 60_000; Date.now() < until; ) {
      const before = connections.length;
      const startedMs = Date.now();
      while (connections.length === before) vi.advanceTimersByTime(10);
      delays.push(Date.now() - startedMs);
      last().handler.onEnded(refusedPort);
    }
    expect(delays.slice(0, 4)).toEqual([250, 500, 800, 800]);
    expect(Math.max(...delays.slice(0, 300))).toBe(800);
    expect(delays.at(-1)).toBe(5000);
    expect(push.status).toBe('RTMP_CONNECTION_LOST');
    await push.close();
  });

  it('gives up a push that never came up, after its time', async () => {
    const { push, media, statuses, last } = setUp({ firstConnectTimeoutMs: 1000 });
    push.start(media);
    for (let i = 0; i < 10 && push.status === 'RTMP_STREAM_WAIT'; i++) {
      last().handler.onEnded(refusedPort);
      vi.advanceTimersByTime(800);
    }
    expect(statuses).toEqual(['RTMP_CONNECTION_FAILED']);
    expect(push.view().lastError).toBe('CONNECT_FAILED: ECONNREFUSED');
    await push.close();
  });

  it('takes a refusal of the connection as final, and gives up a lost one where told to', async () => {
    const first = setUp();
    first.push.start(first.media);
    first.last().handler.onEnded(new RtmpError('CONNECT_REJECTED', 'no'));
    expect(first.statuses).toEqual(['RTMP_CONNECTION_FAILED']);
    await first.push.close();

    const second = setUp({ giveUpMs: 500 });
    second.push.start(second.media);
    second.last().handler.onPublishing();
    second.last().handler.onEnded(lost);
    vi.advanceTimersByTime(250);
    second.last().handler.onEnded(refusedPort);
    vi.advanceTimersByTime(500);
    second.last().handler.onEnded(refusedPort);
    expect(second.push.status).toBe('RTMP_CONNECTION_FAILED');
    await second.push.close();
  });

  it('mutes without a break: silence of the same length in the same codec', async () => {
    const { push, media, outputs, last } = setUp();
    push.start(media);
    last().handler.onPublishing();
    const body = Buffer.from([0x72, 1, 2, 3]);
    const tag: FlvTag = { type: 8, timestampMs: 0, body, role: 'audio' };
    push.muted = true;
    outputs[0]?.push(tag);
    outputs[0]?.push({ ...tag, body: Buffer.from([0x82, 1, 2]) });
    outputs[0]?.push({ ...tag, body: Buffer.from([0xaf, 1, 2, 3, 4]) });
    push.muted = false;
    outputs[0]?.push(tag);
    expect(last().sent.map((one) => Buffer.from(one.body).toString('hex'))).toEqual([
      '72d5d5d5',
      '82ffff',
      'af0101182007',
      '72010203',
    ]);
    await push.close();
  });

  it('asks for key frames on behalf of its connection, and shows no key', async () => {
    const { push, media, last } = setUp();
    push.start(media);
    last().handler.onPublishing();
    last().handler.onKeyFrameWanted();
    expect(media.requestKeyFrame).toHaveBeenCalledTimes(1);
    last().handler.onEnded(new RtmpError('CONNECTION_LOST', 'secret-key is not welcome'));
    expect(JSON.stringify(push.view())).not.toContain('secret-key');
    await push.close();
  });

  it('closes while waiting, connecting and between connections, and only once', async () => {
    const waiting = setUp();
    const closed = vi.fn();
    waiting.push.on('closed', closed);
    await Promise.all([waiting.push.close(), waiting.push.close()]);
    waiting.push.start(waiting.media);
    expect(waiting.connections).toHaveLength(0);
    expect(closed).toHaveBeenCalledTimes(1);

    const between = setUp();
    between.push.start(between.media);
    between.last().handler.onPublishing();
    between.last().handler.onEnded(lost);
    await between.push.close();
    vi.advanceTimersByTime(10_000);
    expect(between.connections).toHaveLength(1);
  });

  it('makes no connection any more once it is closed while one is being made', async () => {
    const { push, media, connections, statuses } = setUp();
    push.start(media);
    await push.close();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(connections).toHaveLength(1);
    expect(statuses).toEqual([]);
  });
});
