// Servers that stop reading without a word: seen in time, with a bounded queue, and without harm to anybody else.

import { setTimeout as sleep } from 'node:timers/promises';
import { createCallGateway } from '@sipcast/core';
import type { RtmpPublisherOptions } from '@sipcast/media';
import { SipPeer } from '@sipcast/testkit';
import type { RtmpSinkOptions, RtmpSink } from '@sipcast/testkit';
import { describe, expect, it } from 'vitest';
import { openSink } from '../../support/call-ends.ts';
import { afterTest } from '../../support/cleanup.ts';
import { feedPublisher, testTag, watchPublisher } from '../../support/rtmp-watch.ts';
import type { WatchedPublisher } from '../../support/rtmp-watch.ts';
import { watchStalls } from '../../support/stand-still.ts';

/** Counts what is published to it, and keeps none of it. */
const openCountingSink = (options: RtmpSinkOptions = {}): Promise<RtmpSink> =>
  openSink({ keepTags: false, ...options });

function publish(sink: RtmpSink, options: Partial<RtmpPublisherOptions> = {}): WatchedPublisher {
  const watched = watchPublisher(sink.url, options);
  afterTest(() => watched.publisher.close());
  return watched;
}

function feed(watched: WatchedPublisher, bytesPerSecond: number): void {
  afterTest(feedPublisher(watched, bytesPerSecond));
}

describe('a server that stops reading', () => {
  const servers: Record<string, RtmpSinkOptions> = {
    acknowledges: {},
    'never acknowledges, answers pings': { acknowledge: false },
    'answers createStream alone, as Node-Media-Server 4': {
      acknowledge: false,
      answerPings: false,
    },
  };
  for (const how of ['stall', 'halfOpen'] as const) {
    it(`is known within 10 s by what it says (${how})`, async () => {
      const lines: string[] = [];
      const watch = async (name: string, options: RtmpSinkOptions, bytesPerSecond: number) => {
        const sink = await openCountingSink(options);
        const watched = publish(sink);
        await watched.publishing;
        feed(watched, bytesPerSecond);
        await sleep(9000);
        expect(watched.endings, name).toEqual([]);
        expect(watched.publisher.stats.droppedFrames, name).toBe(0);
        sink[how]();
        const beganMs = performance.now();
        expect(await watched.ended, name).toMatchObject({ code: 'STALLED' });
        const tookMs = performance.now() - beganMs;
        lines.push(`${name}, ${bytesPerSecond / 125} kbit/s: ${tookMs.toFixed(0)} ms`);
        expect(tookMs, name).toBeLessThan(10_000);
        expect(tookMs, name).toBeGreaterThan(5000);
      };
      await Promise.all(
        Object.entries(servers).flatMap(([name, options]) =>
          [8000, 125_000].map((bytesPerSecond) => watch(name, options, bytesPerSecond)),
        ),
      );
      console.log(`${how}: known after\n  ${lines.join('\n  ')}`);
    }, 60_000);
  }

  it('costs no more than two seconds of media, one picture, and the sound of a second and a half, whatever it acknowledges', async () => {
    const hold = async (name: string, options: RtmpSinkOptions, bytesPerSecond: number) => {
      const sink = await openCountingSink(options);
      const watched = publish(sink);
      await watched.publishing;
      feed(watched, bytesPerSecond);
      await sleep(6000);
      sink.stall();
      let most = 0;
      while (watched.endings.length === 0) {
        most = Math.max(most, watched.publisher.stats.outstandingBytes);
        await sleep(20);
      }
      console.log(
        `${name}, ${bytesPerSecond / 125} kbit/s: at most ${(most / (bytesPerSecond + 25 * 172)).toFixed(2)} s of media outstanding`,
      );
      expect(watched.publisher.stats.droppedFrames, name).toBeGreaterThan(50);
      // Two seconds, one window, and the sound, which goes on.
      expect(most, name).toBeLessThan(2 * bytesPerSecond + 62_500 + 100_000);
    };
    await Promise.all(
      [500_000, 60_000, 10_000].flatMap((bytesPerSecond) => [
        hold('acknowledges', {}, bytesPerSecond),
        hold('answers pings', { acknowledge: false }, bytesPerSecond),
      ]),
    );
  }, 60_000);

  it('is left within a second at the end of the call; one that reads slowly gets all that was queued', async () => {
    const slow = await openCountingSink({ keepTags: true });
    const watched = publish(slow);
    await watched.publishing;
    slow.slow(2_000_000);
    for (let t = 0; t < 1000; t += 10)
      watched.publisher.push(testTag(t === 0 ? 'key-frame' : 'inter-frame', t, 9000));
    await watched.publisher.close();
    await slow.publications[0]?.ended;
    expect(slow.publications[0]).toMatchObject({ tagCount: 100, endedOrderly: true });

    const dead = await openCountingSink();
    const left = publish(dead);
    await left.publishing;
    dead.stall();
    for (let t = 0; t < 8000; t += 10)
      left.publisher.push(testTag(t === 0 ? 'key-frame' : 'inter-frame', t, 9000));
    const beganMs = performance.now();
    await left.publisher.close();
    expect(performance.now() - beganMs).toBeLessThan(1200);
    expect(left.endings).toEqual([undefined]);
  });
});

describe('one call to a server that stalls and one that does not', () => {
  it('loses the one within 10 s, gives the other every picture in time, and takes the first up again', async () => {
    const peer = await SipPeer.open({ t1Ms: 100 });
    const bad = await openCountingSink();
    const arrivals: number[] = [];
    const good = await openCountingSink({
      onTag: ({ type, arrivalMs }) => void (type === 9 && arrivals.push(arrivalMs)),
    });
    const gateway = await createCallGateway({
      transcoding: false,
      bindAddress: '127.0.0.1',
      rtpPorts: { min: 38_000, max: 38_999 },
    });
    afterTest(
      () => peer.close(),
      () => gateway.close(),
    );
    const call = await gateway.startup({
      callee: peer.uri,
      toStream: 'cam',
      rtmpUrl: bad.url,
      rtmpStream: 'key',
    });
    await call.established();
    gateway.pushes.start({ streamName: 'cam', rtmpUrl: good.url });
    await expect.poll(() => call.rtmpStreamStatus).toBe('RTMP_STREAM_ACTIVE');
    await expect.poll(() => arrivals.length, { timeout: 5000 }).toBeGreaterThan(25);
    const rssBefore = process.memoryUsage().rss;
    const stalls = watchStalls();
    bad.stall();
    const stalledMs = performance.now();
    await expect
      .poll(() => call.rtmpStreamStatus, { timeout: 12_000, interval: 20 })
      .toBe('RTMP_CONNECTION_LOST');
    const lostMs = performance.now() - stalledMs;
    await sleep(2000);
    expect(call.rtmpStreamStatus).toBe('RTMP_CONNECTION_LOST');
    bad.resume();
    const resumedMs = performance.now();
    await expect
      .poll(() => call.rtmpStreamStatus, { timeout: 5000, interval: 10 })
      .toBe('RTMP_STREAM_ACTIVE');
    const backMs = performance.now() - resumedMs;
    const gapsMs = arrivals.slice(25).map((at, i) => at - (arrivals[i + 24] ?? at));
    const rssGrowth = (process.memoryUsage().rss - rssBefore) / 2 ** 20;
    console.log(
      `lost after ${lostMs.toFixed(0)} ms, back ${backMs.toFixed(0)} ms after it read again, RSS +${rssGrowth.toFixed(1)} MB, ` +
        `longest gap of the other: ${Math.max(...gapsMs).toFixed(0)} ms`,
    );
    expect(lostMs).toBeLessThan(10_000);
    expect(backMs).toBeLessThan(1000);
    // What a busy machine takes from the whole process is not what one server costs another.
    expect(Math.max(...gapsMs) - stalls.longestMs()).toBeLessThan(250);
    expect(call.status).toBe('ESTABLISHED');
  }, 60_000);
});
