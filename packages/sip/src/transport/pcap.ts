// SIP captures for Wireshark: the classic pcap format with raw IP packets (LINKTYPE_RAW). Whatever transport carried a
// message, the capture shows one UDP datagram between the real addresses and ports.

import { isIP, isIPv6 } from 'node:net';
import type { LocalAddress } from './transport.ts';

const LINKTYPE_RAW = 101;
const MAX_PACKET_BYTES = 65_535;
const UDP_HEADER_BYTES = 8;
const UDP = 17;
const HOP_LIMIT = 64;

/**
 * The file header.
 *
 * ```
 * magic a1b2c3d4 (µs) | version 2.4 | zone 0 | accuracy 0 | longest packet | link type
 * ```
 */
export function pcapFileHeader(): Buffer {
  const header = Buffer.alloc(24);
  header.writeUInt32LE(0xa1b2_c3d4, 0);
  header.writeUInt16LE(2, 4);
  header.writeUInt16LE(4, 6);
  header.writeUInt32LE(MAX_PACKET_BYTES, 16);
  header.writeUInt32LE(LINKTYPE_RAW, 20);
  return header;
}

/**
 * One record: a UDP datagram with the message, truncated to fit in an IP packet. If one address is IPv6, the other is
 * written as IPv6 too. Anything that is not an IP address (from an application-supplied transport) becomes the
 * unspecified address.
 *
 * @param atMs - Wall clock.
 */
export function pcapRecord(
  atMs: number,
  from: LocalAddress,
  to: LocalAddress,
  message: Uint8Array,
): Buffer {
  const six = isIPv6(from.address) || isIPv6(to.address);
  const ipBytes = six ? 40 : 20;
  const payload = message.subarray(0, MAX_PACKET_BYTES - ipBytes - UDP_HEADER_BYTES);
  const udpBytes = UDP_HEADER_BYTES + payload.length;
  const record = Buffer.alloc(16 + ipBytes + udpBytes);
  record.writeUInt32LE(Math.floor(atMs / 1000), 0);
  record.writeUInt32LE(Math.floor((atMs % 1000) * 1000), 4);
  record.writeUInt32LE(ipBytes + udpBytes, 8);
  record.writeUInt32LE(ipBytes + udpBytes, 12);
  const ip = record.subarray(16);
  const addresses = Buffer.concat([octetsOf(from.address, six), octetsOf(to.address, six)]);
  if (six) {
    ip.writeUInt32BE(0x6000_0000, 0);
    ip.writeUInt16BE(udpBytes, 4);
    ip[6] = UDP;
    ip[7] = HOP_LIMIT;
    addresses.copy(ip, 8);
  } else {
    ip[0] = 0x45;
    ip.writeUInt16BE(ipBytes + udpBytes, 2);
    ip[8] = HOP_LIMIT;
    ip[9] = UDP;
    addresses.copy(ip, 12);
    ip.writeUInt16BE(checksum(ip.subarray(0, 20)), 10);
  }
  const udp = ip.subarray(ipBytes);
  udp.writeUInt16BE(from.port, 0);
  udp.writeUInt16BE(to.port, 2);
  udp.writeUInt16BE(udpBytes, 4);
  udp.set(payload, UDP_HEADER_BYTES);
  const pseudo = Buffer.alloc(8);
  pseudo.writeUInt32BE(udpBytes, 0);
  pseudo.writeUInt32BE(UDP, 4);
  // RFC 768: a checksum of zero would mean that there is none.
  udp.writeUInt16BE(checksum(Buffer.concat([addresses, pseudo, udp])) || 0xffff, 6);
  return record;
}

/** RFC 1071. */
function checksum(octets: Buffer): number {
  let sum = 0;
  for (let at = 0; at + 1 < octets.length; at += 2) sum += octets.readUInt16BE(at);
  if (octets.length % 2 === 1) sum += (octets[octets.length - 1] ?? 0) << 8;
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

function octetsOf(address: string, six: boolean): Buffer {
  const bare = isIP(address) === 0 ? '0.0.0.0' : (address.split('%')[0] ?? '');
  if (!bare.includes(':')) {
    const four = Buffer.from(bare.split('.').map(Number));
    // RFC 4291 §2.5.5.2
    return six ? Buffer.concat([Buffer.alloc(10), Buffer.from([0xff, 0xff]), four]) : four;
  }
  // The URL parser normalizes IPv6: no IPv4 part, lower case, longest run of zeros elided.
  const [left = '', right] = new URL(`sip://[${bare}]`).hostname.slice(1, -1).split('::');
  const wordsOf = (text: string | undefined): number[] =>
    text ? text.split(':').map((word) => Number.parseInt(word, 16)) : [];
  const [before, after] = [wordsOf(left), wordsOf(right)];
  const zeros = Array.from({ length: Math.max(0, 8 - before.length - after.length) }, () => 0);
  const octets = Buffer.alloc(16);
  for (const [at, word] of [...before, ...zeros, ...after].slice(0, 8).entries()) {
    octets.writeUInt16BE(word, at * 2);
  }
  return octets;
}
