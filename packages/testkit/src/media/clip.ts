// A clip: encoded video and audio for a sender. Reads H.264 Annex B, VP8 in IVF, raw G.711 and G.722, Opus and Speex in
// Ogg.

import { readFileSync } from 'node:fs';
import { CLIPS_FOLDER } from '../clips-folder.ts';
import { cutFrames, oggPackets } from './phone-audio.ts';
import type { ClipSounds } from './phone-audio.ts';

/** One coded picture with the NAL units before it. */
export interface ClipAccessUnit {
  /** Index in the clip, from 0. */
  readonly index: number;
  /** Without start codes, in decoding order. Do not modify. */
  readonly nalus: readonly Uint8Array[];
  /** Contains an IDR slice. */
  readonly isKeyFrame: boolean;
  /** The same picture in VP8, with the same key frames, if the clip has VP8. Do not modify. */
  readonly vp8?: Uint8Array;
}

/** Video and audio of equal length. */
export interface Clip {
  readonly name: string;
  readonly video: readonly ClipAccessUnit[];
  /** Pictures per second. */
  readonly fps: number;
  /** G.711 A-law, 8,000 octets per second. */
  readonly audio: Uint8Array;
  /** The same audio in other codecs, in payloads of 20 ms; G.711 needs no entry. */
  readonly sounds: ClipSounds;
  /** Length of the video. */
  readonly durationMs: number;
  /** First SPS and PPS of the clip. */
  readonly parameterSets: readonly Uint8Array[];
  /** The `profile-level-id` of RFC 6184 §8.1: six hexadecimal digits from the SPS. */
  readonly profileLevelId: string;
}

const CLIP_FPS: Readonly<Record<string, number>> = { scene: 25 };
const clips = new Map<string, Clip>();

/**
 * A clip from this package, loaded once per process. `scene`: 20 s, 640×360, 25 pictures/s, about 500 kbit/s as H.264
 * and 450 as VP8, IDR every 2 s; each second a white flash of one picture and a 1 kHz beep.
 *
 * @throws RangeError for an unknown name.
 */
export function loadClip(name = 'scene'): Clip {
  const known = clips.get(name);
  if (known !== undefined) return known;
  const fps = CLIP_FPS[name];
  if (fps === undefined) throw new RangeError(`No clip has the name ${JSON.stringify(name)}`);
  const read = (ending: string): Buffer => readFileSync(new URL(`${name}.${ending}`, CLIPS_FOLDER));
  const sounds: ClipSounds = {
    G722: cutFrames(read('g722')),
    opus: oggPackets(read('opus')),
    'speex/8000': oggPackets(read('nb.spx')),
    'speex/16000': oggPackets(read('wb.spx')),
  };
  const clip = createClip({
    name,
    fps,
    h264: read('h264'),
    ivf: read('ivf'),
    aLaw: read('alaw'),
    sounds,
  });
  clips.set(name, clip);
  return clip;
}

/**
 * An application-supplied clip.
 *
 * @param parts - `h264`: Annex B with SPS and PPS; `ivf`: the same pictures in VP8; `aLaw`: 8 kHz mono, as long as the
 * video; `fps` > 0; `sounds`: the same audio in other codecs, default none.
 * @throws RangeError if there is no picture or no SPS, `fps` is out of range, or `ivf` does not have one frame per
 * picture with the same key frames.
 */
export function createClip(parts: {
  readonly name: string;
  readonly fps: number;
  readonly h264: Uint8Array;
  readonly ivf?: Uint8Array;
  readonly aLaw: Uint8Array;
  readonly sounds?: ClipSounds;
}): Clip {
  const { name, fps, aLaw } = parts;
  if (!(fps > 0 && fps <= 240)) throw new RangeError('fps must be above 0, at most 240');
  const units = splitAccessUnits(splitNalUnits(parts.h264));
  const video = parts.ivf === undefined ? units : joinVp8(units, splitIvf(parts.ivf));
  const nalus = video.flatMap((unit) => unit.nalus);
  const sps = nalus.find((nal) => (nal[0]! & 0x1f) === SPS);
  const pps = nalus.find((nal) => (nal[0]! & 0x1f) === PPS);
  if (sps === undefined || pps === undefined || !video.some((unit) => unit.isKeyFrame)) {
    throw new RangeError('h264 must contain SPS, PPS and an IDR picture');
  }
  return {
    name,
    fps,
    video,
    audio: aLaw,
    sounds: parts.sounds ?? {},
    durationMs: (video.length * 1000) / fps,
    parameterSets: [sps, pps],
    profileLevelId: Buffer.from(sps.subarray(1, 4)).toString('hex').toUpperCase(),
  };
}

function joinVp8(
  units: readonly ClipAccessUnit[],
  frames: readonly Uint8Array[],
): readonly ClipAccessUnit[] {
  if (frames.length !== units.length) throw new RangeError('ivf must have a frame per picture');
  return units.map((unit, index) => {
    const vp8 = frames[index]!;
    // RFC 6386 §9.1: the lowest bit of a key frame is 0.
    if (((vp8[0]! & 1) === 0) !== unit.isKeyFrame) {
      throw new RangeError('ivf must have its key frames where h264 has them');
    }
    return { ...unit, vp8 };
  });
}

/**
 * Frames of an IVF file as views: a header that contains its own size, then `| size(4) time(8) octets |`,
 * little-endian.
 */
export function splitIvf(ivf: Uint8Array): Uint8Array[] {
  const bytes = Buffer.from(ivf.buffer, ivf.byteOffset, ivf.length);
  const frames: Uint8Array[] = [];
  if (bytes.length < 32 || bytes.toString('latin1', 0, 4) !== 'DKIF') return frames;
  for (let at = bytes.readUInt16LE(6); at + 12 < bytes.length; ) {
    const end = at + 12 + bytes.readUInt32LE(at);
    if (end > bytes.length) break;
    frames.push(ivf.subarray(at + 12, end));
    at = end;
  }
  return frames;
}

const IDR = 5;
const SPS = 7;
const PPS = 8;

/** NAL units of an Annex B stream (H.264 annex B) as views, without start codes and trailing zeros. */
export function splitNalUnits(annexB: Uint8Array): Uint8Array[] {
  const nalus: Uint8Array[] = [];
  let start = -1;
  const end = annexB.length;
  const finish = (to: number): void => {
    while (to > start && annexB[to - 1] === 0) to--;
    if (start >= 0 && to > start) nalus.push(annexB.subarray(start, to));
  };
  for (let at = 0; at + 2 < end; ) {
    if (annexB[at + 2]! > 1) at += 3;
    else if (annexB[at] === 0 && annexB[at + 1] === 0 && annexB[at + 2] === 1) {
      finish(at);
      start = at + 3;
      at = start;
    } else at++;
  }
  finish(end);
  return nalus;
}

/** Groups NAL units. A picture ends before parameter sets, SEI, a delimiter or macroblock 0 (H.264 §7.4.1.2.3). */
function splitAccessUnits(nalus: readonly Uint8Array[]): ClipAccessUnit[] {
  const units: ClipAccessUnit[] = [];
  let current: Uint8Array[] = [];
  let hasPicture = false;
  const finish = (): void => {
    if (!hasPicture) return;
    const isKeyFrame = current.some((nal) => (nal[0]! & 0x1f) === IDR);
    units.push({ index: units.length, nalus: current, isKeyFrame });
    current = [];
    hasPicture = false;
  };
  for (const nal of nalus) {
    const type = nal[0]! & 0x1f;
    const isSlice = type >= 1 && type <= 5;
    // first_mb_in_slice is ue(v): a leading 1 bit means 0, so the slice starts a picture.
    if (hasPicture && ((type >= 6 && type <= 9) || (isSlice && (nal[1]! & 0x80) !== 0))) finish();
    current.push(nal);
    if (isSlice) hasPicture = true;
  }
  finish();
  return units;
}
