// Telephone events: RFC 4733 §2.3 and §2.5, in both directions, without a clock.

import { MediaError } from '../errors.ts';
import type { RtpPacket } from '../codec/frame.ts';

/** Event codes 0–15 in order (RFC 4733 §3.2). */
const DIGITS = '0123456789*#ABCD';
const STEPS_PER_SECOND = 50;
/** RFC 4733 §2.3.5: the largest value of its field. */
const MAX_DURATION_TICKS = 0xffff;
/** RFC 4733 §2.5.1.4: the last packet of an event is sent three times. */
const END_PACKETS = 3;

/** Options of a {@link DtmfSequence}. Times are rounded to 20 ms. */
export interface DtmfOptions {
  /** Length of each tone, 40–8000 ms. Default 160. */
  readonly durationMs?: number;
  /** Silence between two tones, 20–8000 ms. Default 80; at least 60 is used, for the repeated end packets. */
  readonly gapMs?: number;
  /** Length of a `,`. 20–60000 ms, default 2000. */
  readonly pauseMs?: number;
  /** Power in −dBm0, 0 (loud) – 63. Default 10. */
  readonly volume?: number;
}

/** What to send in one 20 ms step. */
export interface DtmfStep {
  /** Four octets of RFC 4733 §2.3 */
  readonly payload: Uint8Array;
  /** Set on the first packet of an event. */
  readonly marker: boolean;
  /**
   * Ticks from the event's beginning, the step with the marker, to that of this segment, whose RTP timestamp the packet carries:
   * 0 except for tones too long for one segment (RFC 4733 §2.5.1.3).
   */
  readonly segmentTicks: number;
}

/**
 * A string of digits as steps of 20 ms. Accepts `0`–`9`, `*`, `#`, `A`–`D` in either case, and `,` for a pause.
 */
export class DtmfSequence {
  readonly #digits: string;
  readonly #toneSteps: number;
  readonly #gapSteps: number;
  readonly #pauseSteps: number;
  readonly #volume: number;
  #index = 0;
  #step = 0;

  /** @throws MediaError INVALID_ARGUMENT naming `digits`, `durationMs`, `gapMs`, `pauseMs` or `volume`. */
  constructor(digits: string, options: DtmfOptions = {}) {
    const { durationMs = 160, gapMs = 80, pauseMs = 2000, volume = 10 } = options;
    if (!/^[0-9*#A-D,]{1,256}$/i.test(digits)) {
      throw new MediaError('INVALID_ARGUMENT', 'digits must be 1–256 of 0-9 * # A-D ,', {
        field: 'digits',
      });
    }
    requireRange('durationMs', durationMs, 40, 8000);
    requireRange('gapMs', gapMs, 20, 8000);
    requireRange('pauseMs', pauseMs, 20, 60_000);
    requireRange('volume', volume, 0, 63);
    this.#digits = digits.toUpperCase();
    this.#toneSteps = Math.round(durationMs / 20);
    this.#gapSteps = Math.max(END_PACKETS, Math.round(gapMs / 20));
    this.#pauseSteps = Math.round(pauseMs / 20);
    this.#volume = Math.round(volume);
  }

  /** True when every step has been taken, including the gap after the last digit. */
  get done(): boolean {
    return this.#index >= this.#digits.length;
  }

  /**
   * Advances by 20 ms: the packet of this step, or undefined for a step of silence.
   * @param clockRateHz - Clock of the payload type that carries it: 8000–48,000, a multiple of 50.
   */
  next(clockRateHz = 8000): DtmfStep | undefined {
    const digit = this.#digits[this.#index];
    if (digit === undefined) return undefined;
    const step = this.#step++;
    if (digit === ',') {
      if (this.#step >= this.#pauseSteps) this.#advance();
      return undefined;
    }
    if (this.#step >= this.#toneSteps + this.#gapSteps) this.#advance();
    // The tone's last step carries the first end packet; the gap begins with its repetitions.
    if (step >= this.#toneSteps + END_PACKETS - 1) return undefined;
    const stepTicks = clockRateHz / STEPS_PER_SECOND;
    const toneTicks = Math.min(step + 1, this.#toneSteps) * stepTicks;
    // RFC 4733 §2.5.1.3: a tone too long for the field continues as another segment, without marker; the last
    // packet of a segment has the longest duration and is not marked as an end.
    const segment = Math.floor(Math.max(0, toneTicks - stepTicks - 1) / MAX_DURATION_TICKS);
    const segmentTicks = toneTicks - segment * MAX_DURATION_TICKS;
    const isFull = step < this.#toneSteps && segmentTicks > MAX_DURATION_TICKS;
    const durationTicks = Math.min(segmentTicks, MAX_DURATION_TICKS);
    const end = step >= this.#toneSteps - 1 && !isFull;
    return {
      payload: Uint8Array.of(
        DIGITS.indexOf(digit),
        (end ? 0x80 : 0) | this.#volume,
        durationTicks >> 8,
        durationTicks & 0xff,
      ),
      marker: step === 0,
      segmentTicks: segment * MAX_DURATION_TICKS,
    };
  }

  #advance(): void {
    this.#index++;
    this.#step = 0;
  }
}

function requireRange(field: string, value: number, from: number, to: number): void {
  if (!(value >= from && value <= to)) {
    throw new MediaError('INVALID_ARGUMENT', `${field} must be ${from}–${to}`, { field });
  }
}

/** From one press of a key to the next: at least a tone and a pause of 40 ms each (ITU-T Q.24), less the jitter of stamps. */
const MIN_PRESS_MS = 60;

/** Finds key presses in telephone-event packets; one per event, however often its packets are repeated. */
export class DtmfDecoder {
  #ssrc = -1;
  #timestamp = -1;
  #event = -1;
  #durationTicks = 0;
  #ended = false;

  /**
   * @param clockRateHz - Clock of the payload type, 8000 by default.
   * @returns the digit if this is the first packet of its event; undefined for updates, repetitions,
   *   events beyond 15 (flash, fax tones) and payloads under 4 octets.
   */
  push(packet: RtpPacket, clockRateHz = 8000): string | undefined {
    const { payload, rtpTimestamp, ssrc } = packet;
    if (payload.length < 4) return undefined;
    const event = payload[0]!;
    const durationTicks = (payload[2]! << 8) | payload[3]!;
    const ended = (payload[1]! & 0x80) !== 0;
    if (event === this.#event && ssrc === this.#ssrc) {
      if (rtpTimestamp === this.#timestamp) {
        this.#note(rtpTimestamp, durationTicks, ended);
        return undefined;
      }
      // RFC 4733 §2.5.1.3: the next segment of one long tone.
      if (!packet.marker && rtpTimestamp === (this.#timestamp + MAX_DURATION_TICKS) % 2 ** 32) {
        this.#note(rtpTimestamp, durationTicks, ended);
        return undefined;
      }
      if (this.#continues(packet, { durationTicks, ended, clockRateHz })) {
        this.#note(rtpTimestamp, Math.max(durationTicks, this.#durationTicks), ended);
        return undefined;
      }
    }
    this.#ssrc = ssrc;
    this.#event = event;
    this.#note(rtpTimestamp, durationTicks, ended);
    return DIGITS[event];
  }

  /**
   * Seen in: gateways that stamp each packet of an event with the present time instead of its beginning (against RFC 4733
   * §2.2). Then either the duration grows with the timestamp, or the next packet follows sooner than a key can be pressed again.
   */
  #continues(
    { rtpTimestamp }: RtpPacket,
    event: {
      readonly durationTicks: number;
      readonly ended: boolean;
      readonly clockRateHz: number;
    },
  ): boolean {
    const aheadTicks = (rtpTimestamp - this.#timestamp) | 0;
    const aheadMs = (aheadTicks * 1000) / event.clockRateHz;
    if (aheadMs < 0) return aheadMs > -MIN_PRESS_MS;
    const grownTicks = event.durationTicks - this.#durationTicks;
    if (grownTicks < 0 || (this.#ended && !event.ended)) return false;
    const stepTicks = event.clockRateHz / STEPS_PER_SECOND;
    return (
      aheadMs < MIN_PRESS_MS || (grownTicks > 0 && Math.abs(aheadTicks - grownTicks) <= stepTicks)
    );
  }

  #note(rtpTimestamp: number, durationTicks: number, ended: boolean): void {
    this.#timestamp = rtpTimestamp;
    this.#durationTicks = durationTicks;
    this.#ended = ended;
  }

  /** Forgets the last event. */
  reset(): void {
    this.#timestamp = -1;
    this.#event = -1;
  }
}
