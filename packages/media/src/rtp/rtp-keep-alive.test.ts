import { expect, it } from 'vitest';
import { RtpKeepAlive } from './rtp-keep-alive.ts';

/** Seconds after `fromMs` at which a 20 ms tick sends one. */
function sent(keepAlive: RtpKeepAlive, fromMs: number, toMs: number): number[] {
  const times: number[] = [];
  for (let nowMs = fromMs; nowMs <= toMs; nowMs += 20)
    if (keepAlive.takeDue(nowMs)) times.push((nowMs - fromMs) / 1000);
  return times;
}

it('is sent ten times a second apart, then every 15 s', () => {
  const keepAlive = new RtpKeepAlive();
  keepAlive.start(5000);
  expect(sent(keepAlive, 5000, 65_000)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 24, 39, 54]);
});

it('ends with the first packet of the peer, and starts again with another peer', () => {
  const keepAlive = new RtpKeepAlive();
  keepAlive.start(0);
  expect(sent(keepAlive, 0, 2500)).toEqual([0, 1, 2]);
  keepAlive.stop();
  expect(keepAlive.isWaiting).toBe(false);
  expect(sent(keepAlive, 2520, 60_000)).toEqual([]);
  keepAlive.start(100_000);
  expect(keepAlive.isWaiting).toBe(true);
  expect(sent(keepAlive, 100_000, 102_000)).toEqual([0, 1, 2]);
});
