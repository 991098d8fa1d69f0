// ffmpeg's RTP packets as a pcap file that sipp can play: media that neither end of our own made.

import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { freeUdpPort } from './ports.ts';
import { run } from './programs.ts';

/** One datagram and when it came, in milliseconds. */
export interface CapturedDatagram {
  readonly atMs: number;
  readonly bytes: Buffer;
}

/** Has ffmpeg send a file as RTP, in real time, and keeps the packets. */
export async function captureFfmpegRtp(
  inputArgs: readonly string[],
  outputArgs: readonly string[],
): Promise<CapturedDatagram[]> {
  // ffmpeg uses the port above for RTCP: nothing is there, and nothing needs to be.
  const socket = createSocket('udp4');
  socket.bind(await freeUdpPort(), '127.0.0.1');
  await once(socket, 'listening');
  socket.setRecvBufferSize(4 * 1024 * 1024);
  const packets: CapturedDatagram[] = [];
  socket.on('message', (bytes) => packets.push({ atMs: performance.now(), bytes }));
  const { port } = socket.address();
  await run('ffmpeg', [
    '-v',
    'error',
    '-re',
    ...inputArgs,
    ...outputArgs,
    '-f',
    'rtp',
    `rtp://127.0.0.1:${port}`,
  ]);
  socket.close();
  return packets;
}

/** Writes datagrams as a pcap file (Ethernet, IPv4, UDP). */
export function writePcap(path: string, packets: readonly CapturedDatagram[]): void {
  const header = Buffer.alloc(24);
  header.writeUInt32LE(0xa1b2c3d4, 0);
  header.writeUInt16LE(2, 4);
  header.writeUInt16LE(4, 6);
  header.writeUInt32LE(65_535, 16);
  header.writeUInt32LE(1, 20); // LINKTYPE_ETHERNET
  const parts: Buffer[] = [header];
  const firstMs = packets[0]?.atMs ?? 0;
  for (const { atMs, bytes } of packets) {
    const frame = Buffer.alloc(14 + 20 + 8);
    frame.writeUInt16BE(0x0800, 12);
    frame[14] = 0x45;
    frame.writeUInt16BE(28 + bytes.length, 16);
    frame[22] = 64;
    frame[23] = 17;
    frame.writeUInt32BE(0x7f000001, 26);
    frame.writeUInt32BE(0x7f000001, 30);
    frame.writeUInt16BE(6000, 34);
    frame.writeUInt16BE(6000, 36);
    frame.writeUInt16BE(8 + bytes.length, 38);
    const record = Buffer.alloc(16);
    const atUs = Math.round((atMs - firstMs) * 1000);
    record.writeUInt32LE(Math.floor(atUs / 1e6), 0);
    record.writeUInt32LE(atUs % 1e6, 4);
    record.writeUInt32LE(frame.length + bytes.length, 8);
    record.writeUInt32LE(frame.length + bytes.length, 12);
    parts.push(record, frame, bytes);
  }
  writeFileSync(path, Buffer.concat(parts));
}
