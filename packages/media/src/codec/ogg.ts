// Ogg pages (RFC 3533) for pipes to and from ffmpeg: writes one packet per page, reads any well-formed stream. Headers of
// Opus (RFC 7845 §5) and Speex streams (Speex manual, "Ogg file format").
//
//  'OggS' version(8) flags(8) granule position(64) serial(32) page number(32) CRC(32) segments(8) lacing values…
//  all little-endian; flags: 1 continued packet, 2 first page, 4 last page

const PAGE_HEAD_BYTES = 27;
const CONTINUED = 1;
const FIRST_PAGE = 2;
const CAPTURE = Buffer.from('OggS');
/** Largest packet that the writer can put into one page, and that the reader takes. */
export const MAX_OGG_PACKET_BYTES = 255 * 255 - 1;
const VENDOR = Buffer.from('sipcast');

/** RFC 3533 §6 field 7: polynomial 0x04c11db7, not reflected, from 0. */
const CRC = Uint32Array.from({ length: 256 }, (_, octet) => {
  let remainder = octet << 24;
  for (let bit = 0; bit < 8; bit++) {
    remainder = remainder < 0 ? (remainder << 1) ^ 0x04c11db7 : remainder << 1;
  }
  return remainder >>> 0;
});

/** The checksum of a page, its own field taken as 0. */
function checksum(page: Uint8Array): number {
  let crc = 0;
  for (let at = 0; at < page.length; at++) {
    const octet = at >= 22 && at < 26 ? 0 : page[at]!;
    crc = (crc << 8) ^ CRC[((crc >>> 24) ^ octet) & 0xff]!;
  }
  return crc >>> 0;
}

/** Writes one logical stream, a page for each packet. */
export class OggWriter {
  readonly #serial: number;
  #pages = 0;

  /** @param serial - u32. */
  constructor(serial = 1) {
    this.#serial = serial;
  }

  /**
   * The page of one packet; the first one is marked as the beginning of the stream.
   * @param packet - 0–{@link MAX_OGG_PACKET_BYTES} octets.
   * @param granulePosition - Samples at the end of the packet, below 2⁵³; 0 for headers.
   */
  page(packet: Uint8Array, granulePosition: number): Buffer {
    const full = Math.floor(packet.length / 255);
    const page = Buffer.alloc(PAGE_HEAD_BYTES + full + 1 + packet.length);
    page.set(CAPTURE);
    page[5] = this.#pages === 0 ? FIRST_PAGE : 0;
    page.writeUInt32LE(granulePosition % 2 ** 32, 6);
    page.writeUInt32LE(Math.floor(granulePosition / 2 ** 32), 10);
    page.writeUInt32LE(this.#serial, 14);
    page.writeUInt32LE(this.#pages++, 18);
    page[26] = full + 1;
    page.fill(255, PAGE_HEAD_BYTES, PAGE_HEAD_BYTES + full);
    page[PAGE_HEAD_BYTES + full] = packet.length % 255;
    page.set(packet, PAGE_HEAD_BYTES + full + 1);
    page.writeUInt32LE(checksum(page), 22);
    return page;
  }
}

/**
 * The two packets that begin an Opus stream (RFC 7845 §5.1, §5.2): mono, nothing to skip, mapping family 0.
 */
export function opusHeads(): readonly [Uint8Array, Uint8Array] {
  const head = Buffer.alloc(19);
  head.write('OpusHead', 'latin1');
  head[8] = 1;
  head[9] = 1;
  head.writeUInt32LE(48_000, 12);
  return [head, Buffer.concat([Buffer.from('OpusTags'), comment()])];
}

/** The two packets that begin a Speex stream: mono, one frame a packet. */
export function speexHeads(isWideband: boolean): readonly [Uint8Array, Uint8Array] {
  const head = Buffer.alloc(80);
  head.write('Speex   1.2.1', 'latin1');
  const fields = [
    1, // Version of the stream format.
    80,
    isWideband ? 16_000 : 8000,
    isWideband ? 1 : 0,
    4, // Version of the bit stream.
    1,
    -1, // Bitrate unknown.
    isWideband ? 320 : 160,
    1, // Variable bitrate.
    1, // Frames a packet.
  ];
  let at = 28;
  for (const field of fields) at = head.writeInt32LE(field, at);
  return [head, comment()];
}

/** A vendor string and no user comments (Vorbis I §5.2.1). */
function comment(): Buffer {
  const packet = Buffer.alloc(8 + VENDOR.length);
  packet.writeUInt32LE(VENDOR.length, 0);
  packet.set(VENDOR, 4);
  return packet;
}

/** Finds the packets of an Ogg stream. Octets outside pages, and damaged pages, are skipped and counted. */
export class OggReader {
  readonly #onPacket: (packet: Uint8Array) => void;
  #pending: Buffer = Buffer.alloc(0);
  /** Beginning of a packet that continues in the next page. */
  #parts: Uint8Array[] = [];
  #partBytes = 0;
  #skippedBytes = 0;

  /** @param onPacket - Receives each complete packet, headers included, and may keep it. */
  constructor(onPacket: (packet: Uint8Array) => void) {
    this.#onPacket = onPacket;
  }

  /** Octets that were dropped. */
  get skippedBytes(): number {
    return this.#skippedBytes;
  }

  /** Takes the next octets, in pieces of any size. */
  push(octets: Uint8Array): void {
    const bytes = Buffer.concat([this.#pending, octets]);
    let at = 0;
    while (at + PAGE_HEAD_BYTES <= bytes.length) {
      if (bytes.compare(CAPTURE, 0, 4, at, at + 4) !== 0 || bytes[at + 4] !== 0) {
        at++;
        this.#skippedBytes++;
        continue;
      }
      const segments = bytes[at + 26]!;
      const bodyAt = at + PAGE_HEAD_BYTES + segments;
      if (bodyAt > bytes.length) break;
      let end = bodyAt;
      for (let i = at + PAGE_HEAD_BYTES; i < bodyAt; i++) end += bytes[i]!;
      if (end > bytes.length) break;
      const page = bytes.subarray(at, end);
      if (checksum(page) === page.readUInt32LE(22)) {
        this.#takePage(page, segments);
        at = end;
      } else {
        at++;
        this.#skippedBytes++;
      }
    }
    // At most one page: 27 + 255 + 255 · 255 octets.
    this.#pending = Buffer.from(bytes.subarray(at));
  }

  #takePage(page: Buffer, segments: number): void {
    if ((page[5]! & CONTINUED) === 0) this.#forgetPart();
    // The rest of a packet whose first page was lost.
    let isBroken = (page[5]! & CONTINUED) !== 0 && this.#parts.length === 0;
    let at = PAGE_HEAD_BYTES + segments;
    let length = 0;
    for (let i = 0; i < segments; i++) {
      const lacing = page[PAGE_HEAD_BYTES + i]!;
      length += lacing;
      if (lacing === 255 && i < segments - 1) continue;
      const isWhole = lacing < 255;
      if (!isBroken) this.#takePart(page.subarray(at, at + length), isWhole);
      if (isWhole) isBroken = false;
      at += length;
      length = 0;
    }
  }

  #takePart(part: Uint8Array, isWhole: boolean): void {
    this.#parts.push(Uint8Array.from(part));
    this.#partBytes += part.length;
    if (this.#partBytes > MAX_OGG_PACKET_BYTES) {
      this.#skippedBytes += this.#partBytes;
      this.#forgetPart();
    } else if (isWhole) {
      const packet = this.#parts.length === 1 ? this.#parts[0]! : Buffer.concat(this.#parts);
      this.#forgetPart();
      this.#onPacket(packet);
    }
  }

  #forgetPart(): void {
    this.#parts = [];
    this.#partBytes = 0;
  }
}
