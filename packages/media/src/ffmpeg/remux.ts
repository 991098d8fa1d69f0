// Puts a recording into another container, by ffmpeg over pipes, without encoding.

import { createReadStream, createWriteStream } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { MediaError } from '../errors.ts';
import type { FfmpegBinary } from './binary.ts';
import { spawnFfmpeg } from './spawn.ts';

const ARGUMENTS: readonly string[] = ['-hide_banner', '-nostdin', '-loglevel', 'error'].concat(
  ['-protocol_whitelist', 'pipe', '-f', 'flv', '-i', 'pipe:0', '-c', 'copy'],
  // A pipe cannot seek, so the index cannot be added at the end: each fragment has its own.
  ['-movflags', 'frag_keyframe+empty_moov+default_base_moof', '-f', 'mp4', 'pipe:1'],
);

/**
 * Makes an MP4 of an FLV file with H.264 and AAC. Keeps the FLV. Removes an incomplete MP4 after a failure.
 *
 * @throws MediaError (rejection) `TRANSCODER_FAILED` with ffmpeg's last output
 */
export async function remuxToMp4(ffmpeg: FfmpegBinary, from: string, to: string): Promise<void> {
  const part = `${to}.part`;
  const child = spawnFfmpeg(ffmpeg.path, ARGUMENTS);
  let words = '';
  child.stderr.on('data', (octets: Buffer) => {
    words = (words + octets.toString('latin1')).slice(-2000);
  });
  const exited = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  try {
    const [code] = await Promise.all([
      exited,
      // A child that ends early reads no more.
      pipeline(createReadStream(from), child.stdin).catch(() => {
        // Ignored: its exit has the reason.
      }),
      pipeline(child.stdout, createWriteStream(part)),
    ]);
    if (code !== 0) throw new Error(words.trim().split('\n').at(-1) ?? `ended with ${code}`);
    await rename(part, to);
  } catch (cause) {
    child.kill('SIGKILL');
    await rm(part, { force: true });
    const problem = cause instanceof Error ? cause.message : String(cause);
    throw new MediaError('TRANSCODER_FAILED', `No MP4: ${problem}`, { cause });
  }
}
