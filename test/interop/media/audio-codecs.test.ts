// Every audio codec against ffmpeg's own encoders and decoders: lengths, silence, AAC, FLV, and sounds played to the peer.

import { setTimeout as sleep } from 'node:timers/promises';
import { execFileSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import {
  findFfmpeg,
  formatFlvHeader,
  formatFlvTag,
  openFfmpegTranscoders,
  openFileSound,
} from '@sipcast/media';
import {
  AAC_FRAME_SAMPLES,
  AAC_SILENCE,
  monoAacFormat,
  AUDIO_STEP_MS,
  audioSilence,
  FlvMuxer,
  LiveSound,
} from '@sipcast/media/wire';
import type { AudioCodec, AudioFrame, FlvTag, MediaError } from '@sipcast/media';
import type { AacFormat, SoundSource } from '@sipcast/media/wire';
import { beforeEach, expect, it } from 'vitest';
import { countSpeexFrames } from '../../../packages/media/src/codec/speex.ts';
import { describeWith, findProgram, run } from '../../support/programs.ts';
import {
  beeps,
  CODECS,
  decodeSound,
  encodeSound,
  ffmpeg,
  findBeeps,
  levels,
  oggPackets,
  soundFrames,
} from '../../support/sound.ts';
import { afterTest } from '../../support/cleanup.ts';
import { makeFolder } from '../../support/folder.ts';

const TONE = 'aevalsrc=0.3*sin(2*PI*440*t)+0.2*(random(0)-0.5):d=1.2';

/** Calls a function each 20 ms, for so many times. */
async function eachStep(count: number, step: (index: number) => boolean | void): Promise<void> {
  const startedMs = performance.now();
  for (let index = 0; index < count; index++) {
    if (step(index) === false) return;
    const aheadMs = (index + 1) * AUDIO_STEP_MS - (performance.now() - startedMs);
    if (aheadMs > 0) await sleep(aheadMs);
  }
}

function childCount(): number {
  return execFileSync('ps', ['-o', 'args=', '--ppid', String(process.pid)])
    .toString()
    .split('\n')
    .filter((row) => row.includes('protocol_whitelist')).length;
}

function flvOf(tags: readonly FlvTag[]): Buffer {
  const header = formatFlvHeader({ hasAudio: true, hasVideo: false });
  return Buffer.concat([header, ...tags.map((tag) => formatFlvTag(tag))]);
}

function decodeFlv(tags: readonly FlvTag[]): Int16Array {
  const args = ['-f', 'flv', '-i', '-', '-ar', '8000', '-ac', '1', '-f', 's16le', '-'];
  const raw = ffmpeg(args, flvOf(tags));
  return new Int16Array(raw.buffer, raw.byteOffset, raw.length >> 1);
}

describeWith(['ffmpeg', 'ps'], 'audio codecs', () => {
  let dir: string;
  beforeEach(async () => {
    dir = await makeFolder();
    afterTest(() => expect.poll(childCount).toBe(0));
  });

  it('computes the length of Opus packets of every mode', () => {
    for (const application of ['voip', 'audio', 'lowdelay']) {
      for (const frameMs of [2.5, 5, 10, 20, 40, 60, 80, 100, 120]) {
        for (const [bitrate, channels] of [
          ['8k', '1'],
          ['24k', '1'],
          ['96k', '2'],
        ] as const) {
          const options = ['-frame_duration', String(frameMs), '-application', application];
          const ogg = ffmpeg([
            '-f',
            'lavfi',
            '-i',
            TONE,
            '-ar',
            '48000',
            '-ac',
            channels,
            '-c:a',
            'libopus',
            '-b:a',
            bitrate,
            ...options,
            '-f',
            'ogg',
            '-',
          ]);
          const frames = soundFrames('opus', oggPackets(ogg));
          const wrong = frames.filter(({ durationMs }) => durationMs !== frameMs);
          expect(wrong, `${application} ${frameMs} ms ${bitrate}`).toEqual([]);
          const wholeMs = frames.length * frameMs;
          expect(wholeMs).toBeGreaterThanOrEqual(1200);
          expect(wholeMs).toBeLessThan(1200 + 2 * frameMs + 20);
        }
      }
    }
  });

  it('counts the frames of Speex packets of every mode', () => {
    for (const codec of ['speex-nb', 'speex-wb'] as const) {
      const sizes = new Set<number>();
      for (let quality = 0; quality <= 10; quality++) {
        for (const frames of [1, 3]) {
          const options = ['-cbr_quality', String(quality), '-frames_per_packet', String(frames)];
          const packets = encodeSound(codec, TONE, options);
          expect(packets.length).toBeGreaterThanOrEqual(60 / frames);
          // The last is filled up by the encoder, or cut.
          for (const packet of packets.slice(0, -1)) {
            expect(countSpeexFrames(packet), `${codec} q${quality}`).toBe(frames);
            sizes.add(packet.length);
          }
        }
      }
      expect(sizes.size).toBeGreaterThan(10);
    }
  });

  it('fills with frames that decode to silence, and sound goes on behind them', () => {
    const decoders: [AudioCodec, string | undefined][] = [
      ...CODECS.map((codec): [AudioCodec, undefined] => [codec, undefined]),
      ['opus', 'libopus'],
      ['opus', 'opus'],
      ['speex-nb', 'libspeex'],
      ['speex-nb', 'speex'],
      ['speex-wb', 'libspeex'],
      ['speex-wb', 'speex'],
    ];
    for (const [codec, decoder] of decoders) {
      const sound = encodeSound(codec, TONE).slice(0, 60);
      const whole = levels(decodeSound(codec, sound, decoder));
      const silence = audioSilence(codec);
      const holed = sound.map((payload, at) => (at >= 20 && at < 30 ? silence : payload));
      const out = levels(decodeSound(codec, holed, decoder));
      const name = `${codec} ${decoder ?? ''}`;
      const hole = out.slice(22, 30);
      console.log(`${name.padEnd(18)} sound ${whole[15]}, silence ${hole.join(' ')}`);
      // Below −50 dBFS; the sound around it is at −13 dBFS.
      expect(Math.max(...hole), name).toBeLessThan(100);
      expect(Math.min(...out.slice(2, 19)), name).toBeGreaterThan(4000);
      // G.722 needs a quarter of a second to find its step again; nothing is louder than it was.
      const after = out.slice(42, 58);
      for (const [at, level] of after.entries())
        expect(level / whole[42 + at]!, name).toBeGreaterThan(0.85);
      expect(Math.max(...out.slice(30)), name).toBeLessThan(1.3 * Math.max(...whole));
    }
  });

  const installed = (): string | undefined => {
    try {
      const media = createRequire(new URL('../../../packages/media/package.json', import.meta.url));
      return (media('@ffmpeg-installer/ffmpeg') as { path: string }).path;
    } catch {
      return undefined;
    }
  };
  const binaries: [string, string | undefined][] = [
    ['the ffmpeg of the system', findProgram('ffmpeg')],
    ['the packaged ffmpeg', installed()],
  ];

  it('finds ffmpeg where it was told, on the PATH, or in the package, and says what is lacking', async () => {
    const before = { PATH: process.env['PATH'], FFMPEG_PATH: process.env['FFMPEG_PATH'] };
    const system = findProgram('ffmpeg');
    const packaged = installed();
    try {
      delete process.env['FFMPEG_PATH'];
      expect(await findFfmpeg({ ffmpegPath: packaged! })).toMatchObject({ source: 'option' });
      const found = await findFfmpeg();
      expect(found).toMatchObject({ path: system, source: 'path' });
      expect(found.capabilities.encoders).toMatchObject({
        aac: 'aac',
        opus: 'libopus',
        g722: 'g722',
      });
      process.env['FFMPEG_PATH'] = packaged;
      expect(await findFfmpeg()).toMatchObject({ path: packaged, source: 'environment' });
      delete process.env['FFMPEG_PATH'];
      process.env['PATH'] = dir;
      const last = await findFfmpeg({ encode: ['aac', 'h264', 'opus', 'speex'], decode: ['vp8'] });
      expect(last).toMatchObject({ path: packaged, source: 'package' });
      // One on the PATH that cannot do it is passed over.
      const script = '#!/bin/sh\ncase "$*" in *-version*) echo "ffmpeg version 0.1";; esac\n';
      const poor = join(dir, 'ffmpeg');
      await writeFile(poor, script, { mode: 0o755 });
      expect(await findFfmpeg()).toMatchObject({ path: packaged, source: 'package' });
      await expect(findFfmpeg({ ffmpegPath: poor, decode: ['opus'] })).rejects.toMatchObject({
        code: 'NO_TRANSCODER',
        field: 'ffmpegPath',
        message: `No ffmpeg: ${poor} has no aac encoder, no libopus or opus decoder (set ffmpegPath)`,
      });
      process.env['FFMPEG_PATH'] = join(dir, 'gone');
      await expect(findFfmpeg()).rejects.toMatchObject({ code: 'NO_TRANSCODER' });
    } finally {
      for (const [name, value] of Object.entries(before)) {
        if (value === undefined) delete process.env[name];
        else process.env[name] = value;
      }
    }
  });

  /** Pushes frames in real time; AAC frames come back with their media times. */
  async function transcode(
    ffmpegPath: string,
    frames: readonly AudioFrame[],
    sampleRateHz: 44_100 | 48_000,
  ) {
    const { openAudio } = await openFfmpegTranscoders({ ffmpegPath, sampleRateHz });
    const formats: AacFormat[] = [];
    const out: { frame: Uint8Array; atMs: number; latencyMs: number }[] = [];
    const failures: MediaError[] = [];
    const startedMs = performance.now();
    const transcoder = openAudio({
      onFormat: (format) => formats.push(format),
      onFrame: (frame, atMs) =>
        out.push({ frame, atMs, latencyMs: performance.now() - startedMs - atMs }),
      onFailed: (error) => failures.push(error),
    });
    let timeMs = 0;
    await eachStep(frames.length, (index) => {
      transcoder.push(frames[index]!, timeMs);
      timeMs += frames[index]!.durationMs;
    });
    // The encoder holds back the last frames until more comes.
    await expect.poll(() => out.at(-1)?.atMs ?? 0).toBeGreaterThan(timeMs - 200);
    transcoder.close();
    expect(failures).toEqual([]);
    expect(transcoder.stats).toMatchObject({ framesDropped: 0, restarts: 0 });
    const tags: FlvTag[] = [];
    const muxer = new FlvMuxer({ audioCodec: 'aac', hasVideo: false }, (tag) => tags.push(tag));
    muxer.setAacFormat(formats[0]!);
    // A second in front, so that times a little below 0 stay what they are.
    for (const { frame, atMs } of out) muxer.pushAac(frame, atMs + 1000);
    const zeroed = tags.map((tag) => (tag.role === 'audio' ? tag : { ...tag, timestampMs: 0 }));
    const inTime = 'aresample=8000:async=1:min_hard_comp=0.005:first_pts=0';
    const args = ['-copyts', '-f', 'flv', '-i', '-', '-af', inTime, '-ac', '1'];
    const raw = ffmpeg([...args, '-f', 's16le', '-'], flvOf(zeroed));
    const samples = new Int16Array(raw.buffer, raw.byteOffset, raw.length >> 1);
    return { beepsMs: findBeeps(samples).map((ms) => ms - 1000), out, formats };
  }

  for (const [name, path] of binaries) {
    it(`makes AAC of every codec in place by ${name}`, { timeout: 60_000 }, async () => {
      expect(path).toBeDefined();
      const results = await Promise.all(
        CODECS.map(async (codec) => {
          const payloads = encodeSound(codec, beeps([1000, 2000], 2500)).slice(0, 125);
          const rate = codec === 'opus' ? 48_000 : 44_100;
          return { codec, rate, ...(await transcode(path!, soundFrames(codec, payloads), rate)) };
        }),
      );
      for (const { codec, rate, beepsMs, out, formats } of results) {
        const settled = out.slice(45).map(({ latencyMs }) => latencyMs);
        const sorted = settled.toSorted((a, b) => a - b);
        const median = sorted[sorted.length >> 1]!;
        console.log(
          `${codec.padEnd(9)} beeps at ${beepsMs.map((ms) => ms.toFixed(1)).join(', ')} ms, ` +
            `latency ${median.toFixed(0)} ms, worst ${sorted.at(-1)!.toFixed(0)} ms`,
        );
        expect(formats).toEqual([expect.objectContaining({ sampleRateHz: rate, channels: 1 })]);
        expect(beepsMs, codec).toHaveLength(2);
        expect(Math.abs(beepsMs[0]! - 1000), codec).toBeLessThan(15);
        expect(Math.abs(beepsMs[1]! - 2000), codec).toBeLessThan(15);
        expect(median, codec).toBeLessThan(200);
        const times = out.map(({ atMs }) => atMs);
        for (const [at, ms] of times.slice(1).entries())
          expect(ms - times[at]!).toBeCloseTo((1024 / rate) * 1000, 3);
      }
    });
  }

  it('follows a change of the codec without losing the media time', {
    timeout: 30_000,
  }, async () => {
    const parts = (['pcma', 'opus', 'speex-wb', 'g722'] as const).map((codec) =>
      soundFrames(codec, encodeSound(codec, beeps([500], 1000)).slice(0, 50)),
    );
    const { beepsMs, out } = await transcode(findProgram('ffmpeg')!, parts.flat(), 44_100);
    console.log(`beeps at ${beepsMs.map((ms) => ms.toFixed(1)).join(', ')} ms`);
    expect(beepsMs).toHaveLength(4);
    for (const [at, ms] of beepsMs.entries())
      expect(Math.abs(ms - 500 - at * 1000)).toBeLessThan(15);
    const times = out.map(({ atMs }) => atMs);
    const gaps = times.slice(1).map((ms, at) => ms - times[at]!);
    expect(Math.min(...gaps)).toBeGreaterThanOrEqual(0);
    expect(Math.max(...gaps)).toBeLessThan(50);
  });

  it('passes Speex of 16 kHz through FLV', async () => {
    const tags: FlvTag[] = [];
    const muxer = new FlvMuxer({ audioCodec: 'speex-wb', hasVideo: false }, (tag) =>
      tags.push(tag),
    );
    const sound = encodeSound('speex-wb', beeps([500], 1000));
    for (const [at, frame] of soundFrames('speex-wb', sound).entries()) muxer.push(frame, at * 20);
    const file = join(dir, 'speex.flv');
    await writeFile(file, flvOf(tags));
    const entries = ['-show_entries', 'stream=codec_name,sample_rate', '-of', 'csv'];
    const probe = await run('ffprobe', ['-v', 'error', ...entries, file]);
    expect(probe.stdout.toString()).toContain('speex,16000');
    const [beepMs = -1] = findBeeps(decodeFlv(tags));
    expect(Math.abs(beepMs - 500 - 14)).toBeLessThan(15);
  });

  it('makes AAC silence without an encoder', () => {
    for (const rate of [44_100, 48_000] as const) {
      const tags: FlvTag[] = [];
      const muxer = new FlvMuxer({ audioCodec: 'aac', hasVideo: false }, (tag) => tags.push(tag));
      muxer.setAacFormat(monoAacFormat(rate));
      const frameMs = (AAC_FRAME_SAMPLES * 1000) / rate;
      for (let ms = 0; ms < 2000; ms += frameMs) muxer.pushAac(AAC_SILENCE, ms);
      const samples = decodeFlv(tags);
      expect(samples.length / 8).toBeGreaterThan(1950);
      expect(samples.every((sample) => sample === 0)).toBe(true);
    }
  });

  /** Reads a source as the packetizer does, at once where `isLive` is false. */
  async function readAll(source: SoundSource, codec: AudioCodec, maxSteps: number) {
    const payloads: Uint8Array[] = [];
    await eachStep(maxSteps, () => {
      if (!source.ended) payloads.push(source.read() ?? audioSilence(codec));
    });
    return payloads;
  }

  it('plays files in every codec', { timeout: 60_000 }, async () => {
    const binary = await findFfmpeg({ encode: ['opus', 'speex', 'g722'] });
    const files = await Promise.all(
      (['wav', 'mp3', 'flv'] as const).map(async (format) => {
        const path = join(dir, `beeps.${format}`);
        const rate = format === 'flv' ? ['-ar', '44100'] : [];
        const args = ['-f', 'lavfi', '-i', beeps([500, 1000], 1500), ...rate];
        await writeFile(path, ffmpeg([...args, '-f', format, '-']));
        return path;
      }),
    );
    await Promise.all(
      CODECS.map(async (codec, at) => {
        const path = files[at % files.length]!;
        let endings = 0;
        const failures: MediaError[] = [];
        const source = openFileSound(
          { ffmpeg: binary, path, codec },
          { onEnded: () => endings++, onFailed: (error) => failures.push(error) },
        );
        const payloads = await readAll(source, codec, 150);
        expect(failures).toEqual([]);
        expect([source.ended, endings]).toEqual([true, 1]);
        const found = findBeeps(decodeSound(codec, payloads));
        console.log(
          `${path.slice(-3)} as ${codec}: beeps at ${found.map(Math.round).join(', ')} ms`,
        );
        expect(found).toHaveLength(2);
        expect(Math.abs(found[1]! - found[0]! - 500)).toBeLessThan(5);
        source.close();
      }),
    );
  });

  it('plays a file again and again without a gap, and ends when told', {
    timeout: 30_000,
  }, async () => {
    const binary = await findFfmpeg();
    const path = join(dir, 'short.wav');
    await writeFile(path, ffmpeg(['-f', 'lavfi', '-i', beeps([100], 500), '-f', 'wav', '-']));
    const source = openFileSound({ ffmpeg: binary, path, codec: 'pcma', loop: true });
    const payloads = await readAll(source, 'pcma', 130);
    const found = findBeeps(decodeSound('pcma', payloads));
    expect(found.length).toBeGreaterThanOrEqual(4);
    for (const [at, ms] of found.slice(1).entries())
      expect(Math.abs(ms - found[at]! - 500)).toBeLessThan(5);
    expect(source.ended).toBe(false);
    source.close();
    expect(source.read()).toBeUndefined();
    expect(source.ended).toBe(true);
  });

  it('says that a file cannot be played', { timeout: 30_000 }, async () => {
    const binary = await findFfmpeg();
    const garbage = join(dir, 'garbage.wav');
    await writeFile(garbage, Buffer.alloc(100_000, 'no sound '));
    const playlist = join(dir, 'list.m3u8');
    await writeFile(playlist, '#EXTM3U\n#EXTINF:1,\n/etc/hostname\n');
    for (const path of [garbage, playlist, join(dir, 'missing.wav'), dir]) {
      const failed = new Promise<MediaError>((resolve) => {
        openFileSound({ ffmpeg: binary, path, codec: 'pcma' }, { onFailed: resolve });
      });
      const error = await failed;
      expect(error).toMatchObject({ code: 'SOUND_FAILED' });
      expect(error.message).not.toContain(dir);
    }
    // One that takes the file and says nothing: three seconds of reads are its time.
    const stuck = join(dir, 'stuck-ffmpeg');
    await writeFile(stuck, '#!/bin/sh\n: protocol_whitelist\nexec cat > /dev/null\n', {
      mode: 0o755,
    });
    const reasons: string[] = [];
    const source = openFileSound(
      { ffmpeg: { ...binary, path: stuck }, path: '/dev/zero', codec: 'pcma' },
      { onFailed: (error) => reasons.push(error.message) },
    );
    for (let reads = 1; reads < 150; reads++) source.read();
    expect([reasons, source.ended]).toEqual([[], false]);
    source.read();
    expect([reasons, source.ended]).toEqual([['The sound cannot be played: hangs'], true]);
    const gone = { ...binary, path: join(dir, 'no-ffmpeg') };
    const failed = new Promise<MediaError>((resolve) => {
      openFileSound({ ffmpeg: gone, path: garbage, codec: 'pcma' }, { onFailed: resolve });
    });
    expect(await failed).toMatchObject({ code: 'SOUND_FAILED' });
  });

  it('plays live sound of any codec in any other', { timeout: 60_000 }, async () => {
    const binary = await findFfmpeg({ encode: ['opus', 'speex', 'g722'] });
    const pairs: [AudioCodec, AudioCodec][] = [
      ...CODECS.map((codec): [AudioCodec, AudioCodec] => [codec, codec]),
      ['pcma', 'pcmu'],
      ['pcmu', 'g722'],
      ['g722', 'opus'],
      ['opus', 'speex-wb'],
      ['speex-wb', 'speex-nb'],
      ['speex-nb', 'pcma'],
    ];
    for (const some of [pairs.slice(0, 7), pairs.slice(7)]) {
      await Promise.all(
        some.map(async ([from, to]) => {
          const frames = soundFrames(from, encodeSound(from, beeps([500, 1000], 1500)));
          const live = new LiveSound({ codec: to, ffmpeg: binary });
          const payloads: Uint8Array[] = [];
          // Silence first, for two looks at the delay: what ffmpeg held back when it started is dropped by then.
          let begunAt: number | undefined;
          await eachStep(1000, (at) => {
            if (live.stats.framesOut >= 100) begunAt ??= at;
            const frame = frames[begunAt === undefined ? 0 : at - begunAt];
            if (frame !== undefined) live.push(frame);
            payloads.push(live.read() ?? audioSilence(to));
            return begunAt === undefined || at < begunAt + 95;
          });
          expect(begunAt, `${from} as ${to}`).toBeDefined();
          const soundMs = begunAt! * AUDIO_STEP_MS;
          live.close();
          const found = findBeeps(decodeSound(to, payloads)).map((ms) => ms - soundMs);
          console.log(
            `${from} as ${to}: beeps at ${found.map(Math.round).join(', ')} ms, ` +
              JSON.stringify(live.stats),
          );
          expect(found, `${from} as ${to}`).toHaveLength(2);
          expect(found[0]! - 500, `${from} as ${to}`).toBeLessThan(250);
          expect(Math.abs(found[1]! - found[0]! - 500), `${from} as ${to}`).toBeLessThan(25);
          if (from === to) expect(live.stats.framesDropped).toBe(0);
        }),
      );
    }
  });
});
