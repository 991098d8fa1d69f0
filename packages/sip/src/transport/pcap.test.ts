import { describe, expect, it } from 'vitest';
import { pcapFileHeader, pcapRecord } from './pcap.ts';

/** The sum over a header that includes its own checksum is 0xffff (RFC 1071). */
function sumOf(octets: Buffer): number {
  let sum = 0;
  for (let at = 0; at < octets.length; at += 2)
    sum += ((octets[at] ?? 0) << 8) + (octets[at + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return sum;
}

describe('a capture', () => {
  it('begins with the raw IP file header', () => {
    expect(pcapFileHeader().toString('hex')).toBe(
      'd4c3b2a1020004000000000000000000ffff000065000000',
    );
  });

  it('contains IPv4 with correct lengths and checksums', () => {
    const from = { address: '192.0.2.1', port: 5060 };
    const to = { address: '198.51.100.7', port: 5080 };
    const record = pcapRecord(1_700_000_000_123, from, to, Buffer.from('abc'));
    expect(record.readUInt32LE(0)).toBe(1_700_000_000);
    expect(record.readUInt32LE(4)).toBe(123_000);
    expect(record.readUInt32LE(8)).toBe(31);
    const ip = record.subarray(16);
    expect(ip).toHaveLength(31);
    expect([...ip.subarray(12, 20)]).toEqual([192, 0, 2, 1, 198, 51, 100, 7]);
    expect(sumOf(ip.subarray(0, 20))).toBe(0xffff);
    const udp = ip.subarray(20);
    expect(sumOf(Buffer.concat([ip.subarray(12, 20), Buffer.from([0, 17, 0, 11]), udp]))).toBe(
      0xffff,
    );
    expect(udp.readUInt16BE(0)).toBe(5060);
    expect(udp.readUInt16BE(2)).toBe(5080);
  });

  it.each([
    ['2001:db8::5', '20010db8000000000000000000000005'],
    ['::1', '00000000000000000000000000000001'],
    ['fe80::1%eth0', 'fe800000000000000000000000000001'],
    ['::ffff:192.0.2.1', '00000000000000000000ffffc0000201'],
    ['192.0.2.1', '00000000000000000000ffffc0000201'],
    ['not-an-address', '00000000000000000000ffff00000000'],
    ['1:2:3:4:5:6:7:8', '00010002000300040005000600070008'],
    ['::', '00000000000000000000000000000000'],
  ])('writes %s as IPv6', (address, hex) => {
    const record = pcapRecord(
      0,
      { address, port: 1 },
      { address: '2001:db8::1', port: 2 },
      Buffer.from('x'),
    );
    expect(record.subarray(16 + 8, 16 + 24).toString('hex')).toBe(hex);
  });

  it('truncates what does not fit in a packet', () => {
    const end = { address: '192.0.2.1', port: 1 };
    const record = pcapRecord(0, end, end, Buffer.alloc(70_000));
    expect(record).toHaveLength(16 + 65_535);
  });
});
