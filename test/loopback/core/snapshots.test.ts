// Pictures of named streams: what a browser gets, how often an encoder runs, and what is refused.

import { chmod, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { findFfmpeg } from '@sipcast/media';
import { describe, expect, it } from 'vitest';
import { openGateway, openPhone } from '../../support/call-ends.ts';
import { afterTest } from '../../support/cleanup.ts';
import { makeFolder } from '../../support/folder.ts';
import { startRestServer } from '../../support/rest-server.ts';

/** An ffmpeg that notes each time that it makes a picture. */
async function countingFfmpeg() {
  const { path } = await findFfmpeg();
  const dir = await makeFolder();
  const [script, runs] = [join(dir, 'ffmpeg'), join(dir, 'runs')];
  const note = `case "$*" in *image2pipe*) echo >>'${runs}';; esac`;
  await writeFile(script, `#!/bin/sh\n${note}\nexec '${path}' "$@"\n`);
  await chmod(script, 0o755);
  await writeFile(runs, '');
  return { path: script, runs: async () => (await readFile(runs)).length };
}

async function open(videoCodec: 'H264' | 'VP8' = 'H264') {
  const ffmpeg = await countingFfmpeg();
  const phone = await openPhone({ script: { videoCodec } });
  const gateway = await openGateway({ transcoding: { ffmpegPath: ffmpeg.path } });
  const server = await startRestServer(gateway, {});
  afterTest(() => server.close());
  const call = await gateway.startup({ callee: phone.uri, toStream: 'cam' });
  await call.established();
  await expect.poll(() => call.stats()?.video?.frames ?? 0).toBeGreaterThan(3);
  return { gateway, call, ffmpeg, url: server.url };
}

/** Format and size of an image, from its header (PNG §11.2.2; JPEG: the frame header SOF0 of ITU-T T.81 §B.2.2). */
function sizeOf(image: Buffer): string {
  if (image.toString('latin1', 1, 4) === 'PNG')
    return `png ${image.readUInt32BE(16)}x${image.readUInt32BE(20)}`;
  expect(image.readUInt16BE(0)).toBe(0xffd8);
  let at = 2;
  while (image[at + 1] !== 0xc0) at += 2 + image.readUInt16BE(at + 2);
  return `jpeg ${image.readUInt16BE(at + 7)}x${image.readUInt16BE(at + 5)}`;
}

describe('a snapshot', () => {
  it.each(['H264', 'VP8'] as const)('shows a call in %s as JPEG and PNG', async (codec) => {
    const { url } = await open(codec);
    const [jpeg, png] = await Promise.all([
      fetch(`${url}/stream/cam.jpg`),
      fetch(`${url}/stream/cam.png`),
    ]);
    expect([jpeg.headers.get('content-type'), png.headers.get('content-type')]).toEqual([
      'image/jpeg',
      'image/png',
    ]);
    const image = Buffer.from(await png.arrayBuffer());
    expect(sizeOf(image)).toBe('png 640x360');
    expect(sizeOf(Buffer.from(await jpeg.arrayBuffer()))).toBe('jpeg 640x360');
    const posted = await fetch(`${url}/stream/snapshot`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: '{"streamName": "cam"}',
    });
    const { data } = (await posted.json()) as { data: string };
    expect(sizeOf(Buffer.from(data, 'base64'))).toBe(sizeOf(image));
    if (process.env['SHOW'] !== undefined) await writeFile(process.env['SHOW'], image);
  });

  it('is made once for a hundred requests of a second', async () => {
    const { url, ffmpeg } = await open();
    const all = await Promise.all(
      Array.from({ length: 100 }, async () => {
        const response = await fetch(`${url}/stream/cam.jpg`);
        return Buffer.from(await response.arrayBuffer()).toString('base64');
      }),
    );
    expect(new Set(all).size).toBe(1);
    expect(await ffmpeg.runs()).toBe(1);
  });

  it('is new where the picture is', async () => {
    const { gateway } = await open();
    const first = await gateway.streams.snapshot('cam');
    await new Promise((resolve) => {
      setTimeout(resolve, 1100);
    });
    const second = await gateway.streams.snapshot('cam');
    expect(second.data.equals(first.data)).toBe(false);
  });

  it('is refused without a stream, without a picture, and without ffmpeg', async () => {
    const { gateway, url, call } = await open();
    expect((await fetch(`${url}/stream/none.jpg`)).status).toBe(404);
    gateway.streams.publish('sound', { audio: { codec: 'pcma' } });
    const early = await fetch(`${url}/stream/sound.png`);
    expect([early.status, ((await early.json()) as { code: string }).code]).toEqual([
      409,
      'NO_PICTURE',
    ]);
    await call.terminate();
    expect((await fetch(`${url}/stream/cam.jpg`)).status).toBe(404);
    const off = await openGateway();
    off.streams.publish('cam', { video: { codec: 'h264' } });
    await expect(off.streams.snapshot('cam')).rejects.toMatchObject({ code: 'NOT_IMPLEMENTED' });
  });

  it('needs the permission to watch', async () => {
    const { gateway } = await open();
    const server = await startRestServer(gateway, { basicAuth: { username: 'u', password: 'p' } });
    afterTest(() => server.close());
    expect((await fetch(`${server.url}/stream/cam.jpg`)).status).toBe(401);
    const authorization = `Basic ${Buffer.from('u:p').toString('base64')}`;
    const given = await fetch(`${server.url}/stream/token`, {
      method: 'POST',
      headers: { authorization, 'content-type': 'application/json' },
      body: '{"streamName": "cam"}',
    });
    const { token } = (await given.json()) as { token: string };
    expect((await fetch(`${server.url}/stream/cam.jpg?token=${token}`)).status).toBe(200);
  });
});
