// The end of a stream: outputs may flush, and none can hold it open.

import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { GatewayStream } from './gateway-stream.ts';
import type { Output, StreamSource } from '@sipcast/media';

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
  const failures: unknown[] = [];
  const stream = new GatewayStream('s', { callId: 'c' }, source, (error) => failures.push(error));
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
  expect(failures).toEqual([new Error('an output took too long to end')]);
});

it('reports an output that fails once, however it fails', async () => {
  const failures: unknown[] = [];
  let attached: Output | undefined;
  let encoderFailed: ((error: unknown) => void) | undefined;
  const stream = new GatewayStream(
    's',
    { callId: 'c' },
    {
      ...source,
      form: { audio: 'aac', video: 'passthrough' },
      contents: () => ({}),
      prepare: (_form: unknown, onFailed: (error: unknown) => void) => {
        encoderFailed = onFailed;
        return () => {};
      },
      addOutput: (output: Output) => {
        attached = output;
      },
    } as unknown as StreamSource,
    (error) => failures.push(error),
  );
  stream.goLive();
  const tag = { type: 8, timestampMs: 0, body: new Uint8Array(2), role: 'audio' } as const;
  const ended = vi.fn();
  stream.addOutput({ push: () => Promise.reject(new Error('async')) as never, onEnded: ended });
  attached?.push(tag);
  await vi.advanceTimersByTimeAsync(0);
  expect(failures).toEqual([new Error('async')]);
  stream.addOutput({ push: () => {}, onEnded: () => Promise.reject(new Error('at the end')) });
  encoderFailed?.(new Error('encoder'));
  encoderFailed?.(new Error('again'));
  await vi.advanceTimersByTimeAsync(0);
  expect(failures.slice(1)).toEqual([new Error('encoder'), new Error('at the end')]);
  // The source reports its own removals.
  stream.addOutput({ push: () => {}, onEnded: ended });
  void attached?.onEnded?.(new Error('thrown'));
  expect(failures).toHaveLength(3);
  expect(ended).toHaveBeenCalledTimes(2);
});
