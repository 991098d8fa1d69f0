// Pushes over SRT to ffmpeg and srt-live-transmit as servers: what arrives decodes, encrypted or not, and a server that
// restarts gets the stream again.

import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { CallGatewayOptions } from '@sipcast/core';
import { expect, it } from 'vitest';
import { openGateway, openPhone } from '../../support/call-ends.ts';
import { afterTest } from '../../support/cleanup.ts';
import { makeFolder } from '../../support/folder.ts';
import { freeUdpPort } from '../../support/ports.ts';
import { describeWith, run, start as startProgram } from '../../support/programs.ts';
import type { Running } from '../../support/programs.ts';

const LIMIT = { timeout: 60_000 };

/** A server that records one connection. */
async function record(port: number, query = '') {
  const path = join(await makeFolder(), 'out.ts');
  const from = `srt://127.0.0.1:${port}?mode=listener${query}`;
  return { path, server: start('ffmpeg', ['-v', 'error', '-y', '-i', from, '-c', 'copy', path]) };
}

function start(program: string, args: readonly string[]): Running {
  const running = startProgram(program, args);
  afterTest(() => running.stop('SIGKILL'));
  return running;
}

async function onAir(rtmpUrl: string, options: CallGatewayOptions = {}) {
  const gateway = await openGateway({ transcoding: {}, ...options });
  const phone = await openPhone();
  const call = await gateway.startup({ callee: phone.uri, rtmpUrl, rtmpStream: 'cam' });
  await call.established();
  return { gateway, call };
}

async function judge(path: string) {
  const asked = 'stream=codec_name,nb_read_frames,start_time,width';
  const words = `-v error -count_frames -of json -show_entries ${asked}`.split(' ');
  const { stdout } = await run('ffprobe', [...words, path]);
  const { streams } = JSON.parse(stdout.toString()) as {
    streams: { codec_name: string; nb_read_frames: string; start_time: string; width?: number }[];
  };
  const { stderr } = await run('ffmpeg', ['-v', 'error', '-i', path, '-f', 'null', '-']);
  const of = (codec: string) => streams.find(({ codec_name: name }) => name === codec);
  return { video: of('h264'), audio: of('aac'), stderr };
}

const grown = async (path: string, bytes: number) =>
  expect
    .poll(async () => (await stat(path).catch(() => ({ size: 0 }))).size, { timeout: 20_000 })
    .toBeGreaterThan(bytes);

describeWith(['ffmpeg', 'srt-live-transmit'], 'a push over SRT', () => {
  it.each([
    ['in the clear', ''],
    ['encrypted', '&passphrase=a-long-passphrase&pbkeylen=32'],
  ])('arrives %s: picture and sound, in sync', LIMIT, async (_, query) => {
    const port = await freeUdpPort();
    const { path, server } = await record(port, query);
    const { gateway, call } = await onAir(`srt://127.0.0.1:${port}?latency=50${query}`);
    await expect.poll(() => call.rtmpStreamStatus, { timeout: 20_000 }).toBe('RTMP_STREAM_ACTIVE');
    await grown(path, 300_000);
    expect(gateway.pushes.find()[0]!.bytesSent).toBeGreaterThan(100_000);
    await call.terminate();
    await server.exited;
    const { video, audio, stderr } = await judge(path);
    expect(stderr).toBe('');
    expect(Number(video?.nb_read_frames)).toBeGreaterThan(50);
    expect(Number(audio?.nb_read_frames)).toBeGreaterThan(80);
    expect(Math.abs(Number(video?.start_time) - Number(audio?.start_time))).toBeLessThan(0.5);
  });

  it('goes on after its server was killed, and says that it was lost', LIMIT, async () => {
    const port = await freeUdpPort();
    const first = await record(port);
    const { call } = await onAir(`srt://127.0.0.1:${port}?latency=50`);
    const seen: string[] = [];
    call.on('rtmpStreamStatus', (status) => seen.push(status));
    await expect.poll(() => call.rtmpStreamStatus, { timeout: 20_000 }).toBe('RTMP_STREAM_ACTIVE');
    await grown(first.path, 200_000);
    await first.server.stop('SIGKILL');
    // libsrt notices a peer that is gone after five seconds.
    await expect.poll(() => seen, { timeout: 20_000 }).toContain('RTMP_CONNECTION_LOST');
    const second = await record(port);
    await expect.poll(() => seen.at(-1), { timeout: 20_000 }).toBe('RTMP_STREAM_ACTIVE');
    await grown(second.path, 200_000);
    await call.terminate();
    await second.server.exited;
    const { video, stderr } = await judge(second.path);
    expect([stderr, Number(video?.nb_read_frames) > 30]).toEqual(['', true]);
  });

  it('arrives at srt-live-transmit with its stream ID', LIMIT, async () => {
    const [port, udp] = [await freeUdpPort(), await freeUdpPort()];
    const path = join(await makeFolder(), 'out.ts');
    const from = `srt://127.0.0.1:${port}?mode=listener`;
    start('srt-live-transmit', ['-q', from, `udp://127.0.0.1:${udp}`]);
    const words = `-v error -y -f mpegts -i udp://127.0.0.1:${udp}?timeout=3000000 -c copy`;
    const reader = start('ffmpeg', [...words.split(' '), path]);
    const { call } = await onAir(`srt://127.0.0.1:${port}?streamid=publish:cam`);
    await expect.poll(() => call.rtmpStreamStatus, { timeout: 20_000 }).toBe('RTMP_STREAM_ACTIVE');
    await grown(path, 200_000);
    await reader.stop('SIGINT');
    await call.terminate();
    const { video, audio } = await judge(path);
    expect([video?.width, Number(audio?.nb_read_frames) > 20]).toEqual([640, true]);
  });

  it('to a port without a server fails with a reason, without the passphrase', LIMIT, async () => {
    const port = await freeUdpPort();
    const url = `srt://127.0.0.1:${port}?passphrase=canary-passphrase`;
    const { call } = await onAir(url, { rtmp: { firstConnectTimeoutMs: 500 } });
    await expect
      .poll(() => call.rtmpStreamStatus, { timeout: 30_000 })
      .toBe('RTMP_CONNECTION_FAILED');
    expect(call.view().rtmpStreamError).toMatch(/^CONNECT_FAILED: ffmpeg ended with/);
    expect(call.view().rtmpStreamError).not.toContain('canary');
    expect(call.status).toBe('ESTABLISHED');
  });
});
