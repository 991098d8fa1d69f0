// Nanoseconds per RTP packet for decode, jitter buffer and depacketizer, alone and together. Run with tsx.

import {
  AudioDepacketizer,
  decodeRtp,
  encodeRtp,
  H264Depacketizer,
  JitterBuffer,
} from '@sipcast/media';
import type { RtpCodec, RtpPacket } from '@sipcast/media';

const ROUNDS = 1000;
/** Two megabytes: like a packet just read, they are in the processor's cache. */
const PACKETS = 2048;

/** 25 fps at about 800 kbit/s: pictures of 4 packets of 1,000 octets, in FU-A. */
function videoDatagrams(): Buffer[] {
  return Array.from({ length: PACKETS }, (_, index) => {
    const place = index % 4;
    const payload = new Uint8Array(1000).fill(0x55);
    payload[0] = 0x7c;
    payload[1] = (place === 0 ? 0x80 : place === 3 ? 0x40 : 0) | (index % 512 < 4 ? 5 : 1);
    payload[2] = 0x88;
    return encodeRtp({
      payloadType: 112,
      marker: place === 3,
      sequenceNumber: index,
      rtpTimestamp: Math.floor(index / 4) * 3600,
      ssrc: 1,
      payload,
    });
  });
}

function audioDatagrams(): Buffer[] {
  const payload = new Uint8Array(160).fill(0xd5);
  return Array.from({ length: PACKETS }, (_, index) =>
    encodeRtp({
      payloadType: 8,
      marker: false,
      sequenceNumber: index,
      rtpTimestamp: index * 160,
      ssrc: 1,
      payload,
    }),
  );
}

/** Best of the rounds: what the code costs when nothing else runs. */
function measure(name: string, round: () => void): void {
  let best = Number.POSITIVE_INFINITY;
  let total = 0;
  for (let index = 0; index < ROUNDS; index++) {
    const from = process.hrtime.bigint();
    round();
    const perPacket = Number(process.hrtime.bigint() - from) / PACKETS;
    best = Math.min(best, perPacket);
    total += perPacket;
  }
  const mean = (total / ROUNDS).toFixed(0);
  console.log(`${name.padEnd(44)} ${best.toFixed(0).padStart(6)} ns/packet   mean ${mean}`);
}

let frames = 0;
const countFrame = (): void => void frames++;
const onBroken = (): void => {};
const types = new Map<number, RtpCodec>([[8, { codec: 'pcma', clockRateHz: 8000 }]]);

for (const kind of ['video', 'audio'] as const) {
  const datagrams = kind === 'video' ? videoDatagrams() : audioDatagrams();
  const packets = datagrams.map((datagram) => decodeRtp(datagram, 0) as RtpPacket);
  const open = () =>
    kind === 'video'
      ? new H264Depacketizer({ onFrame: countFrame, onBroken })
      : new AudioDepacketizer(types, { onFrame: countFrame, onBroken });

  let kept: unknown;
  measure(`${kind}: decodeRtp`, () => {
    for (const datagram of datagrams) kept = decodeRtp(datagram, 0);
  });
  if (kept === undefined) throw new Error('nothing was decoded');
  const idle = new JitterBuffer(countFrame);
  measure(`${kind}: jitter buffer, in order`, () => {
    idle.reset();
    for (const packet of packets) idle.push(packet);
  });
  const swapped = packets.map((_, index) => packets[index % 20 < 2 ? index ^ 1 : index]!);
  const busy = new JitterBuffer(countFrame);
  measure(`${kind}: jitter buffer, 10 % swapped`, () => {
    busy.reset();
    for (const packet of swapped) busy.push(packet);
  });
  const depacketizer = open();
  measure(`${kind}: depacketizer`, () => {
    depacketizer.reset();
    for (const packet of packets) depacketizer.push(packet);
  });
  const last = open();
  const jitter = new JitterBuffer((packet) => last.push(packet));
  measure(`${kind}: all three`, () => {
    jitter.reset();
    last.reset();
    for (const datagram of datagrams) jitter.push(decodeRtp(datagram, 0) as RtpPacket);
  });
}
if (frames === 0) throw new Error('no frame came out');
