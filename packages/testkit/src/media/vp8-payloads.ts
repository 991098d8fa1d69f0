// VP8 frames as RTP payloads: RFC 7741 §4.2.

/** What stands in the payload descriptor of one frame's packets. Default: nothing that may be left out. */
export interface Vp8Descriptor {
  /** I: in 7 or 15 bits, see `pictureIdBits`. */
  readonly pictureId?: number;
  /** M: 7 or 15. Default 15. */
  readonly pictureIdBits?: 7 | 15;
  /** L: 0–255. */
  readonly tl0PicIdx?: number;
  /** T: 0–3. */
  readonly temporalId?: number;
  /** Y: depends on layer 0 alone. Default false. */
  readonly layerSync?: boolean;
  /** K: 0–31. */
  readonly keyIndex?: number;
  /** N: no later frame refers to it. Default false. */
  readonly nonReference?: boolean;
  /** No packet holds parts of both the first partition and what follows it, and PID tells which. Default false. */
  readonly byPartition?: boolean;
}

/**
 * The payloads of one frame, in order; the last one carries the marker.
 *
 * @param maxPayloadBytes - At least 7, the longest descriptor and one octet.
 */
export function packetizeVp8Frame(
  frame: Uint8Array,
  maxPayloadBytes: number,
  descriptor: Vp8Descriptor = {},
): Uint8Array[] {
  const head = formatDescriptor(descriptor);
  const room = maxPayloadBytes - head.length;
  const cut = descriptor.byPartition === true ? firstPartitionEnd(frame) : frame.length;
  const payloads: Uint8Array[] = [];
  for (const [from, to, partition] of [
    [0, cut, 0],
    [cut, frame.length, 1],
  ] as const) {
    for (let at = from; at < to; at += room) {
      const piece = frame.subarray(at, Math.min(at + room, to));
      const payload = new Uint8Array(head.length + piece.length);
      payload.set(head);
      payload[0] = head[0]! | (at === from ? 0x10 : 0) | partition;
      payload.set(piece, head.length);
      payloads.push(payload);
    }
  }
  return payloads;
}

/** `|X R N S R PID(3)|`, `|I L T K RSV(4)|`, `|M PictureID|`, `|TL0PICIDX|`, `|TID(2) Y KEYIDX(5)|`; S and PID are 0. */
function formatDescriptor(descriptor: Vp8Descriptor): number[] {
  const { pictureId, pictureIdBits = 15, tl0PicIdx, temporalId, keyIndex } = descriptor;
  const tail: number[] = [];
  let extension = 0;
  if (pictureId !== undefined) {
    extension |= 0x80;
    if (pictureIdBits === 7) tail.push(pictureId & 0x7f);
    else tail.push(0x80 | ((pictureId >> 8) & 0x7f), pictureId & 0xff);
  }
  if (tl0PicIdx !== undefined) {
    extension |= 0x40;
    tail.push(tl0PicIdx & 0xff);
  }
  if (temporalId !== undefined || keyIndex !== undefined) {
    if (temporalId !== undefined) extension |= 0x20;
    if (keyIndex !== undefined) extension |= 0x10;
    const sync = descriptor.layerSync === true ? 0x20 : 0;
    tail.push((((temporalId ?? 0) & 3) << 6) | sync | ((keyIndex ?? 0) & 0x1f));
  }
  const first = descriptor.nonReference === true ? 0x20 : 0;
  return extension === 0 ? [first] : [first | 0x80, extension, ...tail];
}

/** Behind the frame tag, whose size RFC 6386 §9.1 gives; at most the frame's end. */
function firstPartitionEnd(frame: Uint8Array): number {
  const tag = (frame[0] ?? 0) | ((frame[1] ?? 0) << 8) | ((frame[2] ?? 0) << 16);
  const tagBytes = (tag & 1) === 0 ? 10 : 3;
  return Math.min(tagBytes + (tag >>> 5), frame.length);
}

/** How a phone writes its descriptors. */
export interface Vp8Form {
  /** 0: none. Default 15, as browsers do. */
  readonly pictureIdBits?: 0 | 7 | 15;
  /** TL0PICIDX, TID and KEYIDX of a stream of one layer. Default false. */
  readonly layers?: boolean;
  /** As in {@link Vp8Descriptor}. Default false. */
  readonly byPartition?: boolean;
}

/** Numbers the frames of one stream. */
export class Vp8Packetizer {
  readonly #form: Vp8Form;
  #frames: number;
  #keyFrames = 0;

  /** @param firstPictureId - Default 0. */
  constructor(form: Vp8Form = {}, firstPictureId = 0) {
    this.#form = form;
    this.#frames = firstPictureId;
  }

  /** The payloads of the next frame, as {@link packetizeVp8Frame}. */
  packetize(frame: Uint8Array, isKeyFrame: boolean, maxPayloadBytes: number): Uint8Array[] {
    const { pictureIdBits = 15, layers = false, byPartition = false } = this.#form;
    if (isKeyFrame) this.#keyFrames++;
    const number = this.#frames++;
    return packetizeVp8Frame(frame, maxPayloadBytes, {
      byPartition,
      ...(pictureIdBits > 0 && { pictureId: number, pictureIdBits: pictureIdBits as 7 | 15 }),
      ...(layers && { tl0PicIdx: number, temporalId: 0, keyIndex: this.#keyFrames }),
    });
  }
}
