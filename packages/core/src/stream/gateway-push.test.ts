import { RtmpError } from '@sipcast/media';
import type {
  FlvTag,
  Output,
  OutputForm,
  RtmpCapabilities,
  RtmpPublisherHandler,
  RtmpPublisherOptions,
  StreamSource,
} from '@sipcast/media';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { silentLogger } from '../logger.ts';
import { GatewayPush } from './gateway-push.ts';
import type { GatewayPushDeps, PushTarget } from './gateway-push.ts';
import type { RtmpOptions } from './rtmp-options.ts';

const PLAIN = { vp8: false, opus: false, reconnect: false };

interface Connection {
  readonly options: RtmpPublisherOptions;
  readonly handler: RtmpPublisherHandler;
  readonly sent: FlvTag[];
  closed: boolean;
}

/** A push whose connections are made by the test: no socket, and time stands still until it is moved. */
function setUp(
  options: RtmpOptions = {},
  url = 'rtmp://server/live',
  parts: Partial<GatewayPushDeps> &
    Pick<PushTarget, 'rtmp' | 'silentAudio'> & { cannot?: (form: OutputForm) => boolean } = {},
) {
  const { rtmp, silentAudio, cannot = () => false, ...deps } = parts;
  const connections: Connection[] = [];
  const outputs: Output[] = [];
  /** Forms that are held, in order of their holding; and those of the outputs. */
  const held: OutputForm[] = [];
  const forms: (OutputForm | undefined)[] = [];
  const wishes: number[] = [];
  const media = {
    addOutput: (output: Output, form?: OutputForm) => {
      outputs.push(output);
      forms.push(form);
    },
    removeOutput: (output: Output) => {
      if (outputs.includes(output)) outputs.splice(outputs.indexOf(output), 1);
    },
    prepare: (form: OutputForm) => {
      if (cannot(form)) throw new Error('cannot be encoded');
      held.push(form);
      return () => {
        const at = held.indexOf(form);
        if (at >= 0) held.splice(at, 1);
      };
    },
    requestKeyFrame: vi.fn(),
    wantKeyFrames: (everyMs: number) => {
      wishes.push(everyMs);
      return () => wishes.splice(wishes.indexOf(everyMs), 1);
    },
    pictureSize: (form: OutputForm) =>
      form.enhanced ? { width: 320, height: 180 } : { width: 640, height: 360 },
  } as unknown as StreamSource;
  const push = new GatewayPush(
    {
      mediaSessionId: 'call-1',
      streamName: 'cam',
      rtmpUrl: url,
      connectUrl: url,
      publishName: 'secret-key',
      muted: false,
      videoPlaceholder: true,
      form: { audio: 'aac', video: 'passthrough' },
      ...(rtmp && { rtmp }),
      ...(silentAudio !== undefined && { silentAudio }),
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
          push: (tag) => {
            const isFirst = connection.sent.every(({ role }) => role !== tag.role);
            connection.sent.push(tag);
            if (isFirst && (tag.role === 'key-frame' || tag.role === 'audio'))
              handler.onFirstSent?.(tag.role);
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
      ffmpeg: () => undefined,
      logger: silentLogger,
      now: () => Date.now(),
      random: () => 0.5,
      ...deps,
    },
  );
  const statuses: string[] = [];
  push.on('status', (status) => statuses.push(status));
  const last = (): Connection => {
    const connection = connections.at(-1);
    if (!connection) throw new Error('No connection');
    return connection;
  };
  return { push, media, connections, outputs, statuses, last, held, forms, wishes };
}

const lost = new RtmpError('CONNECTION_LOST', 'gone');
const refusedPort = new RtmpError('CONNECT_FAILED', 'ECONNREFUSED');

describe('GatewayPush', () => {
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
    last().handler.onPublishing(PLAIN);
    expect(outputs).toHaveLength(1);
    last().handler.onEnded(lost);
    expect(outputs).toHaveLength(0);
    expect(connections).toHaveLength(1);
    vi.advanceTimersByTime(250);
    expect(connections).toHaveLength(2);
    last().handler.onPublishing(PLAIN);
    expect(statuses).toEqual(['RTMP_STREAM_ACTIVE', 'RTMP_CONNECTION_LOST', 'RTMP_STREAM_ACTIVE']);
    expect(push.view()).toMatchObject({ reconnects: 1, bytesSent: 2000, droppedFrames: 4 });
    await push.close();
    expect(last().closed).toBe(true);
  });

  it('backs off from 0.25 s to 0.6 s for five minutes, then to 5 s, and never gives up on its own', async () => {
    const { push, media, connections, last } = setUp();
    push.start(media);
    last().handler.onPublishing(PLAIN);
    last().handler.onEnded(lost);
    const delays: number[] = [];
    for (const until = Date.now() + 6 * 60_000; Date.now() < until; ) {
      const before = connections.length;
      const startedMs = Date.now();
      while (connections.length === before) vi.advanceTimersByTime(10);
      delays.push(Date.now() - startedMs);
      last().handler.onEnded(refusedPort);
    }
    expect(delays.slice(0, 4)).toEqual([250, 500, 600, 600]);
    expect(Math.max(...delays.slice(0, 300))).toBe(600);
    expect(delays.at(-1)).toBe(5000);
    expect(push.status).toBe('RTMP_CONNECTION_LOST');
    await push.close();
  });

  it('counts as failed when it does not come up in time, goes on trying, and comes up', async () => {
    const { push, media, connections, statuses, last, held } = setUp({
      firstConnectTimeoutMs: 1000,
    });
    push.start(media);
    for (let i = 0; i < 10 && push.status === 'RTMP_STREAM_WAIT'; i++) {
      last().handler.onEnded(refusedPort);
      vi.advanceTimersByTime(800);
    }
    expect(statuses).toEqual(['RTMP_CONNECTION_FAILED']);
    expect(push.view()).toMatchObject({
      lastError: 'CONNECT_FAILED: ECONNREFUSED',
      isTrying: true,
    });
    // It holds no encoder meanwhile.
    expect(held).toEqual([]);
    const delays: number[] = [];
    for (let i = 0; i < 12; i++) {
      const startedMs = Date.now();
      const before = connections.length;
      last().handler.onEnded(refusedPort);
      while (connections.length === before) vi.advanceTimersByTime(100);
      delays.push(Date.now() - startedMs);
    }
    expect(Math.max(...delays)).toBe(30_000);
    last().handler.onPublishing(PLAIN);
    expect(statuses).toEqual(['RTMP_CONNECTION_FAILED', 'RTMP_STREAM_ACTIVE']);
    expect(held).toHaveLength(1);
    await push.close();
  });

  it('waits for an encoder that is busy when its server has come up late', async () => {
    let isBusy = false;
    const { push, media, statuses, last } = setUp({ firstConnectTimeoutMs: 1 }, undefined, {
      cannot: () => isBusy,
    });
    push.start(media);
    vi.advanceTimersByTime(10);
    last().handler.onEnded(refusedPort);
    isBusy = true;
    vi.advanceTimersByTime(1000);
    last().handler.onPublishing(PLAIN);
    expect(push.view()).toMatchObject({ lastError: 'cannot be encoded', isTrying: true });
    isBusy = false;
    vi.advanceTimersByTime(30_000);
    last().handler.onPublishing(PLAIN);
    expect(statuses).toEqual(['RTMP_CONNECTION_FAILED', 'RTMP_STREAM_ACTIVE']);
    await push.close();
  });

  it('connects again by retry after it has given up, and at once while it waits', async () => {
    const { push, media, connections, statuses, last } = setUp();
    push.retry();
    expect(connections).toHaveLength(0);
    push.start(media);
    push.retry();
    expect(connections).toHaveLength(1);
    last().handler.onEnded(new RtmpError('AUTH_FAILED', 'no'));
    vi.advanceTimersByTime(120_000);
    expect(connections).toHaveLength(1);
    expect(push.failed).toBe(true);
    push.retry();
    expect(push.failed).toBe(false);
    last().handler.onEnded(refusedPort);
    push.retry();
    expect(connections).toHaveLength(3);
    last().handler.onPublishing(PLAIN);
    push.retry();
    expect(statuses).toEqual(['RTMP_CONNECTION_FAILED', 'RTMP_STREAM_ACTIVE']);
    await push.close();
    push.retry();
    expect(connections).toHaveLength(3);
  });

  it('backs off where the server breaks the protocol', async () => {
    const { push, media, connections, last } = setUp();
    push.start(media);
    for (const until = Date.now() + 6000; Date.now() < until; vi.advanceTimersByTime(50))
      if (connections.length > 0) last().handler.onEnded(new RtmpError('PROTOCOL', 'chunk size'));
    expect(connections.length).toBeLessThanOrEqual(6);
    await push.close();
  });

  it('counts as failed when it is refused, and gives up a lost one after giveUp', async () => {
    const first = setUp();
    first.push.start(first.media);
    first.last().handler.onEnded(new RtmpError('CONNECT_REJECTED', 'no'));
    expect(first.statuses).toEqual(['RTMP_CONNECTION_FAILED']);
    await first.push.close();

    const second = setUp({ giveUp: 500 });
    second.push.start(second.media);
    second.last().handler.onPublishing(PLAIN);
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
    last().handler.onPublishing(PLAIN);
    const body = Buffer.from([0x72, 1, 2, 3]);
    const tag: FlvTag = { type: 8, timestampMs: 0, body, role: 'audio' };
    push.mute();
    outputs[0]?.push(tag);
    outputs[0]?.push({ ...tag, body: Buffer.from([0x82, 1, 2]) });
    outputs[0]?.push({ ...tag, body: Buffer.from([0xaf, 1, 2, 3, 4]) });
    push.unmute();
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
    last().handler.onPublishing(PLAIN);
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
    between.last().handler.onPublishing(PLAIN);
    between.last().handler.onEnded(lost);
    await between.push.close();
    vi.advanceTimersByTime(10_000);
    expect(between.connections).toHaveLength(1);
  });

  it('takes a wrong password as final, whenever it is refused; never a certificate or a name in use', async () => {
    const later = setUp();
    later.push.start(later.media);
    later.last().handler.onPublishing(PLAIN);
    later.last().handler.onEnded(lost);
    vi.advanceTimersByTime(250);
    later.last().handler.onEnded(new RtmpError('AUTH_FAILED', 'no'));
    expect(later.push.status).toBe('RTMP_CONNECTION_FAILED');
    await later.push.close();

    const codes = { TLS_FAILED: true, CONNECT_REJECTED: true, REDIRECT_REFUSED: false } as const;
    for (const [code, isTrying] of Object.entries(codes)) {
      const { push, media, last } = setUp();
      push.start(media);
      last().handler.onEnded(new RtmpError(code as keyof typeof codes, 'no'));
      expect(push.view()).toMatchObject({ status: 'RTMP_CONNECTION_FAILED', isTrying });
      await push.close();
    }

    const busy = setUp();
    busy.push.start(busy.media);
    for (let i = 0; i < 5; i++) {
      const statusCode = 'NetStream.Publish.BadName';
      busy.last().handler.onEnded(new RtmpError('PUBLISH_REJECTED', 'busy', { statusCode }));
      vi.advanceTimersByTime(600);
    }
    busy.last().handler.onPublishing(PLAIN);
    expect(busy.push.status).toBe('RTMP_STREAM_ACTIVE');
    await busy.push.close();
  });

  it('backs off, and can give up, where a server accepts the stream and drops it at once', async () => {
    const { push, media, connections, statuses, last } = setUp({ maxReconnects: 3 });
    push.start(media);
    for (let i = 0; i < 10 && push.status !== 'RTMP_CONNECTION_FAILED'; i++) {
      last().handler.onPublishing(PLAIN);
      vi.advanceTimersByTime(100);
      last().handler.onEnded(lost);
      vi.advanceTimersByTime(600);
    }
    expect(connections).toHaveLength(4);
    expect(statuses.slice(-2)).toEqual(['RTMP_CONNECTION_LOST', 'RTMP_CONNECTION_FAILED']);
    await push.close();
  });

  it('starts counting again after a connection that lasted', async () => {
    const { push, media, connections, last } = setUp({ maxReconnects: 1 });
    push.start(media);
    for (let i = 0; i < 5; i++) {
      last().handler.onPublishing(PLAIN);
      vi.advanceTimersByTime(6000);
      last().handler.onEnded(lost);
      vi.advanceTimersByTime(600);
    }
    expect(connections).toHaveLength(6);
    await push.close();
  });

  it('feeds the old connection until the new one that the server asked for has its key frame', async () => {
    const { push, media, connections, outputs, statuses } = setUp();
    push.start(media);
    const [first] = connections;
    first?.handler.onPublishing(PLAIN);
    first?.handler.onReconnectRequested?.(undefined);
    first?.handler.onReconnectRequested?.(undefined);
    expect(connections).toHaveLength(2);
    const tag = (role: FlvTag['role']): FlvTag => ({
      type: role === 'audio' ? 8 : 9,
      timestampMs: 0,
      body: Buffer.from([0xaf, 1]),
      role,
    });
    outputs[0]?.push(tag('inter-frame'));
    connections[1]?.handler.onPublishing(PLAIN);
    expect(outputs).toHaveLength(2);
    outputs[1]?.push(tag('audio'));
    expect(first?.closed).toBe(false);
    outputs[1]?.push(tag('key-frame'));
    expect(first?.closed).toBe(true);
    expect(outputs).toHaveLength(1);
    expect(statuses).toEqual(['RTMP_STREAM_ACTIVE']);
    expect(push.view()).toMatchObject({ reconnects: 0, bytesSent: 2000 });
    await push.close();
    expect(connections[1]?.closed).toBe(true);
  });

  it('keeps the old connection when the new one fails, and takes the new one when the old one ends', async () => {
    const kept = setUp();
    kept.push.start(kept.media);
    kept.last().handler.onPublishing(PLAIN);
    kept.last().handler.onReconnectRequested?.(undefined);
    kept.last().handler.onEnded(refusedPort);
    expect(kept.statuses).toEqual(['RTMP_STREAM_ACTIVE']);
    vi.advanceTimersByTime(60_000);
    expect(kept.connections).toHaveLength(2);
    await kept.push.close();

    const lostFirst = setUp();
    lostFirst.push.start(lostFirst.media);
    const [first] = lostFirst.connections;
    first?.handler.onPublishing(PLAIN);
    first?.handler.onReconnectRequested?.(undefined);
    first?.handler.onEnded(lost);
    expect(lostFirst.push.status).toBe('RTMP_CONNECTION_LOST');
    lostFirst.last().handler.onPublishing(PLAIN);
    expect(lostFirst.push.status).toBe('RTMP_STREAM_ACTIVE');
    vi.advanceTimersByTime(60_000);
    expect(lostFirst.connections).toHaveLength(2);
    await lostFirst.push.close();
  });

  it('stays active when the old one ends while the new one, accepted, waits for its key frame', async () => {
    const { push, media, connections, statuses, held } = setUp();
    push.start(media);
    connections[0]!.handler.onPublishing(PLAIN);
    connections[0]!.handler.onReconnectRequested?.(undefined);
    connections[1]!.handler.onPublishing(PLAIN);
    connections[0]!.handler.onEnded(lost);
    vi.advanceTimersByTime(60_000);
    expect(connections).toHaveLength(2);
    expect(statuses).toEqual(['RTMP_STREAM_ACTIVE']);
    expect(held).toHaveLength(1);
    // Its own end counts as that of any other.
    connections[1]!.handler.onEnded(lost);
    expect(push.status).toBe('RTMP_CONNECTION_LOST');
    vi.advanceTimersByTime(1000);
    expect(connections).toHaveLength(3);
    await push.close();
    expect(held).toEqual([]);
  });

  const moves: [from: string, to: string, allowed: string | undefined][] = [
    ['rtmp://u:p@server/live', 'rtmp://server/other', 'rtmp://u:p@server/other'],
    ['rtmp://server/live', 'rtmps://server/live', 'rtmps://server/live'],
    ['rtmps://server/live', 'rtmp://server/live', undefined],
    ['rtmp://server/live', 'rtmp://server:9999/live', undefined],
    ['rtmp://server/live', 'rtmp://169.254.169.254/live', undefined],
    ['rtmp://server/live', 'rtmp://friend/live', 'rtmp://friend/live'],
    ['rtmp://u:p@server/live', 'rtmp://friend/live', 'rtmp://friend/live'],
    ['rtmps://server/live', 'rtmp://friend/live', undefined],
  ];
  for (const [from, to, allowed] of moves) {
    it(`goes from ${from} to ${to}: ${allowed ?? 'not allowed'}`, async () => {
      const mayRedirect = (url: string): boolean => url.includes('//friend/');
      const { push, media, connections, last } = setUp({ mayRedirect }, from);
      push.start(media);
      last().handler.onPublishing(PLAIN);
      last().handler.onReconnectRequested?.(to);
      expect(connections[1]?.options.url).toBe(allowed);
      await push.close();
    });
  }

  it('prefers its own options to those of the gateway, and warns of what the server will refuse', async () => {
    const warn = vi.fn();
    const youTube = 'rtmp://a.rtmp.youtube.com/live2';
    const { push, media, last, wishes } = setUp({ stallTimeoutMs: 1 }, youTube, {
      rtmp: { stallTimeoutMs: 5000, tls: { insecure: true } },
      silentAudio: false,
      logger: { ...silentLogger, warn },
    });
    push.start(media);
    expect(last().options).toMatchObject({
      stallTimeoutMs: 5000,
      tls: { insecure: true },
      enhanced: 'off',
    });
    expect(warn).toHaveBeenCalledWith(
      'YouTube Live shows no stream without an audio track. Set silentAudio: true',
    );
    // Its server wants key frames as often, for as long as the push is there.
    expect(wishes).toEqual([2000]);
    await push.close();
    expect(wishes).toEqual([]);
  });

  it('masks keys in the messages of a server, in its view and its log', async () => {
    const info = vi.fn();
    const url = 'rtmp://user:pass-word@server/live?token=to-ken';
    const { push, media, last } = setUp({}, url, { logger: { ...silentLogger, info } });
    push.start(media);
    const words = 'no secret-key in live?token=to-ken for pass-word, to-ken';
    last().handler.onEnded(new RtmpError('CONNECT_REJECTED', words));
    expect(push.view().lastError).toBe('CONNECT_REJECTED: no *** in live?*** for ***, ***');
    expect(info.mock.calls).toEqual([
      [
        'RTMP_STREAM_WAIT -> RTMP_CONNECTION_FAILED (CONNECT_REJECTED: no *** in live?*** for ***, ***)',
      ],
    ]);
    await push.close();
  });

  it('makes no connection any more once it is closed while one is being made', async () => {
    const { push, media, connections, statuses } = setUp();
    push.start(media);
    await push.close();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(connections).toHaveLength(1);
    expect(statuses).toEqual([]);
  });

  const plain: OutputForm = { audio: 'aac', video: 'passthrough' };
  const enhanced = (vp8: boolean, opus: boolean): OutputForm => ({
    ...plain,
    enhanced: { vp8, opus },
  });
  const answers = (vp8: boolean, opus: boolean): RtmpCapabilities => ({
    vp8,
    opus,
    reconnect: false,
  });
  const choices: [
    NonNullable<RtmpOptions['enhanced']>,
    RtmpCapabilities,
    OutputForm[],
    OutputForm,
  ][] = [
    ['off', answers(false, false), [plain], plain],
    // The publisher says of a forced server that it takes everything.
    ['force', answers(true, true), [enhanced(true, true)], enhanced(true, true)],
    ['auto', answers(true, true), [], enhanced(true, true)],
    ['auto', answers(false, true), [], enhanced(false, true)],
    ['auto', answers(false, false), [], plain],
  ];
  for (const [mode, answer, before, form] of choices) {
    const said = `${String(answer.vp8)}/${String(answer.opus)}`;
    it(`sends what the server takes: ${mode}, VP8/Opus ${said}`, async () => {
      const { push, media, last, held, forms } = setUp({ enhanced: mode });
      push.start(media);
      expect(held).toEqual(before);
      last().handler.onPublishing(answer);
      expect(held).toEqual([form]);
      expect(forms).toEqual([form]);
      expect(push.view().width).toBe(form.enhanced ? 320 : 640);
      await push.close();
      expect(held).toEqual([]);
    });
  }

  it('decides again at each connection, and keeps the encoders of the last one through an outage', async () => {
    const { push, media, last, held, forms } = setUp({ enhanced: 'auto' });
    push.start(media);
    last().handler.onPublishing(answers(true, true));
    last().handler.onEnded(lost);
    expect(held).toEqual([enhanced(true, true)]);
    await vi.advanceTimersByTimeAsync(1000);
    last().handler.onPublishing(answers(false, false));
    expect(held).toEqual([plain]);
    expect(forms).toEqual([enhanced(true, true), plain]);
    await push.close();
    expect(held).toEqual([]);
  });

  it('changes the form at the server that it is sent to, when that has begun', async () => {
    const { push, media, connections, outputs, held } = setUp({ enhanced: 'auto' });
    push.start(media);
    connections[0]!.handler.onPublishing(answers(true, true));
    connections[0]!.handler.onReconnectRequested?.(undefined);
    connections[1]!.handler.onPublishing(answers(false, false));
    expect(held).toEqual([enhanced(true, true), plain]);
    const body = Uint8Array.of(0x17, 1);
    outputs[1]!.push({ type: 9, timestampMs: 0, body, role: 'key-frame' });
    expect(connections[0]!.closed).toBe(true);
    expect(held).toEqual([plain]);
    await push.close();
    expect(held).toEqual([]);
  });

  it('waits for the first picture of the encoders that the new server needs, whatever sound goes there', async () => {
    const { push, media, connections, outputs } = setUp({ enhanced: 'auto' });
    const known = media.pictureSize.bind(media);
    let encoded = false;
    const slow: StreamSource = {
      ...media,
      pictureSize: (form) => (form.enhanced || encoded ? known(form) : null),
    };
    push.start(slow);
    connections[0]!.handler.onPublishing(answers(true, true));
    connections[0]!.handler.onReconnectRequested?.(undefined);
    connections[1]!.handler.onPublishing(answers(false, false));
    outputs[1]!.push({ type: 8, timestampMs: 0, body: Uint8Array.of(0xaf, 1), role: 'audio' });
    expect(connections[0]!.closed).toBe(false);
    encoded = true;
    outputs[1]!.push({ type: 9, timestampMs: 0, body: Uint8Array.of(0x17, 1), role: 'key-frame' });
    expect(connections[0]!.closed).toBe(true);
    await push.close();
  });

  it('hands over with the first sound where there is no picture', async () => {
    const { push, media, connections, outputs } = setUp();
    push.start({ ...media, pictureSize: () => null });
    connections[0]!.handler.onPublishing(PLAIN);
    connections[0]!.handler.onReconnectRequested?.(undefined);
    connections[1]!.handler.onPublishing(PLAIN);
    outputs[1]!.push({ type: 8, timestampMs: 0, body: Uint8Array.of(0xaf, 1), role: 'audio' });
    expect(connections[0]!.closed).toBe(true);
    await push.close();
  });

  it('uses what is known of a server although its answer does not say it', async () => {
    const { push, media, last, forms } = setUp({}, 'rtmp://mediamtx/live');
    push.start(media);
    last().handler.onPublishing(answers(false, false));
    expect(forms).toEqual([enhanced(false, true)]);
    await push.close();
  });

  it('fails when the server does not take it and it cannot be encoded; one that is sent elsewhere stays', async () => {
    const cannot = (form: OutputForm): boolean => form.enhanced?.vp8 !== true;
    const first = setUp({ enhanced: 'auto' }, undefined, { cannot });
    first.push.start(first.media);
    first.last().handler.onPublishing(answers(false, true));
    expect(first.push.status).toBe('RTMP_CONNECTION_FAILED');
    expect(first.push.view().lastError).toBe('cannot be encoded');
    expect(first.last().closed).toBe(true);

    // The same after a loss that was another one's: what is told is the reason of the end.
    const lostOnce = setUp({ enhanced: 'auto' }, undefined, { cannot });
    lostOnce.push.start(lostOnce.media);
    lostOnce.last().handler.onPublishing(answers(true, false));
    lostOnce.last().handler.onEnded(lost);
    await vi.advanceTimersByTimeAsync(1000);
    lostOnce.last().handler.onPublishing(answers(false, false));
    expect(lostOnce.push.view()).toMatchObject({
      status: 'RTMP_CONNECTION_FAILED',
      lastError: 'cannot be encoded',
    });

    const other = setUp({ enhanced: 'auto' }, undefined, { cannot });
    other.push.start(other.media);
    other.last().handler.onPublishing(answers(true, false));
    other.last().handler.onReconnectRequested?.(undefined);
    other.last().handler.onPublishing(answers(false, false));
    expect(other.connections.map(({ closed }) => closed)).toEqual([false, true]);
    expect(other.push.status).toBe('RTMP_STREAM_ACTIVE');
    await other.push.close();
    expect(other.held).toEqual([]);
  });
});
