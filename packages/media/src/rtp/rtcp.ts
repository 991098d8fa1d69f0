// RTCP compound packets to and from the wire: RFC 3550 §6, RFC 4585 §6 (NACK, PLI), RFC 5104 §4.3.1 (FIR).

/** Why a datagram, or a part of it, is not RTCP. Counted, never thrown. */
export type RtcpFault =
  /** Less than a header. */
  | 'rtcp-short'
  /** Version is not 2. */
  | 'rtcp-version'
  /** A length field runs past the end of the datagram. */
  | 'rtcp-length'
  /** A padding count that does not fit. */
  | 'rtcp-padding'
  /** A packet is too small for what its counts promise. */
  | 'rtcp-truncated'
  /** More than {@link MAX_RTCP_PACKETS} in one datagram. */
  | 'rtcp-too-many';

/** Most packets that are read from one compound datagram. */
export const MAX_RTCP_PACKETS = 64;

/** Seconds between the NTP epoch (1900) and the Unix epoch (1970). */
const NTP_UNIX_SECONDS = 2_208_988_800;

/** RFC 3550 §6.4.1: what a receiver says of one source. */
export interface ReportBlock {
  readonly ssrc: number;
  /** 0–255, of 256, since the last report. */
  readonly fractionLost: number;
  /** Signed 24 bit; duplicates can make it negative. */
  readonly cumulativeLost: number;
  /** u32: cycles × 65536 + highest sequence number. */
  readonly extendedHighestSequenceNumber: number;
  /** u32, in ticks of the payload's clock. */
  readonly jitter: number;
  /** Middle 32 bits of the NTP time of the last sender report, or 0. */
  readonly lastSenderReport: number;
  /** In 1/65536 s, or 0. */
  readonly delaySinceLastSenderReport: number;
}

/** RFC 3550 §6.4.1. */
export interface SenderReport {
  readonly type: 'sr';
  readonly ssrc: number;
  /** u32, seconds since 1900. */
  readonly ntpSeconds: number;
  /** u32, in 1/2³² s. */
  readonly ntpFraction: number;
  /** The same instant on the RTP clock. */
  readonly rtpTimestamp: number;
  readonly packetCount: number;
  readonly octetCount: number;
  readonly reports: readonly ReportBlock[];
}

/** RFC 3550 §6.4.2. */
export interface ReceiverReport {
  readonly type: 'rr';
  readonly ssrc: number;
  readonly reports: readonly ReportBlock[];
}

/** RFC 3550 §6.5; of the items only the CNAME is kept. */
export interface SourceDescription {
  readonly type: 'sdes';
  readonly chunks: readonly { readonly ssrc: number; readonly cname?: string }[];
}

/** RFC 3550 §6.6. */
export interface Bye {
  readonly type: 'bye';
  readonly ssrcs: readonly number[];
  readonly reason?: string;
}

/** RFC 3550 §6.7. */
export interface ApplicationPacket {
  readonly type: 'app';
  /** 0–31. */
  readonly subtype: number;
  readonly ssrc: number;
  /** Four ASCII characters. */
  readonly name: string;
  readonly payload: Uint8Array;
}

/** RFC 4585 §6.2.1, generic NACK. */
export interface Nack {
  readonly type: 'nack';
  readonly senderSsrc: number;
  readonly mediaSsrc: number;
  /** A lost sequence number and a mask of the 16 that follow it. */
  readonly lost: readonly { readonly packetId: number; readonly bitmask: number }[];
}

/** RFC 4585 §6.3.1, picture loss indication. */
export interface PictureLoss {
  readonly type: 'pli';
  readonly senderSsrc: number;
  readonly mediaSsrc: number;
}

/** RFC 5104 §4.3.1, full intra request. */
export interface FullIntraRequest {
  readonly type: 'fir';
  readonly senderSsrc: number;
  readonly entries: readonly { readonly ssrc: number; readonly sequenceNumber: number }[];
}

/** A well-formed packet of a kind that nothing here reads (XR, TMMBR, REMB …). */
export interface OtherRtcp {
  readonly type: 'other';
  /** 192–223. */
  readonly packetType: number;
  /** The five bits behind the padding bit: count, subtype or feedback format. */
  readonly count: number;
  /** Behind the four octets of header. */
  readonly body: Uint8Array;
}

/** One packet of a compound. */
export type RtcpPacket =
  | SenderReport
  | ReceiverReport
  | SourceDescription
  | Bye
  | ApplicationPacket
  | Nack
  | PictureLoss
  | FullIntraRequest
  | OtherRtcp;

/** What {@link decodeRtcp} read: the packets before the first fault, and that fault. */
export interface RtcpCompound {
  readonly packets: readonly RtcpPacket[];
  readonly fault: RtcpFault | undefined;
}

const SR = 200;
const RR = 201;
const SDES = 202;
const BYE = 203;
const APP = 204;
const RTPFB = 205;
const PSFB = 206;

/**
 * Reads a compound datagram. Never throws. Tolerant: reduced-size packets (RFC 5506) and any order are
 * accepted; packets before a malformed part are kept.
 */
export function decodeRtcp(datagram: Uint8Array): RtcpCompound {
  const packets: RtcpPacket[] = [];
  const length = datagram.length;
  let offset = 0;
  if (length < 4) return { packets, fault: 'rtcp-short' };
  while (offset < length) {
    if (offset + 4 > length) return { packets, fault: 'rtcp-short' };
    if (packets.length >= MAX_RTCP_PACKETS) return { packets, fault: 'rtcp-too-many' };
    const first = datagram[offset]!;
    if (first >> 6 !== 2) return { packets, fault: 'rtcp-version' };
    const next = offset + 4 + u16(datagram, offset + 2) * 4;
    if (next > length) return { packets, fault: 'rtcp-length' };
    let end = next;
    if ((first & 0x20) !== 0) {
      const padding = datagram[next - 1]!;
      if (padding === 0 || padding > next - offset - 4) return { packets, fault: 'rtcp-padding' };
      end -= padding;
    }
    const packet = decodeOne(datagram, offset, end);
    if (packet === undefined) return { packets, fault: 'rtcp-truncated' };
    packets.push(packet);
    offset = next;
  }
  return { packets, fault: undefined };
}

/** One packet whose header is known to be there; undefined when its body is too short. */
function decodeOne(bytes: Uint8Array, offset: number, end: number): RtcpPacket | undefined {
  const count = bytes[offset]! & 0x1f;
  const packetType = bytes[offset + 1]!;
  const body = offset + 4;
  const size = end - body;
  switch (packetType) {
    case SR: {
      if (size < 24 + count * 24) return undefined;
      return {
        type: 'sr',
        ssrc: u32(bytes, body),
        ntpSeconds: u32(bytes, body + 4),
        ntpFraction: u32(bytes, body + 8),
        rtpTimestamp: u32(bytes, body + 12),
        packetCount: u32(bytes, body + 16),
        octetCount: u32(bytes, body + 20),
        reports: decodeReports(bytes, body + 24, count),
      };
    }
    case RR:
      if (size < 4 + count * 24) return undefined;
      return {
        type: 'rr',
        ssrc: u32(bytes, body),
        reports: decodeReports(bytes, body + 4, count),
      };
    case SDES:
      return decodeSdes(bytes, body, end, count);
    case BYE: {
      if (size < count * 4) return undefined;
      const ssrcs: number[] = [];
      for (let index = 0; index < count; index++) ssrcs.push(u32(bytes, body + index * 4));
      const at = body + count * 4;
      if (at >= end) return { type: 'bye', ssrcs };
      const reasonBytes = bytes[at]!;
      if (at + 1 + reasonBytes > end) return undefined;
      return { type: 'bye', ssrcs, reason: text(bytes, at + 1, at + 1 + reasonBytes) };
    }
    case APP:
      if (size < 8) return undefined;
      return {
        type: 'app',
        subtype: count,
        ssrc: u32(bytes, body),
        name: text(bytes, body + 4, body + 8),
        payload: bytes.subarray(body + 8, end),
      };
    case RTPFB:
      if (count !== 1) break;
      if (size < 12) return undefined;
      return decodeNack(bytes, body, end);
    case PSFB:
      if (count === 1) {
        if (size < 8) return undefined;
        return { type: 'pli', senderSsrc: u32(bytes, body), mediaSsrc: u32(bytes, body + 4) };
      }
      if (count === 4) {
        if (size < 16) return undefined;
        return decodeFir(bytes, body, end);
      }
      break;
    default:
  }
  return { type: 'other', packetType, count, body: bytes.subarray(body, end) };
}

function decodeReports(bytes: Uint8Array, offset: number, count: number): ReportBlock[] {
  const reports: ReportBlock[] = [];
  for (let index = 0; index < count; index++) {
    const at = offset + index * 24;
    reports.push({
      ssrc: u32(bytes, at),
      fractionLost: bytes[at + 4]!,
      cumulativeLost: (u32(bytes, at + 4) << 8) >> 8,
      extendedHighestSequenceNumber: u32(bytes, at + 8),
      jitter: u32(bytes, at + 12),
      lastSenderReport: u32(bytes, at + 16),
      delaySinceLastSenderReport: u32(bytes, at + 20),
    });
  }
  return reports;
}

function decodeSdes(
  bytes: Uint8Array,
  body: number,
  end: number,
  count: number,
): SourceDescription | undefined {
  const chunks: { ssrc: number; cname?: string }[] = [];
  let at = body;
  for (let index = 0; index < count; index++) {
    if (at + 4 > end) return undefined;
    const chunk: { ssrc: number; cname?: string } = { ssrc: u32(bytes, at) };
    at += 4;
    // Items: type, length, text; a zero octet ends the list, which is padded to 32 bits (RFC 3550 §6.5).
    while (at < end && bytes[at] !== 0) {
      if (at + 2 > end || at + 2 + bytes[at + 1]! > end) return undefined;
      const itemEnd = at + 2 + bytes[at + 1]!;
      if (bytes[at] === 1) chunk.cname = text(bytes, at + 2, itemEnd);
      at = itemEnd;
    }
    at += 4 - ((at - body) & 3);
    chunks.push(chunk);
  }
  return { type: 'sdes', chunks };
}

function decodeNack(bytes: Uint8Array, body: number, end: number): Nack {
  const lost: { packetId: number; bitmask: number }[] = [];
  for (let at = body + 8; at + 4 <= end; at += 4) {
    lost.push({ packetId: u16(bytes, at), bitmask: u16(bytes, at + 2) });
  }
  return { type: 'nack', senderSsrc: u32(bytes, body), mediaSsrc: u32(bytes, body + 4), lost };
}

function decodeFir(bytes: Uint8Array, body: number, end: number): FullIntraRequest {
  const entries: { ssrc: number; sequenceNumber: number }[] = [];
  for (let at = body + 8; at + 8 <= end; at += 8) {
    entries.push({ ssrc: u32(bytes, at), sequenceNumber: bytes[at + 4]! });
  }
  return { type: 'fir', senderSsrc: u32(bytes, body), entries };
}

/**
 * Writes packets one after the other as one compound. The caller keeps the order of RFC 3550 §6.1 (report,
 * SDES with CNAME, rest) and the counts: at most 31 reports, chunks or SSRCs in a packet; more are cut.
 * Texts are cut at 255 octets.
 */
export function encodeRtcp(packets: readonly RtcpPacket[]): Buffer {
  return Buffer.concat(packets.map(encodeOne));
}

function encodeOne(packet: RtcpPacket): Buffer {
  switch (packet.type) {
    case 'sr': {
      const reports = packet.reports.slice(0, 31);
      const bytes = start(reports.length, SR, 24 + reports.length * 24);
      bytes.writeUInt32BE(packet.ssrc, 4);
      bytes.writeUInt32BE(packet.ntpSeconds, 8);
      bytes.writeUInt32BE(packet.ntpFraction, 12);
      bytes.writeUInt32BE(packet.rtpTimestamp, 16);
      bytes.writeUInt32BE(packet.packetCount >>> 0, 20);
      bytes.writeUInt32BE(packet.octetCount >>> 0, 24);
      encodeReports(bytes, 28, reports);
      return bytes;
    }
    case 'rr': {
      const reports = packet.reports.slice(0, 31);
      const bytes = start(reports.length, RR, 4 + reports.length * 24);
      bytes.writeUInt32BE(packet.ssrc, 4);
      encodeReports(bytes, 8, reports);
      return bytes;
    }
    case 'sdes':
      return encodeSdes(packet);
    case 'bye': {
      const ssrcs = packet.ssrcs.slice(0, 31);
      const reason = packet.reason === undefined ? undefined : utf8(packet.reason);
      const size = ssrcs.length * 4 + (reason === undefined ? 0 : align(1 + reason.length));
      const bytes = start(ssrcs.length, BYE, size);
      ssrcs.forEach((ssrc, index) => bytes.writeUInt32BE(ssrc, 4 + index * 4));
      if (reason !== undefined) {
        bytes[4 + ssrcs.length * 4] = reason.length;
        bytes.set(reason, 5 + ssrcs.length * 4);
      }
      return bytes;
    }
    case 'app': {
      const bytes = start(packet.subtype, APP, 8 + align(packet.payload.length));
      bytes.writeUInt32BE(packet.ssrc, 4);
      bytes.write(packet.name.slice(0, 4).padEnd(4), 8, 'latin1');
      bytes.set(packet.payload, 12);
      return bytes;
    }
    case 'nack': {
      const bytes = start(1, RTPFB, 8 + packet.lost.length * 4);
      bytes.writeUInt32BE(packet.senderSsrc, 4);
      bytes.writeUInt32BE(packet.mediaSsrc, 8);
      packet.lost.forEach((item, index) => {
        bytes.writeUInt16BE(item.packetId, 12 + index * 4);
        bytes.writeUInt16BE(item.bitmask, 14 + index * 4);
      });
      return bytes;
    }
    case 'pli': {
      const bytes = start(1, PSFB, 8);
      bytes.writeUInt32BE(packet.senderSsrc, 4);
      bytes.writeUInt32BE(packet.mediaSsrc, 8);
      return bytes;
    }
    case 'fir': {
      // RFC 5104 §4.3.1.2: the media source field is 0; the targets are in the entries.
      const bytes = start(4, PSFB, 8 + packet.entries.length * 8);
      bytes.writeUInt32BE(packet.senderSsrc, 4);
      packet.entries.forEach((entry, index) => {
        bytes.writeUInt32BE(entry.ssrc, 12 + index * 8);
        bytes[16 + index * 8] = entry.sequenceNumber & 0xff;
      });
      return bytes;
    }
    case 'other': {
      const bytes = start(packet.count, packet.packetType, align(packet.body.length));
      bytes.set(packet.body, 4);
      return bytes;
    }
    default:
      return packet satisfies never;
  }
}

function encodeSdes(packet: SourceDescription): Buffer {
  const chunks = packet.chunks.slice(0, 31).map((chunk) => {
    const cname = chunk.cname === undefined ? undefined : utf8(chunk.cname);
    const bytes = Buffer.alloc(4 + align((cname === undefined ? 0 : 2 + cname.length) + 1));
    bytes.writeUInt32BE(chunk.ssrc, 0);
    if (cname !== undefined) {
      bytes[4] = 1;
      bytes[5] = cname.length;
      bytes.set(cname, 6);
    }
    return bytes;
  });
  const body = Buffer.concat(chunks);
  const bytes = start(chunks.length, SDES, body.length);
  bytes.set(body, 4);
  return bytes;
}

function encodeReports(bytes: Buffer, offset: number, reports: readonly ReportBlock[]): void {
  reports.forEach((report, index) => {
    const at = offset + index * 24;
    bytes.writeUInt32BE(report.ssrc, at);
    bytes.writeUInt32BE(report.cumulativeLost & 0xffffff, at + 4);
    bytes[at + 4] = report.fractionLost;
    bytes.writeUInt32BE(report.extendedHighestSequenceNumber, at + 8);
    bytes.writeUInt32BE(report.jitter, at + 12);
    bytes.writeUInt32BE(report.lastSenderReport, at + 16);
    bytes.writeUInt32BE(report.delaySinceLastSenderReport, at + 20);
  });
}

/** NTP time of a sender report in milliseconds since 1900; 0 when the sender has no clock. */
export function ntpMs(report: Pick<SenderReport, 'ntpSeconds' | 'ntpFraction'>): number {
  return report.ntpSeconds * 1000 + (report.ntpFraction * 1000) / 2 ** 32;
}

/** NTP fields for a Unix time in milliseconds. */
export function unixToNtp(unixMs: number): { ntpSeconds: number; ntpFraction: number } {
  const seconds = Math.floor(unixMs / 1000);
  const fraction = Math.floor(((unixMs - seconds * 1000) / 1000) * 2 ** 32);
  return { ntpSeconds: (seconds + NTP_UNIX_SECONDS) >>> 0, ntpFraction: fraction >>> 0 };
}

/**
 * Round trip according to the report block about our source (RFC 3550 §6.4.1: A − LSR − DLSR); undefined when the peer has
 * received no sender report from us yet, or the result is absurd.
 * @param unixMs arrival of the report, on the clock of our sender reports.
 */
export function roundTripMs(report: ReportBlock, unixMs: number): number | undefined {
  if (report.lastSenderReport === 0) return undefined;
  const { ntpSeconds, ntpFraction } = unixToNtp(unixMs);
  const nowMiddle = ((ntpSeconds & 0xffff) << 16) | (ntpFraction >>> 16);
  const units = (nowMiddle - report.lastSenderReport - report.delaySinceLastSenderReport) | 0;
  // With clocks of 1/65536 s and the peer's timers, slightly below zero counts as zero.
  const tripMs = (units * 1000) / 65_536;
  return tripMs < -50 || tripMs > 10_000 ? undefined : Math.max(0, tripMs);
}

function start(count: number, packetType: number, bodyBytes: number): Buffer {
  const bytes = Buffer.alloc(4 + bodyBytes);
  bytes[0] = 0x80 | (count & 0x1f);
  bytes[1] = packetType;
  bytes.writeUInt16BE(bodyBytes / 4, 2);
  return bytes;
}

function align(size: number): number {
  return (size + 3) & ~3;
}

function utf8(value: string): Buffer {
  return Buffer.from(value, 'utf8').subarray(0, 255);
}

function text(bytes: Uint8Array, from: number, to: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + from, to - from).toString('utf8');
}

function u16(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 8) | bytes[at + 1]!;
}

function u32(bytes: Uint8Array, at: number): number {
  return (
    ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0
  );
}
