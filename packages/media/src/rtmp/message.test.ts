import { describe, expect, it } from 'vitest';
import { amf0Object, encodeAmf0 } from '../flv/amf0.ts';
import type { FlvTag } from '../codec/frame.ts';
import { decodeMessage, encodeMessage, encodeTag } from './message.ts';
import type { RtmpMessage } from './message.ts';

/** Message, its type, chunk stream and message stream, and its payload in hexadecimal. */
const CASES: readonly [RtmpMessage, number, number, number, string][] = [
  [{ kind: 'set-chunk-size', bytes: 60_000 }, 1, 2, 0, '0000ea60'],
  [{ kind: 'acknowledgement', sequence: 0xffff_fffe }, 3, 2, 0, 'fffffffe'],
  [{ kind: 'window-acknowledgement-size', bytes: 62_500 }, 5, 2, 0, '0000f424'],
  [{ kind: 'ping-request', id: 0x0102_0304 }, 4, 2, 0, '000601020304'],
  [{ kind: 'ping-response', id: 0xffff_ffff }, 4, 2, 0, '0007ffffffff'],
  [
    { kind: 'command', streamId: 0, name: 'close', transaction: 0, values: [null] },
    20,
    3,
    0,
    // String of 5, number 0, null (AMF0 §2.4, §2.2, §2.7).
    '020005636c6f7365 000000000000000000 05'.replaceAll(' ', ''),
  ],
  [
    {
      kind: 'command',
      streamId: 7,
      name: 'publish',
      transaction: 5,
      values: [null, 'key', 'live'],
    },
    20,
    3,
    7,
    '0200077075626c697368 004014000000000000 05 0200036b6579 0200046c697665'.replaceAll(' ', ''),
  ],
];

const received = (type: number, payload: Uint8Array, streamId = 0) =>
  decodeMessage({ chunkStreamId: 3, type, streamId, timestampMs: 0, payload });

describe.each(CASES)('RTMP message %o', (message, type, chunkStreamId, streamId, hex) => {
  it('is encoded with its type and on its chunk stream', () => {
    const { payload, ...head } = encodeMessage(message);
    expect(head).toEqual({ type, chunkStreamId, streamId, timestampMs: 0 });
    expect(Buffer.from(payload).toString('hex')).toBe(hex);
  });

  it('is decoded from the same octets', () => {
    expect(received(type, Buffer.from(hex, 'hex'), streamId)).toEqual(message);
  });

  it('is ignored when truncated; a command is a fault then', () => {
    const cut = received(type, Buffer.from(hex, 'hex').subarray(0, -2));
    expect(cut).toBe(message.kind === 'command' ? 'amf0-truncated' : undefined);
  });
});

describe('received RTMP messages', () => {
  it.each([
    ['AMF3', '11 0a0b0104', [null]],
    ['a type of its own', '7f 0102', [null]],
    ['XML', '0f 00000001 78', [null, 'x']],
    ['a typed object', '10 000141 000161 00 3ff0000000000000 000009', [null, new Map([['a', 1]])]],
    ['a reference', '07 0001', [null, undefined]],
  ])('reads a command up to %s, which it leaves out or skips', (_, hex, values) => {
    const extra = Buffer.from(hex.replaceAll(' ', ''), 'hex');
    const octets = Buffer.concat([encodeAmf0('_result', 1, null), extra]);
    expect(received(20, octets)).toEqual({
      kind: 'command',
      streamId: 0,
      name: '_result',
      transaction: 1,
      values,
    });
  });

  it('reads an AMF3 command whose values are AMF0, and no other', () => {
    const octets = encodeAmf0('onStatus', 0, null, amf0Object({ code: 'x' }));
    expect(received(17, Buffer.concat([Buffer.of(0), octets]))).toEqual({
      kind: 'command',
      streamId: 0,
      name: 'onStatus',
      transaction: 0,
      values: [null, new Map([['code', 'x']])],
    });
    expect(received(17, Buffer.concat([Buffer.of(3), octets]))).toBeUndefined();
    expect(received(17, Buffer.alloc(0))).toBeUndefined();
  });

  it('decodes a command without name or transaction', () => {
    expect(received(20, Buffer.alloc(0))).toMatchObject({ name: '', transaction: undefined });
    expect(received(20, encodeAmf0(1, 'two'))).toMatchObject({ name: '', transaction: undefined });
  });

  it('names the fault of a command that ends early, and leaves one without a readable name empty', () => {
    expect(received(20, Buffer.of(2, 0, 9, 65))).toBe('amf0-truncated');
    expect(received(20, Buffer.of(0x2a))).toMatchObject({ name: '', values: [] });
  });

  it('ignores other types, other user control events and trailing octets', () => {
    for (const type of [0, 2, 6, 8, 9, 15, 18, 22])
      expect(received(type, Buffer.alloc(8)), String(type)).toBeUndefined();
    expect(received(4, Buffer.from('000000000001', 'hex'))).toBeUndefined();
    expect(received(3, Buffer.from('00000001ff', 'hex'))).toEqual({
      kind: 'acknowledgement',
      sequence: 1,
    });
  });
});

describe('tags as RTMP messages', () => {
  const tag = (type: FlvTag['type'], role: FlvTag['role']): FlvTag => ({
    type,
    timestampMs: 5000,
    body: Uint8Array.of(1, 2, 3),
    role,
  });

  it.each([
    [8, 'audio', 4],
    [9, 'key-frame', 6],
  ] as const)('sends type %i (%s) on its own chunk stream, without a copy', (type, role, id) => {
    const sent = tag(type, role);
    const message = encodeTag(sent, 1, 40);
    expect(message).toEqual({
      chunkStreamId: id,
      type,
      streamId: 1,
      timestampMs: 40,
      payload: sent.body,
    });
    expect(message.payload).toBe(sent.body);
  });

  it('puts @setDataFrame before metadata', () => {
    const { chunkStreamId, payload } = encodeTag(tag(18, 'metadata'), 1, 0);
    expect(chunkStreamId).toBe(5);
    expect(Buffer.from(payload)).toEqual(
      Buffer.concat([encodeAmf0('@setDataFrame'), Buffer.of(1, 2, 3)]),
    );
  });
});
