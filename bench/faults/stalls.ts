// An RTMP server that reads nothing any more: what waits for it is bounded, and it is used again when it reads.

import { RtmpSink, SipPeer } from '@sipcast/testkit';
import type { ReceivedTag, RtmpPublication } from '@sipcast/testkit';
import { mebibytes, timed } from './figure.ts';
import type { Figure, FaultRun, Measurement } from './figure.ts';
import { pause, until } from './pace.ts';

const CALLS = 3;
/** Longer than the server takes to give a connection up. */
const LONG_STALL_MS = 60_000;
const SHORT_STALL_MS = 5000;

export const stalls: Figure = { name: 'stalls', title: 'RTMP server that reads nothing', measure };

async function measure(run: FaultRun): Promise<readonly Measurement[]> {
  const { workshop, quick, rtpPorts } = run;
  const phone = await SipPeer.open();
  workshop.later(() => phone.close());
  const arrived = new Map<string, { video: ReceivedTag; publication: RtmpPublication }[]>();
  const sink = await RtmpSink.open({
    keepTags: false,
    onTag: (tag, publication) => {
      if (tag.type !== 9) return;
      const list = arrived.get(publication.streamName) ?? [];
      arrived.set(publication.streamName, list);
      list.push({ video: { ...tag, body: tag.body.subarray(0, 1) }, publication });
    },
  });
  workshop.later(() => sink.close());
  const server = await workshop.startServer({
    config: {
      gateway: {
        maxLoopLagMs: 0,
        bindAddress: '127.0.0.1',
        transcoding: { enabled: false },
        rtpPorts,
      },
    },
  });
  const names = Array.from({ length: CALLS }, (_, n) => `stream-${n}`);
  for (const name of names) {
    const target = { rtmpUrl: sink.url, rtmpStream: name };
    await server.query('/call/startup', { callId: name, callee: phone.uri, ...target });
    await server.reached(name, 'RTMP_STREAM_ACTIVE');
  }
  // Memory settles, and the bit rate is known.
  await pause(quick ? 4000 : 15_000);

  const short = await stallFor(SHORT_STALL_MS);
  const found: Measurement[] = [
    {
      what: `${CALLS} calls, the server stalls for ${SHORT_STALL_MS / 1000} s`,
      bound: 'what waited is ≤ 2 s of media; the calls go on',
      found: `${(Math.max(...short.backlogsMs) / 1000).toFixed(2)} s of video at most; ${short.alive} of ${CALLS} calls go on`,
      // A picture or two may be under way. The bound counts octets: what comes in bursts is judged in a full run alone.
      holds: short.alive === CALLS && Math.max(...short.backlogsMs) <= (quick ? 4000 : 2100),
    },
    timed(run, {
      what: 'after it',
      bound: 'live again ≤ 1 s after it reads',
      found: `${Math.max(...short.liveAfterMs).toFixed(0)} ms at most`,
      holds: Math.max(...short.liveAfterMs) <= 1000,
    }),
  ];
  if (quick) return found;
  const long = await stallFor(LONG_STALL_MS);
  found.push(
    {
      what: `${CALLS} calls, the server stalls for ${LONG_STALL_MS / 1000} s`,
      bound: 'memory + ≤ 8 MiB a call; the calls go on',
      found: `+ ${mebibytes(long.growthBytes / CALLS)} a call at most; ${long.alive} of ${CALLS} calls go on`,
      holds: long.alive === CALLS && long.growthBytes <= CALLS * 8 * 2 ** 20,
    },
    {
      what: 'after it',
      bound: 'live again ≤ 10 s after it reads',
      found: `${Math.max(...long.liveAfterMs).toFixed(0)} ms at most`,
      holds: Math.max(...long.liveAfterMs) <= 10_000,
    },
  );
  return found;

  async function stallFor(ms: number): Promise<{
    backlogsMs: readonly number[];
    liveAfterMs: readonly number[];
    growthBytes: number;
    alive: number;
  }> {
    const before = server.rssBytes();
    let most = before;
    sink.stall();
    const marks = new Map(names.map((name) => [name, arrived.get(name)?.length ?? 0]));
    const endMs = performance.now() + ms;
    while (performance.now() < endMs) {
      most = Math.max(most, server.rssBytes());
      await pause(100);
    }
    sink.resume();
    const resumedMs = performance.now();
    const outcomes = await Promise.all(
      names.map((name) => recovery(name, marks.get(name) ?? 0, resumedMs)),
    );
    await pause(3000);
    const alive =
      (await server.found<unknown[]>('/call/find', { status: 'ESTABLISHED' }))?.length ?? 0;
    return {
      backlogsMs: outcomes.map(({ backlogMs }) => backlogMs),
      liveAfterMs: outcomes.map(({ liveMs }) => liveMs),
      growthBytes: most - before,
      alive,
    };
  }

  /**
   * What waited ends where the pictures jump, or with the connection. Live is what comes behind that, two pictures at least,
   * so that it goes on.
   */
  async function recovery(
    name: string,
    from: number,
    resumedMs: number,
  ): Promise<{ backlogMs: number; liveMs: number }> {
    const list = (): { video: ReceivedTag; publication: RtmpPublication }[] =>
      arrived.get(name) ?? [];
    const liveAt = (): number => {
      const pictures = list();
      for (let at = Math.max(from, 1); at < pictures.length; at++) {
        const [last, next] = [pictures[at - 1], pictures[at]];
        if (!last || !next) break;
        const isOther = next.publication !== last.publication;
        if (isOther || next.video.timestampMs - last.video.timestampMs > 1000) return at;
      }
      return -1;
    };
    const isLive = await until(() => liveAt() >= 0 && list().length > liveAt() + 1, 30_000, 5);
    if (!isLive) return { backlogMs: Number.NaN, liveMs: Number.POSITIVE_INFINITY };
    const at = liveAt();
    const pictures = list();
    const [first, last, live] = [pictures[from], pictures[at - 1], pictures[at]];
    const waited =
      at > from && first && last ? last.video.timestampMs - first.video.timestampMs : 0;
    return { backlogMs: waited, liveMs: (live?.video.arrivalMs ?? 0) - resumedMs };
  }
}
