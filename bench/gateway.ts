// Child process: one gateway, as a program would embed it, and what it says of itself.

import { createCallGateway } from '@sipcast/core';
import type { CallGateway } from '@sipcast/core';
import { answer } from './child.ts';

/** Which calls to place. */
interface CallsRequest {
  readonly count: number;
  /** SIP ports of the phones, used in turn. */
  readonly sipPorts: readonly number[];
  readonly rtmpUrl: string;
  /** Offer to send audio: silence goes to the phone each 20 ms. */
  readonly sendsAudio: boolean;
  readonly pauseMs: number;
  readonly coalesceMs?: number;
}

/** Counters over all calls, since their start. */
interface GatewaySnapshot {
  readonly cpuSeconds: number;
  readonly rssBytes: number;
  readonly heapBytes: number;
  readonly external: number;
  readonly atMs: number;
  readonly packets: number;
  readonly lost: number;
  readonly faults: number;
  readonly droppedFrames: number;
  readonly frames: number;
  readonly active: number;
}

let gateway: CallGateway | undefined;

const methods = {
  open: async (): Promise<void> => {
    // Away from where the system takes ports of the phones from.
    gateway = await createCallGateway({
      transcoding: false,
      bindAddress: '127.0.0.1',
      rtpPorts: { min: 16_000, max: 19_999 },
    });
  },
  /** Resolves when all of them publish. */
  call: async (request: CallsRequest): Promise<void> => {
    const { count, sipPorts, rtmpUrl, sendsAudio, pauseMs } = request;
    for (let index = 0; index < count; index++) {
      const call = await gateway!.startup({
        callee: `sip:phone@127.0.0.1:${sipPorts[index % sipPorts.length]}`,
        rtmpUrl,
        rtmpStream: `bench-${index}`,
        hasAudio: sendsAudio,
      });
      await call.established();
      await pause(pauseMs);
    }
    for (let waitedMs = 0; snapshot().active < count; waitedMs += 50) {
      if (waitedMs >= 10_000)
        throw new Error(`only ${snapshot().active} of ${count} calls publish`);
      await pause(50);
    }
  },
  snapshot,
  /** Cheaper than `snapshot`. */
  cpuSeconds: (): number => cpuSeconds(),
  close: async (): Promise<void> => {
    await gateway?.close();
  },
};
export type GatewayMethods = typeof methods;

function snapshot(): GatewaySnapshot {
  const calls = gateway!.calls.live;
  let packets = 0;
  let lost = 0;
  let frames = 0;
  let droppedFrames = 0;
  let active = 0;
  let faults = Object.values(gateway!.faults).reduce((sum, count) => sum + count, 0);
  for (const call of calls) {
    if (call.rtmpStreamStatus === 'RTMP_STREAM_ACTIVE') active++;
    const media = call.stats();
    for (const push of call.stream.pushes) droppedFrames += push.view().droppedFrames;
    for (const medium of [media?.audio, media?.video]) {
      packets += medium?.packets ?? 0;
      lost += medium?.lost ?? 0;
      for (const count of Object.values(medium?.faults ?? {})) faults += count;
    }
    frames += media?.video?.frames ?? 0;
    droppedFrames += media?.video?.droppedFrames ?? 0;
  }
  const { rss, heapUsed, external } = process.memoryUsage();
  return {
    cpuSeconds: cpuSeconds(),
    rssBytes: rss,
    heapBytes: heapUsed,
    external,
    atMs: performance.now(),
    packets,
    lost,
    faults,
    droppedFrames,
    frames,
    active,
  };
}

function cpuSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}

answer(methods);
