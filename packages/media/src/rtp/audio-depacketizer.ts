// Audio payloads: G.711 and G.722 (RFC 3551 §4.5), Opus (RFC 7587), Speex (RFC 5574). Each packet is one frame, of any
// duration. Telephone events (RFC 4733) become digits, comfort noise (RFC 3389) is dropped.

import type { AudioCodec } from '../codec/codec.ts';
import { UnitList } from './depacketizer.ts';
import type { Depacketizer, RtpCodec } from './depacketizer.ts';
import { DtmfDecoder } from './dtmf.ts';
import type { AudioFrame, RtpPacket } from '../codec/frame.ts';
import { opusDurationMs } from '../codec/opus.ts';
import { countSpeexFrames, SPEEX_FRAME_MS } from '../codec/speex.ts';

/** Limit of octets in one audio packet: one second of G.711. */
export const MAX_AUDIO_PAYLOAD_BYTES = 8000;

const NO_CODEC = { codec: undefined, clockRateHz: 8000 } as const;

/** Octets per millisecond of G.711 and of G.722. */
const OCTETS_PER_MS = 8;

/** Why audio is missing or was dropped. */
export type AudioFault =
  /** A gap in the sequence, or another SSRC. The frame that follows is intact. */
  | 'audio-loss'
  /** A payload larger than {@link MAX_AUDIO_PAYLOAD_BYTES}. */
  | 'audio-oversize'
  /** Not an Opus packet by RFC 6716 §3.4. */
  | 'opus-malformed'
  /** A Speex packet that is truncated, or uses modes that do not exist. */
  | 'speex-malformed'
  /** A truncated telephone event. */
  | 'dtmf-short';

/** A key was pressed. Once per key press, at its first packet. */
export interface PressedKey {
  /** `0`–`9`, `*`, `#`, `A`–`D`. */
  readonly digit: string;
}

/** What an {@link AudioDepacketizer} returns. */
export type AudioUnit = AudioFrame | PressedKey | AudioFault;

/** Packets of unknown payload types are ignored: RtpSession has counted and dropped them. */
export class AudioDepacketizer implements Depacketizer<AudioUnit> {
  readonly #payloadTypes: ReadonlyMap<number, RtpCodec>;
  /** What the current packet has completed. */
  readonly #units = new UnitList<AudioUnit>();
  readonly #dtmf = new DtmfDecoder();
  #started = false;
  #ssrc = 0;
  #expected = 0;

  /** @param payloadTypes as negotiated: payload type → codec. Not copied; the caller may change it. */
  constructor(payloadTypes: ReadonlyMap<number, RtpCodec>) {
    this.#payloadTypes = payloadTypes;
  }

  push(packet: RtpPacket): readonly AudioUnit[] {
    this.skip(packet);
    if (packet.payload.length === 0) return this.#units.units;
    const { codec, clockRateHz } = this.#payloadTypes.get(packet.payloadType) ?? NO_CODEC;
    switch (codec) {
      case 'pcma':
      case 'pcmu':
      case 'g722':
      case 'opus':
      case 'speex-nb':
      case 'speex-wb':
        this.#pushSound(codec, packet);
        break;
      case 'telephone-event':
        this.#pushEvent(packet, clockRateHz);
        break;
      case 'comfort-noise':
      case 'h264':
      case 'vp8':
      case undefined:
        break;
    }
    return this.#units.units;
  }

  skip(packet: RtpPacket): readonly AudioUnit[] {
    this.#units.begin();
    if (this.#started && (packet.sequenceNumber !== this.#expected || packet.ssrc !== this.#ssrc)) {
      this.#units.add('audio-loss');
    }
    this.#started = true;
    this.#ssrc = packet.ssrc;
    this.#expected = (packet.sequenceNumber + 1) & 0xffff;
    return this.#units.units;
  }

  reset(): void {
    this.#units.clear();
    this.#started = false;
    this.#dtmf.reset();
  }

  #pushSound(codec: AudioCodec, packet: RtpPacket): void {
    const { payload, rtpTimestamp, arrivalMs } = packet;
    if (payload.length > MAX_AUDIO_PAYLOAD_BYTES) {
      this.#units.add('audio-oversize');
      return;
    }
    const durationMs = audioDurationMs(codec, payload);
    if (durationMs === undefined) {
      this.#units.add(codec === 'opus' ? 'opus-malformed' : 'speex-malformed');
    } else if (durationMs > 0) {
      this.#units.add({ codec, payload, durationMs, rtpTimestamp, arrivalMs });
    }
  }

  #pushEvent(packet: RtpPacket, clockRateHz: number): void {
    if (packet.payload.length < 4) {
      this.#units.add('dtmf-short');
      return;
    }
    const digit = this.#dtmf.push(packet, clockRateHz);
    if (digit !== undefined) this.#units.add({ digit });
  }
}

/** Duration of the sound in a payload, 0 for none (a Speex packet may be all padding); undefined when malformed. */
export function audioDurationMs(codec: AudioCodec, payload: Uint8Array): number | undefined {
  if (codec === 'opus') return opusDurationMs(payload);
  if (codec === 'speex-nb' || codec === 'speex-wb') {
    const frames = countSpeexFrames(payload);
    return frames === undefined ? undefined : frames * SPEEX_FRAME_MS;
  }
  return payload.length / OCTETS_PER_MS;
}
