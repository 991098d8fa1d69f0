// Where the frames of a Speex packet begin and end (RFC 5574 §3; Speex manual, "bit packing").
//
//  frame: wideband(1)=0 mode(4) …  then at most two layers: wideband(1)=1 mode(3) …
//  modes 13 and 14 are messages in front of a frame, 15 ends the packet; the rest of the last octet is 0 1 1 1 …

/** Length of one frame. */
export const SPEEX_FRAME_MS = 20;
/** One second: no packet of a call is longer. */
export const MAX_SPEEX_FRAMES = 50;

/** Bits of a narrow-band frame by mode, the five of its head included. */
const NARROW_BITS: readonly number[] = [5, 43, 119, 160, 220, 300, 364, 492, 79];
/** Bits of a wide-band layer by mode, the four of its head included. */
const LAYER_BITS: readonly number[] = [4, 36, 112, 192, 352];
const MAX_LAYERS = 2;
const MODE_USER_MESSAGE = 13;
const MODE_MESSAGE = 14;
const MODE_TERMINATOR = 15;
const NO_FRAME = -1;
const MALFORMED = -2;

/**
 * Number of frames in a packet, narrow band or wide band; 0 when it holds none.
 * @returns undefined when it is truncated, uses a mode that does not exist, or has more than {@link MAX_SPEEX_FRAMES}.
 */
export function countSpeexFrames(packet: Uint8Array): number | undefined {
  let count = 0;
  for (let at = frameEnd(packet, 0); at !== NO_FRAME; at = frameEnd(packet, at)) {
    if (at === MALFORMED || ++count > MAX_SPEEX_FRAMES) return undefined;
  }
  return count;
}

/** The frames of a packet that {@link countSpeexFrames} can count, each as a packet of its own. */
export function splitSpeexFrames(packet: Uint8Array): Uint8Array[] {
  const frames: Uint8Array[] = [];
  let from = 0;
  for (let to = frameEnd(packet, 0); to > 0; to = frameEnd(packet, to)) {
    frames.push(copyBits(packet, from, to));
    from = to;
  }
  return frames;
}

/** The bit behind the frame that begins at a bit, messages in front of it included. */
function frameEnd(packet: Uint8Array, begin: number): number {
  const end = packet.length * 8;
  let at = begin;
  let mode = MODE_MESSAGE;
  while (mode >= MODE_USER_MESSAGE) {
    if (end - at < 5) return NO_FRAME;
    if (bits(packet, at, 1) === 1) return MALFORMED;
    mode = bits(packet, at + 1, 4);
    if (mode === MODE_TERMINATOR) return NO_FRAME;
    if (mode < MODE_USER_MESSAGE) break;
    if (end - at < 9) return MALFORMED;
    const argument = bits(packet, at + 5, 4);
    at += 9 + (mode === MODE_MESSAGE ? messageBits(argument) : 5 + 8 * argument);
    if (at > end) return MALFORMED;
  }
  const narrowBits = NARROW_BITS[mode];
  if (narrowBits === undefined) return MALFORMED;
  at += narrowBits;
  for (let layer = 0; layer < MAX_LAYERS && end - at >= 4; layer++) {
    if (bits(packet, at, 1) === 0) break;
    const layerBits = LAYER_BITS[bits(packet, at + 1, 3)];
    if (layerBits === undefined) return MALFORMED;
    at += layerBits;
  }
  return at > end ? MALFORMED : at;
}

/** Length of an in-band message by its code. */
function messageBits(code: number): number {
  if (code < 2) return 1;
  if (code < 8) return 4;
  return 8 << ((code - 8) >> 1);
}

/** Up to eight bits as a number, most significant first. All of them must be there. */
function bits(packet: Uint8Array, at: number, count: number): number {
  const octet = at >> 3;
  const pair = (packet[octet]! << 8) | (packet[octet + 1] ?? 0);
  return (pair >> (16 - count - (at & 7))) & ((1 << count) - 1);
}

function copyBits(packet: Uint8Array, from: number, to: number): Uint8Array {
  const length = to - from;
  const copy = new Uint8Array(Math.ceil(length / 8));
  const whole = length >> 3;
  for (let octet = 0; octet < whole; octet++) copy[octet] = bits(packet, from + octet * 8, 8);
  const rest = length & 7;
  if (rest > 0) {
    // RFC 5574 §3: 0, then ones up to the end of the octet.
    copy[whole] = (bits(packet, to - rest, rest) << (8 - rest)) | ((1 << (7 - rest)) - 1);
  }
  return copy;
}
