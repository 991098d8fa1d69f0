// Black H.264 pictures for a peer that insists on video: RFC 6184 §5.6, single NAL unit packets.

import { BLACK_PICTURES, BLACK_PPS, BLACK_SPS } from '../codec/black-picture.ts';
import { encodeRtp } from './rtp.ts';

/** What is sent as video. */
export interface BlackVideoLine {
  /** 0–127, of an H.264 format with a Baseline profile. Packetization modes 0 and 1 look the same. */
  readonly payloadType: number;
  /** Time between two pictures. 100–5000 ms, default 500. */
  readonly intervalMs?: number;
}

/** Options of a {@link BlackVideo}. */
export interface BlackVideoOptions {
  /** u32. */
  readonly ssrc: number;
  /** u16; random by RFC 3550 §5.1. */
  readonly firstSequenceNumber: number;
  /** u32; random. */
  readonly firstTimestamp: number;
}

const EMPTY = new Uint8Array(0);
const TICKS_PER_MS = 90;
const DEFAULT_INTERVAL_MS = 500;
/** Repeated requests for key frames are not answered faster. */
const MIN_INTERVAL_MS = 100;

/** One SSRC, one sequence. Has no timer and no socket. */
export class BlackVideo {
  readonly #ssrc: number;
  readonly #firstTimestamp: number;
  #line: BlackVideoLine | undefined;
  #sequenceNumber: number;
  #zeroMs = Number.NaN;
  #lastMs = Number.NEGATIVE_INFINITY;
  #asked = false;
  #pictures = 0;
  #packets = 0;
  #octets = 0;

  constructor(options: BlackVideoOptions) {
    this.#ssrc = options.ssrc;
    this.#sequenceNumber = options.firstSequenceNumber & 0xffff;
    this.#firstTimestamp = options.firstTimestamp >>> 0;
  }

  /** RTP packets sent, for sender reports. */
  get packetCount(): number {
    return this.#packets;
  }

  /** Payload octets sent, for sender reports. */
  get octetCount(): number {
    return this.#octets;
  }

  /** Sets the line to send on from now on; undefined: send nothing. */
  use(line: BlackVideoLine | undefined): void {
    this.#line = line;
  }

  /** u32: RTP timestamp that corresponds to `nowMs`. */
  rtpTimestampAt(nowMs: number): number {
    if (Number.isNaN(this.#zeroMs)) this.#zeroMs = nowMs;
    return (this.#firstTimestamp + Math.round((nowMs - this.#zeroMs) * TICKS_PER_MS)) % 2 ** 32;
  }

  /** The peer requested a key frame: the next picture does not wait for its time. */
  requestKeyFrame(): void {
    this.#asked = true;
  }

  /** Hands the packets of a picture to `send` when one is due. */
  tick(nowMs: number, send: (datagram: Buffer) => void): void {
    const line = this.#line;
    if (line === undefined) return;
    const intervalMs = this.#asked ? MIN_INTERVAL_MS : (line.intervalMs ?? DEFAULT_INTERVAL_MS);
    if (nowMs - this.#lastMs < intervalMs) return;
    this.#lastMs = nowMs;
    this.#asked = false;
    const rtpTimestamp = this.rtpTimestampAt(nowMs);
    const picture = BLACK_PICTURES[this.#pictures++ % BLACK_PICTURES.length]!;
    send(this.#encode(line.payloadType, false, rtpTimestamp, BLACK_SPS));
    send(this.#encode(line.payloadType, false, rtpTimestamp, BLACK_PPS));
    // RFC 6184 §5.1: the marker is on the last packet of the access unit.
    send(this.#encode(line.payloadType, true, rtpTimestamp, picture));
  }

  /** RFC 6263 §4.6: a packet without payload, of a type that was not negotiated. */
  keepAlive(payloadType: number, nowMs: number): Buffer {
    return this.#encode(payloadType, false, this.rtpTimestampAt(nowMs), EMPTY);
  }

  #encode(payloadType: number, marker: boolean, rtpTimestamp: number, payload: Uint8Array): Buffer {
    const sequenceNumber = this.#sequenceNumber;
    this.#sequenceNumber = (sequenceNumber + 1) & 0xffff;
    this.#packets++;
    this.#octets += payload.length;
    const ssrc = this.#ssrc;
    return encodeRtp({ payloadType, marker, sequenceNumber, rtpTimestamp, ssrc, payload });
  }
}
