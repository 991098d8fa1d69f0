// A key frame as an image file.

import type { StillPicture } from '../codec/frame.ts';
import { MediaError } from '../errors.ts';
import { lowerPriority } from '../ffmpeg/child.ts';
import { spawnFfmpeg } from '../ffmpeg/spawn.ts';

/** What an image is made of and for. */
export interface SnapshotOptions {
  /** Path of the binary. */
  readonly ffmpegPath: string;
  readonly picture: StillPicture;
  readonly format: 'png' | 'jpeg';
  /** Default: as the picture is. Never larger; the height follows. */
  readonly maxWidth?: number;
}

const TIMEOUT_MS = 5000;
/** 8K, as PNG of noise. */
const MAX_IMAGE_BYTES = 128 * 1024 * 1024;
/** 8192 × 4320: a peer's picture must not take more memory. */
const MAX_PIXELS = 35_389_440;

/**
 * Decodes a picture and encodes it as an image.
 *
 * @throws MediaError (rejection) `TRANSCODER_FAILED` when it does not decode, or takes longer than five seconds.
 */
export function takeSnapshot(options: SnapshotOptions): Promise<Buffer> {
  const { ffmpegPath, picture, format, maxWidth } = options;
  const input = picture.codec === 'h264' ? 'h264' : 'ivf';
  const encoder = format === 'png' ? 'png' : 'mjpeg';
  const scale = maxWidth === undefined ? [] : ['-vf', `scale='min(${maxWidth},iw)':-2`];
  const decoding = `-v error -nostdin -max_pixels ${MAX_PIXELS} -f ${input} -i pipe:0 -frames:v 1`;
  const encoding = `-f image2pipe -c:v ${encoder} -q:v 4 pipe:1`;
  const args = [...decoding.split(' '), ...scale, ...encoding.split(' ')];
  return new Promise((resolve, reject) => {
    const fail = (how: string): void =>
      reject(new MediaError('TRANSCODER_FAILED', `ffmpeg ${how}`));
    let child: ReturnType<typeof spawnFfmpeg>;
    try {
      child = spawnFfmpeg(ffmpegPath, args);
    } catch (error) {
      return fail(`does not run: ${String(error)}`);
    }
    child.once('error', (error) => fail(`does not run: ${error.message}`));
    if (child.pid === undefined) return undefined;
    lowerPriority(child.pid);
    const kill = setTimeout(() => child.kill('SIGKILL'), TIMEOUT_MS);
    const parts: Buffer[] = [];
    let bytes = 0;
    let words = '';
    child.stdout.on('data', (part: Buffer) => {
      bytes += part.length;
      if (bytes > MAX_IMAGE_BYTES) child.kill('SIGKILL');
      else parts.push(part);
    });
    child.stderr.on('data', (part: Buffer) => (words = (words + part.toString()).slice(-500)));
    child.stdin.on('error', () => {
      // Ignored: its end has the reason.
    });
    child.once('close', (code, signal) => {
      clearTimeout(kill);
      if (bytes > 0 && code === 0) resolve(Buffer.concat(parts));
      else fail(`ended with ${signal ?? code}: ${words.trim().split('\n').at(-1) ?? ''}`);
    });
    child.stdin.end(picture.codec === 'h264' ? picture.octets : ivf(picture.octets));
    return undefined;
  });
}

/** An IVF file of one VP8 frame: a header of 32 octets, then size and time before the frame. */
function ivf(frame: Uint8Array): Buffer {
  const head = Buffer.alloc(32 + 12);
  head.write('DKIF', 0, 'latin1');
  head.writeUInt16LE(32, 6);
  head.write('VP80', 8, 'latin1');
  // RFC 6386 §9.1: 14 bits each, behind the start code of a key frame.
  head.set(frame.subarray(6, 10), 12);
  head.writeUInt32LE(25, 16);
  head.writeUInt32LE(1, 20);
  head.writeUInt32LE(1, 24);
  head.writeUInt32LE(frame.length, 32);
  return Buffer.concat([head, frame]);
}
