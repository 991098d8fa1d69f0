// Key frames on real sockets: a phone that heeds only one way of asking, and a stream that begins in the middle.

import { setTimeout as sleep } from 'node:timers/promises';
import type { KeyFrameMethod } from '@sipcast/media/wire';
import { loadClip } from '@sipcast/testkit';
import { afterEach, describe, expect, it } from 'vitest';
import { comparePictures, type MediaCall, openMediaCall } from '../../support/media-call.ts';
import { until } from '../../support/wait.ts';

const calls: MediaCall[] = [];
afterEach(async () => {
  await Promise.all(calls.splice(0).map((call) => call.close()));
});

/** The clip, begun behind its first key frame: the next one comes after two seconds, if nobody asks. */
function headless() {
  const clip = loadClip();
  const video = [...clip.video.slice(1), ...clip.video.slice(0, 1)];
  return { ...clip, video: video.map((unit, index) => ({ ...unit, index })) };
}

async function open(options: Parameters<typeof openMediaCall>[0]): Promise<MediaCall> {
  const call = await openMediaCall(options);
  calls.push(call);
  return call;
}

describe('the first key frame', () => {
  it.each([['pli'], ['fir'], ['info']] as const)(
    'is there within 1.5 s of the answer when the phone heeds only %s, ten times of ten',
    async (method: KeyFrameMethod) => {
      const waits = await Promise.all(
        Array.from({ length: 10 }, async () => {
          const call = await open({
            sender: { clip: headless(), keyFrameBy: [method], keyFrameDelayMs: 100 },
          });
          await until(() => call.firstKeyFrameMs() > 0, `a key frame by ${method}`);
          return call.firstKeyFrameMs();
        }),
      );
      const worst = Math.max(...waits);
      console.log(`first key frame by ${method} alone: worst of 10 ${worst.toFixed(0)} ms`);
      expect(worst).toBeLessThan(1500);
    },
  );

  it('is asked for first, next time, by what worked', async () => {
    const call = await open({ sender: { clip: headless(), keyFrameBy: ['fir'] } });
    await until(() => call.firstKeyFrameMs() > 0, 'a key frame');
    await sleep(600);
    const before = call.ports.video.received.pictureLosses;
    const tags: string[] = [];
    const askedMs = performance.now();
    call.session.stream.addOutput({ push: ({ role }) => tags.push(role) });
    await until(() => tags.includes('key-frame'), 'a key frame for the new output');
    expect(call.ports.video.received.pictureLosses).toBe(before);
    expect(performance.now() - askedMs).toBeLessThan(400);
  });

  it('is asked of a new source in mid-call', async () => {
    const call = await open({ sender: { keyFrameBy: ['pli'] } });
    await until(() => call.firstKeyFrameMs() > 0, 'a key frame');
    await sleep(700);
    const before = call.ports.video.received.pictureLosses;
    const published = comparePictures(call).published;
    call.sender.changeSsrc('video');
    call.sender.changeSsrc('audio');
    const changedMs = performance.now();
    await until(() => call.ports.video.received.pictureLosses > before, 'a request');
    await until(() => comparePictures(call).published > published + 10, 'pictures again');
    const resyncMs = performance.now() - changedMs;
    console.log(`SSRC changed: ten pictures of the new source after ${resyncMs.toFixed(0)} ms`);
    expect(resyncMs).toBeLessThan(1000);
    expect(comparePictures(call).exact).toBe(true);
    for (const type of [8, 9]) {
      const times = call.tags.filter((tag) => tag.type === type).map((tag) => tag.timestampMs);
      expect(times).toEqual(times.toSorted((one, other) => one - other));
    }
  });

  it('is requested at the interval that an output needs, while it needs it; the shortest one counts', async () => {
    // Of its own the clip has one every two seconds.
    const call = await open({ sender: { keyFrameBy: ['pli'] } });
    await until(() => call.firstKeyFrameMs() > 0, 'a key frame');
    const asked = (): number => call.ports.video.received.pictureLosses;
    const ends = [
      call.session.stream.wantKeyFrames(60_000),
      call.session.stream.wantKeyFrames(1000),
    ];
    const before = asked();
    await until(() => asked() >= before + 3, 'three requests', 8000);
    const keyFrames = call.tags
      .filter(({ type, body }) => type === 9 && body[0] === 0x17 && body[1] === 1)
      .map(({ timestampMs }) => timestampMs);
    const gaps = keyFrames.slice(-3).map((at, index, all) => at - (all[index - 1] ?? at));
    expect(Math.max(...gaps)).toBeLessThan(1900);
    for (const end of ends) end();
    const after = asked();
    await sleep(2600);
    expect(asked()).toBe(after);
  });
});
