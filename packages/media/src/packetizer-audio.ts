// Our own audio towards the peer: G.711 silence and telephone events on one RTP line, one step per 20 ms.

import type { DtmfSequence } from './dtmf.ts';
import type { G711Codec } from './codec.ts';
import { encodeRtp } from './rtp.ts';

/** Samples and octets of 20 ms of G.711. */
export const G711_STEP = 160;

const SILENCE: Readonly<Record<G711Codec, Uint8Array>> = {
  pcma: new Uint8Array(G711_STEP).fill(0xd5),
  pcmu: new Uint8Array(G711_STEP).fill(0xff),
};

/** 20 ms of digital silence (0xD5 A-law, 0xFF µ-law). Shared: not to be written to. */
export function g711Silence(codec: G711Codec): Uint8Array {
  return SILENCE[codec];
}

/** Options of an {@link AudioPacketizer}. */
export interface AudioPacketizerOptions {
  /** u32. */
  readonly ssrc: number;
  /** u16; random by RFC 3550 §5.1. */
  readonly firstSequenceNumber: number;
  /** u32; random. */
  readonly firstTimestamp: number;
}

/** What the line carries at present; can change in mid-call. */
export interface AudioLine {
  /** Silence is sent with this codec; undefined: only events. */
  readonly codec?: G711Codec;
  readonly payloadType?: number;
  /** Telephone events can be sent. */
  readonly eventPayloadType?: number;
}

/**
 * One SSRC, one sequence, one 8 kHz timestamp line. `step` is to be called once per 20 ms; it keeps no clock.
 */
export class AudioPacketizer {
  readonly #ssrc: number;
  #line: AudioLine = {};
  #sequenceNumber: number;
  #timestamp: number;
  #sequence: DtmfSequence | undefined;
  #talking = false;
  #packets = 0;
  #octets = 0;

  constructor(options: AudioPacketizerOptions) {
    this.#ssrc = options.ssrc;
    this.#sequenceNumber = options.firstSequenceNumber & 0xffff;
    this.#timestamp = options.firstTimestamp >>> 0;
  }

  /** RTP packets made, for sender reports. */
  get packetCount(): number {
    return this.#packets;
  }

  /** Payload octets made, for sender reports. */
  get octetCount(): number {
    return this.#octets;
  }

  /** u32: timestamp of the next step. */
  get rtpTimestamp(): number {
    return this.#timestamp;
  }

  /** False while a DTMF sequence is being sent. */
  get idle(): boolean {
    return this.#sequence === undefined;
  }

  /** Sets what is sent from the next step on. */
  use(line: AudioLine): void {
    this.#line = line;
  }

  /** Begins to send digits in place of silence. Only when `idle`; replaces what is running otherwise. */
  sendDigits(sequence: DtmfSequence): void {
    this.#sequence = sequence;
  }

  /** Advances by 20 ms: the datagram to send, or undefined when this step is silent on the wire. */
  step(): Buffer | undefined {
    const now = this.#timestamp;
    this.#timestamp = (now + G711_STEP) >>> 0;
    const { codec, payloadType, eventPayloadType } = this.#line;
    if (this.#sequence !== undefined) {
      const event = this.#sequence.next();
      if (this.#sequence.done) this.#sequence = undefined;
      if (event !== undefined && eventPayloadType !== undefined) {
        this.#talking = false;
        // RFC 4733 §2.2.1: all packets of an event carry the timestamp of its begin.
        return this.#encode(
          eventPayloadType,
          event.marker,
          now - event.sinceStartTicks,
          event.payload,
        );
      }
    }
    if (codec === undefined || payloadType === undefined) {
      this.#talking = false;
      return undefined;
    }
    // RFC 3551 §4.1: the marker begins a talkspurt.
    const marker = !this.#talking;
    this.#talking = true;
    return this.#encode(payloadType, marker, now, SILENCE[codec]);
  }

  /** Lets time pass without packets: after a stall, what was missed is not sent late. */
  skip(steps: number): void {
    this.#timestamp = (this.#timestamp + steps * G711_STEP) % 2 ** 32;
    this.#talking = false;
  }

  #encode(payloadType: number, marker: boolean, rtpTimestamp: number, payload: Uint8Array): Buffer {
    const sequenceNumber = this.#sequenceNumber;
    this.#sequenceNumber = (sequenceNumber + 1) & 0xffff;
    this.#packets++;
    this.#octets += payload.length;
    return encodeRtp({
      payloadType,
      marker,
      sequenceNumber,
      rtpTimestamp: rtpTimestamp >>> 0,
      ssrc: this.#ssrc,
      payload,
    });
  }
}
