// Damaged and hostile RTMP servers against the whole publisher, without sockets: every connection ends with a reason, none
// throws, nothing is kept. `MUTATIONS=1000000` for a long run.

import { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, it } from 'vitest';
import { amf0Object, encodeAmf0 } from '../flv/amf0.ts';
import type { Amf0Value } from '../flv/amf0.ts';
import { ChunkWriter } from './chunk.ts';
import { HANDSHAKE_BYTES } from './handshake.ts';
import { publishOver } from './publication.ts';
import { seededRandom } from '../test-random.ts';

const COUNT = Number(process.env['MUTATIONS'] ?? 25_000);
const MAX_RSS_GROWTH_BYTES = 20 * 1024 * 1024;

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

/** The client's end of a connection that the test writes into. */
class FakeSocket extends EventEmitter {
  readonly writableLength = 0;
  destroyed = false;
  written = 0;
  setNoDelay(): void {}
  write(octets: Uint8Array): void {
    this.written += octets.length;
  }
  end(): void {}
  destroy(): void {
    this.destroyed = true;
  }
}

function serverWords(...commands: Amf0Value[][]): Buffer {
  const writer = new ChunkWriter();
  const out: Uint8Array[] = [];
  const write = (chunkStreamId: number, type: number, payload: Uint8Array): void => {
    writer.write({ chunkStreamId, type, streamId: 0, timestampMs: 0, payload }, out);
  };
  write(2, 5, Buffer.from([0, 0, 16, 0]));
  write(2, 6, Buffer.from([0, 0, 16, 0, 2]));
  write(2, 1, Buffer.from([0, 0, 16, 0]));
  writer.setChunkSize(4096);
  for (const command of commands) write(3, 20, encodeAmf0(...command));
  write(2, 4, Buffer.from([0, 6, 1, 2, 3, 4]));
  write(2, 3, Buffer.from([0, 0, 1, 0]));
  return Buffer.concat(out);
}

const information = (parts: Record<string, Amf0Value>): Amf0Value =>
  amf0Object({ level: 'status', ...parts });
const code = (word: string): Amf0Value => information({ code: `NetConnection.Connect.${word}` });
const GOOD = serverWords(
  ['_result', 1, amf0Object({ capsEx: 1, fourCcList: ['vp08', '*'] }), code('Success')],
  ['onBWDone', 0, null],
  ['_result', 4, null, 1],
  ['onFCPublish', 0, null, information({ code: 'NetStream.Publish.Start' })],
  ['onStatus', 0, null, information({ code: 'NetStream.Publish.Start' })],
  [
    'onStatus',
    0,
    null,
    information({ code: 'NetConnection.Connect.ReconnectRequest', tcUrl: '/x' }),
  ],
);
const refused = (parts: Record<string, Amf0Value>): Buffer =>
  serverWords(['_error', 1, null, amf0Object({ level: 'error', code: 'x', ...parts })]);
const SEEDS = [
  GOOD,
  GOOD,
  refused({ description: '[ authmod=adobe ] : ?reason=needauth&salt=a&challenge=b&opaque=c' }),
  refused({ description: '[ code=403 need auth; authmod=llnw ]' }),
  refused({ ex: amf0Object({ code: 302, redirect: 'rtmp://127.0.0.1/other' }) }),
];

const deep = (depth: number): Buffer => {
  const open = Buffer.from('030001 61'.replace(' ', ''), 'hex');
  return Buffer.concat(Array.from({ length: depth }, () => open));
};
const longMessage = (payload: Buffer): Buffer => {
  const writer = new ChunkWriter();
  const out: Uint8Array[] = [];
  writer.write({ chunkStreamId: 3, type: 20, streamId: 0, timestampMs: 0, payload }, out);
  return Buffer.concat(out);
};

/** What is aimed at the reader, each with the words of its reason. */
const HOSTILE: [string, Buffer, RegExp][] = [
  ['a chunk size of 0', Buffer.from('02000000000004010000000000000000', 'hex'), /rtmp-chunk-size/],
  [
    'a message of 16 MB behind a chunk size of 2³¹ − 1',
    Buffer.from('0200000000000401000000007fffffff03000000ffffff1400000000', 'hex'),
    /rtmp-message-too-large/,
  ],
  ['a message of 16 MB', Buffer.from('03000000ffffff1400000000', 'hex'), /rtmp-message-too-large/],
  ['AMF0 of depth 10,000', longMessage(deep(10_000)), /amf0-too-deep/],
  ['AMF0 that ends early', longMessage(Buffer.from('0200ff61', 'hex')), /amf0-truncated/],
  [
    'a chunk of type 3 without one of type 0',
    Buffer.from('c5', 'hex'),
    /rtmp-chunk-without-header/,
  ],
  [
    'a chunk of type 1 on an unknown stream',
    Buffer.from('41ffff00000000000114', 'hex'),
    /rtmp-chunk-without-header/,
  ],
];

/** Runs one publisher against these octets, in pieces. */
function publish(pieces: readonly Uint8Array[], hello = true) {
  const sockets: FakeSocket[] = [];
  const endings: (string | undefined)[] = [];
  const messages: string[] = [];
  let published = false;
  const publisher = publishOver(
    () => {
      const socket = new FakeSocket();
      sockets.push(socket);
      return socket as unknown as Socket;
    },
    {
      url: 'rtmp://joe:secret-password@127.0.0.1/live?secret-query',
      streamName: 'secret-key',
      enhanced: 'auto',
      mayRedirect: () => true,
    },
    {
      onPublishing: () => {
        published = true;
        publisher.push({ type: 9, timestampMs: 0, body: Buffer.alloc(10), role: 'key-frame' });
      },
      onKeyFrameWanted: () => {},
      onReconnectRequested: () => {},
      onEnded: (error) => {
        endings.push(error?.code);
        messages.push(`${error?.message}`);
      },
    },
  );
  // Each further connection gets the same words.
  for (let at = 0; at < sockets.length && at < 8; at++) {
    const socket = sockets[at] as FakeSocket;
    if (hello) socket.emit('connect');
    for (const piece of pieces) if (!socket.destroyed) socket.emit('data', piece);
    if (!socket.destroyed && at === sockets.length - 1) socket.emit('close');
  }
  void publisher.close();
  return { sockets, endings, messages, published };
}

const HELLO = Buffer.alloc(HANDSHAKE_BYTES, 3);

describe('hostile RTMP servers', () => {
  for (const [name, octets, reason] of HOSTILE) {
    it(`${name}: closed, saying so, and the same a single octet at a time`, () => {
      for (const words of [Buffer.alloc(0), GOOD]) {
        // Behind Set Chunk Size a long message is one chunk: cut it as the reader expects.
        if (words.length > 0 && octets.length > 128) continue;
        const whole = Buffer.concat([HELLO, words, octets]);
        for (const pieces of [[whole], [...whole].map((octet) => Uint8Array.of(octet))]) {
          const { endings, messages, sockets } = publish(pieces);
          expect(endings).toEqual(['PROTOCOL']);
          expect(messages[0]).toMatch(reason);
          expect(sockets.every(({ destroyed }) => destroyed)).toBe(true);
        }
      }
    });
  }

  it('half a handshake and nothing more ends with the connection', () => {
    for (const length of [0, 1, 1536, 3072]) {
      const { endings } = publish([HELLO.subarray(0, length)]);
      expect(endings).toEqual(['PUBLISH_REJECTED']);
    }
  });

  it('pings and calls without end are answered, and cost nothing', () => {
    const ping = Buffer.from('020000000000060400000000000601020304', 'hex');
    const call = longMessage(encodeAmf0('_onbwcheck', 9, null));
    const flood = Buffer.concat(Array.from({ length: 2000 }, () => Buffer.concat([ping, call])));
    const { sockets, endings } = publish([HELLO, GOOD.subarray(0, 0), flood]);
    expect(endings).toEqual(['PUBLISH_REJECTED']);
    expect(sockets[0]?.written).toBeLessThan(3073 + 2000 * 200);
  });

  it(
    `${COUNT} mutated conversations end once, with a reason and without a secret`,
    () => {
      const random = seededRandom(31);
      const below = (limit: number): number => Math.floor(random() * limit);
      const codes = new Map<string, number>();
      let published = 0;
      const run = (count: number): void => {
        for (let i = 0; i < count; i++) {
          let words = Buffer.from(SEEDS[below(SEEDS.length)]!);
          for (let edits = below(6); edits > 0; edits--) {
            const choice = below(10);
            if (choice === 0) words = words.subarray(0, below(words.length + 1));
            else if (choice === 1) {
              const at = below(words.length + 1);
              const extra = HOSTILE[below(HOSTILE.length)]![1].subarray(0, 1 + below(200));
              words = Buffer.concat([words.subarray(0, at), extra, words.subarray(at)]);
            } else if (words.length > 0) words[below(words.length)] = below(256);
          }
          const whole = Buffer.concat([HELLO, words]);
          // The handshake, too, now and then.
          if (below(20) === 0) whole[below(HANDSHAKE_BYTES)] = below(256);
          const cut = below(whole.length + 1);
          const result = publish([whole.subarray(0, cut), whole.subarray(cut)]);
          if (result.endings.length !== 1) throw new Error(`Ended ${result.endings.length} times`);
          if (result.sockets.some(({ destroyed }) => !destroyed))
            throw new Error('A socket is left');
          if (result.messages[0]!.includes('secret-')) throw new Error(result.messages[0]);
          if (result.published) published++;
          const ending = String(result.endings[0]);
          codes.set(ending, (codes.get(ending) ?? 0) + 1);
        }
      };
      run(5000); // Compiled, and the heap has its size.
      collectGarbage();
      const before = process.memoryUsage().rss;
      let peak = before;
      for (let done = 0; done < COUNT; done += 5000) {
        run(5000);
        peak = Math.max(peak, process.memoryUsage().rss);
      }
      collectGarbage();
      const grown = process.memoryUsage().rss - before;
      const figures = `at the end ${(grown / 2 ** 20).toFixed(1)} MB, at most ${((peak - before) / 2 ** 20).toFixed(1)} MB`;
      console.log(
        `${COUNT} mutated RTMP conversations: ${published} published, RSS + ${figures}, ${JSON.stringify(Object.fromEntries(codes))}`,
      );
      expect(grown).toBeLessThan(MAX_RSS_GROWTH_BYTES);
      expect(published).toBeGreaterThan(COUNT / 20);
      for (const expected of [
        'PROTOCOL',
        'PUBLISH_REJECTED',
        'CONNECTION_LOST',
        'CONNECT_REJECTED',
        'AUTH_FAILED',
        'REDIRECT_REFUSED',
      ])
        expect([...codes.keys()]).toContain(expected);
    },
    60_000 + COUNT / 2,
  );
});
