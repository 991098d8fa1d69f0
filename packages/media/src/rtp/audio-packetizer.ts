// Audio that we send: silence, played sound and telephone events on one RTP line, one step per 20 ms.

import { AUDIO_CODECS } from '../codec/codec.ts';
import type { AudioCodec } from '../codec/codec.ts';
import type { DtmfSequence } from './dtmf.ts';
import { encodeRtp } from './rtp.ts';
import { audioSilence } from '../codec/silence.ts';
import type { SoundSource } from '../codec/sound-source.ts';

const STEPS_PER_SECOND = 50;
const DEFAULT_CLOCK_RATE_HZ = 8000;
const EMPTY = new Uint8Array(0);

/** Options of an {@link AudioPacketizer}. */
export interface AudioPacketizerOptions {
  /** u32. */
  readonly ssrc: number;
  /** u16; random by RFC 3550 §5.1. */
  readonly firstSequenceNumber: number;
  /** u32; random. */
  readonly firstTimestamp: number;
}

/** What the line carries; may change during a call. */
export interface AudioLine {
  /** Sound and silence are sent with this codec; undefined: only events. */
  readonly codec?: AudioCodec;
  readonly payloadType?: number;
  /** Telephone events can be sent. */
  readonly eventPayloadType?: number;
  /** RTP clock of the events, from their rtpmap: the unit of durations. Default: the codec's clock, else 8000. */
  readonly eventClockRateHz?: number;
}

/**
 * One SSRC, one sequence, one line of timestamps in the clock of the codec. Call `step` once per 20 ms; it
 * keeps no clock.
 */
export class AudioPacketizer {
  readonly #ssrc: number;
  #line: AudioLine = {};
  #clockRateHz = DEFAULT_CLOCK_RATE_HZ;
  #sequenceNumber: number;
  #timestamp: number;
  #sequence: DtmfSequence | undefined;
  /** Timestamp of the beginning of the current tone. */
  #eventTimestamp = 0;
  #source: SoundSource | undefined;
  #talking = false;
  #packets = 0;
  #octets = 0;

  constructor(options: AudioPacketizerOptions) {
    this.#ssrc = options.ssrc;
    this.#sequenceNumber = options.firstSequenceNumber & 0xffff;
    this.#timestamp = options.firstTimestamp >>> 0;
  }

  /** RTP packets sent, for sender reports. */
  get packetCount(): number {
    return this.#packets;
  }

  /** Payload octets sent, for sender reports. */
  get octetCount(): number {
    return this.#octets;
  }

  /** u32: timestamp of the next step. */
  get rtpTimestamp(): number {
    return this.#timestamp;
  }

  /** Current RTP clock of the line. */
  get clockRateHz(): number {
    return this.#clockRateHz;
  }

  /** False while a DTMF sequence is being sent. */
  get idle(): boolean {
    return this.#sequence === undefined;
  }

  /** Sets what is sent from the next step on. A playing source must use the new codec: replace it, too. */
  use(line: AudioLine): void {
    this.#line = line;
    const { codec, eventClockRateHz = DEFAULT_CLOCK_RATE_HZ } = line;
    // Same SSRC: the timestamps continue from where they are, at the new pace.
    this.#clockRateHz = codec === undefined ? eventClockRateHz : AUDIO_CODECS[codec].clockRateHz;
  }

  /** Starts to send digits instead of sound. Call it when `idle`; otherwise it replaces the current digits. */
  sendDigits(sequence: DtmfSequence): void {
    this.#sequence = sequence;
  }

  /**
   * Plays this instead of silence, from the next step on; undefined: silence again. Takes over the source: it
   * is closed when it has ended or is replaced. Digits do not pause it, so that live sound stays live.
   */
  play(source: SoundSource | undefined): void {
    if (source !== this.#source) this.#source?.close();
    this.#source = source;
  }

  /** Advances by 20 ms: the datagram to send, or undefined when this step is silent on the wire. */
  step(): Buffer | undefined {
    const now = this.#timestamp;
    this.#timestamp = (now + this.#clockRateHz / STEPS_PER_SECOND) % 2 ** 32;
    const sound = this.#readSound();
    const { codec, payloadType, eventPayloadType } = this.#line;
    if (this.#sequence !== undefined) {
      const eventClockRateHz = this.#line.eventClockRateHz ?? this.#clockRateHz;
      const event = this.#sequence.next(eventClockRateHz);
      if (this.#sequence.done) this.#sequence = undefined;
      if (event?.marker) this.#eventTimestamp = now;
      if (event !== undefined && eventPayloadType !== undefined) {
        this.#talking = false;
        // RFC 4733 §2.2.1: all packets of an event carry the timestamp of its beginning, on the sound's timeline. Skipped
        // time does not change it: that would be another event, and the digit would be heard twice.
        const segment = Math.round((event.segmentTicks * this.#clockRateHz) / eventClockRateHz);
        const begin = this.#eventTimestamp + segment;
        return this.#encode(eventPayloadType, event.marker, begin, event.payload);
      }
    }
    if (codec === undefined || payloadType === undefined) {
      this.#talking = false;
      return undefined;
    }
    // RFC 3551 §4.1: the marker begins a talkspurt.
    const marker = !this.#talking;
    this.#talking = true;
    return this.#encode(payloadType, marker, now, sound ?? audioSilence(codec));
  }

  /** Lets time pass without packets: after a stall, missed steps are not sent late. */
  skip(steps: number): void {
    const ticks = (steps * this.#clockRateHz) / STEPS_PER_SECOND;
    this.#timestamp = (this.#timestamp + ticks) % 2 ** 32;
    this.#talking = false;
  }

  /**
   * RFC 6263 §4.6: a packet without payload, of a type that was not negotiated, in the sequence and with the timestamp
   * that audio would have now.
   */
  keepAlive(payloadType: number): Buffer {
    return this.#encode(payloadType, false, this.#timestamp, EMPTY);
  }

  #readSound(): Uint8Array | undefined {
    const source = this.#source;
    if (source === undefined) return undefined;
    const sound = source.read();
    if (sound === undefined && source.ended) this.play(undefined);
    return sound;
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
