// SRTP against published vectors, against itself over every kind of loss, and against damaged packets.

import { randomBytes } from 'node:crypto';
import { assert, property, uint8Array } from 'fast-check';
import { describe, expect, it } from 'vitest';
import { estimateIndex, SRTP_SUITES, SrtpSession, type SrtpSuite } from './srtp.ts';

const SUITES = Object.keys(SRTP_SUITES) as SrtpSuite[];
const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex');

/** Key and salt of RFC 3711 appendix B.3. */
const RFC_KEY = hex('E1F97A0D3E018BE0D64FA32C06DE4139 0EC675AD498AFEEBB6960B3AABE6');

function rtp(
  sequenceNumber: number,
  payload: Uint8Array = Buffer.from('payload'),
  ssrc = 7,
): Buffer {
  const packet = Buffer.alloc(12 + payload.length);
  packet[0] = 0x80;
  packet[1] = 96;
  packet.writeUInt16BE(sequenceNumber & 0xffff, 2);
  packet.writeUInt32BE(ssrc, 8);
  packet.set(payload, 12);
  return packet;
}

function pair(suite: SrtpSuite = 'AES_CM_128_HMAC_SHA1_80') {
  const length = SRTP_SUITES[suite].keyBytes + 14;
  const [a, b] = [randomBytes(length), randomBytes(length)];
  return {
    sender: new SrtpSession({ suite, send: a, receive: b }),
    receiver: new SrtpSession({ suite, send: b, receive: a }),
  };
}

describe('published vectors', () => {
  const suite = 'AES_CM_128_HMAC_SHA1_80';
  const session = () => new SrtpSession({ suite, send: RFC_KEY, receive: RFC_KEY });
  // The packets that libsrtp validates itself with, under the key of RFC 3711 appendix B.3.
  const clear = hex('800f1234decafbadcafebabe abababababababababababababababab');
  const sealed = hex(
    '800f1234decafbadcafebabe 4e55dc4ce79978d88ca4d215949d2402 b78d6acc99ea179b8dbb',
  );

  it('RTP', () => {
    expect(session().protectRtp(clear)).toEqual(sealed);
    expect(session().unprotectRtp(Buffer.from(sealed))).toEqual(clear);
  });

  it('RTCP', () => {
    const compound = hex(
      '81c8000bcafebabe 7128035be487b9bdbef89041f977a5a8 80000001 993e08cd54d6c1230798',
    );
    expect(session().unprotectRtcp(compound)).toEqual(
      hex('81c8000bcafebabe abababababababababababababababab'),
    );
  });
});

describe.each(SUITES)('%s', (suite) => {
  it('lets through what it protected, RTP and RTCP, with CSRCs and a header extension', () => {
    const { sender, receiver } = pair(suite);
    const plain = rtp(1, Buffer.concat([hex('11223344 bede0001 10aa0000'), Buffer.from('text')]));
    plain[0] = 0x91;
    const sealed = sender.protectRtp(plain);
    expect(sealed.length).toBe(plain.length + SRTP_SUITES[suite].tagBytes);
    // CSRC and extension stay in the clear (RFC 3711 §3.1).
    expect(sealed.subarray(0, 24)).toEqual(plain.subarray(0, 24));
    expect(sealed.includes('text')).toBe(false);
    expect(receiver.unprotectRtp(sealed)).toEqual(plain);
    const report = Buffer.concat([hex('80c9000100000007'), Buffer.from('more octets.')]);
    for (let n = 0; n < 3; n++) {
      const sealedReport = sender.protectRtcp(report);
      expect(sealedReport.length).toBe(report.length + 14);
      expect(receiver.unprotectRtcp(sealedReport)).toEqual(report);
    }
  });

  it('goes on over several wraps of the sequence number, with loss and reordering', () => {
    const { sender, receiver } = pair(suite);
    const from = 65_000;
    for (let n = from; n < from + 200_000; n += 1 + (n % 3)) {
      const sealed = sender.protectRtp(rtp(n, Buffer.from(String(n))));
      if (n % 7 === 0) continue;
      const opened = receiver.unprotectRtp(sealed);
      if (typeof opened === 'string') throw new Error(`${n}: ${opened}`);
      if (n % 50_021 === 0) expect(opened.subarray(12).toString()).toBe(String(n));
    }
  });
});

describe('other keys', () => {
  const suite = 'AES_CM_128_HMAC_SHA1_80' as const;
  const key = (): Buffer => randomBytes(30);
  const report = hex('80c9000100000007');

  it('of the peer leave our counters alone: no nonce comes twice', () => {
    const ours = key();
    const sender = new SrtpSession({ suite, send: ours, receive: key() });
    const receiver = new SrtpSession({ suite, send: key(), receive: ours });
    for (let n = 65_500; n < 65_600; n++) receiver.unprotectRtp(sender.protectRtp(rtp(n)));
    const first = sender.protectRtcp(report);
    sender.use({ suite, send: ours, receive: key() });
    // Past the wrap: with a roll-over counter of its own it would not be let in.
    expect(receiver.unprotectRtp(sender.protectRtp(rtp(65_600)))).toEqual(rtp(65_600));
    const second = sender.protectRtcp(report);
    expect(second.subarray(8, 12)).not.toEqual(first.subarray(8, 12));
    expect(receiver.unprotectRtcp(first)).toEqual(report);
    expect(receiver.unprotectRtcp(second)).toEqual(report);
  });

  it('of ours, and back again, go on where each was', () => {
    const [one, two] = [key(), key()];
    const sender = new SrtpSession({ suite, send: one, receive: key() });
    const indexOf = (sealed: Buffer): number =>
      sealed.readUInt32BE(sealed.length - 14) & 0x7fff_ffff;
    expect(indexOf(sender.protectRtcp(report))).toBe(0);
    sender.use({ suite, send: two, receive: key() });
    expect(indexOf(sender.protectRtcp(report))).toBe(0);
    sender.use({ suite, send: one, receive: key() });
    expect(indexOf(sender.protectRtcp(report))).toBe(1);
  });

  it('of the peer let in what is sealed with them, and nothing older', () => {
    const [old, fresh] = [key(), key()];
    const receiver = new SrtpSession({ suite, send: key(), receive: old });
    const before = new SrtpSession({ suite, send: old, receive: key() });
    const after = new SrtpSession({ suite, send: fresh, receive: key() });
    expect(receiver.unprotectRtp(before.protectRtp(rtp(7)))).toBeInstanceOf(Buffer);
    receiver.use({ suite, send: key(), receive: fresh });
    expect(receiver.unprotectRtp(before.protectRtp(rtp(8)))).toBe('srtp-auth');
    expect(receiver.unprotectRtp(after.protectRtp(rtp(8)))).toEqual(rtp(8));
  });
});

describe('what is not let through', () => {
  it('a packet twice, and one that is older than the window', () => {
    const { sender, receiver } = pair();
    const packets = Array.from({ length: 1300 }, (_, n) => sender.protectRtp(rtp(n)));
    const open = (n: number): unknown => receiver.unprotectRtp(Buffer.from(packets[n]!));
    expect(open(5)).toBeInstanceOf(Buffer);
    expect(open(5)).toBe('srtp-replay');
    expect(open(3)).toBeInstanceOf(Buffer);
    expect(open(1299)).toBeInstanceOf(Buffer);
    expect(open(4)).toBe('srtp-replay');
    expect(open(276)).toBeInstanceOf(Buffer);
    expect(open(275)).toBe('srtp-replay');
    expect(open(276)).toBe('srtp-replay');
  });

  it('a report twice', () => {
    const { sender, receiver } = pair();
    const sealed = sender.protectRtcp(hex('80c9000100000007'));
    expect(receiver.unprotectRtcp(Buffer.from(sealed))).toBeInstanceOf(Buffer);
    expect(receiver.unprotectRtcp(Buffer.from(sealed))).toBe('srtp-replay');
  });

  it('anything with another key, a changed bit, or cut short; the good ones behind it are', () => {
    const { sender, receiver } = pair();
    const stranger = pair().sender;
    for (let n = 0; n < 200; n++) {
      expect(receiver.unprotectRtp(stranger.protectRtp(rtp(n)))).toBe('srtp-auth');
      const sealed = sender.protectRtp(rtp(n));
      const damaged = Buffer.from(sealed);
      damaged[(n * 7) % damaged.length]! ^= 1 << (n % 8);
      expect(typeof receiver.unprotectRtp(damaged)).toBe('string');
      expect(receiver.unprotectRtp(sealed)).toEqual(rtp(n));
    }
    const whole = sender.protectRtp(rtp(500));
    for (let length = 0; length < whole.length; length++)
      expect(typeof receiver.unprotectRtp(Buffer.from(whole.subarray(0, length)))).toBe('string');
    const report = sender.protectRtcp(hex('80c9000100000007'));
    for (let length = 0; length < report.length; length++)
      expect(typeof receiver.unprotectRtcp(Buffer.from(report.subarray(0, length)))).toBe('string');
  });

  it('random octets, and never an exception', () => {
    const { receiver } = pair();
    assert(
      property(uint8Array({ maxLength: 80 }), (octets) => {
        expect(typeof receiver.unprotectRtp(Buffer.from(octets))).toBe('string');
        expect(typeof receiver.unprotectRtcp(Buffer.from(octets))).toBe('string');
      }),
    );
  });

  it('a hundred thousand bad packets: each is counted, and the good ones between them pass', () => {
    const { sender, receiver } = pair();
    const forged = rtp(0, Buffer.alloc(30, 1));
    for (let n = 0; n < 100_000; n++) {
      forged.writeUInt16BE(n & 0xffff, 2);
      if (typeof receiver.unprotectRtp(forged) !== 'string') throw new Error(`${n} was let in`);
      if (n % 1000 !== 0) continue;
      expect(receiver.unprotectRtp(sender.protectRtp(rtp(n / 1000)))).toBeInstanceOf(Buffer);
    }
  });

  it('a flood of forged streams does not make it forget the real one', () => {
    const { sender, receiver } = pair();
    const first = sender.protectRtp(rtp(65_535));
    expect(receiver.unprotectRtp(Buffer.from(first))).toBeInstanceOf(Buffer);
    for (let ssrc = 100; ssrc < 1000; ssrc++)
      receiver.unprotectRtp(Buffer.concat([rtp(1, Buffer.alloc(20), ssrc)]));
    expect(receiver.unprotectRtp(Buffer.from(first))).toBe('srtp-replay');
    expect(receiver.unprotectRtp(sender.protectRtp(rtp(65_536)))).toBeInstanceOf(Buffer);
  });
});

describe('estimateIndex', () => {
  it.each([
    [-1, 5, 5],
    [5, 6, 6],
    [65_535, 0, 65_536],
    [65_536, 65_535, 65_535],
    [131_071, 2, 131_074],
    [131_074, 65_000, 130_536],
    [5, 65_530, 65_530],
  ])('after %i, %i is %i', (highest, sequenceNumber, index) => {
    expect(estimateIndex(highest, sequenceNumber)).toBe(index);
  });
});

describe('keys', () => {
  it('of the wrong length or suite are refused', () => {
    const keys = { suite: 'AES_CM_128_HMAC_SHA1_80', send: RFC_KEY, receive: RFC_KEY } as const;
    expect(() => new SrtpSession({ ...keys, send: RFC_KEY.subarray(1) })).toThrow(/srtp\.send/);
    expect(() => new SrtpSession({ ...keys, receive: randomBytes(46) })).toThrow(/srtp\.receive/);
    expect(() => new SrtpSession({ ...keys, suite: 'NULL' as never })).toThrow(/srtp\.suite/);
  });
});
