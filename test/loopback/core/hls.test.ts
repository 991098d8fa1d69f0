// HLS of named streams: the playlist on demand, its segments, tokens, a change of size, the end, a folder for a CDN.

import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { CallGatewayOptions } from '@sipcast/core';
import { loadClip } from '@sipcast/testkit';
import type { CallScript } from '@sipcast/testkit';
import { describe, expect, it } from 'vitest';
import { openGateway, openPhone } from '../../support/call-ends.ts';
import { afterTest } from '../../support/cleanup.ts';
import { makeFolder } from '../../support/folder.ts';
import { startRestServer } from '../../support/rest-server.ts';

const LIMIT = { timeout: 30_000 };

async function open(script: CallScript = {}, options: CallGatewayOptions = {}) {
  const phone = await openPhone({ script });
  const gateway = await openGateway({ transcoding: {}, ...options });
  const server = await startRestServer(gateway, {});
  afterTest(() => server.close());
  const call = await gateway.startup({ callee: phone.uri, toStream: 'cam' });
  await call.established();
  return { gateway, call, url: `${server.url}/stream/cam` };
}

async function textOf(url: string): Promise<string> {
  const response = await fetch(url);
  expect([url.split('?')[0], response.status]).toEqual([url.split('?')[0], 200]);
  return response.text();
}
const segmentsIn = (playlist: string): string[] => playlist.match(/^[^#\n]+$/gm) ?? [];
const durationsIn = (playlist: string): number[] =>
  [...playlist.matchAll(/#EXTINF:([\d.]+)/g)].map(([, seconds]) => Number(seconds));
/** Names of the boxes of a file (ISO/IEC 14496-12 §4.2). */
function boxesOf(octets: Buffer): string[] {
  const names: string[] = [];
  for (let at = 0; at + 8 <= octets.length; at += octets.readUInt32BE(at))
    names.push(octets.toString('latin1', at + 4, at + 8));
  return names;
}

describe('HLS of a call', () => {
  it('is made from the first request on: whole segments, a window that moves', LIMIT, async () => {
    const { call, url, gateway } = await open();
    const first = await textOf(`${url}/index.m3u8`);
    expect(first).toMatch(/^#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:\d+\n/);
    const [init = ''] = /init-[^"]+/.exec(first) ?? [];
    const head = Buffer.from(await (await fetch(`${url}/${init}`)).arrayBuffer());
    expect(boxesOf(head)).toEqual(expect.arrayContaining(['ftyp', 'moov']));
    const [name = ''] = segmentsIn(first);
    const response = await fetch(`${url}/${name}`);
    expect(response.headers.get('content-type')).toBe('video/mp4');
    const segment = Buffer.from(await response.arrayBuffer());
    expect(boxesOf(segment)).toEqual(expect.arrayContaining(['moof', 'mdat']));
    expect(gateway.streams.find()[0]?.viewers).toBe(1);
    await expect
      .poll(async () => segmentsIn(await textOf(`${url}/index.m3u8`)).length, { timeout: 10_000 })
      .toBeGreaterThanOrEqual(3);
    const later = await textOf(`${url}/index.m3u8`);
    const target = Number(/TARGETDURATION:(\d+)/.exec(later)?.[1]);
    for (const seconds of durationsIn(later))
      expect(Math.round(seconds)).toBeLessThanOrEqual(target);
    await call.terminate();
    expect(await textOf(`${url}/index.m3u8`)).toMatch(/#EXT-X-ENDLIST\n$/);
    expect((await fetch(`${url}/none.m4s`)).status).toBe(404);
  });

  it('names segments with the token of who asks, and is refused without one', LIMIT, async () => {
    const { gateway } = await open();
    const server = await startRestServer(gateway, { basicAuth: { username: 'u', password: 'p' } });
    afterTest(() => server.close());
    const at = `${server.url}/stream/cam`;
    expect((await fetch(`${at}/index.m3u8`)).status).toBe(401);
    const authorization = `Basic ${Buffer.from('u:p').toString('base64')}`;
    const given = await fetch(`${server.url}/stream/token`, {
      method: 'POST',
      headers: { authorization, 'content-type': 'application/json' },
      body: '{"streamName": "cam"}',
    });
    const { token } = (await given.json()) as { token: string };
    const playlist = await textOf(`${at}/index.m3u8?token=${token}`);
    const [segment = ''] = segmentsIn(playlist);
    expect((await fetch(`${at}/${segment}`)).status).toBe(200);
    expect((await fetch(`${at}/${segment.split('?')[0]}`)).status).toBe(401);
  });

  it('goes on behind a discontinuity where the size changes', LIMIT, async () => {
    const gateway = await openGateway({ transcoding: {} });
    const stream = gateway.streams.publish('cam', { video: { codec: 'h264' } });
    const { video } = loadClip();
    // The black pictures of the gateway stand in for a camera that was turned.
    const small = ['Z0LACtwsTsBEAAADAAQAAAMAEDxIng==', 'aM4yyA=='].map((text) =>
      Buffer.from(text, 'base64'),
    );
    const black = Buffer.from(
      'ZYiEPyYoAAi2ycnJycnJycnJyddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddeA=',
      'base64',
    );
    const startMs = performance.now();
    let shown = 0;
    const timer = setInterval(() => {
      for (; shown * 40 < performance.now() - startMs; shown++) {
        const isSmall = shown >= 110 && shown < 220;
        const again = shown % 25 === 0 || shown === 110;
        if (!isSmall) stream.pushVideo(video[shown % video.length]!.nalus, shown * 40);
        else if (again) stream.pushVideo([...small, black], shown * 40);
      }
    }, 20);
    afterTest(async () => clearInterval(timer));
    const server = await startRestServer(gateway, {});
    afterTest(() => server.close());
    const at = `${server.url}/stream/cam/index.m3u8`;
    await expect
      .poll(() => textOf(at), { timeout: 20_000, interval: 500 })
      .toMatch(/#EXT-X-DISCONTINUITY\n#EXT-X-MAP:URI="init-1\.mp4"\n#EXTINF/);
  });

  it('is one viewer more, and refused where as many watch as may', LIMIT, async () => {
    const { url } = await open({}, { maxViewersPerStream: 1 });
    const watching = new AbortController();
    const live = await fetch(`${url}.flv`, { signal: watching.signal });
    expect(live.status).toBe(200);
    expect((await fetch(`${url}/index.m3u8`)).status).toBe(503);
    watching.abort();
    await expect
      .poll(async () => (await fetch(`${url}/index.m3u8`)).status, { timeout: 10_000 })
      .toBe(200);
  });

  it('plays sound alone', LIMIT, async () => {
    const { url } = await open({ video: false });
    const playlist = await textOf(`${url}/index.m3u8`);
    expect(durationsIn(playlist)[0]).toBeGreaterThan(1);
  });

  it('is written to a folder, file by file, up to the end', LIMIT, async () => {
    const { gateway, call } = await open();
    const dir = join(await makeFolder(), 'hls');
    await gateway.streams.writeHls('cam', dir);
    const names = async () => readdir(dir).catch(() => [] as string[]);
    await expect.poll(names, { timeout: 10_000 }).toContain('index.m3u8');
    await call.terminate();
    const playlist = await readFile(join(dir, 'index.m3u8'), 'utf8');
    expect(playlist).toMatch(/#EXT-X-ENDLIST\n$/);
    for (const name of segmentsIn(playlist)) expect(await names()).toContain(name);
    expect((await names()).filter((name) => name.endsWith('.part'))).toEqual([]);
  });

  it('is not found without a stream, and no name leads elsewhere', async () => {
    const { url } = await open();
    expect((await fetch(url.replace('cam', 'none') + '/index.m3u8')).status).toBe(404);
    for (const name of ['../../etc/passwd', '%2e%2e/x.m4s', 'x.m4s', 'init-0.mp4/x'])
      expect((await fetch(`${url}/${name}`)).status).toBe(404);
  });
});
