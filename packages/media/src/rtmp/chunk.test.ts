import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ChunkReader, ChunkWriter, MAX_CHUNK_STREAMS } from './chunk.ts';
import type { ChunkFault, ChunkMessage } from './chunk.ts';

function read(
  pieces: Iterable<Uint8Array>,
  maxBytes = 1 << 20,
): { messages: ChunkMessage[]; faults: ChunkFault[] } {
  const messages: ChunkMessage[] = [];
  const faults: ChunkFault[] = [];
  const reader = new ChunkReader(maxBytes, {
    onMessage: (message) => messages.push(message),
    onFault: (fault) => faults.push(fault),
  });
  for (const piece of pieces) reader.push(piece);
  return { messages, faults };
}

function write(messages: readonly ChunkMessage[], chunkBytes?: number): Buffer {
  const writer = new ChunkWriter();
  if (chunkBytes) writer.setChunkSize(chunkBytes);
  const out: Uint8Array[] = [];
  let total = 0;
  for (const message of messages) total += writer.write(message, out);
  const whole = Buffer.concat(out);
  expect(whole.length).toBe(total);
  return whole;
}

const message = (parts: Partial<ChunkMessage>): ChunkMessage => ({
  chunkStreamId: 4,
  type: 8,
  streamId: 1,
  timestampMs: 0,
  payload: Buffer.from('abc'),
  ...parts,
});

describe('RTMP chunks', () => {
  it('writes format 0 first, format 1 after it', () => {
    const bytes = write([message({}), message({ timestampMs: 20 })]);
    expect(bytes.toString('hex')).toBe('0400000000000308010000006162634400001400000308616263');
  });

  it('cuts at the chunk size with format 3', () => {
    const bytes = write([message({ payload: Buffer.alloc(300, 1) })]);
    expect(bytes.length).toBe(12 + 300 + 2);
    expect(bytes[12 + 128]).toBe(0xc4);
  });

  const times = [0, 1, 0xfffffe, 0xffffff, 0x1000000, 0xffffffff, 0x100000000, 0x100000005];
  for (const chunkStreamId of [3, 64, 319, 320, 65_599]) {
    it(`round-trips every timestamp on chunk stream ${chunkStreamId}, at every cut`, () => {
      const sent = times.map((timestampMs, i) =>
        message({
          chunkStreamId,
          timestampMs,
          payload: Buffer.alloc([0, 3, 128, 129][i % 4] as number, i),
        }),
      );
      // Each message alone (format 0 with an extended timestamp) and all in a row (deltas).
      for (const one of sent) {
        expect(read([write([one])]).messages[0]?.timestampMs).toBe(one.timestampMs % 0x100000000);
      }
      const whole = write(sent);
      const expected = sent.map((one) => ({ ...one, timestampMs: one.timestampMs % 0x100000000 }));
      const plain = (got: readonly ChunkMessage[]): string =>
        JSON.stringify(
          got.map((one) => ({ ...one, payload: Buffer.from(one.payload).toString('hex') })),
        );
      for (let cut = 0; cut < whole.length; cut += 1 + (cut % 7)) {
        const { messages, faults } = read([whole.subarray(0, cut), whole.subarray(cut)]);
        expect(faults).toEqual([]);
        expect(plain(messages)).toBe(plain(expected));
      }
      expect(plain(read(Array.from(whole, (octet) => Uint8Array.of(octet))).messages)).toBe(
        plain(expected),
      );
    });
  }

  it('reads extended timestamps after a header of every format', () => {
    // Adobe RTMP 1.0 §5.3.1.3, octet by octet: the messages are of one octet each.
    const chunks: [hex: string, timestampMs: number][] = [
      // Format 0: absolute. 0x01000000 needs the extension, 0xFFFFFF as well, 0xFFFFFE does not.
      ['04 fffffe 000001 08 01000000 aa', 0xfffffe],
      ['04 ffffff 000001 08 01000000 00ffffff aa', 0xffffff],
      ['04 ffffff 000001 08 01000000 01000000 aa', 0x1000000],
      // Format 1: a delta, long enough for an extension of its own; over the end of 32 bits.
      ['44 ffffff 000001 08 feffffff aa', (0x1000000 + 0xfeffffff) % 0x1_0000_0000],
      // Format 2: only a delta.
      ['84 ffffff 01000000 aa', 0x1000000 - 1],
      ['84 000014 aa', 0x1000000 - 1 + 20],
      // Format 3: a new message with the delta before.
      ['c4 aa', 0x1000000 - 1 + 40],
      ['84 ffffff 01000000 aa', 2 * 0x1000000 + 39],
      // The same again, with its extension.
      ['c4 01000000 aa', 3 * 0x1000000 + 39],
    ];
    const octets = Buffer.from(chunks.map(([hex]) => hex.replaceAll(' ', '')).join(''), 'hex');
    const { messages, faults } = read([octets]);
    expect(faults).toEqual([]);
    expect(messages.map(({ timestampMs }) => timestampMs)).toEqual(chunks.map(([, at]) => at));
  });

  it('writes time past 24 and 32 bits in the middle of a call, cut into chunks', () => {
    // 4 h 39 min, and 49.7 days, with pictures of several chunks.
    for (const edge of [0xffffff, 2 ** 32]) {
      const sent = [-40, -1, 0, 1, 40].map((offset) =>
        message({ timestampMs: edge + offset, payload: Buffer.alloc(300, 1) }),
      );
      for (const first of [0, 1, 2, 3]) {
        const { messages, faults } = read([write(sent.slice(first))]);
        expect(faults).toEqual([]);
        expect(messages.map(({ timestampMs }) => timestampMs)).toEqual(
          sent.slice(first).map(({ timestampMs }) => timestampMs % 2 ** 32),
        );
      }
    }
  });

  it('goes back to format 0 when time runs backwards or the message stream changes', () => {
    const sent = [
      message({ timestampMs: 50 }),
      message({ timestampMs: 10 }),
      message({ timestampMs: 20, streamId: 2 }),
    ];
    const got = read([write(sent)]).messages;
    expect(got.map((one) => [one.timestampMs, one.streamId])).toEqual([
      [50, 1],
      [10, 1],
      [20, 2],
    ]);
  });

  it('interleaves chunk streams and obeys Set Chunk Size and Abort', () => {
    const setSize = write([
      message({ chunkStreamId: 2, type: 1, streamId: 0, payload: Buffer.from([0, 0, 4, 0]) }),
    ]);
    const long = write([message({ payload: Buffer.alloc(1000, 1) })], 1024);
    expect(read([setSize, long]).messages.map((one) => one.payload.length)).toEqual([4, 1000]);

    const cut = write([message({ payload: Buffer.alloc(300, 1) })]).subarray(0, 12 + 128);
    const abort = write([
      message({ chunkStreamId: 2, type: 2, streamId: 0, payload: Buffer.from([0, 0, 0, 4]) }),
    ]);
    const next = write([message({ payload: Buffer.from('next') })]);
    const { messages } = read([cut, abort, next]);
    expect(messages.map((one) => Buffer.from(one.payload).toString('latin1')).at(-1)).toBe('next');
    expect(messages).toHaveLength(2);
  });

  it.each(['01000000', '08000000', '7fffffff', 'ffffffff'])(
    'takes the chunk size 0x%s for the largest',
    (hex) => {
      const setSize = Buffer.from(`0200000000000401 00000000${hex}`.replace(' ', ''), 'hex');
      const long = write([message({ payload: Buffer.alloc(100_000, 1) })], 0xffffff);
      expect(read([setSize, long]).messages.map((one) => one.payload.length)).toEqual([4, 100_000]);
    },
  );

  const hostile: [string, Uint8Array[], ChunkFault][] = [
    [
      'a chunk size of 0',
      [Buffer.from('0200000000000401000000000000 00'.replace(' ', ''), 'hex'), Buffer.alloc(2)],
      'rtmp-chunk-size',
    ],
    [
      'a message of 16 MB',
      [Buffer.from('04000000ffffff0901000000', 'hex')],
      'rtmp-message-too-large',
    ],
    ['a continuation of nothing', [Buffer.from('c4', 'hex')], 'rtmp-chunk-without-header'],
    [
      'too many chunk streams',
      [
        write(
          Array.from({ length: MAX_CHUNK_STREAMS + 1 }, (_, i) =>
            message({ chunkStreamId: 3 + i }),
          ),
        ),
      ],
      'rtmp-too-many-chunk-streams',
    ],
    [
      'three long messages that are begun at the same time',
      [3, 4, 5]
        .map((id) => Buffer.from(`0${id}000000100000090100000000`, 'hex').subarray(0, 12))
        .map((header) => Buffer.concat([header, Buffer.alloc(128)])),
      'rtmp-too-much-unfinished',
    ],
  ];
  for (const [name, pieces, fault] of hostile) {
    it(`names ${name} once, and reads no further`, () => {
      expect(read([...pieces, write([message({})])]).faults).toEqual([fault]);
    });
  }

  it('never throws, whatever arrives', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 64 }), { maxLength: 20 }), (pieces) => {
        read(pieces, 10_000);
      }),
    );
  });
});
