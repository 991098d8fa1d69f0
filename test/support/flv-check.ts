// What ffmpeg and the file itself say of a recording.

import { readFileSync } from 'node:fs';
import { readFlvTags } from '@sipcast/media';
import { run } from './programs.ts';

/** A recording as its tags tell it. */
export interface FlvSummary {
  /** Roles of the video tags in order: `header`, `key`, `inter`. */
  readonly video: readonly ('header' | 'key' | 'inter')[];
  readonly audioTags: number;
  /** H.264 NAL units of all frames in order, without those of the sequence headers. */
  readonly nalus: readonly Buffer[];
  readonly videoTimesMs: readonly number[];
  readonly audioTimesMs: readonly number[];
}

/** Reads a recording. */
export function summarizeFlv(path: string): FlvSummary {
  const video: ('header' | 'key' | 'inter')[] = [];
  const nalus: Buffer[] = [];
  const videoTimesMs: number[] = [];
  const audioTimesMs: number[] = [];
  for (const { type, timestampMs, body } of readFlvTags(readFileSync(path))) {
    if (type === 8) audioTimesMs.push(timestampMs);
    if (type !== 9) continue;
    if (body[1] === 0) {
      video.push('header');
      continue;
    }
    // nginx-rtmp writes an AVC end-of-sequence (2) at the end of some files.
    if (body[1] !== 1) continue;
    video.push((body[0] ?? 0) >> 4 === 1 ? 'key' : 'inter');
    videoTimesMs.push(timestampMs);
    const bytes = Buffer.from(body);
    for (let at = 5; at + 4 <= bytes.length; ) {
      const length = bytes.readUInt32BE(at);
      nalus.push(bytes.subarray(at + 4, at + 4 + length));
      at += 4 + length;
    }
  }
  return { video, audioTags: audioTimesMs.length, nalus, videoTimesMs, audioTimesMs };
}

/** Decodes a whole file with ffmpeg. @returns Its complaints: empty when there are none. */
export async function decodeErrors(path: string): Promise<string> {
  const args = [
    '-v',
    'error',
    '-i',
    path,
    '-fps_mode',
    'passthrough',
    '-enc_time_base',
    '1:1000',
    '-f',
    'null',
    '-',
  ];
  const { stderr } = await run('ffmpeg', args);
  return stderr.trim();
}

/** NAL units of an Annex B file. */
export function splitAnnexB(bytes: Buffer): Buffer[] {
  const starts: number[] = [];
  for (
    let at = bytes.indexOf('000001', 0, 'hex');
    at >= 0;
    at = bytes.indexOf('000001', at + 3, 'hex')
  ) {
    starts.push(at + 3);
  }
  return starts.map((start, i) => {
    let end = i + 1 < starts.length ? (starts[i + 1] as number) - 3 : bytes.length;
    while (end > start && bytes[end - 1] === 0) end--; // Zeros belong to the next start code.
    return bytes.subarray(start, end);
  });
}
