// GStreamer as the sender: pictures in another order, slices in aggregates, intra refresh, long Opus frames.

import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { formatFlvHeader, formatFlvTag, openMediaSession, PortPool, Ticker } from '@sipcast/media';
import type { FlvTag, MediaSession, NegotiatedMedium, StreamAudio } from '@sipcast/media';
import { describe, expect, it } from 'vitest';
import { afterTest } from '../../support/cleanup.ts';
import { decodeErrors } from '../../support/flv-check.ts';

const run = promisify(execFile);
const FRAMES = 150;
const FRAME_MS = 40;
const pool = new PortPool({ min: 39_000, max: 39_099, coolDownMs: 0 });

async function open(codec: NegotiatedMedium['codecs'][number]) {
  const session = await openMediaSession({
    portPool: pool,
    ticker: new Ticker(),
    bindAddress: '127.0.0.1',
    audioCname: 'a',
    videoCname: 'v',
    now: () => performance.now(),
    wallClock: () => Date.now(),
    random: Math.random,
    form: { audio: 'passthrough', video: 'passthrough', enhanced: { vp8: false, opus: true } },
  });
  afterTest(() => session.close());
  const isVideo = codec.codec === 'h264';
  const medium: NegotiatedMedium = {
    address: '127.0.0.1',
    // The sender's port is the system's choice: learnt from its first packets.
    rtpPort: 9,
    rtcpAddress: '127.0.0.1',
    rtcpPort: 9,
    send: false,
    receive: true,
    codecs: [codec],
    telephoneEvents: [],
    feedback: { pli: true, fir: true, nack: false },
  };
  const tags: FlvTag[] = [];
  session.stream.addOutput({ push: (tag) => tags.push(tag) });
  session.start(isVideo ? { video: medium } : { audio: medium });
  return { session, tags };
}

/** Runs a pipeline to its end. `port` in it is replaced. */
async function send(
  session: MediaSession,
  kind: 'audio' | 'video',
  pipeline: string,
): Promise<void> {
  const sink = `udpsink host=127.0.0.1 port=${session[kind].rtpPort}`;
  const child = spawn('gst-launch-1.0', ['-q', ...`${pipeline} ! ${sink}`.split(/\s+/)], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let said = '';
  child.stderr.on('data', (text) => (said += text));
  afterTest(async () => void child.kill('SIGKILL'));
  const [code] = await once(child, 'exit');
  expect([code, said]).toEqual([0, '']);
}

/** Writes the tags and decodes them: the times of the pictures, and what the decoder complains about. */
async function judge(tags: readonly FlvTag[]) {
  const dir = await mkdtemp(join(tmpdir(), 'gstreamer-'));
  afterTest(() => rm(dir, { recursive: true }));
  const file = join(dir, 'out.flv');
  const head = formatFlvHeader({ hasAudio: false, hasVideo: true });
  await writeFile(
    file,
    Buffer.concat([head, ...tags.filter(({ type }) => type === 9).map(formatFlvTag)]),
  );
  const { stdout } = await run('ffprobe', [
    '-v',
    'error',
    '-show_entries',
    'frame=pts_time',
    '-of',
    'csv=p=0',
    file,
  ]);
  const timesMs = stdout
    .split('\n')
    .filter((line) => /^\d/.test(line))
    .map((line) => Number.parseFloat(line) * 1000);
  return { timesMs, errors: await decodeErrors(file) };
}

const SOURCE = `videotestsrc is-live=true num-buffers=${FRAMES} ! video/x-raw,width=320,height=240,framerate=25/1`;
const PIPELINES: [name: string, pipeline: string, mostLate: number][] = [
  [
    'B-pictures, High profile, two between references',
    `${SOURCE} ! x264enc bframes=2 b-adapt=false key-int-max=10 speed-preset=veryfast ! video/x-h264,profile=high ! rtph264pay pt=96 config-interval=-1`,
    30,
  ],
  [
    'B-pictures as references',
    `${SOURCE} ! x264enc bframes=3 b-pyramid=true key-int-max=10 speed-preset=veryfast ! video/x-h264,profile=high ! rtph264pay pt=96 config-interval=-1`,
    30,
  ],
  [
    'slices in STAP-A',
    `${SOURCE} ! x264enc tune=zerolatency option-string=slices=4 key-int-max=10 speed-preset=veryfast ! rtph264pay pt=96 config-interval=-1 aggregate-mode=zero-latency`,
    30,
  ],
  [
    'intra refresh',
    `${SOURCE} ! x264enc tune=zerolatency intra-refresh=true key-int-max=25 speed-preset=veryfast ! rtph264pay pt=96 config-interval=-1`,
    70,
  ],
];

describe('GStreamer sends', () => {
  it.each(PIPELINES)('%s', async (name, pipeline, mostLate) => {
    const { session, tags } = await open({ payloadType: 96, codec: 'h264' });
    await send(session, 'video', pipeline);
    const { video } = session.stats();
    const { timesMs, errors } = await judge(tags);
    const steps = timesMs.slice(1).map((ms, at) => ms - timesMs[at]!);
    // In its first seconds the clock learns how early pictures come.
    const later = steps.slice(60);
    console.log(
      `${name}: ${timesMs.length} of ${FRAMES} pictures, later steps ${Math.min(...later).toFixed(0)} to ${Math.max(...later).toFixed(0)} ms`,
    );
    expect(errors).toBe('');
    expect(video?.lost).toBe(0);
    expect(timesMs.length).toBeGreaterThanOrEqual(FRAMES - mostLate);
    for (const step of later) expect(Math.abs(step - FRAME_MS)).toBeLessThanOrEqual(6);
  });

  it('Opus in packets of 60 ms', async () => {
    const { session } = await open({ payloadType: 97, codec: 'opus' });
    const frames: StreamAudio[] = [];
    session.stream.tapAudio((frame) => frames.push(frame));
    await send(
      session,
      'audio',
      'audiotestsrc is-live=true num-buffers=200 samplesperbuffer=960 ! audio/x-raw,rate=48000 ! opusenc frame-size=60 ! rtpopuspay pt=97',
    );
    const sound = frames.filter(({ payload }) => payload.length > 3);
    const { audio, silenceInsertedMs } = session.stats();
    console.log(
      `Opus of 60 ms: ${sound.length} frames, ${silenceInsertedMs} ms of silence inserted`,
    );
    expect(sound.length).toBeGreaterThanOrEqual(50);
    expect(audio).toMatchObject({ lost: 0, problem: null });
    const gaps = sound
      .slice(1)
      .filter(({ timestampMs }, at) => timestampMs - sound[at]!.timestampMs > 61);
    expect(gaps).toEqual([]);
  });
});
