// A phone that makes no key frame unless it is asked, as browsers do: every output that others join later asks for them.

import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { readFlvTags } from '@sipcast/media';
import { loadClip } from '@sipcast/testkit';
import { expect, it } from 'vitest';
import type { CallGatewayOptions, StartupRequest } from '@sipcast/core';
import { openGateway, openPhone, openSink } from '../../support/call-ends.ts';
import { makeFolder } from '../../support/folder.ts';

const WATCHED_MS = 5500;

/** The clip with its first key frame alone; a request makes the phone begin it again. */
function oneKeyFrame() {
  const clip = loadClip();
  const video = clip.video.filter(({ isKeyFrame }, index) => index === 0 || !isKeyFrame);
  return { ...clip, video: video.map((unit, index) => ({ ...unit, index })) };
}

async function open(
  options: CallGatewayOptions = {},
  request: Partial<StartupRequest> = {},
  recorded = false,
) {
  const dir = await makeFolder();
  const sink = await openSink();
  const phone = await openPhone({ script: { sender: { clip: oneKeyFrame() } } });
  const gateway = await openGateway({ recording: { dir, mp4: false }, ...options });
  const target = recorded ? { record: true } : { rtmpUrl: sink.url, rtmpStream: 'cam' };
  const call = await gateway.startup({ callee: phone.uri, toStream: 'cam', ...target, ...request });
  await call.established();
  await new Promise((resolve) => {
    setTimeout(resolve, WATCHED_MS);
  });
  return { dir, sink, gateway, call };
}

/** Those after the first second: when an output begins, a key frame is asked for in any case. */
function keyFrames(
  tags: readonly { type: number; body: Uint8Array; timestampMs: number }[],
): number {
  const pictures = tags.filter(({ type, body }) => type === 9 && body[1] === 1);
  const fromMs = (pictures[0]?.timestampMs ?? 0) + 1000;
  return pictures.filter(({ body, timestampMs }) => timestampMs > fromMs && body[0]! >> 4 === 1)
    .length;
}

it('come to RTMP servers and recordings as often as the gateway, the call or the push wants', async () => {
  const late = await openSink();
  const runs = [
    open(),
    open({ keyFrameIntervalMs: 0 }),
    open({ keyFrameIntervalMs: 0 }, { keyFrameIntervalMs: 1000 }),
    open({}, {}, true),
    open({}, { keyFrameIntervalMs: 0 }),
  ] as const;
  const [usual, never, often, recorded, pushed] = await Promise.all(runs);
  const sent = ({ sink }: typeof usual) => keyFrames(sink.publications[0]!.tags);
  expect(sent(usual)).toBeGreaterThanOrEqual(2);
  expect(sent(never)).toBe(0);
  expect(sent(often)).toBeGreaterThanOrEqual(3);
  // A push that wants what its call does not.
  expect(sent(pushed)).toBe(0);
  pushed.gateway.pushes.start({ streamName: 'cam', rtmpUrl: late.url, keyFrameIntervalMs: 1 });
  const atLate = () => keyFrames(late.publications[0]?.tags ?? []);
  await expect.poll(atLate, { timeout: 8000 }).toBeGreaterThanOrEqual(2);
  await recorded.call.terminate();
  const [name] = (await readdir(recorded.dir)).filter((one) => one.endsWith('.flv'));
  const tags = [...readFlvTags(await readFile(join(recorded.dir, name!)))];
  expect(keyFrames(tags)).toBeGreaterThanOrEqual(2);
}, 30_000);
