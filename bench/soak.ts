// Calls for a long time: some that stay, others that come and go, and an RTMP server that is killed again and again. Says
// how memory and open files develop. `npm run nightly -- soak`, or `npx tsx bench/soak.ts --minutes 30`.

import { parseArgs } from 'node:util';
import { RtmpSink, SipPeer } from '@sipcast/testkit';
import { mebibytes, quantile } from './faults/figure.ts';
import { pause, until } from './faults/pace.ts';
import { isZombie } from './faults/server-process.ts';
import { Workshop } from './faults/workshop.ts';
import { theilSen } from './slope.ts';

const USAGE = `npx tsx bench/soak.ts [--minutes 30] [--kill-seconds 60] [--churn-seconds 10] [--max-slope 24] [--traces 200]
  --max-slope   MiB an hour that memory may grow by, judged from 10 minutes on
  --traces      SIP messages that are kept of each call; with 0, it is seen what else grows`;
const STEADY = 5;
const SAMPLE_MS = 5000;
/** What is made at the beginning, and kept, is no growth. */
const WARM_UP = 1 / 3;
const LEAST_MINUTES = 10;
/** Beyond these, lips and words part. */
const MAX_SKEW_MS = 80;

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '30' },
    'kill-seconds': { type: 'string', default: '60' },
    'churn-seconds': { type: 'string', default: '10' },
    'max-slope': { type: 'string', default: '24' },
    traces: { type: 'string', default: '200' },
    help: { type: 'boolean', default: false },
  },
});
if (values.help) {
  console.log(USAGE);
  process.exit();
}
const durationMs = Number(values.minutes) * 60_000;
const killMs = Number(values['kill-seconds']) * 1000;
const churnMs = Number(values['churn-seconds']) * 1000;
const maxSlope = Number(values['max-slope']);

const seconds = (ms: number): string => (ms / 1000).toFixed(0);

interface Sample {
  readonly hours: number;
  readonly rssMiB: number;
  readonly files: number;
  readonly children: number;
}

interface CallView {
  readonly callId: string;
  readonly status: string;
  readonly rtmpStreamStatus: string | null;
  readonly media: { readonly avSkewMs: number | null } | null;
  readonly pushes: readonly { readonly reconnects: number }[];
}

const workshop = await Workshop.open();
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => void workshop.close().finally(() => process.exit(1)));
const problems: string[] = [];
try {
  const phone = await SipPeer.open();
  workshop.later(() => phone.close());
  const sink = await RtmpSink.open({ keepTags: false });
  workshop.later(() => sink.close());
  const server = await workshop.startServer({
    preload: new URL('faults/heap-probe.mjs', import.meta.url),
    config: {
      // What is remembered of calls that ended is full before the growth is looked at.
      gateway: {
        bindAddress: '127.0.0.1',
        rtpPorts: { min: 28_000, max: 28_999 },
        historySize: 20,
        sipTrace: { maxMessages: Number(values.traces) },
      },
    },
  });
  const start = async (callId: string): Promise<number> => {
    const target = { rtmpUrl: sink.url, rtmpStream: callId };
    const { status } = await server.query('/call/startup', {
      callId,
      callee: phone.uri,
      ...target,
    });
    return status;
  };
  const steady = Array.from({ length: STEADY }, (_, n) => `steady-${n}`);
  for (const callId of steady) {
    await start(callId);
    await server.reached(callId, 'RTMP_STREAM_ACTIVE');
  }
  const beganMs = performance.now();
  const isOver = (): boolean => performance.now() - beganMs >= durationMs;
  const untilMs = async (atMs: number): Promise<void> =>
    pause(Math.max(0, Math.min(atMs, beganMs + durationMs) - performance.now()));
  const samples: Sample[] = [];
  const skewsMs: number[] = [];
  const backMs: number[] = [];
  const heaps: { readonly bytes: number; readonly churned: number }[] = [];
  let churned = 0;

  const watch = async (): Promise<void> => {
    let uncollected: readonly number[] = [];
    for (let at = beganMs; !isOver(); at += SAMPLE_MS) {
      const children = server.descendants();
      samples.push({
        hours: (performance.now() - beganMs) / 3_600_000,
        rssMiB: server.rssBytes() / 2 ** 20,
        files: server.openFiles(),
        children: children.length,
      });
      // One that has just ended is collected in a moment.
      const dead = children.filter(isZombie);
      if (dead.some((pid) => uncollected.includes(pid)))
        problems.push('a child that nobody collected');
      uncollected = dead;
      const calls = (await server.found<CallView[]>('/call/find_all')) ?? [];
      for (const call of calls) {
        const skew = call.callId.startsWith('steady') ? call.media?.avSkewMs : null;
        if (typeof skew !== 'number') continue;
        skewsMs.push(Math.abs(skew));
        if (Math.abs(skew) >= MAX_SKEW_MS)
          console.log(`${call.callId}: ${skew} ms after ${seconds(at - beganMs)} s`);
      }
      const missing = steady.filter(
        (id) => calls.find(({ callId }) => callId === id)?.status !== 'ESTABLISHED',
      );
      if (missing.length > 0)
        throw new Error(`Calls have ended: ${missing.join(', ')}\n${server.output.slice(-3000)}`);
      await untilMs(at + SAMPLE_MS);
    }
  };
  const churn = async (): Promise<void> => {
    for (let at = beganMs + churnMs; !isOver(); at += churnMs) {
      await untilMs(at);
      if (isOver()) return;
      const callId = `churn-${++churned}`;
      const status = await start(callId);
      if (status !== 200) problems.push(`a new call was answered with ${status}`);
      // It is published, or the server is down at present.
      await until(
        async () =>
          (await server.found<CallView[]>('/call/find', { callId }))?.[0]?.rtmpStreamStatus ===
          'RTMP_STREAM_ACTIVE',
        churnMs / 2,
        100,
      );
      const ended = await server.query('/call/terminate', { callId });
      if (ended.status !== 200) problems.push(`a new call has ended by itself (${ended.status})`);
    }
  };
  const kill = async (): Promise<void> => {
    for (let at = beganMs + killMs; !isOver(); at += killMs) {
      await untilMs(at);
      // One that could not be seen to come back within the time is none.
      if (performance.now() - beganMs > durationMs - 5000) return;
      await sink.die();
      await pause(1500);
      await sink.comeBack();
      const openMs = performance.now();
      const isBack = await until(
        async () => {
          const calls = await server.found<CallView[]>('/call/find', {
            rtmpStreamStatus: 'RTMP_STREAM_ACTIVE',
          });
          return steady.every((id) => calls?.some(({ callId }) => callId === id));
        },
        30_000,
        20,
      );
      backMs.push(performance.now() - openMs);
      if (!isBack) problems.push('a stream did not come back after the server did');
    }
  };
  // What calls that ended leave behind is seen by what is in use, and not by what the process once needed.
  const weigh = async (): Promise<void> => {
    for (const atMs of [durationMs * WARM_UP, durationMs]) {
      await untilMs(beganMs + atMs);
      heaps.push({ bytes: await server.probe<number>('heap'), churned });
    }
  };
  await Promise.all([watch(), churn(), kill(), weigh()]);
  const [heapBefore, heapAfter] = heaps;
  if (!heapBefore || !heapAfter) throw new Error('The heap was not weighed');
  const perCallKiB =
    (heapAfter.bytes - heapBefore.bytes) / 1024 / (heapAfter.churned - heapBefore.churned);

  const late = samples.slice(Math.floor(samples.length * WARM_UP));
  const { perUnit, low, high } = theilSen(
    late.map(({ hours, rssMiB }) => [hours, rssMiB] as const),
  );
  const files = (part: readonly Sample[]): number =>
    quantile(
      part.map((one) => one.files),
      0.5,
    );
  const half = Math.floor(late.length / 2);
  const [filesBefore, filesAfter] = [files(late.slice(0, half)), files(late.slice(half))];
  const isJudged = durationMs >= LEAST_MINUTES * 60_000;
  const minutes = (durationMs / 60_000).toFixed(1);
  const first = samples[0]?.rssMiB ?? Number.NaN;
  const rss = late.map(({ rssMiB }) => rssMiB);
  console.log(
    `${minutes} minutes, ${STEADY} calls that stayed, ${churned} that came and went, ${backMs.length} kills of the RTMP server\n` +
      `memory: ${first.toFixed(1)} MiB at first; after a third of the time p50 ${quantile(rss, 0.5).toFixed(1)}, at most ${Math.max(...rss).toFixed(1)} MiB\n` +
      `slope from then on (Theil-Sen): ${perUnit.toFixed(2)} MiB/h, 95 % between ${low.toFixed(2)} and ${high.toFixed(2)}` +
      `${isJudged ? '' : ' (not judged)'}; bound ${maxSlope}\n` +
      `in use after a collection: ${mebibytes(heapBefore.bytes)} after a third of the time, ${mebibytes(heapAfter.bytes)} at the end: ` +
      `${perCallKiB.toFixed(2)} KiB for each call that ended between\n` +
      `open files: ${filesBefore}, then ${filesAfter}; encoders: at most ${Math.max(...samples.map(({ children }) => children))}\n` +
      `back after a kill: p50 ${quantile(backMs, 0.5).toFixed(0)}, at most ${Math.max(...backMs).toFixed(0)} ms after the port was open\n` +
      `sound and picture apart: p50 ${quantile(skewsMs, 0.5).toFixed(0)}, at most ${Math.max(...skewsMs).toFixed(0)} ms`,
  );
  if (isJudged && perUnit > maxSlope) problems.push('memory grows');
  if (filesAfter > filesBefore + 2) problems.push('open files grow');
  if (Math.max(...skewsMs) >= MAX_SKEW_MS) problems.push('sound and picture part');
  if (backMs.length === 0 || skewsMs.length === 0)
    problems.push('it was too short to see anything');
  for (const callId of steady) await server.query('/call/terminate', { callId });
  const isEmpty = await until(
    async () =>
      (await server.query('/call/find_all')).status === 404 && server.descendants().length === 0,
  );
  if (!isEmpty) problems.push('something is left when all calls have ended');
} catch (error) {
  problems.push(error instanceof Error ? (error.stack ?? error.message) : String(error));
  console.error(workshop.lastWords());
} finally {
  await workshop.close();
}
for (const problem of new Set(problems)) console.error(`PROBLEM: ${problem}`);
process.exit(problems.length === 0 ? 0 : 1);
