// The end of a stream: outputs may flush, and none can hold it open.

import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { GatewayStream } from './gateway-stream.ts';
import type { StreamSource } from '@sipcast/media';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

const source = {
  defaultForm: { audio: 'passthrough', video: 'passthrough' },
  addOutput: () => {},
  removeOutput: () => {},
  requestKeyFrame: () => {},
  finish: () => Promise.resolve(),
} as unknown as StreamSource;

it('waits for outputs that flush, and not for ever for one that never does', async () => {
  const stream = new GatewayStream('s', 'c', source);
  const order: string[] = [];
  stream.addOutput({
    push: () => {},
    onEnded: async () => {
      await new Promise((resolve) => {
        setTimeout(resolve, 2000);
      });
      order.push('flushed');
    },
  });
  stream.addOutput({ push: () => {}, onEnded: () => new Promise(() => {}) });
  const ended = stream.end().then(() => order.push('ended'));
  await vi.advanceTimersByTimeAsync(29_999);
  expect(order).toEqual(['flushed']);
  await vi.advanceTimersByTimeAsync(1);
  await ended;
  expect(order).toEqual(['flushed', 'ended']);
  expect(vi.getTimerCount()).toBe(0);
});
