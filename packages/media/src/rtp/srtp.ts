// SRTP and SRTCP with AES counter mode and HMAC-SHA1: RFC 3711, RFC 6188. Keys come from outside (SDES, RFC 4568).

import {
  createCipheriv,
  createHmac,
  createSecretKey,
  type KeyObject,
  randomBytes,
  timingSafeEqual,
} from 'node:crypto';
import { MediaError } from '../errors.ts';

/** The supported suites, by their names in RFC 4568 §6.2 and RFC 6188 §3.1. */
export const SRTP_SUITES = {
  AES_CM_128_HMAC_SHA1_80: { cipher: 'aes-128-ctr', keyBytes: 16, tagBytes: 10 },
  AES_CM_128_HMAC_SHA1_32: { cipher: 'aes-128-ctr', keyBytes: 16, tagBytes: 4 },
  AES_256_CM_HMAC_SHA1_80: { cipher: 'aes-256-ctr', keyBytes: 32, tagBytes: 10 },
  AES_256_CM_HMAC_SHA1_32: { cipher: 'aes-256-ctr', keyBytes: 32, tagBytes: 4 },
} as const;

/** Name of a suite. */
export type SrtpSuite = keyof typeof SRTP_SUITES;

/** Keys of one medium. */
export interface SrtpKeys {
  readonly suite: SrtpSuite;
  /** Master key followed by the 14 octets of the master salt, for what we send. */
  readonly send: Uint8Array;
  /** The same, for what we receive. */
  readonly receive: Uint8Array;
}

/** Why a datagram was rejected. Counted, never thrown. */
export type SrtpFault =
  /** Too short to hold a header and a tag, or a header that runs past the end. */
  | 'srtp-short'
  /** The tag is wrong: another key or another sender. */
  | 'srtp-auth'
  /** Seen before, or too old to check. */
  | 'srtp-replay'
  /** The sender did not encrypt, although it agreed to. */
  | 'srtp-unencrypted';

/** RFC 3711 §3.2.1: length of a master salt. */
export const SRTP_SALT_BYTES = 14;
/** RFC 3711 §9.4 requires a tag of 80 bits for SRTCP, also where RTP has 32 (RFC 4568 §6.2.2). */
const RTCP_TAG_BYTES = 10;
/** RFC 3711 §3.3.2 requires at least 64. */
const REPLAY_WINDOW = 1024;
/** Limit of streams remembered per sender; a peer has one, or a few in a long call. */
const MAX_STREAMS = 32;
const RTP_HEADER_BYTES = 12;
const RTCP_HEADER_BYTES = 8;

/** RFC 3711 §4.3.2. */
const LABEL = {
  rtpCipher: 0,
  rtpAuth: 1,
  rtpSalt: 2,
  rtcpCipher: 3,
  rtcpAuth: 4,
  rtcpSalt: 5,
} as const;

/** Session keys for one direction of RTP or RTCP. */
class KeyStream {
  readonly #cipher: string;
  readonly #key: KeyObject;
  readonly #auth: KeyObject;
  readonly #salt: Buffer;
  readonly #iv = Buffer.alloc(16);

  constructor(suite: SrtpSuite, master: Uint8Array, isRtcp: boolean) {
    const { cipher, keyBytes } = SRTP_SUITES[suite];
    const derive = (label: number, length: number): Buffer => {
      // RFC 3711 §4.3.1 with a key derivation rate of 0: the label is XORed with the salt, the rest of the block is the counter.
      const iv = Buffer.alloc(16);
      Buffer.from(master).copy(iv, 0, keyBytes, keyBytes + SRTP_SALT_BYTES);
      iv[7]! ^= label;
      return createCipheriv(cipher, master.subarray(0, keyBytes), iv).update(Buffer.alloc(length));
    };
    this.#cipher = cipher;
    this.#key = createSecretKey(derive(isRtcp ? LABEL.rtcpCipher : LABEL.rtpCipher, keyBytes));
    this.#auth = createSecretKey(derive(isRtcp ? LABEL.rtcpAuth : LABEL.rtpAuth, 20));
    this.#salt = derive(isRtcp ? LABEL.rtcpSalt : LABEL.rtpSalt, SRTP_SALT_BYTES);
  }

  /** Encrypts or decrypts: RFC 3711 §4.1.1, `IV = salt · 2^16 ⊕ SSRC · 2^64 ⊕ index · 2^16`. */
  crypt(octets: Uint8Array, ssrc: number, index: number): Buffer {
    const iv = this.#iv;
    iv.fill(0);
    this.#salt.copy(iv);
    iv.writeUInt32BE((iv.readUInt32BE(4) ^ ssrc) >>> 0, 4);
    iv.writeUInt16BE(iv.readUInt16BE(8) ^ Math.floor(index / 2 ** 32), 8);
    iv.writeUInt32BE((iv.readUInt32BE(10) ^ (index >>> 0)) >>> 0, 10);
    return createCipheriv(this.#cipher, this.#key, iv).update(octets);
  }

  /** The full tag of 20 octets, over the octets and, if given, this 32-bit number after them. */
  tag(octets: Uint8Array, counter?: number): Buffer {
    const hmac = createHmac('sha1', this.#auth).update(octets);
    if (counter !== undefined) {
      const rest = Buffer.alloc(4);
      rest.writeUInt32BE(counter);
      hmac.update(rest);
    }
    return hmac.digest();
  }

  isRight(given: Uint8Array, octets: Uint8Array, counter?: number): boolean {
    return timingSafeEqual(given, this.tag(octets, counter).subarray(0, given.length));
  }
}

/** Replay state of one SSRC: the highest index received, and a window of those below it. */
class ReplayWindow {
  highest = -1;
  readonly #seen = new Uint8Array(REPLAY_WINDOW);

  mayAccept(index: number): boolean {
    if (index > this.highest) return true;
    if (index <= this.highest - REPLAY_WINDOW) return false;
    return this.#seen[index % REPLAY_WINDOW] === 0;
  }

  accept(index: number): void {
    if (index > this.highest) {
      // Indices in between are unseen; their slots belonged to older packets.
      const from = Math.max(this.highest + 1, index - REPLAY_WINDOW + 1);
      for (let slot = from; slot < index; slot++) this.#seen[slot % REPLAY_WINDOW] = 0;
      this.highest = index;
    }
    this.#seen[index % REPLAY_WINDOW] = 1;
  }
}

/** A small map of streams by SSRC; the oldest entry makes room. */
class Streams<T> {
  readonly #streams = new Map<number, T>();

  get(ssrc: number): T | undefined {
    return this.#streams.get(ssrc);
  }

  set(ssrc: number, stream: T): void {
    if (!this.#streams.has(ssrc) && this.#streams.size >= MAX_STREAMS) {
      const [oldest] = this.#streams.keys();
      if (oldest !== undefined) this.#streams.delete(oldest);
    }
    this.#streams.set(ssrc, stream);
  }
}

/** The sender's estimate of a packet index: RFC 3711 §3.3.1. */
export function estimateIndex(highest: number, sequenceNumber: number): number {
  if (highest < 0) return sequenceNumber;
  const rollOver = Math.floor(highest / 0x1_0000);
  const last = highest % 0x1_0000;
  let guess = rollOver;
  if (last < 0x8000) {
    if (sequenceNumber - last > 0x8000) guess = rollOver - 1;
  } else if (last - 0x8000 > sequenceNumber) guess = rollOver + 1;
  return Math.max(guess, 0) * 0x1_0000 + sequenceNumber;
}

/** What is sent with one master key. Its counters live as long as the key: no nonce may repeat. */
class SrtpSender {
  readonly #tagBytes: number;
  readonly #rtp: KeyStream;
  readonly #rtcp: KeyStream;
  /** Highest index sent, by SSRC. */
  readonly #sent = new Streams<number>();
  #rtcpIndex = 0;

  constructor(suite: SrtpSuite, master: Uint8Array) {
    this.#tagBytes = SRTP_SUITES[suite].tagBytes;
    this.#rtp = new KeyStream(suite, master, false);
    this.#rtcp = new KeyStream(suite, master, true);
  }

  protectRtp(packet: Buffer): Buffer {
    const start = payloadStart(packet, packet.length);
    if (start < 0) throw new MediaError('INVALID_ARGUMENT', 'packet is no RTP packet');
    const ssrc = packet.readUInt32BE(8);
    const before = this.#sent.get(ssrc) ?? -1;
    const index = estimateIndex(before, packet.readUInt16BE(2));
    if (index > before) this.#sent.set(ssrc, index);
    const sealed = Buffer.allocUnsafe(packet.length + this.#tagBytes);
    packet.copy(sealed, 0, 0, start);
    this.#rtp.crypt(packet.subarray(start), ssrc, index).copy(sealed, start);
    const tag = this.#rtp.tag(sealed.subarray(0, packet.length), Math.floor(index / 0x1_0000));
    tag.copy(sealed, packet.length, 0, this.#tagBytes);
    return sealed;
  }

  protectRtcp(packet: Buffer): Buffer {
    const ssrc = packet.readUInt32BE(4);
    const index = this.#rtcpIndex;
    this.#rtcpIndex = (index + 1) % 0x8000_0000;
    const end = packet.length + 4;
    const sealed = Buffer.allocUnsafe(end + RTCP_TAG_BYTES);
    packet.copy(sealed, 0, 0, RTCP_HEADER_BYTES);
    const body = this.#rtcp.crypt(packet.subarray(RTCP_HEADER_BYTES), ssrc, index);
    body.copy(sealed, RTCP_HEADER_BYTES);
    sealed.writeUInt32BE((0x8000_0000 | index) >>> 0, packet.length);
    this.#rtcp.tag(sealed.subarray(0, end)).copy(sealed, end, 0, RTCP_TAG_BYTES);
    return sealed;
  }
}

/** What is received with one master key. */
class SrtpReceiver {
  readonly #tagBytes: number;
  readonly #rtp: KeyStream;
  readonly #rtcp: KeyStream;
  readonly #rtpWindows = new Streams<ReplayWindow>();
  readonly #rtcpWindows = new Streams<ReplayWindow>();

  constructor(suite: SrtpSuite, master: Uint8Array) {
    this.#tagBytes = SRTP_SUITES[suite].tagBytes;
    this.#rtp = new KeyStream(suite, master, false);
    this.#rtcp = new KeyStream(suite, master, true);
  }

  unprotectRtp(datagram: Buffer): Buffer | SrtpFault {
    const end = datagram.length - this.#tagBytes;
    const start = payloadStart(datagram, end);
    if (start < 0) return 'srtp-short';
    const ssrc = datagram.readUInt32BE(8);
    const window = this.#rtpWindows.get(ssrc);
    const index = estimateIndex(window?.highest ?? -1, datagram.readUInt16BE(2));
    if (window?.mayAccept(index) === false) return 'srtp-replay';
    const sealed = datagram.subarray(0, end);
    const rollOver = Math.floor(index / 0x1_0000);
    if (!this.#rtp.isRight(datagram.subarray(end), sealed, rollOver)) return 'srtp-auth';
    note(this.#rtpWindows, ssrc, window, index);
    this.#rtp.crypt(datagram.subarray(start, end), ssrc, index).copy(datagram, start);
    return sealed;
  }

  unprotectRtcp(datagram: Buffer): Buffer | SrtpFault {
    const end = datagram.length - RTCP_TAG_BYTES;
    const bodyEnd = end - 4;
    if (bodyEnd < RTCP_HEADER_BYTES) return 'srtp-short';
    const trailer = datagram.readUInt32BE(bodyEnd);
    const index = trailer & 0x7fff_ffff;
    const ssrc = datagram.readUInt32BE(4);
    const window = this.#rtcpWindows.get(ssrc);
    if (window?.mayAccept(index) === false) return 'srtp-replay';
    if (!this.#rtcp.isRight(datagram.subarray(end), datagram.subarray(0, end))) return 'srtp-auth';
    note(this.#rtcpWindows, ssrc, window, index);
    // UNENCRYPTED_SRTCP is never negotiated (RFC 4568 §6.3.2).
    if (trailer >>> 31 === 0) return 'srtp-unencrypted';
    const body = this.#rtcp.crypt(datagram.subarray(RTCP_HEADER_BYTES, bodyEnd), ssrc, index);
    body.copy(datagram, RTCP_HEADER_BYTES);
    return datagram.subarray(0, bodyEnd);
  }
}

/** Only authentic packets are remembered, so that a stranger cannot fill this. */
function note(
  windows: Streams<ReplayWindow>,
  ssrc: number,
  known: ReplayWindow | undefined,
  index: number,
): void {
  const window = known ?? new ReplayWindow();
  if (known === undefined) windows.set(ssrc, window);
  window.accept(index);
}

/** Protects what one medium sends, and accepts only what its peer sent. */
export class SrtpSession {
  /** By suite and key: returning to a key continues its counters. The keys are ours, one for each offered suite. */
  readonly #senders = new Map<string, SrtpSender>();
  #sender!: SrtpSender;
  #receiver!: SrtpReceiver;
  #receiverName = '';

  /** @throws MediaError INVALID_ARGUMENT naming `srtp.suite`, `srtp.send` or `srtp.receive`. */
  constructor(keys: SrtpKeys) {
    this.use(keys);
  }

  /** Takes other keys, for one direction or both. Throws like the constructor, without changing anything. */
  use(keys: SrtpKeys): void {
    requireSrtpKeys(keys);
    const { suite, send, receive } = keys;
    const sendName = nameOf(suite, send);
    this.#sender = this.#senders.get(sendName) ?? new SrtpSender(suite, send);
    this.#senders.set(sendName, this.#sender);
    const receiverName = nameOf(suite, receive);
    if (receiverName === this.#receiverName) return;
    this.#receiverName = receiverName;
    this.#receiver = new SrtpReceiver(suite, receive);
  }

  /** Encrypts one outgoing RTP packet and adds its tag. Does not modify the packet. */
  protectRtp(packet: Buffer): Buffer {
    return this.#sender.protectRtp(packet);
  }

  /** Checks one datagram of the peer. @returns the RTP packet, decrypted in place, or the fault. */
  unprotectRtp(datagram: Buffer): Buffer | SrtpFault {
    return this.#receiver.unprotectRtp(datagram);
  }

  /** Encrypts one outgoing RTCP compound and adds index and tag: RFC 3711 §3.4. */
  protectRtcp(packet: Buffer): Buffer {
    return this.#sender.protectRtcp(packet);
  }

  /** Checks one datagram of the peer. @returns the RTCP compound, or the fault. */
  unprotectRtcp(datagram: Buffer): Buffer | SrtpFault {
    return this.#receiver.unprotectRtcp(datagram);
  }
}

function nameOf(suite: SrtpSuite, master: Uint8Array): string {
  return `${suite} ${Buffer.from(master).toString('base64')}`;
}

/** @throws MediaError INVALID_ARGUMENT naming the field. */
export function requireSrtpKeys({ suite, send, receive }: SrtpKeys): void {
  if (!Object.hasOwn(SRTP_SUITES, suite))
    throw new MediaError('INVALID_ARGUMENT', 'srtp.suite is not known', { field: 'srtp.suite' });
  const length = SRTP_SUITES[suite].keyBytes + SRTP_SALT_BYTES;
  for (const [field, key] of [
    ['srtp.send', send],
    ['srtp.receive', receive],
  ] as const) {
    if (key.length !== length)
      throw new MediaError('INVALID_ARGUMENT', `${field} must have ${length} octets`, { field });
  }
}

/** A new random master key with its salt, in base64, as RFC 4568 writes it. */
export function newSrtpKey(suite: SrtpSuite): string {
  return randomBytes(SRTP_SUITES[suite].keyBytes + SRTP_SALT_BYTES).toString('base64');
}

/** Where the payload begins, after CSRCs and header extension (which SRTP leaves in the clear); −1: past the end. */
function payloadStart(packet: Buffer, end: number): number {
  if (end < RTP_HEADER_BYTES) return -1;
  const first = packet[0]!;
  let start = RTP_HEADER_BYTES + (first & 0x0f) * 4;
  if ((first & 0x10) !== 0) {
    if (start + 4 > end) return -1;
    start += 4 + packet.readUInt16BE(start + 2) * 4;
  }
  return start > end ? -1 : start;
}
