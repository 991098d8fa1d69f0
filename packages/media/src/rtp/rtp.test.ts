import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeRtp, encodeRtp, isRtcp, isStun } from './rtp.ts';
import { mutations } from '../test-random.ts';

const bytes = (hex: string): Uint8Array =>
  new Uint8Array(Buffer.from(hex.replaceAll(' ', ''), 'hex'));
const HEADER = '0001 00000002 00000003';

describe('decodeRtp', () => {
  const cases: [name: string, hex: string, expected: string][] = [
    ['empty', '', 'rtp-short'],
    ['eleven octets', `80 00 ${HEADER}`.slice(0, -2), 'rtp-short'],
    ['version 1', `40 00 ${HEADER}`, 'rtp-version'],
    ['version 3', `c0 00 ${HEADER}`, 'rtp-version'],
    ['CSRC past the end', `81 00 ${HEADER} 000000`, 'rtp-csrc'],
    ['extension header past the end', `90 00 ${HEADER} bede00`, 'rtp-extension'],
    ['extension body past the end', `90 00 ${HEADER} bede0001 000000`, 'rtp-extension'],
    ['padding into the header', `a0 00 ${HEADER} ff03`, 'rtp-padding'],
    ['padding past the packet', `a0 00 ${HEADER} 0009`, 'rtp-padding'],
  ];
  it.each(cases)('names the fault: %s', (_name, hex, expected) => {
    expect(decodeRtp(bytes(hex), 0)).toBe(expected);
  });

  it('reads every field, past CSRCs, extension and padding', () => {
    const packet = decodeRtp(
      bytes('b1 e3 fffe fffffffd 80000001 11111111 bede0001 22222222 aabbcc 000003'),
      12.5,
    );
    expect(packet).toMatchObject({
      payloadType: 99,
      marker: true,
      sequenceNumber: 65534,
      rtpTimestamp: 0xfffffffd,
      ssrc: 0x80000001,
      arrivalMs: 12.5,
    });
    expect(typeof packet === 'string' ? packet : Buffer.from(packet.payload).toString('hex')).toBe(
      'aabbcc',
    );
  });

  it('takes a packet that is all padding as an empty payload', () => {
    expect(decodeRtp(bytes(`a0 00 ${HEADER} 000003`), 0)).toMatchObject({ payload: { length: 0 } });
  });

  it('takes a padding bit without padding as none', () => {
    const packet = decodeRtp(bytes(`a0 00 ${HEADER} ff00`), 0);
    expect(packet).toMatchObject({ payload: { length: 2 } });
  });

  it('reads what encodeRtp writes', () => {
    fc.assert(
      fc.property(
        fc.record({
          payloadType: fc.integer({ min: 0, max: 127 }),
          marker: fc.boolean(),
          sequenceNumber: fc.integer({ min: 0, max: 0xffff }),
          rtpTimestamp: fc.integer({ min: 0, max: 0xffffffff }),
          ssrc: fc.integer({ min: 0, max: 0xffffffff }),
          payload: fc.uint8Array({ maxLength: 100 }),
        }),
        (fields) => {
          const packet = decodeRtp(encodeRtp(fields), 7);
          expect(typeof packet).toBe('object');
          if (typeof packet === 'string') return;
          const { datagram: _datagram, arrivalMs: _arrivalMs, ...rest } = packet;
          expect(rest).toEqual(fields);
        },
      ),
    );
  });

  it('keeps payload inside the datagram for 100,000 mutated packets', () => {
    const seeds = [
      encodeRtp({
        payloadType: 8,
        marker: false,
        sequenceNumber: 1,
        rtpTimestamp: 2,
        ssrc: 3,
        payload: new Uint8Array(40),
      }),
      Buffer.from(bytes('b1 e3 fffe fffffffd 80000001 11111111 bede0001 22222222 aabbcc 000003')),
    ];
    let decoded = 0;
    let outside = 0;
    for (const datagram of mutations(seeds, 100_000, 1)) {
      const packet = decodeRtp(datagram, 0);
      if (typeof packet === 'string') continue;
      decoded++;
      const from = packet.payload.byteOffset - datagram.byteOffset;
      if (from < 12 || from + packet.payload.length > datagram.length) outside++;
    }
    expect(outside).toBe(0);
    expect(decoded).toBeGreaterThan(1000);
  });
});

describe('isRtcp', () => {
  it('knows RTCP packet types on the RTP port', () => {
    expect(isRtcp(bytes('80c8'))).toBe(true);
    expect(isRtcp(bytes('80ce'))).toBe(true);
    expect(isRtcp(bytes('8088'))).toBe(false);
    expect(isRtcp(bytes('80e0'))).toBe(false);
    expect(isRtcp(bytes('80'))).toBe(false);
  });
});

describe('isStun', () => {
  const binding = Buffer.from('000100002112a442fc0d178ca39e9d30235ba1f2', 'hex');

  it('knows a binding request', () => {
    expect(isStun(binding)).toBe(true);
  });

  it.each([
    ['is cut off', binding.subarray(0, 19)],
    ['is RTP', Buffer.concat([Buffer.of(0x80), binding.subarray(1)])],
    [
      'has another cookie',
      Buffer.concat([binding.subarray(0, 7), Buffer.of(0x43), binding.subarray(8)]),
    ],
    ['is empty', Buffer.alloc(0)],
  ])('is false for a datagram that %s', (_what, datagram) => {
    expect(isStun(datagram)).toBe(false);
  });
});
