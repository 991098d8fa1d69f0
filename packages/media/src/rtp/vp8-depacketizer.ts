// RFC 7741: the payloads of VP8 packets → frames, bit-exact.

import { UnitList } from './depacketizer.ts';
import type { Depacketizer } from './depacketizer.ts';
import { MAX_FRAME_BYTES } from './h264-depacketizer.ts';
import type { RtpPacket, Vp8Frame } from '../codec/frame.ts';
import { isVp8KeyFrame, parseVp8FrameTag } from '../codec/vp8.ts';

/** Limit of packets of one frame. */
export const MAX_PACKETS_PER_VP8_FRAME = 16_384;

/** Why a frame was dropped. */
export type Vp8Fault =
  /** A gap in the sequence, or another SSRC. */
  | 'vp8-loss'
  /** A payload that ends within its descriptor or right after it. */
  | 'vp8-short'
  /** The first packet of a frame is not its beginning, although none is missing. */
  | 'vp8-no-start'
  /** A second beginning with the timestamp of an unfinished frame. */
  | 'vp8-restart'
  /** The frame has no valid frame tag (RFC 6386 §9.1). */
  | 'vp8-frame-tag'
  /** The device sets the marker on every packet; from now on only the timestamp ends its frames. */
  | 'vp8-marker-misplaced'
  /** A limit of this file was exceeded. */
  | 'vp8-oversize';

/** What a {@link Vp8Depacketizer} returns. */
export type Vp8Unit = Vp8Frame | Vp8Fault;

/**
 * A frame begins with the packet that begins partition 0, and ends at the marker or, for devices that forget it, at
 * the next timestamp. Once the marker was seen before the end of a frame, only timestamps count. Its partitions are joined in sequence order. A frame with anything missing is dropped
 * as a whole. PictureID and TL0PICIDX are skipped: a gap in the sequence already shows that something is missing, and
 * neither of them could show that nothing is.
 */
export class Vp8Depacketizer implements Depacketizer<Vp8Unit> {
  /** What the current packet has completed. */
  readonly #units = new UnitList<Vp8Unit>();
  #started = false;
  #ssrc = 0;
  #expected = 0;
  /** `skipped`: the rest of the frame is ignored. */
  #state: 'between' | 'inside' | 'skipped' = 'between';
  /** The beginning of the next frame may be missing; that has been reported. */
  #headSuspect = true;
  #timestamp = 0;
  #lastArrivalMs = 0;
  /** Payloads of the frame being assembled, and where the VP8 data begins in each. */
  readonly #payloads: (Uint8Array | undefined)[] = [];
  readonly #offsets: number[] = [];
  #count = 0;
  #bytes = 0;
  /** Timestamp of the frame that a marker ended last. */
  #endedByMarkerAt = -1;
  #markerMisplaced = false;

  push(packet: RtpPacket): readonly Vp8Unit[] {
    this.#units.begin();
    const { rtpTimestamp, payload } = packet;
    this.#follow(packet);
    if (this.#state !== 'between' && rtpTimestamp !== this.#timestamp) this.#end();
    this.#timestamp = rtpTimestamp;
    this.#lastArrivalMs = packet.arrivalMs;
    // An empty payload (padding, keep-alive) carries nothing, but its marker may.
    if (payload.length > 0 && this.#state !== 'skipped') this.#pushPayload(payload);
    if (packet.marker && this.#state !== 'between' && !this.#markerMisplaced) {
      this.#end();
      this.#endedByMarkerAt = rtpTimestamp;
    }
    return this.#units.units;
  }

  skip(packet: RtpPacket): readonly Vp8Unit[] {
    this.#units.begin();
    if (this.#started) this.#follow(packet);
    return this.#units.units;
  }

  /** Notices what is missing before this packet. */
  #follow(packet: RtpPacket): void {
    if (packet.sequenceNumber !== this.#expected || packet.ssrc !== this.#ssrc) {
      if (this.#started) this.#noteLoss();
      this.#started = true;
      this.#ssrc = packet.ssrc;
    }
    this.#expected = (packet.sequenceNumber + 1) & 0xffff;
  }

  reset(): void {
    this.#units.clear();
    this.#started = false;
    this.#clear();
    this.#state = 'between';
    this.#headSuspect = true;
    this.#endedByMarkerAt = -1;
  }

  #pushPayload(payload: Uint8Array): void {
    const offset = descriptorBytes(payload);
    if (offset >= payload.length) {
      this.#break('vp8-short');
      return;
    }
    // RFC 7741 §4.2: S with partition index 0 is the first packet of a frame.
    if ((payload[0]! & 0x17) === 0x10) {
      if (this.#state === 'inside') {
        this.#break('vp8-restart');
        return;
      }
      this.#state = 'inside';
      this.#headSuspect = false;
    } else if (this.#state === 'between') {
      if (this.#headSuspect) this.#state = 'skipped';
      else if (this.#endedByMarkerAt === this.#timestamp) {
        this.#markerMisplaced = true;
        this.#break('vp8-marker-misplaced');
      } else this.#break('vp8-no-start');
      return;
    }
    this.#bytes += payload.length - offset;
    if (this.#bytes > MAX_FRAME_BYTES || this.#count >= MAX_PACKETS_PER_VP8_FRAME) {
      this.#break('vp8-oversize');
      return;
    }
    this.#payloads[this.#count] = payload;
    this.#offsets[this.#count++] = offset;
  }

  #noteLoss(): void {
    this.#clear();
    this.#state = 'between';
    this.#headSuspect = true;
    this.#units.add('vp8-loss');
  }

  #end(): void {
    const whole = this.#state === 'inside';
    this.#state = 'between';
    this.#headSuspect = false;
    if (!whole) return;
    const payload = this.#join();
    this.#clear();
    if (parseVp8FrameTag(payload) === undefined) {
      this.#units.add('vp8-frame-tag');
      return;
    }
    this.#units.add({
      codec: 'vp8',
      payload,
      isKeyFrame: isVp8KeyFrame(payload),
      rtpTimestamp: this.#timestamp,
      arrivalMs: this.#lastArrivalMs,
    });
  }

  #join(): Uint8Array {
    if (this.#count === 1) return this.#payloads[0]!.subarray(this.#offsets[0]);
    // Not from Buffer's pool: the frame may be kept for long.
    const frame = new Uint8Array(Buffer.allocUnsafeSlow(this.#bytes).buffer);
    let at = 0;
    for (let index = 0; index < this.#count; index++) {
      const part = this.#payloads[index]!.subarray(this.#offsets[index]);
      frame.set(part, at);
      at += part.length;
    }
    return frame;
  }

  #break(fault: Vp8Fault): void {
    this.#clear();
    this.#state = 'skipped';
    this.#units.add(fault);
  }

  #clear(): void {
    // The lists are kept for the next frame, the packets are not.
    if (this.#count > 0) this.#payloads.fill(undefined, 0, this.#count);
    this.#count = 0;
    this.#bytes = 0;
  }
}

/**
 * Length of the payload descriptor (RFC 7741 §4.2), which may exceed the payload:
 * `|X R N S R PID(3)|`, with X `|I L T K RSV(4)|`, with I `|M PictureID(7)|` or, with M, 15 bits of it, with L
 * `|TL0PICIDX|`, with T or K `|TID(2) Y KEYIDX(5)|`.
 */
function descriptorBytes(payload: Uint8Array): number {
  if ((payload[0]! & 0x80) === 0) return 1;
  const extension = payload[1] ?? 0;
  let bytes = 2;
  if ((extension & 0x80) !== 0) bytes += ((payload[2] ?? 0) & 0x80) === 0 ? 1 : 2;
  if ((extension & 0x40) !== 0) bytes++;
  if ((extension & 0x30) !== 0) bytes++;
  return bytes;
}
