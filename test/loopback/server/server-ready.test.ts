// `/ready` while the ffmpeg that calls need comes and goes.

import { chmod, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { findFfmpeg } from '@sipcast/media';
import { serve } from 'sipcast';
import { expect, it } from 'vitest';
import { openGateway, openPhone, openSink } from '../../support/call-ends.ts';
import { afterTest } from '../../support/cleanup.ts';
import { makeFolder } from '../../support/folder.ts';

/** What a script does that runs the machine's own, or that of the optional package. */
async function realFfmpeg(): Promise<string> {
  return `exec '${(await findFfmpeg()).path}' "$@"`;
}

async function script(path: string, text: string): Promise<void> {
  await writeFile(`${path}.new`, `#!/bin/sh\n${text}\n`);
  await chmod(`${path}.new`, 0o755);
  await rename(`${path}.new`, path);
}

it('reports that ffmpeg is missing or broken, and that it is back', async () => {
  const dir = await makeFolder();
  const path = join(dir, 'ffmpeg');
  const works = await realFfmpeg();
  await script(path, works);
  const lines: string[] = [];
  const server = await serve({
    http: { port: 0, console: false },
    gateway: { transcoding: { ffmpegPath: path } },
    log: { write: (line) => void lines.push(line) },
  });
  afterTest(() => server.close(100));
  const ready = async (): Promise<readonly [number, unknown]> => {
    const response = await fetch(new URL('/ready', server.url));
    return [response.status, await response.json()];
  };
  const lost = {
    status: 'not ready',
    reason: expect.stringContaining('ffmpeg is missing') as string,
  };
  expect(await ready()).toEqual([200, { status: 'ready' }]);

  await rm(path);
  await expect.poll(ready).toEqual([503, lost]);
  expect(JSON.stringify(await ready())).not.toContain(dir);
  expect(lines.join('\n')).toContain(`not ready: No ffmpeg: ${path} is not there`);
  await script(path, works);
  await expect.poll(ready).toEqual([200, { status: 'ready' }]);

  await script(path, 'exit 127');
  await expect.poll(ready).toEqual([503, lost]);
  expect(lines.join('\n')).toContain(`${path} does not run`);
  // It runs, but lacks what was there at the start.
  await script(path, `${works} | sed '/libx264/d'`.replace('exec ', ''));
  await expect.poll(() => lines.join('\n')).toContain('no longer encodes video');
  expect((await ready())[0]).toBe(503);
  await script(path, works);
  await expect.poll(ready).toEqual([200, { status: 'ready' }]);
  expect(lines.filter((line) => line.includes('ffmpeg works again'))).toHaveLength(2);
});

it('refuses what needs an encoder while ffmpeg is lost, and goes on with all else', async () => {
  const dir = await makeFolder();
  const path = join(dir, 'ffmpeg');
  const works = await realFfmpeg();
  await script(path, works);
  const peer = await openPhone();
  let tags = 0;
  const sink = await openSink({
    keepTags: false,
    onTag: ({ type }, { streamName }) => (tags += type === 8 && streamName === 'before' ? 1 : 0),
  });
  const accept = { rtmpUrl: sink.url, rtmpStream: 'incoming' };
  const incoming = { rules: [{ accept }] };
  const server = await serve({
    http: { port: 0, console: false },
    log: { write: () => {} },
    gateway: { bindAddress: '127.0.0.1', transcoding: { ffmpegPath: path }, incoming },
  });
  afterTest(() => server.close(100));
  const caller = await openGateway();
  const post = async (method: string, body: object) => {
    const response = await fetch(server.url + method, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    return { response, text: await response.text() };
  };
  const call = (callId: string, more: object = {}) => {
    const target = { rtmpUrl: sink.url, rtmpStream: callId };
    return post('/call/startup', { callId, callee: peer.uri, ...target, ...more });
  };
  const statusOf = async (callId: string): Promise<string> => {
    const { response, text } = await post('/call/find', { callId });
    if (response.status !== 200) return String(response.status);
    const [found] = JSON.parse(text) as { status: string; rtmpStreamStatus: string }[];
    return `${found?.status} ${found?.rtmpStreamStatus}`;
  };
  const isOnAir = (callId: string) =>
    expect.poll(() => statusOf(callId), { timeout: 8000 }).toBe('ESTABLISHED RTMP_STREAM_ACTIVE');
  const isRefused = ({ response, text }: Awaited<ReturnType<typeof post>>): void => {
    expect([response.status, response.headers.get('retry-after')]).toEqual([503, '5']);
    expect(JSON.parse(text)).toMatchObject({
      code: 'TRANSCODER_LOST',
      reason: expect.stringContaining('ffmpeg') as string,
    });
    expect(text).not.toContain(dir);
  };
  const ready = async (): Promise<number> => (await fetch(new URL('/ready', server.url))).status;

  expect((await call('before')).response.status).toBe(200);
  await isOnAir('before');
  await rm(path);
  await expect.poll(ready, { timeout: 5000 }).toBe(503);

  isRefused(await call('sound'));
  isRefused(await call('picture', { audio: 'passthrough', video: 'reencode' }));
  const bySip = await caller.startup({ callee: `sip:studio@127.0.0.1:${server.gateway.sipPort}` });
  await bySip.closed();
  expect(bySip.view()).toMatchObject({ status: 'FAILED', sipStatus: 503 });
  // As it comes, or nowhere: nothing is encoded.
  const plain = { audio: 'passthrough', toStream: 'plain-stream' };
  expect((await call('plain', plain)).response.status).toBe(200);
  await isOnAir('plain');
  expect((await post('/call/startup', { callee: peer.uri })).response.status).toBe(200);
  const push = { streamName: 'plain-stream', rtmpUrl: `${sink.url}/more` };
  isRefused(await post('/push/startup', { ...push, audio: 'aac' }));
  expect((await post('/push/startup', push)).response.status).toBe(200);
  const flv = await fetch(`${server.url}/stream/plain-stream.flv`);
  isRefused({ response: flv, text: await flv.text() });
  // Its encoder runs on without its file.
  const before = tags;
  await expect.poll(() => tags).toBeGreaterThan(before + 10);

  await script(path, works);
  await expect.poll(ready, { timeout: 5000 }).toBe(200);
  expect((await call('sound')).response.status).toBe(200);
  await isOnAir('sound');
}, 30_000);

it('does not require an ffmpeg that is not needed', async () => {
  const server = await serve({
    http: { port: 0, console: false },
    gateway: { transcoding: false },
    log: { write: () => {} },
  });
  afterTest(() => server.close(100));
  expect(server.gateway.ffmpeg).toBeUndefined();
  expect(await server.gateway.checkFfmpeg()).toBeUndefined();
  expect((await fetch(new URL('/ready', server.url))).status).toBe(200);
});
