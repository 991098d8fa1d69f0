// RFC 3551 §4.5.14: each packet of PCMA or PCMU is a frame. Telephone events (RFC 4733) go aside, comfort noise nowhere.

import type { Depacketizer, DepacketizerHandler, RtpCodec } from './depacketizer.ts';
import { DtmfDecoder } from './dtmf.ts';
import type { AudioFrame, RtpPacket } from './frame.ts';

/** Most octets of one audio packet: one second of G.711. */
export const MAX_AUDIO_PAYLOAD_BYTES = 8000;

/** Why audio is missing or was dropped. */
export type AudioFault =
  /** A gap in the sequence, or another SSRC. The frame that follows is whole. */
  | 'audio-loss'
  /** A payload larger than {@link MAX_AUDIO_PAYLOAD_BYTES}. */
  | 'audio-oversize'
  /** A telephone event that is cut short. */
  | 'dtmf-short';

/** As {@link DepacketizerHandler}, and digits. */
export interface AudioDepacketizerHandler extends DepacketizerHandler<AudioFrame, AudioFault> {
  /** A key was pressed: `0`–`9`, `*`, `#`, `A`–`D`. Once per key press, at its first packet. */
  onDigit?(digit: string): void;
}

/** Packets of unknown payload types are ignored: RtpSession counts and drops them before. */
export class AudioDepacketizer implements Depacketizer {
  readonly #payloadTypes: ReadonlyMap<number, RtpCodec>;
  readonly #handler: AudioDepacketizerHandler;
  readonly #dtmf = new DtmfDecoder();
  #started = false;
  #ssrc = 0;
  #expected = 0;

  /** @param payloadTypes as negotiated: payload type → codec. Not copied; may be changed by the owner. */
  constructor(payloadTypes: ReadonlyMap<number, RtpCodec>, handler: AudioDepacketizerHandler) {
    this.#payloadTypes = payloadTypes;
    this.#handler = handler;
  }

  push(packet: RtpPacket): void {
    if (this.#started && (packet.sequenceNumber !== this.#expected || packet.ssrc !== this.#ssrc)) {
      this.#handler.onBroken('audio-loss');
    }
    this.#started = true;
    this.#ssrc = packet.ssrc;
    this.#expected = (packet.sequenceNumber + 1) & 0xffff;
    const { payload } = packet;
    if (payload.length === 0) return;
    const codec = this.#payloadTypes.get(packet.payloadType)?.codec;
    if (codec === 'pcma' || codec === 'pcmu') {
      if (payload.length > MAX_AUDIO_PAYLOAD_BYTES) {
        this.#handler.onBroken('audio-oversize');
        return;
      }
      const { rtpTimestamp, arrivalMs } = packet;
      this.#handler.onFrame({ codec, payload, rtpTimestamp, arrivalMs });
    } else if (codec === 'telephone-event') {
      if (payload.length < 4) {
        this.#handler.onBroken('dtmf-short');
        return;
      }
      const digit = this.#dtmf.push(packet);
      if (digit !== undefined) this.#handler.onDigit?.(digit);
    }
  }

  reset(): void {
    this.#started = false;
    this.#dtmf.reset();
  }
}
