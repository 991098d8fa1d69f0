// B-pictures of a real encoder on their way from RTP to FLV: what ffmpeg makes of the order and the times.

import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { formatFlvHeader, formatFlvTag, parseSps } from '@sipcast/media';
import { DecodeTimestamps, FlvMuxer, H264Depacketizer, SyncClock } from '@sipcast/media/wire';
import type { FlvTag } from '@sipcast/media';
import type { H264Unit } from '@sipcast/media/wire';
import { packetizeAccessUnit } from '@sipcast/testkit';
import { beforeEach, expect, it } from 'vitest';
import { decodeErrors } from '../../support/flv-check.ts';
import { makeFolder } from '../../support/folder.ts';
import { describeWith, run } from '../../support/programs.ts';
import { makeReorderedVideo } from '../../support/reordered-video.ts';

const FRAMES = 90;
const FRAME_MS = 40;

describeWith(['ffmpeg', 'ffprobe'], 'video with B-pictures', () => {
  let dir: string;
  beforeEach(async () => {
    dir = await makeFolder();
  });

  const pictures = async (file: string): Promise<Buffer> => {
    const output = ['-vsync', 'passthrough', '-f', 'rawvideo', '-pix_fmt', 'gray', 'pipe:1'];
    return (await run('ffmpeg', ['-v', 'error', '-i', file, ...output])).stdout;
  };

  /** The stream as it is received, with or without a look at its parameter sets. */
  async function record(told: boolean) {
    const { clip, mp4, places } = await makeReorderedVideo(dir, FRAMES);
    const tags: FlvTag[] = [];
    const muxer = new FlvMuxer({ audioCodec: null, hasVideo: true }, (tag) => tags.push(tag));
    const clock = new SyncClock();
    const timestamps = new DecodeTimestamps();
    const depacketizer = new H264Depacketizer();
    const take = (unit: H264Unit): void => {
      if (typeof unit === 'string') return expect.unreachable(unit);
      if ('leftOut' in unit) return expect.unreachable(unit.leftOut);
      if ('parameterSet' in unit) {
        if (told) timestamps.setReorderFrames(parseSps(unit.parameterSet)?.maxReorderFrames);
        return;
      }
      const shownMs = clock.presentationTimeMs('video', unit.rtpTimestamp, unit.arrivalMs);
      const decodeMs = timestamps.push(shownMs, unit.isKeyFrame);
      muxer.push(unit, decodeMs, timestamps.compositionMs);
    };
    let sequenceNumber = 0;
    for (const [index, { nalus }] of clip.video.entries()) {
      const payloads = packetizeAccessUnit(nalus, 1, 1200);
      payloads.forEach((payload, at) =>
        depacketizer
          .push({
            datagram: payload,
            payloadType: 96,
            marker: at === payloads.length - 1,
            sequenceNumber: sequenceNumber++ & 0xffff,
            // The timestamps wrap in mid-stream.
            rtpTimestamp: (places[index]! * 3600 - 90_000) >>> 0,
            ssrc: 1,
            payload,
            arrivalMs: 7000 + index * FRAME_MS,
          })
          .forEach(take),
      );
    }
    const file = join(dir, 'out.flv');
    const head = formatFlvHeader({ hasAudio: false, hasVideo: true });
    await writeFile(file, Buffer.concat([head, ...tags.map(formatFlvTag)]));
    const fields = ['-show_entries', 'frame=pts_time', '-of', 'csv=p=0'];
    const { stdout } = await run('ffprobe', ['-v', 'error', ...fields, file]);
    const lines = stdout
      .toString()
      .split('\n')
      .filter((line) => /^\d/.test(line));
    const timesMs = lines.map((line) => Number.parseFloat(line) * 1000);
    const frames = tags.filter(({ role }) => role === 'key-frame' || role === 'inter-frame');
    return { file, mp4, timesMs, frames, reorderFrames: timestamps.reorderFrames };
  }

  it('shows every picture in its place and at its time, as its parameter sets tell', async () => {
    const { file, mp4, timesMs, frames, reorderFrames } = await record(true);
    expect(reorderFrames).toBe(2);
    expect(frames).toHaveLength(FRAMES);
    const decodeMs = frames.map(({ timestampMs }) => timestampMs);
    expect(decodeMs).toEqual(decodeMs.toSorted((a, b) => a - b));
    expect(frames.some(({ body }) => Buffer.from(body).readIntBE(2, 3) > 0)).toBe(true);
    expect(timesMs).toHaveLength(FRAMES);
    const steps = timesMs.slice(1).map((ms, at) => ms - timesMs[at]!);
    // In the first second the clock aligns itself with the pictures that come early.
    expect(Math.min(...steps)).toBeGreaterThan(25);
    for (const step of steps.slice(30)) expect(Math.abs(step - FRAME_MS)).toBeLessThanOrEqual(2);
    expect(Buffer.compare(await pictures(file), await pictures(mp4))).toBe(0);
    expect(await decodeErrors(file)).toBe('');
  });

  it('shows every picture, too, when it must learn how far they are reordered', async () => {
    const { file, mp4, timesMs, reorderFrames } = await record(false);
    expect(reorderFrames).toBe(2);
    expect(timesMs).toHaveLength(FRAMES);
    const steps = timesMs.slice(31).map((ms, at) => ms - timesMs[at + 30]!);
    for (const step of steps) expect(Math.abs(step - FRAME_MS)).toBeLessThanOrEqual(2);
    expect(Buffer.compare(await pictures(file), await pictures(mp4))).toBe(0);
  });
});
