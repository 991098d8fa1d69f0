// Named streams: found, watched over HTTP and WebSocket, subscribed to in code, recorded.

import { setTimeout as sleep } from 'node:timers/promises';
import { once } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import { createServer, get } from 'node:http';
import type { IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { Call, CallGateway, CallGatewayOptions, OutputFailure } from '@sipcast/core';
import { readFlvTags } from '@sipcast/media';
import { decodeAmf0 } from '@sipcast/media/wire';
import type { FlvRecording } from '@sipcast/media';
import type { FlvFileTag, EcmaArray } from '@sipcast/media/wire';
import { createRestRouter, nodeListener } from '@sipcast/rest';
import type { RestOptions } from '@sipcast/rest';
import type { SipPeer } from '@sipcast/testkit';
import type { CallScript } from '@sipcast/testkit';
import { describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { openGateway, openPhone, openSink } from '../../support/call-ends.ts';
import { childCommands } from '../../support/child-processes.ts';
import { afterTest } from '../../support/cleanup.ts';
import { makeFolder } from '../../support/folder.ts';

async function open(
  options: CallGatewayOptions = {},
  rest: RestOptions = {},
  script: CallScript = {},
) {
  const peer = await openPhone({ script });
  const gateway = await openGateway({ transcoding: {}, ...options });
  const router = createRestRouter(gateway, rest);
  const listener = nodeListener(router);
  const server = createServer((request, response) => void listener(request, response));
  server.on('upgrade', (request, socket, head) => {
    if (!router.upgrade(request, socket, head)) socket.destroy();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  afterTest(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  return { peer, gateway, port, base: `http://127.0.0.1:${port}/rest-api` };
}

async function startCall(gateway: CallGateway, peer: SipPeer, more = {}): Promise<Call> {
  return gateway.startup({ callee: peer.uri, toStream: 'cam', ...more });
}

/** Follows a live file until it has so many video tags, or it ends. */
async function watch(url: string, pictures: number, headers = {}): Promise<FlvFileTag[]> {
  const request = get(url, { headers });
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  if (response.statusCode !== 200) throw new Error(`HTTP ${response.statusCode}`);
  const parts: Buffer[] = [];
  for await (const part of response as AsyncIterable<Buffer>) {
    parts.push(part);
    const tags = [...readFlvTags(Buffer.concat(parts))];
    if (tags.filter(isPicture).length >= pictures) break;
  }
  request.destroy();
  return [...readFlvTags(Buffer.concat(parts))];
}
const isPicture = ({ type, body }: FlvFileTag): boolean => type === 9 && body[1] === 1;
const isKey = ({ body }: FlvFileTag): boolean => body[0]! >> 4 === 1;

describe('every audio codec, pushed, recorded and watched at once', () => {
  it.each(['PCMA', 'PCMU', 'G722', 'opus', 'speex/16000'] as const)(
    '%s: sound and picture within two seconds, for early and for late viewers',
    async (audioCodec) => {
      const dir = await makeFolder();
      const sink = await openSink();
      const { gateway, peer, base } = await open({ recording: { dir } }, {}, { audioCodec });
      const target = { rtmpUrl: sink.url, rtmpStream: 'key' };
      const call = await startCall(gateway, peer, { ...target, record: true });
      const early = watch(`${base}/stream/cam.flv`, 50);
      await call.established();
      const check = (tags: readonly FlvFileTag[]): void => {
        const sound = tags.filter(({ type, body }) => type === 8 && body[1] === 1);
        const pictures = tags.filter(isPicture);
        expect(sound.length).toBeGreaterThan(10);
        expect(pictures.length).toBeGreaterThanOrEqual(30);
        for (const medium of [sound, pictures]) {
          const times = medium.map(({ timestampMs }) => timestampMs);
          expect(times).toEqual(times.toSorted((a, b) => a - b));
        }
        const [first] = sound;
        expect(Math.abs(first!.timestampMs - pictures[0]!.timestampMs)).toBeLessThan(2000);
        // ffmpeg takes later metadata for a stream of subtitles.
        const metadata = tags.filter(({ type }) => type === 18);
        expect(metadata.map(({ timestampMs }) => timestampMs)).toEqual(metadata.map(() => 0));
      };
      check(await early);
      check(await watch(`${base}/stream/cam.flv`, 30));
      expect(gateway.faults['output-failed']).toBeUndefined();
      const recorded = once(call as unknown as NodeJS.EventEmitter, 'recorded') as Promise<
        [FlvRecording]
      >;
      await call.terminate();
      const [{ path }] = await recorded;
      const file = [...readFlvTags(await readFile(path))];
      expect(file.filter(({ type }) => type === 8).length).toBeGreaterThan(30);
      expect(sink.publications[0]!.tags.filter(({ type }) => type === 8).length).toBeGreaterThan(
        30,
      );
    },
  );
});

describe('a named stream', () => {
  it('says which output was removed and why: in the log, a metric and an event', async () => {
    const lines: string[] = [];
    const log = (line: string): void => void lines.push(line);
    const logger = { debug: () => {}, info: log, warn: log, error: log };
    const { gateway, peer, base } = await open({ logger });
    const call = await startCall(gateway, peer);
    await call.established();
    const failures: OutputFailure[] = [];
    gateway.on('outputFailed', (failure) => failures.push(failure));
    const feed = await fetch(`${base}/events`);
    const reader = feed.body!.getReader();
    const ended: unknown[] = [];
    call.stream.addOutput({
      push: () => {
        throw new Error('the disk is full');
      },
      onEnded: (error) => void ended.push(error),
    });
    await expect.poll(() => failures).toHaveLength(1);
    expect(failures).toEqual([
      { streamName: 'cam', callId: call.callId, reason: 'the disk is full' },
    ]);
    expect(ended).toEqual([new Error('the disk is full')]);
    expect(gateway.faults['output-failed']).toBe(1);
    expect(lines.filter((line) => line.includes('stream cam was removed'))).toHaveLength(1);
    let events = '';
    while (!events.includes('event: OutputFailed')) {
      const { value } = await reader.read();
      events += Buffer.from(value ?? []).toString();
    }
    await reader.cancel();
  });

  it('is found from the start of its call, and plays over HTTP from a key frame on', async () => {
    const { gateway, peer, base } = await open({}, {}, { answerAfterMs: 300 });
    const call = await startCall(gateway, peer);
    const found = await (await fetch(`${base}/stream/find_all`)).json();
    expect(found).toMatchObject([{ streamName: 'cam', callId: call.callId, live: false }]);
    // Before the answer: it waits for the stream.
    const early = watch(`${base}/stream/cam.flv`, 30);
    await call.established();
    const tags = await early;
    const roles = tags.map(({ type, body }) => `${type}.${type === 18 ? '' : body[1]}`);
    expect(roles.indexOf('9.0')).toBeLessThan(roles.indexOf('9.1'));
    expect(isKey(tags.find(isPicture)!)).toBe(true);
    // A late one begins at once with the newest key frame, in AAC.
    const startMs = performance.now();
    const late = await watch(`${base}/stream/cam.flv`, 1);
    expect(performance.now() - startMs).toBeLessThan(1000);
    expect(isKey(late.find(isPicture)!)).toBe(true);
    const [view] = gateway.streams.find({ streamName: 'cam' });
    expect(view).toMatchObject({ live: true, videoCodec: 'h264', width: 640, height: 360 });
    await expect.poll(() => gateway.streams.find()[0]?.viewers).toBe(0);
    expect(gateway.encoders.audio).toBe(0);
    expect((await fetch(`${base}/stream/other.flv`)).status).toBe(404);
    expect((await fetch(`${base}/stream/find?streamName=other`)).status).toBe(404);
  });

  it('gives viewers AAC of a call that is passed through, and ends with it', async () => {
    const { gateway, peer, base } = await open({ audio: 'passthrough' });
    const call = await startCall(gateway, peer);
    await call.established();
    const watching = watch(`${base}/stream/cam.flv`, 10_000);
    await expect.poll(() => gateway.encoders.audio, { timeout: 3000 }).toBe(1);
    await sleep(1500);
    await call.terminate();
    const tags = await watching;
    const audio = tags.filter(({ type }) => type === 8);
    expect(audio.length).toBeGreaterThan(20);
    expect(new Set(audio.map(({ body }) => body[0]! >> 4))).toEqual(new Set([10]));
    expect((await fetch(`${base}/stream/cam.flv`)).status).toBe(404);
  });

  it('promises no medium that is not there', async () => {
    for (const [script, flags] of [
      [{ audio: false }, 1],
      [{ video: false }, 4],
    ] as const) {
      const { gateway, peer, base } = await open({ transcoding: false }, {}, script);
      const call = await startCall(gateway, peer);
      await call.established();
      const response = await fetch(`${base}/stream/cam.flv`);
      const reader = response.body!.getReader();
      const { value } = await reader.read();
      expect(value?.[4]).toBe(flags);
      await reader.cancel();
    }
  });

  it('answers HEAD like GET, without counting a viewer', async () => {
    const { gateway, peer, base } = await open({ transcoding: false });
    const call = await startCall(gateway, peer);
    await call.established();
    const head = (name: string) => fetch(`${base}/stream/${name}.flv`, { method: 'HEAD' });
    const found = await head('cam');
    expect([found.status, found.headers.get('content-type')]).toEqual([200, 'video/x-flv']);
    expect(gateway.streams.get('cam').viewers).toBe(0);
    expect((await head('none')).status).toBe(404);
  });

  it('plays over a WebSocket, which leaves when either side does', async () => {
    const { gateway, peer, port } = await open();
    const call = await startCall(gateway, peer);
    await call.established();
    const socket = new WebSocket(`ws://127.0.0.1:${port}/rest-api/stream/cam.flv`);
    const parts: Buffer[] = [];
    socket.on('message', (data: Buffer) => parts.push(data));
    await once(socket, 'open');
    const pictures = () => [...readFlvTags(Buffer.concat(parts))].filter(isPicture);
    await expect.poll(() => pictures().length, { timeout: 5000 }).toBeGreaterThan(20);
    expect(isKey(pictures()[0]!)).toBe(true);
    expect(gateway.streams.find()[0]?.viewers).toBe(1);
    socket.close();
    await expect.poll(() => gateway.streams.find()[0]?.viewers, { timeout: 3000 }).toBe(0);
    const second = new WebSocket(`ws://127.0.0.1:${port}/rest-api/stream/cam.flv`);
    await once(second, 'open');
    await call.terminate();
    const [code] = (await once(second, 'close')) as [number];
    expect(code).toBe(1000);
    const refused = new WebSocket(`ws://127.0.0.1:${port}/rest-api/stream/none.flv`);
    const [error] = (await once(refused, 'error')) as [Error];
    expect(error.message).toContain('404');
  });

  it('is for those who may: the account, or a token that is not over', async () => {
    const account = { username: 'user', password: 'secret' };
    const { gateway, peer, base, port } = await open(
      { transcoding: false },
      { basicAuth: account },
    );
    const call = await startCall(gateway, peer);
    await call.established();
    const url = `${base}/stream/cam.flv`;
    const authorization = `Basic ${Buffer.from('user:secret').toString('base64')}`;
    await expect(watch(url, 1)).rejects.toThrow('401');
    expect((await watch(url, 1, { authorization })).length).toBeGreaterThan(0);
    const ask = (body: object) =>
      fetch(`${base}/stream/token`, {
        method: 'POST',
        headers: { authorization, 'content-type': 'application/json' },
        body: JSON.stringify(body),
      });
    expect((await fetch(`${base}/stream/token`, { method: 'POST' })).status).toBe(401);
    expect((await ask({ streamName: 'none' })).status).toBe(404);
    const { path, token } = (await (await ask({ streamName: 'cam', ttlSeconds: 1 })).json()) as {
      path: string;
      token: string;
    };
    expect((await watch(`http://127.0.0.1:${port}${path}`, 1)).length).toBeGreaterThan(0);
    const forged = `${Number.parseInt(token, 10) + 1000}.${token.split('.')[1]}`;
    for (const wrong of [forged, `${token}x`, '', 'x.y'])
      await expect(watch(`${url}?token=${wrong}`, 1), wrong).rejects.toThrow('401');
    const refused = new WebSocket(`ws://127.0.0.1:${port}/rest-api/stream/cam.flv`);
    const [error] = (await once(refused, 'error')) as [Error];
    expect(error.message).toContain('401');
    await sleep(1100);
    await expect(watch(`${url}?token=${token}`, 1)).rejects.toThrow('401');
  });

  it('drops only for a viewer that reads nothing; limits the number of viewers', async () => {
    const { gateway, peer, port, base } = await open({
      transcoding: false,
      maxViewersPerStream: 2,
    });
    const call = await startCall(gateway, peer);
    await call.established();
    const lazy = connect(port, '127.0.0.1');
    lazy.pause();
    afterTest(() => lazy.destroy());
    lazy.write('GET /rest-api/stream/cam.flv HTTP/1.1\r\nhost: x\r\n\r\n');
    await expect.poll(() => gateway.streams.find()[0]?.viewers).toBe(1);
    const tags = await watch(`${base}/stream/cam.flv`, 60);
    const times = tags.filter(isPicture).map(({ timestampMs }) => timestampMs);
    expect(Math.max(...times.slice(1).map((at, index) => at - times[index]!))).toBeLessThan(120);
    await expect.poll(() => gateway.streams.find()[0]?.viewers).toBe(1);
    const others = [watch(`${base}/stream/cam.flv`, 110)];
    await expect.poll(() => gateway.streams.find()[0]?.viewers).toBe(2);
    expect((await fetch(`${base}/stream/cam.flv`)).status).toBe(503);
    await Promise.all(others);
    lazy.destroy();
    await expect.poll(() => gateway.streams.find()[0]?.viewers, { timeout: 3000 }).toBe(0);
  });

  it('has so many viewers of all streams together', async () => {
    const { gateway, peer, base } = await open({ transcoding: false, maxViewers: 2 });
    await (await startCall(gateway, peer)).established();
    const other = gateway.streams.publish('other', { audio: { codec: 'pcma' } });
    afterTest(() => other.close());
    const watching = ['cam', 'other'].map((name) => fetch(`${base}/stream/${name}.flv`));
    const bodies = (await Promise.all(watching)).map(({ body }) => body);
    const refused = await fetch(`${base}/stream/cam.flv`);
    expect([refused.status, await refused.json()]).toEqual([
      503,
      expect.objectContaining({ code: 'TOO_MANY_VIEWERS' }),
    ]);
    for (const body of bodies) await body?.cancel();
    await expect
      .poll(() => gateway.streams.find().reduce((sum, { viewers }) => sum + viewers, 0))
      .toBe(0);
  });

  it('takes outputs in code, before it is live', async () => {
    const { gateway, peer } = await open({ transcoding: false }, {}, { answerAfterMs: 100 });
    const call = await startCall(gateway, peer);
    const told: string[] = [];
    const stream = gateway.streams.get('cam');
    const form = { audio: 'passthrough', video: 'passthrough' } as const;
    stream.addOutput(
      {
        onLive: ({ hasAudio, hasVideo }) => told.push(`live ${hasAudio} ${hasVideo}`),
        push: ({ role }) => {
          if (!told.includes(role)) told.push(role);
        },
        onEnded: () => void told.push('ended'),
      },
      form,
    );
    const leave = stream.addOutput(
      { push: () => {}, onEnded: () => void told.push('never') },
      form,
    );
    leave();
    await call.established();
    await expect.poll(() => told, { timeout: 5000 }).toContain('inter-frame');
    await call.terminate();
    expect(told[0]).toBe('live true true');
    expect(told.at(-1)).toBe('ended');
    expect(told).not.toContain('never');
  });
});

describe('a recording', () => {
  it('is seekable after the end of the call, and an MP4 where that is asked for', async () => {
    const dir = await makeFolder();
    const { gateway, peer } = await open({
      recording: { dir: join(dir, 'calls'), maxMs: 3000, mp4: true },
    });
    const call = await startCall(gateway, peer, {
      record: true,
      toStream: '../../x y'.replaceAll(/[^a-z]/g, '-'),
    });
    const files: FlvRecording[] = [];
    call.on('recorded', (file) => files.push(file));
    await call.established();
    await sleep(6500);
    expect(gateway.streams.find()[0]?.viewers).toBe(0);
    await call.terminate();
    const names = await readdir(join(dir, 'calls'));
    expect(names.filter((name) => name.endsWith('.flv')).length).toBeGreaterThanOrEqual(2);
    expect(names.filter((name) => name.endsWith('.mp4')).length).toBe(
      names.filter((name) => name.endsWith('.flv')).length,
    );
    expect(files).toHaveLength(names.length);
    const [first] = files.filter(({ path }) => path.endsWith('.flv'));
    const octets = await readFile(first!.path);
    const tags = [...readFlvTags(octets)];
    const values = decodeAmf0(tags[0]!.body);
    const metadata = (values[1] as EcmaArray).entries;
    const durationMs = Number(metadata.get('duration')) * 1000;
    expect(durationMs).toBeGreaterThan(2900);
    expect(durationMs).toBeLessThan(5200);
    expect(metadata.get('filesize')).toBe(octets.length);
    const index = metadata.get('keyframes') as ReadonlyMap<string, number[]>;
    for (const position of index.get('filepositions') ?? []) {
      // A video tag with a key frame stands where the index says.
      expect(octets[position]).toBe(9);
      expect(octets[position + 11]! >> 4).toBe(1);
    }
    expect(index.get('times')?.[0]).toBe(0);
    // ffmpeg gives up metadata with a longer string.
    for (const value of metadata.values())
      if (typeof value === 'string') expect(value.length).toBeLessThan(1000);
    expect(call.status).toBe('FINISH');
    expect(childCommands().join('\n')).not.toContain('pipe:0');
  });

  it('needs a folder that can be made', async () => {
    const { gateway, peer } = await open({ transcoding: false });
    const callee = peer.uri;
    for (const record of [true, { dir: `${import.meta.filename}/x` }, { dir: '' }, 'yes'])
      await expect(gateway.startup({ callee, record: record as never })).rejects.toMatchObject({
        code: 'INVALID_ARGUMENT',
        field: 'record',
      });
    expect(gateway.calls.live).toEqual([]);
  });
});
