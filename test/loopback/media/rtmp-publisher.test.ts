import { createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
import { openRtmpPublisher } from '@sipcast/media';
import type { FlvTag, RtmpError, RtmpPublisher, RtmpPublisherOptions } from '@sipcast/media';
import { openSink } from '../../support/call-ends.ts';
import { afterTest } from '../../support/cleanup.ts';
import { deferred } from '../../support/deferred.ts';

interface Watched {
  readonly publisher: RtmpPublisher;
  readonly publishing: Promise<void>;
  readonly ended: Promise<RtmpError | undefined>;
  readonly endings: (RtmpError | undefined)[];
  keyFramesWanted: number;
}

function publish(url: string, options: Partial<RtmpPublisherOptions> = {}): Watched {
  const publishing = deferred();
  const ended = deferred<RtmpError | undefined>();
  const endings: (RtmpError | undefined)[] = [];
  const watched = {
    publishing: publishing.promise,
    ended: ended.promise,
    endings,
    keyFramesWanted: 0,
  } as Watched;
  const publisher = openRtmpPublisher(
    { url, streamName: 'name?key=1', ...options },
    {
      onPublishing: () => publishing.resolve(),
      onKeyFrameWanted: () => {
        watched.keyFramesWanted++;
      },
      onEnded: (error) => {
        endings.push(error);
        ended.resolve(error);
      },
    },
  );
  afterTest(() => publisher.close());
  return Object.assign(watched, { publisher });
}

async function rawServer(onSocket: (socket: Socket) => void): Promise<string> {
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    onSocket(socket);
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  afterTest(async () => {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  });
  return `rtmp://127.0.0.1:${(server.address() as AddressInfo).port}/live`;
}

const tag = (role: FlvTag['role'], timestampMs: number, bytes = 50): FlvTag => ({
  type: role === 'audio' ? 8 : role === 'metadata' ? 18 : 9,
  timestampMs,
  body: Buffer.alloc(bytes, timestampMs % 251),
  role,
});

describe('RTMP publisher', () => {
  it('publishes with the documented commands, rebases time to 0, and ends orderly', async () => {
    const sink = await openSink();
    const { publisher, publishing, ended } = publish(`${sink.url}/instance?token=1`);
    expect(publisher.push(tag('key-frame', 0))).toBe('skipped');
    await publishing;
    for (const one of [
      tag('metadata', 5000),
      tag('sequence-header', 5000),
      tag('key-frame', 5000, 200_000),
      tag('audio', 5010),
      tag('inter-frame', 5040),
    ]) {
      expect(publisher.push(one)).toBe('sent');
    }
    await publisher.close();
    expect(await ended).toBeUndefined();
    const publication = await sink.nextPublication();
    await publication.ended;
    expect(publication.app).toBe('live/instance?token=1');
    expect(publication.streamName).toBe('name?key=1');
    expect(publication.commands).toEqual([
      'connect',
      'releaseStream',
      'FCPublish',
      'createStream',
      'publish',
      'FCUnpublish',
      'deleteStream',
    ]);
    expect(publication.endedOrderly).toBe(true);
    expect(publication.tags.map((one) => [one.type, one.timestampMs, one.body.length])).toEqual([
      [18, 0, 50],
      [9, 0, 50],
      [9, 0, 200_000],
      [8, 10, 50],
      [9, 40, 50],
    ]);
  });

  it('turns a refused connect and a refused publish into typed errors', async () => {
    const sink = await openSink();
    sink.refuse({
      at: 'connect',
      code: 'NetConnection.Connect.Rejected',
      description: 'no such app',
    });
    expect(await publish(sink.url).ended).toMatchObject({
      code: 'CONNECT_REJECTED',
      statusCode: 'NetConnection.Connect.Rejected',
    });
    sink.refuse({ at: 'publish', code: 'NetStream.Publish.BadName' });
    expect(await publish(sink.url).ended).toMatchObject({
      code: 'PUBLISH_REJECTED',
      statusCode: 'NetStream.Publish.BadName',
    });
  });

  it('names a refused port, a silent server and one that speaks something else', async () => {
    const sink = await openSink();
    await sink.die();
    expect(await publish(sink.url).ended).toMatchObject({ code: 'CONNECT_FAILED' });
    const silent = await rawServer(() => {});
    expect(await publish(silent, { handshakeTimeoutMs: 100 }).ended).toMatchObject({
      code: 'TIMEOUT',
    });
    const http = await rawServer((socket) => void socket.write('HTTP/1.1 400 Bad Request\r\n\r\n'));
    expect(await publish(http).ended).toMatchObject({ code: 'PROTOCOL' });
    const half = await rawServer((socket) => {
      socket.write(Buffer.alloc(1 + 1536 + 1536, 3));
    });
    expect(await publish(half, { publishTimeoutMs: 100 }).ended).toMatchObject({ code: 'TIMEOUT' });
    const hostile = await rawServer((socket) => {
      // A Set Chunk Size of 0 behind the handshake.
      socket.write(
        Buffer.concat([
          Buffer.alloc(3073, 3),
          Buffer.from('02000000000004010000000000000000', 'hex'),
        ]),
      );
    });
    expect(await publish(hostile).ended).toMatchObject({ code: 'PROTOCOL' });
  });

  it('reports a lost connection once', async () => {
    const sink = await openSink();
    const { publisher, publishing, ended, endings } = publish(sink.url);
    await publishing;
    await sink.die();
    expect(await ended).toMatchObject({ code: 'CONNECTION_LOST' });
    await publisher.close();
    await publisher.close();
    expect(endings).toHaveLength(1);
    expect(publisher.push(tag('audio', 0))).toBe('skipped');
  });

  it('sees a stalled server by its acknowledgements, drops video in a bounded queue, and ends STALLED', async () => {
    const sink = await openSink();
    const watched = publish(sink.url, {
      stallTimeoutMs: 1200,
      windowBytes: 20_000,
      highWaterMs: 300,
    });
    const { publisher, publishing, ended } = watched;
    await publishing;
    let t = 0;
    const feed = setInterval(() => {
      publisher.push(tag(t % 1000 === 0 ? 'key-frame' : 'inter-frame', t, 5000));
      publisher.push(tag('audio', t, 160));
      t += 20;
    }, 5);
    afterTest(() => Promise.resolve(clearInterval(feed)));
    await expect.poll(() => publisher.stats.bytesAcknowledged).toBeGreaterThan(200_000);
    expect(publisher.stats.droppedFrames).toBe(0);
    sink.stall();
    await expect.poll(() => publisher.stats.droppedFrames, { timeout: 3000 }).toBeGreaterThan(10);
    expect(publisher.stats.outstandingBytes).toBeLessThan(500_000);
    expect(await ended).toMatchObject({ code: 'STALLED' });
  });

  it('continues at a key frame after a stall', async () => {
    const sink = await openSink();
    const watched = publish(sink.url, {
      stallTimeoutMs: 10_000,
      windowBytes: 20_000,
      highWaterMs: 300,
    });
    await watched.publishing;
    const publication = await sink.nextPublication();
    let t = 0;
    let nextIsKey = true;
    const feed = setInterval(() => {
      if (watched.keyFramesWanted > 0) nextIsKey = true;
      watched.keyFramesWanted = 0;
      watched.publisher.push(tag(nextIsKey ? 'key-frame' : 'inter-frame', t, 5000));
      nextIsKey = false;
      t += 20;
    }, 5);
    afterTest(() => Promise.resolve(clearInterval(feed)));
    await expect.poll(() => watched.publisher.stats.bytesAcknowledged).toBeGreaterThan(100_000);
    sink.stall();
    await expect
      .poll(() => watched.publisher.stats.droppedFrames, { timeout: 3000 })
      .toBeGreaterThan(10);
    const before = publication.tagCount;
    sink.resume();
    await expect.poll(() => publication.tagCount, { timeout: 3000 }).toBeGreaterThan(before + 50);
    expect(watched.endings).toEqual([]);
    // A gap in time is followed by a key frame (its body differs: 5,000 octets of the timestamp).
    const gap = publication.tags.findIndex(
      (one, i) => i > 0 && one.timestampMs - (publication.tags[i - 1]?.timestampMs ?? 0) > 20,
    );
    expect(gap).toBeGreaterThan(0);
  });

  it('falls back to the socket queue for a server that never acknowledges', async () => {
    const sink = await openSink({ acknowledge: false, keepTags: false });
    const { publisher, publishing } = publish(sink.url, { windowBytes: 10_000 });
    await publishing;
    for (let t = 0; t < 10_000; t += 20)
      publisher.push(tag(t === 0 ? 'key-frame' : 'inter-frame', t, 1000));
    await expect.poll(() => publisher.stats.bytesSent).toBeGreaterThan(500_000);
    expect(publisher.stats).toMatchObject({ bytesAcknowledged: null, droppedFrames: 0 });
    await expect.poll(() => sink.publications[0]?.tagCount).toBe(500);
  });

  it('answers pings', async () => {
    const pong = deferred();
    const url = await rawServer((socket) => {
      socket.write(Buffer.alloc(3073, 3));
      let received = Buffer.alloc(0);
      socket.on('data', (octets) => {
        received = Buffer.concat([received, octets]);
        if (received.length > 3073 && received.length - octets.length <= 3073) {
          socket.write(Buffer.from('02000000000006040000000000060a0b0c0d', 'hex'));
        }
        if (received.includes(Buffer.from('00070a0b0c0d', 'hex'))) pong.resolve();
      });
    });
    publish(url);
    await pong.promise;
  });

  const bad: [Partial<RtmpPublisherOptions>, string][] = [
    [{ url: 'http://x/y' }, 'scheme'],
    [{ url: 'rtmps://x/y', tls: { fingerprint256: 'ab:cd' } }, 'tls.fingerprint256'],
    [{ streamName: '' }, 'streamName'],
    [{ streamName: 'a\r\nb' }, 'streamName'],
  ];
  for (const [options, field] of bad) {
    it(`refuses ${JSON.stringify(options)}`, () => {
      const handler = { onPublishing() {}, onKeyFrameWanted() {}, onEnded() {} };
      const given = { url: 'rtmp://127.0.0.1/live', streamName: 'x', ...options };
      expect(() => openRtmpPublisher(given, handler)).toThrow(expect.objectContaining({ field }));
    });
  }
});
