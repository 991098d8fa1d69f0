// NAL units in equal NAL units out, through real UDP sockets on 127.0.0.1 and a bad network.

import { createSocket } from 'node:dgram';
import type { Socket } from 'node:dgram';
import { setImmediate, setTimeout } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { PortPool, Ticker } from '@sipcast/media';
import { H264Depacketizer, JitterBuffer, KeyFrameGate, openRtpSession } from '@sipcast/media/wire';
import type { H264AccessUnit, RtpSession } from '@sipcast/media/wire';
import {
  hexNalus,
  testAccessUnits,
  testDatagrams,
} from '../../../packages/media/src/codec/test-h264.ts';
import { seededRandom } from '../../../packages/media/src/test-random.ts';
import { afterTest } from '../../support/cleanup.ts';

async function openPeer(): Promise<Socket> {
  const socket = createSocket('udp4');
  await new Promise<void>((resolve) => {
    socket.bind(0, '127.0.0.1', () => resolve());
  });
  afterTest(() => new Promise<void>((resolve) => socket.close(() => resolve())));
  return socket;
}

/** The receiving path of the video, as a media session wires it. */
async function openPath(peer: Socket) {
  const frames: H264AccessUnit[] = [];
  const session: RtpSession = await openRtpSession(
    {
      kind: 'video',
      ports: new PortPool({ min: 36_000, max: 36_999 }),
      ticker: new Ticker(),
      ssrc: 1,
      cname: 'rtp/video/test',
      bindAddress: '127.0.0.1',
    },
    {
      onPacket: (packet) => jitter.push(packet),
      onTick: (nowMs) => void jitter.expire(nowMs),
    },
  );
  const gate = new KeyFrameGate<H264AccessUnit>(() => {});
  const depacketizer = new H264Depacketizer();
  const jitter = new JitterBuffer((packet) => {
    for (const unit of depacketizer.push(packet)) {
      if (typeof unit === 'string') gate.break();
      else if ('codec' in unit) {
        const admitted = gate.admit(unit);
        if (admitted) frames.push(admitted);
      }
    }
  });
  afterTest(() => session.close());
  session.start({
    address: '127.0.0.1',
    port: peer.address().port,
    payloadTypes: new Map([[112, { codec: 'h264', clockRateHz: 90_000 }]]),
  });
  return { frames, session, jitter };
}

/** Sends in small bursts, so that the socket's buffer does not add loss of its own. */
async function sendAll(peer: Socket, port: number, datagrams: readonly Buffer[]): Promise<void> {
  let index = 0;
  for (const datagram of datagrams) {
    peer.send(datagram, port, '127.0.0.1');
    if (++index % 32 === 0) await setImmediate();
  }
  await setTimeout(150);
}

describe('H.264 over RTP on loopback', () => {
  it.each([
    ['clean', { loss: 0, reorder: 0, duplicate: 0 }],
    ['5 % reordered', { loss: 0, reorder: 0.05, duplicate: 0 }],
    ['5 % duplicated', { loss: 0, reorder: 0, duplicate: 0.05 }],
    ['both, a fifth of all', { loss: 0, reorder: 0.2, duplicate: 0.2 }],
  ])('is bit-exact: %s', async (_name, network) => {
    const peer = await openPeer();
    const { frames, session, jitter } = await openPath(peer);
    const sent = testAccessUnits(300, seededRandom(1), { firstTimestamp: 0xfff0_0000 });
    const datagrams = disturb(testDatagrams(sent, { firstSequence: 65_000 }), network);
    await sendAll(peer, session.localPort, datagrams);
    expect(session.stats.packets).toBe(datagrams.length);
    expect(frames.map(({ nalus }) => hexNalus(nalus))).toEqual(
      sent.map(({ nalus }) => hexNalus(nalus)),
    );
    expect(frames.map(({ isKeyFrame, rtpTimestamp }) => [isKeyFrame, rtpTimestamp])).toEqual(
      sent.map(({ isKeyFrame, rtpTimestamp }) => [isKeyFrame, rtpTimestamp]),
    );
    expect(jitter.stats.lost).toBe(0);
    expect(session.stats).toMatchObject({ lost: 0, foreign: 0, faults: {} });
  });

  it.each([0.01, 0.05, 0.1])(
    'yields only whole pictures whose references are there: loss %d',
    async (loss) => {
      const peer = await openPeer();
      const { frames, session, jitter } = await openPath(peer);
      const sent = testAccessUnits(400, seededRandom(2));
      const datagrams = disturb(testDatagrams(sent), { loss, reorder: 0.05, duplicate: 0.05 });
      await sendAll(peer, session.localPort, datagrams);
      const indexOf = new Map(sent.map((unit, index) => [unit.rtpTimestamp, index]));
      let previous = -1;
      for (const frame of frames) {
        const index = indexOf.get(frame.rtpTimestamp)!;
        expect(index).toBeGreaterThan(previous);
        expect(frame.isKeyFrame || index === previous + 1).toBe(true);
        const original = hexNalus(sent[index]!.nalus);
        const got = hexNalus(frame.nalus);
        expect(original.slice(original.length - got.length)).toEqual(got);
        previous = index;
      }
      expect(frames.length).toBeGreaterThan(sent.length * (loss === 0.1 ? 0.05 : 0.2));
      expect(frames.length).toBeLessThan(sent.length);
      expect(jitter.stats.lost).toBeGreaterThan(0);
    },
  );
});

/** A seeded bad network: drops, moves back by up to ten places, repeats. The first packet stays in front. */
function disturb(
  datagrams: readonly Buffer[],
  { loss, reorder, duplicate }: { loss: number; reorder: number; duplicate: number },
): Buffer[] {
  const random = seededRandom(9);
  const out: { datagram: Buffer; place: number }[] = [];
  datagrams.forEach((datagram, index) => {
    const first = index === 0;
    if (!first && random() < loss) return;
    const delayed = !first && random() < reorder;
    out.push({ datagram, place: index + (delayed ? 1 + random() * 10 : 0) });
    if (random() < duplicate) out.push({ datagram, place: index + 0.5 + random() * 10 });
  });
  return out.toSorted((left, right) => left.place - right.place).map(({ datagram }) => datagram);
}
