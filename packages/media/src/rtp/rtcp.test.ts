import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  decodeRtcp,
  encodeRtcp,
  MAX_RTCP_PACKETS,
  ntpMs,
  type RtcpPacket,
  unixToNtp,
} from './rtcp.ts';
import { mutations } from '../test-random.ts';

const hex = (text: string): Uint8Array =>
  new Uint8Array(Buffer.from(text.replaceAll(' ', ''), 'hex'));

const REPORT = {
  ssrc: 7,
  fractionLost: 255,
  cumulativeLost: -3,
  extendedHighestSequenceNumber: 0x1ffff,
  jitter: 9,
  lastSenderReport: 0xabcdef01,
  delaySinceLastSenderReport: 65536,
};

/** Each kind of packet with its octets on the wire: encode and decode share it. */
const VECTORS: [name: string, packet: RtcpPacket, wire: string][] = [
  [
    'SR',
    {
      type: 'sr',
      ssrc: 1,
      ntpSeconds: 2,
      ntpFraction: 3,
      rtpTimestamp: 4,
      packetCount: 5,
      octetCount: 6,
      reports: [REPORT],
    },
    '81c8000c 00000001 00000002 00000003 00000004 00000005 00000006 00000007 fffffffd 0001ffff 00000009 abcdef01 00010000',
  ],
  ['empty RR', { type: 'rr', ssrc: 0xfffffffe, reports: [] }, '80c90001 fffffffe'],
  [
    'RR',
    { type: 'rr', ssrc: 1, reports: [REPORT] },
    '81c90007 00000001 00000007 fffffffd 0001ffff 00000009 abcdef01 00010000',
  ],
  [
    'SDES, text fills the word',
    { type: 'sdes', chunks: [{ ssrc: 1, cname: 'ab' }] },
    '81ca0003 00000001 01026162 00000000',
  ],
  [
    'SDES, padded',
    { type: 'sdes', chunks: [{ ssrc: 1, cname: 'a' }, { ssrc: 2 }] },
    '82ca0004 00000001 01016100 00000002 00000000',
  ],
  ['BYE', { type: 'bye', ssrcs: [1, 2] }, '82cb0002 00000001 00000002'],
  [
    'BYE with a reason',
    { type: 'bye', ssrcs: [1], reason: 'bye!' },
    '81cb0003 00000001 04627965 21000000',
  ],
  [
    'APP',
    { type: 'app', subtype: 3, ssrc: 1, name: 'test', payload: hex('01020304') },
    '83cc0003 00000001 74657374 01020304',
  ],
  [
    'NACK',
    { type: 'nack', senderSsrc: 1, mediaSsrc: 2, lost: [{ packetId: 65535, bitmask: 0x8001 }] },
    '81cd0003 00000001 00000002 ffff8001',
  ],
  ['PLI', { type: 'pli', senderSsrc: 1, mediaSsrc: 2 }, '81ce0002 00000001 00000002'],
  [
    'FIR',
    { type: 'fir', senderSsrc: 1, entries: [{ ssrc: 2, sequenceNumber: 255 }] },
    '84ce0004 00000001 00000000 00000002 ff000000',
  ],
  ['XR', { type: 'other', packetType: 207, count: 0, body: hex('00000001') }, '80cf0001 00000001'],
  [
    'TMMBR',
    { type: 'other', packetType: 205, count: 3, body: hex('00000001 00000002') },
    '83cd0002 00000001 00000002',
  ],
];

const plain = (packets: readonly RtcpPacket[]): unknown[] =>
  packets.map((packet) =>
    packet.type === 'app'
      ? { ...packet, payload: new Uint8Array(packet.payload) }
      : packet.type === 'other'
        ? { ...packet, body: new Uint8Array(packet.body) }
        : packet,
  );

describe('RTCP', () => {
  it.each(VECTORS)('encodes %s', (_name, packet, wire) => {
    expect(encodeRtcp([packet]).toString('hex')).toBe(wire.replaceAll(' ', ''));
  });

  it.each(VECTORS)('decodes %s', (_name, packet, wire) => {
    const compound = decodeRtcp(hex(wire));
    expect(compound.fault).toBeUndefined();
    expect(plain(compound.packets)).toEqual([packet]);
  });

  it('reads a compound of all of them', () => {
    const compound = decodeRtcp(encodeRtcp(VECTORS.map(([, packet]) => packet)));
    expect(compound.fault).toBeUndefined();
    expect(plain(compound.packets)).toEqual(VECTORS.map(([, packet]) => packet));
  });

  const faults: [name: string, wire: string, kept: number, fault: string][] = [
    ['nothing', '', 0, 'rtcp-short'],
    ['four octets of text', '41424344', 0, 'rtcp-version'],
    ['three octets', '80c900', 0, 'rtcp-short'],
    ['length past the end', '80c90002 00000001', 0, 'rtcp-length'],
    ['a tail of two octets', '80c90001 00000001 80c9', 1, 'rtcp-short'],
    ['four-octet SR', '80c80000', 0, 'rtcp-truncated'],
    ['reports that are not there', '9fc90001 00000001', 0, 'rtcp-truncated'],
    ['padding of 0', 'a0c90001 00000000', 0, 'rtcp-padding'],
    ['padding over the header', 'a0c90001 00000005', 0, 'rtcp-padding'],
    ['SDES item past the end', '81ca0002 00000001 01ff6161', 0, 'rtcp-truncated'],
    ['BYE reason past the end', '81cb0002 00000001 ff000000', 0, 'rtcp-truncated'],
    ['PLI without media', '81ce0001 00000001', 0, 'rtcp-truncated'],
    ['bad second packet', '80c90001 00000001 00000000', 1, 'rtcp-version'],
  ];
  it.each(faults)('names the fault: %s', (_name, wire, kept, fault) => {
    const compound = decodeRtcp(hex(wire));
    expect(compound.fault).toBe(fault);
    expect(compound.packets).toHaveLength(kept);
  });

  it('bounds the packets of one datagram', () => {
    const compound = decodeRtcp(hex('80cb0000'.repeat(MAX_RTCP_PACKETS + 1)));
    expect(compound.packets).toHaveLength(MAX_RTCP_PACKETS);
    expect(compound.fault).toBe('rtcp-too-many');
  });

  it('round-trips any CNAME that fits', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 60 }), fc.string({ maxLength: 60 }), (first, second) => {
        const packet: RtcpPacket = {
          type: 'sdes',
          chunks: [
            { ssrc: 1, cname: first },
            { ssrc: 2, cname: second },
          ],
        };
        expect(decodeRtcp(encodeRtcp([packet]))).toEqual({ packets: [packet], fault: undefined });
      }),
    );
  });

  it('never throws on 100,000 mutated compounds, nor on noise', () => {
    const seeds: Buffer[] = VECTORS.map(([, , wire]) => Buffer.from(hex(wire)));
    seeds.push(encodeRtcp(VECTORS.map(([, packet]) => packet)));
    const names = new Set<string>();
    let packets = 0;
    for (const datagram of mutations(seeds, 100_000, 2)) {
      const compound = decodeRtcp(datagram);
      packets += compound.packets.length;
      if (compound.fault !== undefined) names.add(compound.fault);
    }
    expect(packets).toBeGreaterThan(10_000);
    expect(names.size).toBeGreaterThanOrEqual(5);
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (noise) => void decodeRtcp(noise)));
  });
});

describe('NTP time', () => {
  it('is milliseconds since 1900', () => {
    const ntp = unixToNtp(1_700_000_000_250);
    expect(ntp).toEqual({ ntpSeconds: 3_908_988_800, ntpFraction: 2 ** 30 });
    expect(ntpMs(ntp)).toBe(3_908_988_800_250);
  });
});
