// The RTMP handshake, client side. Pure: octets in, octets out. Its plain form is Adobe RTMP 1.0 §5.2; the digest form,
// which the specification omits, is what Flash Player 9 and later send. C1 carries the digest, which plain servers take
// for random octets; S1 shows which form the server uses.
//
//  C1  time(4) version(4) random, with digest(32) at 12 + sum of octets 8–11 modulo 728
//  digest = HMAC-SHA256(the rest of C1; the player's 30 letters)
//  C2  plain: S1 again; digest: random(1504) HMAC-SHA256(random; HMAC-SHA256(S1's digest; the player's 62 octets))

import { createHmac } from 'node:crypto';

const VERSION = 3;
const PACKET_BYTES = 1536;
const DIGEST_BYTES = 32;
/** Flash Player 9.0.124.2: a version of 0 would mean that there is no digest. */
const PLAYER_VERSION = [9, 0, 124, 2] as const;
const SECRET_TAIL = Buffer.from(
  'f0eec24a8068bee82e00d0d1029e7e576eec5d2d29806fab93b8e636cfeb31ae',
  'hex',
);
const PLAYER_NAME = Buffer.from('Genuine Adobe Flash Player 001', 'ascii');
const SERVER_NAME = Buffer.from('Genuine Adobe Flash Media Server 001', 'ascii');

/** Octets of the handshake in each direction: C0 + C1 + C2, S0 + S1 + S2. */
export const HANDSHAKE_BYTES: number = 1 + 2 * PACKET_BYTES;

/** Who signs a packet of the digest handshake. */
export type HandshakeParty = 'player' | 'server';

/** What the client must do after some octets from the server. */
export interface HandshakeStep {
  /** Octets to write now, if any. */
  readonly send?: Uint8Array;
  /** The handshake is complete; these octets follow it. */
  readonly rest?: Uint8Array;
  /** The server does not speak RTMP: close the connection. */
  readonly fault?: 'rtmp-handshake-version';
}

/** One client handshake. Feed it received octets in pieces of any size. */
export class ClientHandshake {
  readonly #received = Buffer.alloc(HANDSHAKE_BYTES);
  #length = 0;
  #answered = false;
  #random: (bytes: Uint8Array) => void = () => {};

  /**
   * C0 and C1.
   * @param random - Fills octets that need not be secret; kept for C2.
   */
  hello(random: (bytes: Uint8Array) => void): Uint8Array {
    this.#random = random;
    const hello = Buffer.alloc(1 + PACKET_BYTES);
    hello[0] = VERSION;
    hello.set(PLAYER_VERSION, 5);
    random(hello.subarray(9));
    signHandshakePacket(hello.subarray(1), 'player');
    return hello;
  }

  /** Takes the next octets. @returns what to do. */
  push(octets: Uint8Array): HandshakeStep {
    const taken = Math.min(octets.length, HANDSHAKE_BYTES - this.#length);
    this.#received.set(octets.subarray(0, taken), this.#length);
    this.#length += taken;
    if (this.#length > 0 && this.#received[0] !== VERSION)
      return { fault: 'rtmp-handshake-version' };
    const step: { send?: Uint8Array; rest?: Uint8Array } = {};
    if (!this.#answered && this.#length >= 1 + PACKET_BYTES) {
      this.#answered = true;
      step.send = this.#answer(this.#received.subarray(1, 1 + PACKET_BYTES));
    }
    // S2 should echo C1; servers with the digest handshake send something else, so it is not compared.
    if (this.#length === HANDSHAKE_BYTES) step.rest = octets.subarray(taken);
    return step;
  }

  #answer(s1: Buffer): Uint8Array {
    const digest = findHandshakeDigest(s1, 'server');
    if (!digest) return Buffer.from(s1);
    const c2 = Buffer.alloc(PACKET_BYTES);
    this.#random(c2.subarray(0, PACKET_BYTES - DIGEST_BYTES));
    c2.set(handshakeSignature(c2, digest, 'player'), PACKET_BYTES - DIGEST_BYTES);
    return c2;
  }
}

/** Writes the digest into C1 (player) or S1 (server), at the position given by its octets 8–11. */
export function signHandshakePacket(packet: Buffer, party: HandshakeParty): void {
  const at = digestOffset(packet, 8);
  packet.set(digestOf(packet, at, party), at);
}

/** The valid digest in C1 or S1, at either of its two places; `undefined`: the party speaks the plain handshake. */
export function findHandshakeDigest(packet: Buffer, party: HandshakeParty): Buffer | undefined {
  for (const from of [8, 772]) {
    const at = digestOffset(packet, from);
    const found = packet.subarray(at, at + DIGEST_BYTES);
    if (found.equals(digestOf(packet, at, party))) return found;
  }
  return undefined;
}

/** The last 32 octets of C2 (player) or S2 (server), made from its first 1,504 and the other party's digest. */
export function handshakeSignature(
  packet: Buffer,
  digest: Uint8Array,
  party: HandshakeParty,
): Buffer {
  const name = party === 'player' ? PLAYER_NAME : SERVER_NAME;
  const key = hmac(Buffer.concat([name, SECRET_TAIL]), digest);
  return hmac(key, packet.subarray(0, PACKET_BYTES - DIGEST_BYTES));
}

function digestOffset(packet: Buffer, from: number): number {
  const sum = [0, 1, 2, 3].reduce((total, i) => total + (packet[from + i] ?? 0), 0);
  return from + 4 + (sum % 728);
}

function digestOf(packet: Buffer, at: number, party: HandshakeParty): Buffer {
  const rest = [packet.subarray(0, at), packet.subarray(at + DIGEST_BYTES)];
  return hmac(party === 'player' ? PLAYER_NAME : SERVER_NAME, ...rest);
}

function hmac(key: Uint8Array, ...parts: readonly Uint8Array[]): Buffer {
  const digest = createHmac('sha256', key);
  for (const part of parts) digest.update(part);
  return digest.digest();
}
