// What each stage of the media path costs alone: nanoseconds per RTP packet, frame, tag or write.

import { once } from 'node:events';
import { connect } from 'node:net';
import {
  AudioDepacketizer,
  ChunkWriter,
  decodeRtp,
  encodeRtp,
  FlvMuxer,
  H264Depacketizer,
  JitterBuffer,
} from '@sipcast/media/wire';
import type { FlvTag } from '@sipcast/media';
import type { AudioUnit, H264Unit, MediaFrame, RtpCodec, RtpPacket } from '@sipcast/media/wire';
import { Child } from './child.ts';
import type { SinkMethods } from './sink.ts';

/** Two megabytes: like a packet just read, they are in the processor's cache. */
const PACKETS = 2048;

const SPS = Buffer.from('6742c01eda0280bfe5c044000003000400000300c83c58ba80', 'hex');
const PPS = Buffer.from('68ce0fc8', 'hex');

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
function measure(
  name: string,
  unit: string,
  rounds: number,
  count: number,
  round: () => void,
): void {
  let best = Number.POSITIVE_INFINITY;
  let total = 0;
  for (let index = 0; index < rounds; index++) {
    const from = process.hrtime.bigint();
    round();
    const each = Number(process.hrtime.bigint() - from) / count;
    best = Math.min(best, each);
    total += each;
  }
  print(name, unit, best, total / rounds);
}

function print(name: string, unit: string, best: number, mean: number): void {
  console.log(
    `${name.padEnd(38)} ${best.toFixed(0).padStart(6)} ns/${unit.padEnd(6)}   mean ${mean.toFixed(0)}`,
  );
}

/** Prints the figures of all stages. */
export async function measureStages(rounds: number): Promise<void> {
  for (const kind of ['video', 'audio'] as const) measureMedium(kind, rounds);
  await measureWrites(rounds);
}

function measureMedium(kind: 'video' | 'audio', rounds: number): void {
  const types = new Map<number, RtpCodec>([[8, { codec: 'pcma', clockRateHz: 8000 }]]);
  const frames: MediaFrame[] = [];
  let seen = 0;
  const take = (): void => void seen++;
  const open = () => (kind === 'video' ? new H264Depacketizer() : new AudioDepacketizer(types));
  const isFrame = (unit: H264Unit | AudioUnit): unit is MediaFrame =>
    typeof unit === 'object' && 'codec' in unit;
  const datagrams = kind === 'video' ? videoDatagrams() : audioDatagrams();
  const packets = datagrams.map((datagram) => decodeRtp(datagram, 0) as RtpPacket);
  const perPacket = (name: string, round: () => void): void =>
    measure(`${kind}: ${name}`, 'packet', rounds, PACKETS, round);

  let kept: unknown;
  perPacket('decode', () => {
    for (const datagram of datagrams) kept = decodeRtp(datagram, 0);
  });
  if (kept === undefined) throw new Error('nothing was decoded');
  const idle = new JitterBuffer(take);
  perPacket('jitter buffer, in order', () => {
    idle.reset();
    for (const packet of packets) idle.push(packet);
  });
  const swapped = packets.map((_, index) => packets[index % 20 < 2 ? index ^ 1 : index]!);
  const busy = new JitterBuffer(take);
  perPacket('jitter buffer, 10 % swapped', () => {
    busy.reset();
    for (const packet of swapped) busy.push(packet);
  });
  const depacketizer = open();
  perPacket('depacketize', () => {
    depacketizer.reset();
    for (const packet of packets) seen += depacketizer.push(packet).length;
  });

  const collector = open();
  for (const packet of packets)
    for (const unit of collector.push(packet)) if (isFrame(unit)) frames.push(unit);
  const tags: FlvTag[] = [];
  const muxer = new FlvMuxer({ audioCodec: 'pcma', hasVideo: kind === 'video' }, (tag) => {
    if (tags.length < frames.length && (tag.role === 'audio' || tag.type === 9)) tags.push(tag);
    seen++;
  });
  muxer.setParameterSets([SPS, PPS]);
  measure(`${kind}: mux`, 'frame', rounds, frames.length, () => {
    for (const frame of frames) muxer.push(frame, 0);
  });
  const writer = new ChunkWriter();
  writer.setChunkSize(60_000);
  const pieces: Uint8Array[] = [];
  measure(`${kind}: chunk`, 'tag', rounds, tags.length, () => {
    for (const { type, timestampMs, body } of tags) {
      writer.write({ chunkStreamId: 4, type, streamId: 1, timestampMs, payload: body }, pieces);
      pieces.length = 0;
    }
  });

  const last = open();
  const jitter = new JitterBuffer((packet) => {
    for (const unit of last.push(packet)) if (isFrame(unit)) muxer.push(unit, 0);
  });
  perPacket('decode to mux, together', () => {
    jitter.reset();
    last.reset();
    for (const datagram of datagrams) jitter.push(decodeRtp(datagram, 0) as RtpPacket);
  });
  if (seen === 0 || tags.length === 0) throw new Error('nothing came out');
}

/** `socket.write` of what one picture and two audio tags make, to another process. */
async function measureWrites(rounds: number): Promise<void> {
  const sink = new Child<SinkMethods>('./sink.ts');
  const socket = connect(await sink.ask('discard'), '127.0.0.1');
  try {
    await once(socket, 'connect');
    socket.setNoDelay(true);
    const octets = Buffer.alloc(2850, 0x55);
    const writes = 20;
    let best = Number.POSITIVE_INFINITY;
    let total = 0;
    for (let round = 0; round < rounds; round++) {
      const from = process.hrtime.bigint();
      for (let index = 0; index < writes; index++) socket.write(octets);
      const each = Number(process.hrtime.bigint() - from) / writes;
      best = Math.min(best, each);
      total += each;
      await new Promise((resolve) => {
        setTimeout(resolve, 1);
      });
      if (socket.writableLength > 0) await once(socket, 'drain');
    }
    print('write, 2,850 octets', 'write', best, total / rounds);
  } finally {
    socket.destroy();
    await sink.stop();
  }
}
