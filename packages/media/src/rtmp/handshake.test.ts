import { createHmac } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import {
  ClientHandshake,
  findHandshakeDigest,
  HANDSHAKE_BYTES,
  handshakeSignature,
  signHandshakePacket,
} from './handshake.ts';

const DIGEST_OF_FIVES = '5dc4c4790d4494dab3ea9223cf0cb9ac2da697a8ac8002903167a58777f5cb6a';
const SIGNATURE_OF_FIVES = 'a02007282bd4c2d1d2eac5b93c2c9dd1eb2214be032dc076ff0d279cdddeef00';
const s1 = Buffer.alloc(1536, 7);
const server = Buffer.concat([Buffer.from([3]), s1, Buffer.alloc(1536, 9), Buffer.from('rest')]);

describe('ClientHandshake', () => {
  it('sends version 3, a player version, and a digest at the position given by octets 8 to 11', () => {
    const hello = Buffer.from(new ClientHandshake().hello((bytes) => bytes.fill(5)));
    expect(hello.length).toBe(1537);
    expect(hello[0]).toBe(3);
    expect([...hello.subarray(1, 10)]).toEqual([0, 0, 0, 0, 9, 0, 124, 2, 5]);
    // Computed with Python: hmac.new(b'Genuine Adobe Flash Player 001', C1 without its octets 32 to 63, 'sha256').
    expect(hello.subarray(1 + 32, 1 + 64).toString('hex')).toBe(DIGEST_OF_FIVES);
  });

  it('signs C2 for a server that signed S1, at either place of the digest', () => {
    for (const from of [8, 772]) {
      const signed = Buffer.alloc(1536, 6);
      if (from === 8) signHandshakePacket(signed, 'server');
      else {
        // The later place, as a server would choose it: 776 + (4 × 6) modulo 728.
        const rest = Buffer.concat([signed.subarray(0, 800), signed.subarray(832)]);
        signed.set(
          createHmac('sha256', 'Genuine Adobe Flash Media Server 001').update(rest).digest(),
          800,
        );
      }
      const digest = findHandshakeDigest(signed, 'server');
      expect(digest).toEqual(signed.subarray(from === 8 ? 36 : 800, from === 8 ? 68 : 832));
      const handshake = new ClientHandshake();
      handshake.hello((bytes) => bytes.fill(5));
      const { send } = handshake.push(Buffer.concat([Buffer.from([3]), signed]));
      const c2 = Buffer.from(send ?? []);
      expect(c2.subarray(0, 1504)).toEqual(Buffer.alloc(1504, 5));
      expect(c2.subarray(1504)).toEqual(
        handshakeSignature(c2, digest ?? Buffer.alloc(0), 'player'),
      );
      // Computed with Python from the same octets.
      if (from === 8) expect(c2.subarray(1504).toString('hex')).toBe(SIGNATURE_OF_FIVES);
    }
  });

  for (const size of [1, 2, 700, 1537, 1538, HANDSHAKE_BYTES, server.length]) {
    it(`echoes S1 and ends, fed in pieces of ${size}`, () => {
      const handshake = new ClientHandshake();
      const sent: Uint8Array[] = [];
      let rest: Buffer | undefined;
      for (let at = 0; at < server.length; at += size) {
        const piece = server.subarray(at, at + size);
        if (rest) {
          rest = Buffer.concat([rest, piece]);
          continue;
        }
        const step = handshake.push(piece);
        if (step.send) sent.push(step.send);
        if (step.rest) rest = Buffer.from(step.rest);
      }
      expect(sent).toHaveLength(1);
      expect(Buffer.from(sent[0] ?? [])).toEqual(s1);
      expect(rest?.toString()).toBe('rest');
    });
  }

  it('names a server that speaks something else', () => {
    expect(new ClientHandshake().push(Buffer.from('HTTP/1.1'))).toEqual({
      fault: 'rtmp-handshake-version',
    });
  });
});
