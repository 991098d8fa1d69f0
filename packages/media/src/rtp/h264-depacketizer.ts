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
  /** An FU-A that continues nothing: the beginning of its NAL unit may be missing. */
  | 'h264-fu-no-start'
  /** A fragment of another NAL type than its start. */
  | 'h264-fu-type'
  /** An FU-A without FU header. */
  | 'h264-fu-short'
  /** A size in a STAP-A that does not fit. */
  | 'h264-stap-length'
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

/** A NAL unit that was left out; nothing else is missing. */
export interface H264LeftOut {
  /** `h264-nal-type`: types 0 and 14–31, see {@link H264Depacketizer}; `h264-interleaved`: STAP-B, MTAP, FU-B, never offered. */
  readonly leftOut: 'h264-nal-type' | 'h264-interleaved';
}

/** What an {@link H264Depacketizer} returns. */
export type H264Unit = H264AccessUnit | H264ParameterSet | H264LeftOut | H264Fault;

/** The last NAL unit type of streams without extensions (H.264 table 7-1): from 14 on, decoders of such streams ignore them. */
const LAST_BASE_TYPE = 13;
const UNKNOWN_TYPE: H264LeftOut = { leftOut: 'h264-nal-type' };
const INTERLEAVED: H264LeftOut = { leftOut: 'h264-interleaved' };
/** H.264 annex B. */
const START_CODE = Buffer.from([0, 0, 1]);
/** After markers on parameter sets alone, so many pictures of several packets with one marker at their end prove the marker. */
const PROVEN_MARKERS = 3;
/** So long may the slices of one picture be apart, where its marker is in doubt. */
const DOUBT_MS = 30;

/**
 * An access unit ends at the marker or, for devices that forget it, at the next timestamp. The marker is a hint (RFC 6184
 * §5.1): once it was seen before the end of an access unit, only timestamps count. NAL units come out
 * exactly as sent and in order, including delimiters (9), SEI and filler (12); a container may leave those out.
 * Types 0 and 14–31 are left out: unknown, reserved, or of scalable layers, which nobody negotiated.
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
  /** Packets of the access unit being assembled, and whether one of them, not the last, had a marker. */
  #packetCount = 0;
  #hadMarker = false;
  /** The marker was seen too early, but only on parameter sets: pictures that speak for it. Undefined: not in doubt. */
  #provenMarkers: number | undefined;
  /** Nothing is missing since the end of a NAL unit: the next packet begins another. */
  #atBoundary = false;
  /** The current packet has a NAL unit that is left out. */
  #leavesOut = false;

  push(packet: RtpPacket): readonly H264Unit[] {
    this.#units.begin();
    this.#leavesOut = false;
    const { rtpTimestamp } = packet;
    this.#follow(packet, rtpTimestamp);
    if (this.#inUnit && rtpTimestamp !== this.#timestamp) this.#endAtTimestamp();
    else if (this.#hadMarker) this.#noteEarlyMarker();
    this.#inUnit = true;
    this.#timestamp = rtpTimestamp;
    this.#lastArrivalMs = packet.arrivalMs;
    this.#packetCount++;
    this.#hadMarker = packet.marker;
    // An empty payload (padding, keep-alive) carries nothing, but its marker may.
    if (!this.#skipping && packet.payload.length > 0) this.#pushPayload(packet.payload);
    if (packet.marker) this.#endAtMarker();
    return this.#units.units;
  }

  skip(packet: RtpPacket): readonly H264Unit[] {
    this.#units.begin();
    if (this.#started) this.#follow(packet, this.#timestamp);
    return this.#units.units;
  }

  /**
   * Ends a picture whose marker is in doubt, when nothing has followed it for 30 ms. Call it about every 20 ms.
   * @returns what that completes, as `push`.
   */
  expire(nowMs: number): readonly H264Unit[] {
    this.#units.begin();
    const isHeld = this.#hadMarker && this.#hasPicture && !this.#inFragments;
    if (isHeld && !this.#markerMisplaced && nowMs - this.#lastArrivalMs >= DOUBT_MS)
      this.#emitAtMarker();
    return this.#units.units;
  }

  /** Notices what is missing before this packet. */
  #follow(packet: RtpPacket, rtpTimestamp: number): void {
    if (packet.sequenceNumber !== this.#expected || packet.ssrc !== this.#ssrc) {
      if (this.#started) this.#noteLoss(rtpTimestamp);
      this.#started = true;
      this.#ssrc = packet.ssrc;
    }
    this.#expected = (packet.sequenceNumber + 1) & 0xffff;
  }

  reset(): void {
    this.#units.clear();
    this.#started = false;
    this.#clearUnit();
    this.#inUnit = false;
    this.#skipping = false;
    this.#headSuspect = true;
    this.#endedByMarkerAt = -1;
    this.#atBoundary = false;
  }

  #pushPayload(payload: Uint8Array): void {
    const type = payload[0]! & 0x1f;
    if (type === 28) {
      this.#pushFragment(payload);
      return;
    }
    // Seen in: phones that never set the E bit. With no packet missing, the next NAL unit ends the former.
    if (this.#inFragments) this.#joinFragments();
    this.#atBoundary = true;
    if (type === 24) this.#pushAggregate(payload);
    // Seen in: Lync, whose STAP-A and single NAL units go with PACSI (30); nothing of an interleaved packet is legible to us.
    else if (type >= 25 && type <= 29) this.#leaveOut(INTERLEAVED);
    else this.#addUnit(payload);
  }

  /** RFC 6184 §5.7.1: `| STAP-A header | size (16) | NAL unit | size (16) | NAL unit | …` */
  #pushAggregate(payload: Uint8Array): void {
    const end = payload.length;
    for (let at = 1; at < end && !this.#skipping; ) {
      const from = at + 2;
      const size = (payload[at]! << 8) | (payload[at + 1] ?? 0);
      at = from + size;
      // Seen in: encoders that fill the packet up with zeros: empty NAL units, and half a size at the end.
      if (size === 0) continue;
      if (at > end) {
        this.#break('h264-stap-length');
        return;
      }
      this.#addUnit(payload.subarray(from, at));
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
      if (this.#inFragments) this.#joinFragments();
      if (this.#skipping) return;
      this.#beginFragments(nalHeader);
    } else if (!this.#inFragments) {
      // No packet is missing, so this is the first fragment, whatever its S bit says.
      if (!this.#atBoundary) {
        this.#break('h264-fu-no-start');
        return;
      }
      this.#beginFragments(nalHeader);
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

  #beginFragments(nalHeader: number): void {
    this.#inFragments = true;
    this.#fragmentHeader = nalHeader;
    this.#fragmentBytes = 1;
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
    this.#atBoundary = true;
    this.#addUnit(nal);
  }

  /**
   * What a packet, an aggregate or fragments hold: a NAL unit, which contains no start code (H.264 §7.4.1). Seen in: cheap cameras
   * that send several NAL units with start codes in between as one.
   */
  #addUnit(unit: Uint8Array): void {
    let code = Buffer.prototype.indexOf.call(unit, START_CODE);
    if (code < 0) {
      this.#addNal(unit);
      return;
    }
    this.#joined = undefined;
    let from = 0;
    while (!this.#skipping) {
      // Zeros before a start code belong to it (annex B, trailing_zero_8bits and zero_byte).
      let end = code < 0 ? unit.length : code;
      while (end > from && unit[end - 1] === 0) end--;
      if (end > from) this.#addNal(unit.subarray(from, end));
      if (code < 0) return;
      from = code + START_CODE.length;
      code = Buffer.prototype.indexOf.call(unit, START_CODE, from);
    }
  }

  #addNal(nal: Uint8Array): void {
    const type = nalType(nal);
    if (type === 0 || type > LAST_BASE_TYPE) {
      // Seen in: Polycom and Lync, which send PACSI (30) before each picture; scalable layers (14, 15, 20) of video bridges.
      if (this.#joined === nal) this.#joined = undefined;
      this.#leaveOut(UNKNOWN_TYPE);
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
    this.#atBoundary = false;
    this.#hadMarker = false;
    this.#inUnit = this.#skipping;
    this.#units.add('h264-loss');
  }

  /**
   * The packet before had a marker, and the access unit goes on. Seen in: phones that mark every fragment or every NAL unit, so
   * that only timestamps end their pictures. Where that was a parameter set, the marker may yet end pictures rightly.
   */
  #noteEarlyMarker(): void {
    this.#hadMarker = false;
    if (this.#inFragments || this.#hasPicture) this.#markerMisplaced = true;
    else if (this.#bytes > 0) this.#provenMarkers ??= 0;
    this.#packetCount = Number.NEGATIVE_INFINITY;
  }

  #endAtTimestamp(): void {
    // Seen in: phones that never set the E bit. With no packet missing, the next timestamp ends the NAL unit.
    if (this.#inFragments) this.#joinFragments();
    if (this.#skipping) this.#skipping = false;
    else if (this.#hasPicture) {
      if (this.#provenMarkers !== undefined && this.#hadMarker && this.#packetCount > 1)
        this.#provenMarkers++;
      this.#emit();
    }
    this.#atBoundary = true;
    this.#packetCount = 0;
    this.#hadMarker = false;
  }

  #endAtMarker(): void {
    // Seen in: phones that mark every fragment. Only the E bit, or what follows, ends a NAL unit.
    if (this.#inFragments || this.#markerMisplaced) return;
    if (this.#skipping) {
      this.#skipping = false;
      this.#inUnit = false;
    } else if (this.#hasPicture) {
      if (this.#provenMarkers !== undefined && this.#provenMarkers < PROVEN_MARKERS) return;
      this.#emitAtMarker();
    }
    if (!this.#inUnit) {
      this.#packetCount = 0;
      this.#hadMarker = false;
    }
  }

  #emitAtMarker(): void {
    this.#emit();
    this.#inUnit = false;
    this.#atBoundary = true;
    this.#endedByMarkerAt = this.#timestamp;
    this.#packetCount = 0;
    this.#hadMarker = false;
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

  /** Reports that a NAL unit is left out, once for a packet. */
  #leaveOut(unit: H264LeftOut): void {
    if (this.#leavesOut) return;
    this.#leavesOut = true;
    this.#units.add(unit);
  }

  #break(fault: H264Fault): void {
    this.#clearUnit();
    this.#skipping = true;
    this.#atBoundary = false;
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
