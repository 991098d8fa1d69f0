// Many calls, each with media flowing and RTMP active: nothing may be left of them. `CALLS=10000` for a long run.

import { createSocket } from 'node:dgram';
import { createCallGateway } from '@sipcast/core';
import type { CallGateway } from '@sipcast/core';
import { RtmpSink, SipPeer } from '@sipcast/testkit';
import { expect, it } from 'vitest';

const CALLS = Number(process.env['CALLS'] ?? 1000);
const AT_ONCE = 20;
/** 800 pairs, 2,000 needed: each is used again. Below the ports that the system hands out itself. */
const RTP_PORTS = { min: 22_000, max: 23_599 };

/** What keeps the process busy, by kind. */
function resources(): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const kind of process.getActiveResourcesInfo()) counts[kind] = (counts[kind] ?? 0) + 1;
  return counts;
}

async function oneCall(
  gateway: CallGateway,
  sink: RtmpSink,
  uri: string,
  n: number,
): Promise<void> {
  const call = await gateway.startup({ callee: uri, rtmpUrl: sink.url, rtmpStream: `s${n}` });
  await call.established();
  await expect
    .poll(() => call.rtmpStreamStatus, { interval: 5, timeout: 10_000 })
    .toBe('RTMP_STREAM_ACTIVE');
  await expect
    .poll(() => call.stats()?.video?.frames, { interval: 5, timeout: 10_000 })
    .toBeGreaterThan(0);
  await call.terminate();
  expect(call.view()).toMatchObject({ status: 'FINISH', info: 'Normal call clearing' });
}

it(`${CALLS} calls leave no socket, timer, port or listener`, {
  timeout: 180_000 + CALLS * 50,
}, async () => {
  const peer = await SipPeer.open({});
  const sink = await RtmpSink.open({ keepTags: false });
  const before = resources();
  const gateway = await createCallGateway({
    bindAddress: '127.0.0.1',
    transcoding: false,
    rtpPorts: RTP_PORTS,
  });
  const idle = resources();

  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < CALLS) await oneCall(gateway, sink, peer.uri, next++);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));

  expect(gateway.calls.live).toEqual([]);
  expect(gateway.pushes.find()).toEqual([]);
  expect(gateway.calls.history()).toHaveLength(Math.min(CALLS, 1000));
  expect(gateway.listenerCount('callChange')).toBe(0);
  expect(peer.violations).toEqual([]);
  await expect.poll(() => sink.connectionCount).toBe(0);
  // Every port of the range can be bound again.
  for (let port = RTP_PORTS.min; port <= RTP_PORTS.max; port++) {
    const socket = createSocket('udp4');
    await new Promise<void>((resolve, reject) => {
      socket.once('error', reject);
      socket.bind({ port, address: '127.0.0.1', exclusive: true }, resolve);
    });
    await new Promise<void>((resolve) => {
      socket.close(resolve);
    });
  }
  // The transactions of the last calls linger for their timers (RFC 3261 §17); close() ends them.
  const sockets = (counts: Record<string, number>) => [
    counts['UDPWrap'] ?? 0,
    counts['TCPSocketWrap'] ?? 0,
  ];
  await expect.poll(() => sockets(resources())).toEqual(sockets(idle));
  await gateway.close();
  await expect.poll(() => sockets(resources()), { timeout: 5000 }).toEqual(sockets(before));
  // The poll itself holds timers: what is counted here is at most what was there before it.
  await expect
    .poll(() => resources()['Timeout'] ?? 0)
    .toBeLessThanOrEqual((before['Timeout'] ?? 0) + 2);
  await sink.close();
  await peer.close();
});
