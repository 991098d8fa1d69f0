// Drives the audio that we send by the clock: silence and digits in steps of 20 ms, keep-alives.

import type { DtmfSequence } from './dtmf.ts';
import { MediaError } from '../errors.ts';
import {
  type AudioLine,
  AudioPacketizer,
  type AudioPacketizerOptions,
} from './audio-packetizer.ts';
import type { SoundSource } from '../codec/sound-source.ts';

const STEP_MS = 20;
/** After a stall of the process, at most this many steps of audio are sent late. */
const MAX_LATE_STEPS = 5;

interface QueuedDigits {
  readonly sequence: DtmfSequence;
  resolve(): void;
  reject(error: Error): void;
}

/** Advances an {@link AudioPacketizer}. Has no timer: call `tick`. */
export class OutgoingAudio {
  readonly #packetizer: AudioPacketizer;
  readonly #queue: QueuedDigits[] = [];
  #running: QueuedDigits | undefined;
  #nextStepMs = Number.NaN;

  constructor(options: AudioPacketizerOptions) {
    this.#packetizer = new AudioPacketizer(options);
  }

  /** RTP packets sent, for sender reports. */
  get packetCount(): number {
    return this.#packetizer.packetCount;
  }

  /** Payload octets sent, for sender reports. */
  get octetCount(): number {
    return this.#packetizer.octetCount;
  }

  /** What is sent from the next step on. */
  use(line: AudioLine): void {
    this.#packetizer.use(line);
  }

  /** See {@link AudioPacketizer.play}. */
  play(source: SoundSource | undefined): void {
    this.#packetizer.play(source);
  }

  /** u32: RTP timestamp that corresponds to `nowMs`. */
  rtpTimestampAt(nowMs: number): number {
    const aheadMs = Number.isNaN(this.#nextStepMs) ? 0 : this.#nextStepMs - nowMs;
    const aheadTicks = Math.round((aheadMs * this.#packetizer.clockRateHz) / 1000);
    return (this.#packetizer.rtpTimestamp - aheadTicks) >>> 0;
  }

  /** Queues digits. Resolves after the last tone; rejects when closed before that. */
  sendDigits(sequence: DtmfSequence): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#queue.push({ sequence, resolve, reject });
    });
  }

  /** Hands packets that are due to `send`: steps of 20 ms from the first call on, however the ticks are spaced. */
  tick(nowMs: number, send: (datagram: Buffer) => void): void {
    if (Number.isNaN(this.#nextStepMs)) this.#nextStepMs = nowMs;
    const behind = Math.floor((nowMs - this.#nextStepMs) / STEP_MS);
    if (behind > MAX_LATE_STEPS) {
      this.#packetizer.skip(behind);
      this.#nextStepMs += behind * STEP_MS;
    }
    // A tick may be slightly early; without this margin, the next one would send two packets at once.
    while (this.#nextStepMs <= nowMs + STEP_MS / 4) {
      this.#nextStepMs += STEP_MS;
      if (this.#packetizer.idle) this.#nextDigits();
      const datagram = this.#packetizer.step();
      if (datagram !== undefined) send(datagram);
    }
  }

  /** See {@link AudioPacketizer.keepAlive}. */
  keepAlive(payloadType: number): Buffer {
    return this.#packetizer.keepAlive(payloadType);
  }

  /** Closes the playing source, and rejects queued digits with MediaError CLOSED. */
  close(): void {
    this.#packetizer.play(undefined);
    const error = new MediaError('CLOSED', 'the session is closed');
    this.#running?.reject(error);
    for (const queued of this.#queue.splice(0)) queued.reject(error);
  }

  #nextDigits(): void {
    this.#running?.resolve();
    const next = this.#queue.shift();
    this.#running = next;
    if (next !== undefined) this.#packetizer.sendDigits(next.sequence);
  }
}
