import { describe, expect, it } from 'vitest';
import { ClientHandshake, HANDSHAKE_BYTES } from './rtmp-handshake.ts';

const s1 = Buffer.alloc(1536, 7);
const server = Buffer.concat([Buffer.from([3]), s1, Buffer.alloc(1536, 9), Buffer.from('rest')]);

describe('ClientHandshake', () => {
  it('says version 3 and 1,536 octets with zeros at 4..8', () => {
    const hello = new ClientHandshake().hello((bytes) => bytes.fill(5));
    expect(hello.length).toBe(1537);
    expect(hello[0]).toBe(3);
    expect([...hello.subarray(1, 9)]).toEqual([0, 0, 0, 0, 0, 0, 0, 0]);
    expect(hello[9]).toBe(5);
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
