// Viewers of calls whose pictures do not come when they are wanted: a camera that is off or late, a peer that ignores every
// request for a key frame. Sound within two seconds, and something to see.

import { get } from 'node:http';
import type { IncomingMessage } from 'node:http';
import { once } from 'node:events';
import { readFlvTags } from '@sipcast/media';
import type { FlvFileTag } from '@sipcast/media/wire';
import type { CallGatewayOptions } from '@sipcast/core';
import { loadClip } from '@sipcast/testkit';
import type { CallScript } from '@sipcast/testkit';
import { describe, expect, it } from 'vitest';
import { openGateway, openPhone, openSink } from '../../support/call-ends.ts';
import { afterTest } from '../../support/cleanup.ts';
import { startRestServer } from '../../support/rest-server.ts';

async function open(script: CallScript, options: CallGatewayOptions = {}) {
  const phone = await openPhone({ script });
  const gateway = await openGateway({ transcoding: {}, ...options });
  const server = await startRestServer(gateway, {});
  afterTest(() => server.close());
  const call = await gateway.startup({ callee: phone.uri, toStream: 'cam' });
  await call.established();
  return { gateway, call, url: `${server.url}/stream/cam.flv` };
}

/** What a viewer gets in a time. */
async function watch(url: string, ms: number) {
  const request = get(url);
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  const parts: Buffer[] = [];
  response.on('data', (part: Buffer) => parts.push(part));
  await new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
  request.destroy();
  const octets = Buffer.concat(parts);
  const tags = [...readFlvTags(octets)];
  return {
    flags: octets[4],
    tags,
    sound: tags.filter(({ type, body }) => type === 8 && body[1] === 1),
    pictures: tags.filter(({ type, body }) => type === 9 && body[1] === 1),
    headers: tags.filter(({ type, body }) => type === 9 && body[1] === 0),
  };
}
const isKey = ({ body }: FlvFileTag): boolean => body[0]! >> 4 === 1;
const inOrder = (tags: readonly FlvFileTag[]): void => {
  const times = tags.map(({ timestampMs }) => timestampMs);
  expect(times).toEqual(times.toSorted((a, b) => a - b));
};

/** The clip with its first key frame alone: it lasts 20 s, and nothing makes the phone begin again. */
function oneKeyFrame() {
  const clip = loadClip();
  const video = clip.video.filter(({ isKeyFrame }, index) => index === 0 || !isKeyFrame);
  return { ...clip, video: video.map((unit, index) => ({ ...unit, index })) };
}

describe('a viewer who joins between key frames of a peer that ignores requests', () => {
  it('hears at once, and sees the last key frame again and again', {
    timeout: 20_000,
  }, async () => {
    const { call, url } = await open({
      sender: { clip: oneKeyFrame(), answerKeyFrameRequests: false },
    });
    await expect
      .poll(() => call.stats()?.video?.frames ?? 0, { timeout: 8000 })
      .toBeGreaterThan(75);
    const { sound, pictures, headers, flags } = await watch(url, 2200);
    expect(flags).toBe(5);
    expect(sound.length).toBeGreaterThan(40);
    expect(headers).toHaveLength(1);
    expect(pictures.length).toBeGreaterThanOrEqual(3);
    expect(pictures.every(isKey)).toBe(true);
    inOrder(pictures);
    inOrder(sound);
    expect(Math.abs(pictures[0]!.timestampMs - sound[0]!.timestampMs)).toBeLessThan(500);
    // Two in a row are not the same picture (H.264 §7.4.3).
    const bodies = pictures.map(({ body }) => Buffer.from(body).toString('base64'));
    expect(bodies.every((body, index) => body !== bodies[index + 1])).toBe(true);
    expect(call.status).toBe('ESTABLISHED');
  });

  it('sees the picture move from the next key frame on', { timeout: 20_000 }, async () => {
    const { call, url } = await open({ sender: { answerKeyFrameRequests: false } });
    await expect.poll(() => call.stats()?.video?.frames ?? 0).toBeGreaterThan(10);
    const { pictures, tags } = await watch(url, 3000);
    const firstMoving = pictures.findIndex((picture) => !isKey(picture));
    expect(firstMoving).toBeGreaterThan(0);
    expect(isKey(pictures[firstMoving - 1]!)).toBe(true);
    inOrder(pictures);
    expect(tags.filter(({ type }) => type === 18).every((one) => one.timestampMs === 0)).toBe(true);
  });
});

describe('a camera that is off', () => {
  const off = (): CallScript => ({ sender: { video: { impairments: { loss: 1 } } } });

  it('is black for a viewer, with sound within two seconds', { timeout: 20_000 }, async () => {
    const { url } = await open(off());
    const { sound, pictures, headers, flags } = await watch(url, 2500);
    expect(flags).toBe(5);
    expect(sound.length).toBeGreaterThan(40);
    expect(headers).toHaveLength(1);
    expect(pictures.length).toBeGreaterThanOrEqual(2);
    inOrder(pictures);
  });

  it('is nothing where the option says so, and the file does not announce any', async () => {
    const { url } = await open(off(), { videoPlaceholder: 'none' });
    const { sound, pictures, flags } = await watch(url, 2500);
    expect(flags).toBe(4);
    expect(sound.length).toBeGreaterThan(40);
    expect(pictures).toEqual([]);
  });

  it('is nothing to an RTMP server that needs no pictures', async () => {
    const { gateway } = await open(off());
    const sink = await openSink();
    gateway.pushes.start({ streamName: 'cam', rtmpUrl: sink.url });
    const { tags } = await sink.nextPublication();
    const sounds = () => tags.filter(({ type, body }) => type === 8 && body[1] === 1).length;
    await expect.poll(sounds, { timeout: 4000 }).toBeGreaterThan(20);
    expect(tags.filter(({ type }) => type === 9)).toEqual([]);
  });

  it('is on from its first picture on, with a header of its own', { timeout: 20_000 }, async () => {
    const gateway = await openGateway({ transcoding: {} });
    const server = await startRestServer(gateway, {});
    afterTest(() => server.close());
    const stream = gateway.streams.publish('cam', {
      audio: { codec: 'pcma' },
      video: { codec: 'h264' },
    });
    const { video } = loadClip();
    const silence = new Uint8Array(160).fill(0xd5);
    const startMs = performance.now();
    let [sounds, shown] = [0, 0];
    const timer = setInterval(() => {
      const nowMs = performance.now() - startMs;
      while (sounds * 20 < nowMs) stream.pushAudio(silence, 20 * sounds++);
      // The camera goes on in the third second.
      while (2000 + shown * 40 < nowMs) stream.pushVideo(video[shown]!.nalus, 2000 + 40 * shown++);
    }, 10);
    afterTest(async () => clearInterval(timer));
    const watched = watch(`${server.url}/stream/cam.flv`, 4500);
    const { pictures, headers, sound } = await watched;
    expect(headers).toHaveLength(2);
    expect(pictures.some((picture) => !isKey(picture))).toBe(true);
    inOrder(pictures);
    inOrder(sound);
  });
});
