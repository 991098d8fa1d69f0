// Child process: an RTMP server that acknowledges, counts and discards.

import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { RtmpSink } from '@sipcast/testkit';
import { answer } from './child.ts';

/** Connections now; tags and processor time since the start. */
export interface SinkCount {
  readonly connections: number;
  readonly audioTags: number;
  readonly videoTags: number;
  readonly cpuSeconds: number;
}

let sink: RtmpSink | undefined;
let audioTags = 0;
let videoTags = 0;

const methods = {
  open: async (): Promise<string> => {
    sink = await RtmpSink.open({
      keepTags: false,
      onTag: ({ type }) => {
        if (type === 9) videoTags++;
        else if (type === 8) audioTags++;
      },
    });
    return sink.url;
  },
  /** A plain TCP port whose input is discarded. */
  discard: (): Promise<number> =>
    new Promise((resolve) => {
      const server = createServer((socket) => socket.on('error', () => {}).resume());
      server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port));
    }),
  count: (): SinkCount => {
    const { user, system } = process.cpuUsage();
    return {
      connections: sink?.connectionCount ?? 0,
      audioTags,
      videoTags,
      cpuSeconds: (user + system) / 1e6,
    };
  },
};
export type SinkMethods = typeof methods;

answer(methods);
