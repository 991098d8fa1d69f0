// Damaged answers of an RTMP server: each ends the connection with a reason, none throws.

import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { openRtmpPublisher } from '@sipcast/media';
import { amf0Object, ChunkWriter, encodeAmf0, HANDSHAKE_BYTES } from '@sipcast/media/wire';
import type { RtmpError } from '@sipcast/media';
import type { Amf0Value } from '@sipcast/media/wire';
import { seededRandom } from '@sipcast/testkit';
import { expect, it } from 'vitest';

const CONNECTIONS = Number(process.env['PROPERTY_RUNS'] ?? 2000);
const AT_ONCE = 40;

/** Everything that an accepting server says. */
function goodAnswer(streamId: number): Buffer {
  const writer = new ChunkWriter();
  const out: Uint8Array[] = [];
  const write = (chunkStreamId: number, type: number, payload: Uint8Array): void => {
    writer.write({ chunkStreamId, type, streamId: 0, timestampMs: 0, payload }, out);
  };
  const command = (...values: Amf0Value[]): void => write(3, 20, encodeAmf0(...values));
  write(2, 5, Buffer.from([0, 0, 1, 0]));
  command('_result', 1, amf0Object({ a: 1 }), amf0Object({ level: 'status' }));
  command('_result', 4, null, streamId);
  command('onStatus', 0, null, amf0Object({ level: 'status', code: 'NetStream.Publish.Start' }));
  command('onBWDone', 0, null);
  return Buffer.concat([Buffer.alloc(HANDSHAKE_BYTES, 3), ...out]);
}

async function publishTo(
  answers: () => Buffer,
): Promise<{ publish(): Promise<RtmpError | undefined>; close(): void }> {
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.write(answers());
    setTimeout(() => socket.destroy(), 10);
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const url = `rtmp://127.0.0.1:${(server.address() as AddressInfo).port}/live`;
  return {
    publish: () =>
      new Promise((resolve) => {
        const publisher = openRtmpPublisher(
          { url, streamName: 'x' },
          {
            onPublishing: () => {
              publisher.push({
                type: 9,
                timestampMs: 0,
                body: Buffer.alloc(100),
                role: 'key-frame',
              });
            },
            onKeyFrameWanted: () => {},
            onEnded: resolve,
          },
        );
      }),
    close: () => void server.close(),
  };
}

it(`${CONNECTIONS} mutated answers end with a typed error`, async () => {
  const random = seededRandom(7);
  const good = goodAnswer(1);
  const { publish, close } = await publishTo(() => {
    const bytes = Buffer.from(good);
    const mutations = Math.floor(random() * 8);
    for (let i = 0; i < mutations; i++) {
      const at = HANDSHAKE_BYTES + Math.floor(random() * (bytes.length - HANDSHAKE_BYTES));
      bytes[at] = Math.floor(random() * 256);
    }
    return random() < 0.3 ? bytes.subarray(0, Math.floor(random() * bytes.length)) : bytes;
  });
  const codes = new Set<string | undefined>();
  let started = 0;
  const worker = async (): Promise<void> => {
    while (started++ < CONNECTIONS) codes.add((await publish())?.code);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  close();
  expect([...codes].map(String).toSorted((a, b) => a.localeCompare(b))).toEqual([
    'CONNECTION_LOST',
    'PROTOCOL',
    'PUBLISH_REJECTED',
  ]);
});

it('asks once, however often the server repeats its answers', async () => {
  const answer = goodAnswer(1);
  const body = answer.subarray(HANDSHAKE_BYTES);
  let received = Buffer.alloc(0);
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.on('data', (octets) => {
      received = Buffer.concat([received, octets]);
    });
    socket.write(Buffer.concat([answer, body, body]));
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const url = `rtmp://127.0.0.1:${(server.address() as AddressInfo).port}/live`;
  await new Promise<void>((resolve) => {
    const publisher = openRtmpPublisher(
      { url, streamName: 'x' },
      {
        onPublishing: () => setTimeout(() => void publisher.close(), 50),
        onKeyFrameWanted: () => {},
        onEnded: () => resolve(),
      },
    );
  });
  server.close();
  const count = (word: string): number => received.toString('latin1').split(word).length - 1;
  expect([count('createStream'), count('\x07publish')]).toEqual([1, 1]);
});

for (const streamId of [-1, Number.NaN, 2 ** 32, -1e-29]) {
  it(`names ${streamId} as a stream id a fault of the protocol`, async () => {
    const { publish, close } = await publishTo(() => goodAnswer(streamId));
    expect(await publish()).toMatchObject({ code: 'PROTOCOL' });
    close();
  });
}

it('leaves a server that drips its handshake, or its answers, octet by octet', async () => {
  for (const skipped of [0, HANDSHAKE_BYTES]) {
    const answer = goodAnswer(1);
    const server = createServer((socket) => {
      socket.on('error', () => {});
      socket.write(answer.subarray(0, skipped));
      let at = skipped;
      const drip = setInterval(() => socket.write(answer.subarray(at++, at)), 20);
      socket.on('close', () => clearInterval(drip));
    });
    await new Promise<void>((resolve) => {
      server.listen(0, '127.0.0.1', resolve);
    });
    const url = `rtmp://127.0.0.1:${(server.address() as AddressInfo).port}/live`;
    const error = await new Promise<RtmpError | undefined>((resolve) => {
      openRtmpPublisher(
        { url, streamName: 'x', handshakeTimeoutMs: 300, publishTimeoutMs: 300 },
        { onPublishing: () => {}, onKeyFrameWanted: () => {}, onEnded: resolve },
      );
    });
    expect(error).toMatchObject({ code: 'TIMEOUT' });
    server.close();
  }
});
