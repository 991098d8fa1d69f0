// RTP data packets to and from the wire: RFC 3550 §5.1, §5.3.1.

import type { RtpPacket } from '../codec/frame.ts';

/** Why a datagram is not an RTP packet. Counted, never thrown. */
export type RtpFault =
  /** Shorter than the fixed header. */
  | 'rtp-short'
  /** Version is not 2. */
  | 'rtp-version'
  /** The CSRC list runs past the end. */
  | 'rtp-csrc'
  /** The header extension runs past the end. */
  | 'rtp-extension'
  /** The padding count exceeds the packet. */
  | 'rtp-padding';

const FIXED_HEADER_BYTES = 12;

/**
 * Reads one datagram. Does not copy: `payload` is a view, so the datagram must not be reused.
 * Never throws; returns the fault's name for an unusable datagram. An empty payload is legal.
 *
 * ```
 *  0                   1                   2                   3
 *  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
 * |V=2|P|X|  CC   |M|     PT      |       sequence number         |
 * |                           timestamp                           |
 * |                             SSRC                              |
 * |                   CSRC × CC, then extension                   |
 * ```
 */
export function decodeRtp(datagram: Uint8Array, arrivalMs: number): RtpPacket | RtpFault {
  const length = datagram.length;
  if (length < FIXED_HEADER_BYTES) return 'rtp-short';
  const first = datagram[0]!;
  if (first >> 6 !== 2) return 'rtp-version';
  const second = datagram[1]!;
  let start = FIXED_HEADER_BYTES + (first & 0x0f) * 4;
  if (start > length) return 'rtp-csrc';
  if ((first & 0x10) !== 0) {
    if (start + 4 > length) return 'rtp-extension';
    start += 4 + ((datagram[start + 2]! << 8) | datagram[start + 3]!) * 4;
    if (start > length) return 'rtp-extension';
  }
  let end = length;
  if ((first & 0x20) !== 0) {
    const padding = length > start ? datagram[length - 1]! : 0;
    // A count of 0 is malformed (RFC 3550 §5.1), but nothing is lost: gateways that set the bit and add nothing send it.
    if (padding > length - start) return 'rtp-padding';
    end = length - padding;
  }
  return {
    datagram,
    payloadType: second & 0x7f,
    marker: second >= 0x80,
    sequenceNumber: (datagram[2]! << 8) | datagram[3]!,
    rtpTimestamp:
      ((datagram[4]! << 24) | (datagram[5]! << 16) | (datagram[6]! << 8) | datagram[7]!) >>> 0,
    ssrc:
      ((datagram[8]! << 24) | (datagram[9]! << 16) | (datagram[10]! << 8) | datagram[11]!) >>> 0,
    payload: new Uint8Array(datagram.buffer, datagram.byteOffset + start, end - start),
    arrivalMs,
  };
}

/** What {@link encodeRtp} writes. Numbers are cut to their width on the wire. */
export interface RtpFields {
  /** 0–127. */
  readonly payloadType: number;
  readonly marker: boolean;
  /** u16. */
  readonly sequenceNumber: number;
  /** u32, ticks. */
  readonly rtpTimestamp: number;
  /** u32. */
  readonly ssrc: number;
  readonly payload: Uint8Array;
}

/** Writes one packet without CSRCs, extension or padding into a new buffer. */
export function encodeRtp(fields: RtpFields): Buffer {
  const datagram = Buffer.allocUnsafe(FIXED_HEADER_BYTES + fields.payload.length);
  datagram[0] = 0x80;
  datagram[1] = (fields.marker ? 0x80 : 0) | (fields.payloadType & 0x7f);
  datagram.writeUInt16BE(fields.sequenceNumber & 0xffff, 2);
  datagram.writeUInt32BE(fields.rtpTimestamp >>> 0, 4);
  datagram.writeUInt32BE(fields.ssrc >>> 0, 8);
  datagram.set(fields.payload, FIXED_HEADER_BYTES);
  return datagram;
}

/**
 * Whether a datagram on the RTP port is RTCP: packet types 192–223 (RFC 5761 §4).
 * Some devices multiplex without having negotiated it.
 */
export function isRtcp(datagram: Uint8Array): boolean {
  return datagram.length >= 2 && datagram[1]! >= 192 && datagram[1]! <= 223;
}

/**
 * Whether a datagram is a STUN message (RFC 8489 §5), which shares the port with RTP (RFC 7983 §7).
 *
 * ```
 * |0 0|    message type (14)    |      message length (16)      |
 * |                  magic cookie 0x2112A442                    |
 * ```
 */
export function isStun(datagram: Uint8Array): boolean {
  return (
    datagram.length >= 20 &&
    datagram[0]! < 4 &&
    datagram[4] === 0x21 &&
    datagram[5] === 0x12 &&
    datagram[6] === 0xa4 &&
    datagram[7] === 0x42
  );
}
