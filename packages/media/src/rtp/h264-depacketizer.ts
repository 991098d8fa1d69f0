// RFC 6184 packetization modes 0 and 1: single NAL unit, STAP-A, FU-A packets → access units, bit-exact.

import { UnitList } from './depacketizer.ts';
import type { Depacketizer } from './depacketizer.ts';
import { type H264AccessUnit, NAL_HEADROOM_BYTES, type RtpPacket } from '../codec/frame.ts';
import { beginsPicture, isPictureNal, NAL_TYPE, nalType } from '../codec/h264.ts';

/** Limit of octets in one access unit, all NAL units together. */
export const MAX_FRAME_BYTES = 4 * 1024 * 1024;
/** Limit of NAL units in one access unit. */
export const MAX_NALUS_PER_ACCESS_UNIT = 512;
/** Limit of FU-A packets of one NAL unit. */
export const MAX_FRAGMENTS_PER_NAL = 16_384;

/** Why an access unit was dropped. */
export type H264Fault =
  /** A gap in the sequence, or another SSRC. */
  | 'h264-loss'
  /** An FU-A that continues nothing. */
  | 'h264-fu-no-start'
  /** A fragmented NAL unit without its end. */
  | 'h264-fu-unfinished'
  /** A fragment of another NAL type than its start. */
  | 'h264-fu-type'
  /** An FU-A without FU header. */
  | 'h264-fu-short'
  /** A size in a STAP-A that does not fit. */
  | 'h264-stap-length'
  | 'h264-empty-nal'
  /** STAP-B, MTAP, FU-B: interleaved mode, never offered. */
  | 'h264-interleaved'
  /** NAL types 0, 30, 31, or a packet type inside an aggregate. */
  | 'h264-nal-type'
  | 'h264-forbidden-bit'
  /** A limit of this file was exceeded. */
  | 'h264-oversize'
  /** The device sets the marker on every slice; from now on only the timestamp ends its pictures. */
  | 'h264-marker-misplaced';

/**
 * An intact SPS or PPS as it arrives, even if its access unit is dropped later: some devices send them only once.
 * It is also part of its access unit.
 */
export interface H264ParameterSet {
  readonly parameterSet: Uint8Array;
}

/** What an {@link H264Depacketizer} returns. */
export type H264Unit = H264AccessUnit | H264ParameterSet | H264Fault;

/**
 * An access unit ends at the marker or, for devices that forget it, at the next timestamp. NAL units come out
 * exactly as sent and in order, including delimiters (9), SEI and filler (12); a container may leave those out.
 * NAL units before the first slice that end with a marker or timestamp of their own (SPS and PPS sent separately)
 * join the access unit that follows. An access unit with anything missing is dropped as a whole.
 */
export class H264Depacketizer implements Depacketizer<H264Unit> {
  /** What the current packet has completed. */
  readonly #units = new UnitList<H264Unit>();
  #started = false;
  #ssrc = 0;
  #expected = 0;
  /** The access unit being assembled. */
  #inUnit = false;
  #timestamp = 0;
  #lastArrivalMs = 0;
  #nalus: Uint8Array[] = [];
  #bytes = 0;
  #hasPicture = false;
  #isKeyFrame = false;
  /** The access unit is broken: ignore the rest of it. */
  #skipping = false;
  /** The first packets may be missing: the first slice must begin the picture. */
  #headSuspect = true;
  /** The NAL unit being joined from fragments. */
  #fragments: (Uint8Array | undefined)[] = [];
  #fragmentCount = 0;
  #fragmentBytes = 0;
  #fragmentHeader = 0;
  #inFragments = false;
  /** The latest NAL unit that was joined from fragments. */
  #joined: Uint8Array | undefined;
  #markerMisplaced = false;
  #endedByMarkerAt = -1;

  push(packet: RtpPacket): readonly H264Unit[] {
    this.#units.begin();
    const { rtpTimestamp } = packet;
    if (packet.sequenceNumber !== this.#expected || packet.ssrc !== this.#ssrc) {
      if (this.#started) this.#noteLoss(rtpTimestamp);
      this.#started = true;
      this.#ssrc = packet.ssrc;
    }
    this.#expected = (packet.sequenceNumber + 1) & 0xffff;
    if (this.#inUnit && rtpTimestamp !== this.#timestamp) this.#endAtTimestamp();
    this.#inUnit = true;
    this.#timestamp = rtpTimestamp;
    this.#lastArrivalMs = packet.arrivalMs;
    // An empty payload (padding, keep-alive) carries nothing, but its marker may.
    if (!this.#skipping && packet.payload.length > 0) this.#pushPayload(packet.payload);
    if (packet.marker && !this.#markerMisplaced) this.#endAtMarker();
    return this.#units.units;
  }

  reset(): void {
    this.#units.clear();
    this.#started = false;
    this.#clearUnit();
    this.#inUnit = false;
    this.#skipping = false;
    this.#headSuspect = true;
    this.#endedByMarkerAt = -1;
  }

  #pushPayload(payload: Uint8Array): void {
    const type = payload[0]! & 0x1f;
    if (type === 28) {
      this.#pushFragment(payload);
      return;
    }
    if (this.#inFragments) {
      this.#break('h264-fu-unfinished');
      return;
    }
    if (type >= 1 && type <= 23) this.#addNal(payload);
    else if (type === 24) this.#pushAggregate(payload);
    else if (type === 0 || type >= 30) this.#break('h264-nal-type');
    else this.#break('h264-interleaved');
  }

  /** RFC 6184 §5.7.1: `| STAP-A header | size (16) | NAL unit | size (16) | NAL unit | …` */
  #pushAggregate(payload: Uint8Array): void {
    const end = payload.length;
    if (end < 3) {
      this.#break('h264-stap-length');
      return;
    }
    for (let at = 1; at < end && !this.#skipping; ) {
      if (at + 2 > end) {
        this.#break('h264-stap-length');
        return;
      }
      const from = at + 2;
      const size = (payload[at]! << 8) | payload[at + 1]!;
      if (size === 0) {
        this.#break('h264-empty-nal');
        return;
      }
      at = from + size;
      if (at > end) {
        this.#break('h264-stap-length');
        return;
      }
      this.#addNal(payload.subarray(from, at));
    }
  }

  /** RFC 6184 §5.8: `| F NRI 28 | S E R type | fragment |` */
  #pushFragment(payload: Uint8Array): void {
    if (payload.length < 2) {
      this.#break('h264-fu-short');
      return;
    }
    const fuHeader = payload[1]!;
    const nalHeader = (payload[0]! & 0xe0) | (fuHeader & 0x1f);
    if ((fuHeader & 0x80) !== 0) {
      if (this.#inFragments) {
        this.#break('h264-fu-unfinished');
        return;
      }
      this.#inFragments = true;
      this.#fragmentHeader = nalHeader;
      this.#fragmentBytes = 1;
    } else if (!this.#inFragments) {
      this.#break('h264-fu-no-start');
      return;
    } else if (((nalHeader ^ this.#fragmentHeader) & 0x1f) !== 0) {
      this.#break('h264-fu-type');
      return;
    }
    if (payload.length > 2) {
      this.#fragments[this.#fragmentCount++] = payload;
      this.#fragmentBytes += payload.length - 2;
    }
    if (
      this.#bytes + this.#fragmentBytes > MAX_FRAME_BYTES ||
      this.#fragmentCount > MAX_FRAGMENTS_PER_NAL
    ) {
      this.#break('h264-oversize');
      return;
    }
    // Start and end in one packet violates §5.8, but loses nothing.
    if ((fuHeader & 0x40) !== 0) this.#joinFragments();
  }

  #joinFragments(): void {
    const bytes = this.#fragmentBytes;
    const { buffer } = Buffer.allocUnsafeSlow(NAL_HEADROOM_BYTES + bytes);
    const nal = new Uint8Array(buffer, NAL_HEADROOM_BYTES, bytes);
    // From the last to the first, each copied with its two header octets: the preceding fragment then overwrites
    // those. Spares a view per fragment.
    let at = bytes;
    for (let index = this.#fragmentCount - 1; index >= 0; index--) {
      const payload = this.#fragments[index]!;
      at -= payload.length - 2;
      if (at >= 2) nal.set(payload, at - 2);
      else nal.set(payload.subarray(2), at);
    }
    nal[0] = this.#fragmentHeader;
    this.#dropFragments();
    this.#joined = nal;
    this.#addNal(nal);
  }

  #addNal(nal: Uint8Array): void {
    const type = nalType(nal);
    if (type === 0 || type > 23) {
      this.#break('h264-nal-type');
      return;
    }
    if (nal[0]! >= 0x80) {
      this.#break('h264-forbidden-bit');
      return;
    }
    if (
      this.#nalus.length >= MAX_NALUS_PER_ACCESS_UNIT ||
      this.#bytes + nal.length > MAX_FRAME_BYTES
    ) {
      this.#break('h264-oversize');
      return;
    }
    if (isPictureNal(nal)) {
      if (!this.#acceptsPicture(nal)) return;
      this.#hasPicture = true;
      if (type === NAL_TYPE.idrSlice) this.#isKeyFrame = true;
    } else if (type === NAL_TYPE.sps || type === NAL_TYPE.pps) {
      this.#units.add({ parameterSet: nal });
    }
    this.#nalus.push(nal);
    this.#bytes += nal.length;
  }

  /** Is this slice the next of its picture? Parses it only where the packets alone do not prove it. */
  #acceptsPicture(nal: Uint8Array): boolean {
    if (this.#hasPicture) {
      if (this.#markerMisplaced && beginsPicture(nal)) this.#emit();
      return true;
    }
    if (beginsPicture(nal)) {
      this.#headSuspect = false;
      return true;
    }
    if (this.#headSuspect) {
      // The loss itself was reported when it was seen.
      this.#clearUnit();
      this.#skipping = true;
      return false;
    }
    if (this.#endedByMarkerAt === this.#timestamp) {
      this.#markerMisplaced = true;
      this.#break('h264-marker-misplaced');
      return false;
    }
    return true;
  }

  #noteLoss(rtpTimestamp: number): void {
    this.#clearUnit();
    this.#skipping = this.#inUnit && rtpTimestamp === this.#timestamp;
    this.#headSuspect = true;
    this.#inUnit = this.#skipping;
    this.#units.add('h264-loss');
  }

  #endAtTimestamp(): void {
    if (this.#inFragments) this.#break('h264-fu-unfinished');
    if (this.#skipping) this.#skipping = false;
    else if (this.#hasPicture) this.#emit();
  }

  #endAtMarker(): void {
    if (this.#inFragments) this.#break('h264-fu-unfinished');
    if (this.#skipping) {
      this.#skipping = false;
      this.#inUnit = false;
    } else if (this.#hasPicture) {
      this.#emit();
      this.#inUnit = false;
      this.#endedByMarkerAt = this.#timestamp;
    }
  }

  #emit(): void {
    const nalus = this.#nalus;
    const isKeyFrame = this.#isKeyFrame;
    const withHeadroom = this.#joined;
    this.#nalus = [];
    this.#clearUnit();
    this.#units.add({
      codec: 'h264',
      nalus,
      withHeadroom,
      isKeyFrame,
      rtpTimestamp: this.#timestamp,
      arrivalMs: this.#lastArrivalMs,
    });
  }

  #break(fault: H264Fault): void {
    this.#clearUnit();
    this.#skipping = true;
    this.#units.add(fault);
  }

  #clearUnit(): void {
    if (this.#nalus.length > 0) this.#nalus = [];
    this.#bytes = 0;
    this.#hasPicture = false;
    this.#isKeyFrame = false;
    this.#joined = undefined;
    this.#dropFragments();
  }

  #dropFragments(): void {
    // The list is kept for the next NAL unit, the packets are not.
    if (this.#fragmentCount > 0) this.#fragments.fill(undefined, 0, this.#fragmentCount);
    this.#fragmentCount = 0;
    this.#fragmentBytes = 0;
    this.#inFragments = false;
  }
}
