// RTP packets that a test makes octet for octet, from the ports of a raw phone, and a call that shows what comes of them.

import { setTimeout as sleep } from 'node:timers/promises';
import { crc32 } from 'node:zlib';
import type { Call, CallGatewayOptions } from '@sipcast/core';
import type { FlvTag } from '@sipcast/media';
import { loadClip, packetizeAccessUnit } from '@sipcast/testkit';
import type { ClipAccessUnit, RtpPort } from '@sipcast/testkit';
import { BOTH, open } from './raw-calls.ts';
import { RawPhone } from './raw-phone.ts';
import type { RawMessage } from './raw-phone.ts';

/** One packet; the stream numbers it. */
export interface RawPacket {
  readonly payload: Uint8Array;
  readonly marker?: boolean;
  readonly payloadType?: number;
  readonly rtpTimestamp?: number;
  /** Default that of the stream. Each has a sequence of its own. */
  readonly ssrc?: number;
  /** Sets the padding bit; the octets are part of `payload`. */
  readonly padding?: boolean;
  /** CSRCs and a header extension as they stand in the packet, with the first octet's flags for them. */
  readonly extra?: { readonly flags: number; readonly octets: Uint8Array };
}

/** A source of RTP without a clock: a test says when and what. */
export class RawStream {
  readonly payloadType: number;
  readonly ssrc: number;
  readonly #from: RtpPort;
  readonly #toPort: number;
  readonly #next = new Map<number, number>();

  constructor(from: RtpPort, toPort: number, { payloadType = 112, ssrc = 0x11223344 } = {}) {
    this.#from = from;
    this.#toPort = toPort;
    this.payloadType = payloadType;
    this.ssrc = ssrc;
  }

  /** The packet, numbered, for a test that sends it itself. */
  encode(packet: RawPacket): Buffer {
    const { payload, marker = false, rtpTimestamp = 0, ssrc = this.ssrc, extra } = packet;
    const sequenceNumber = this.#next.get(ssrc) ?? 65_530;
    this.#next.set(ssrc, (sequenceNumber + 1) & 0xffff);
    const head = Buffer.alloc(12);
    head[0] = 0x80 | (packet.padding === true ? 0x20 : 0) | (extra?.flags ?? 0);
    head[1] = (marker ? 0x80 : 0) | (packet.payloadType ?? this.payloadType);
    head.writeUInt16BE(sequenceNumber, 2);
    head.writeUInt32BE(rtpTimestamp >>> 0, 4);
    head.writeUInt32BE(ssrc, 8);
    return Buffer.concat([head, extra?.octets ?? new Uint8Array(0), payload]);
  }

  send(packet: RawPacket, from = this.#from): void {
    from.sendRtp(this.encode(packet), this.#toPort, '127.0.0.1');
  }

  /** Sequence numbers that are never sent. */
  skip(count: number): void {
    this.#next.set(this.ssrc, ((this.#next.get(this.ssrc) ?? 65_530) + count) & 0xffff);
  }
}

/** A picture as an ordinary phone sends it. */
export const packetsOf = (unit: ClipAccessUnit): RawPacket[] =>
  packetizeAccessUnit(unit.nalus, 1, 1000).map((payload, index, all) => ({
    payload,
    marker: index === all.length - 1,
  }));

/** A slice as a short text. Zeros behind it are none of it (H.264 §7.4.1). */
export function sliceText(nal: Uint8Array): string {
  let end = nal.length;
  while (nal[end - 1] === 0) end--;
  return `${end}/${crc32(nal.subarray(0, end)).toString(16)}`;
}

/** Slices of a published picture as texts; none for parameter sets and sound. */
function slicesOf({ type, body }: FlvTag): string[] {
  const slices: string[] = [];
  if (type !== 9 || (body[0]! & 0x0f) !== 7 || body[1] !== 1) return slices;
  const view = Buffer.from(body.buffer, body.byteOffset, body.length);
  for (let at = 5; at + 4 < view.length; ) {
    const size = view.readUInt32BE(at);
    const nal = view.subarray(at + 4, at + 4 + size);
    if ((nal[0]! & 0x1f) <= 5) slices.push(sliceText(nal));
    at += 4 + size;
  }
  return slices;
}

/** The same of pictures as they were sent. */
export const slicesSent = (units: readonly ClipAccessUnit[]): string[] =>
  units.map(({ nalus }) =>
    nalus
      .filter((nal) => (nal[0]! & 0x1f) <= 5)
      .map(sliceText)
      .join(),
  );

/** A call whose media a test sends itself. */
export interface RawCall {
  readonly call: Call;
  readonly phone: RawPhone;
  readonly invite: RawMessage;
  /** What an output got that was there from the beginning. */
  readonly tags: readonly FlvTag[];
  /** When each of them came, by `performance.now()`. */
  readonly cameMs: readonly number[];
  /** The published pictures, as in {@link slicesSent}. */
  pictures(): string[];
  stream(kind: 'audio' | 'video', payloadType: number): RawStream;
}

/** A phone that answers with these m-sections, and sends nothing on its own. */
export async function rawCall(
  lines: readonly string[] = BOTH,
  options: CallGatewayOptions = {},
): Promise<RawCall> {
  const phone = await RawPhone.open();
  const gateway = await open(options);
  const call = await gateway.startup({ callee: phone.uri });
  const invite = await phone.request('INVITE');
  const tags: FlvTag[] = [];
  const cameMs: number[] = [];
  await phone.respondUntil(invite, '200 OK', 'ACK', { body: phone.sdp(...lines) });
  await call.established();
  const output = {
    push: (tag: FlvTag) => {
      tags.push(tag);
      cameMs.push(performance.now());
    },
  };
  call.stream.addOutput(output, { audio: 'passthrough', video: 'passthrough' });
  return {
    call,
    phone,
    invite,
    tags,
    cameMs,
    pictures: () => tags.map((tag) => slicesOf(tag).join()).filter((text) => text !== ''),
    stream: (kind, payloadType) => new RawStream(phone[kind], invite.port(kind), { payloadType }),
  };
}

/** Calls `each` for every picture of the clip from `first` on, `everyMs` apart by the wall clock. */
export async function paced(
  units: readonly ClipAccessUnit[],
  everyMs: number,
  each: (unit: ClipAccessUnit, index: number) => void,
): Promise<void> {
  const startMs = performance.now();
  for (const [index, unit] of units.entries()) {
    const waitMs = startMs + index * everyMs - performance.now();
    if (waitMs > 1) await sleep(waitMs);
    each(unit, index);
  }
}

/** Pictures of the clip, an IDR first. */
export const CLIP_PICTURES: readonly ClipAccessUnit[] = loadClip().video;
