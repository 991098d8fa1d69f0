// What the program leans on is gone for a minute: the RTMP server, the receiver of events, DNS, the phone's media; each
// by itself, and all of them together.

import { createServer } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { RtmpSink, SipPeer } from '@sipcast/testkit';
import { timed } from './figure.ts';
import type { Figure, FaultRun, Measurement } from './figure.ts';
import { pause, until } from './pace.ts';
import type { ServerProcess } from './server-process.ts';
import type { Workshop } from './workshop.ts';

const CALLS = 3;
/** How soon it must be as before: the longest pause between two attempts to connect is 5 s. */
const BACK_MS = 10_000;
const KINDS = ['RTMP', 'events', 'DNS', 'media'] as const;
type Kind = (typeof KINDS)[number];

export const dependencies: Figure = {
  name: 'dependencies',
  title: 'What it depends on is gone',
  measure,
};

interface CallView {
  readonly callId: string;
  readonly status: string;
  readonly info: string | null;
  readonly rtmpStreamStatus: string | null;
}

/** What was seen of one outage. */
interface Outage {
  /** Calls that went on. */
  readonly kept: number;
  /** What was not as it should be, in words. */
  readonly wrong: readonly string[];
  readonly backMs: number;
}

async function measure(run: FaultRun): Promise<readonly Measurement[]> {
  const goneMs = run.quick ? 8000 : 60_000;
  const ports = portsOf(run);
  const single = run.quick ? [] : KINDS.map((kind) => [kind]);
  const groups: readonly (readonly Kind[])[] = [...single, KINDS];
  const [outages, silence] = await Promise.all([
    Promise.all(groups.map((kinds) => outage(run.workshop, kinds, goneMs, ports()))),
    silentPhones(run, ports()),
  ]);
  const seconds = goneMs / 1000;
  return [
    ...outages.flatMap(({ kept, wrong, backMs }, index) => {
      const kinds = groups[index] ?? [];
      const what = kinds.length === 1 ? kinds.join() : `${kinds.join(', ')} together`;
      return [
        {
          what: `${CALLS} calls, ${what} gone for ${seconds} s`,
          bound: 'the calls go on; each status and reason is right',
          found: `${kept} of ${CALLS} go on; ${wrong.length === 0 ? 'all right' : wrong.join('; ')}`,
          holds: kept === CALLS && wrong.length === 0,
        },
        timed(run, {
          what: 'after it',
          bound: `as before ≤ ${BACK_MS / 1000} s`,
          found: `after ${(backMs / 1000).toFixed(1)} s`,
          holds: backMs <= BACK_MS,
        }),
      ];
    }),
    silence,
  ];
}

/** Ranges of RTP ports, one for each server. */
function portsOf({ rtpPorts }: FaultRun): () => { min: number; max: number } {
  let min = rtpPorts.min - 50;
  return () => ({ min: (min += 50), max: min + 49 });
}

/** Three calls whose RTMP server and receiver of events are known by name; then some of it is gone. */
async function outage(
  workshop: Workshop,
  kinds: readonly Kind[],
  goneMs: number,
  rtpPorts: { min: number; max: number },
): Promise<Outage> {
  const wrong: string[] = [];
  const phone = await SipPeer.open();
  workshop.later(() => phone.close());
  let pictures = 0;
  const sink = await RtmpSink.open({
    host: '127.0.0.2',
    keepTags: false,
    onTag: ({ type }) => {
      if (type === 9) pictures++;
    },
  });
  workshop.later(() => sink.close());
  const receiver = await openReceiver(workshop);
  const server = await workshop.startServer({
    preload: new URL('probe.ts', import.meta.url),
    config: {
      events: {
        callAppUrl: `http://good-0.example:${receiver.port}/CallApp`,
        retries: 1,
        retryDelayMs: 50,
        timeoutMs: 2000,
      },
      // The policy under test: a phone that is silent keeps its call.
      gateway: { maxLoopLagMs: 0, bindAddress: '127.0.0.1', rtpPorts, rtpTimeoutMs: 0 },
    },
  });
  const names = Array.from({ length: CALLS }, (_, n) => `call-${n}`);
  for (const callId of names) {
    const rtmpUrl = `rtmp://good-1.example:${sink.port}/live`;
    await server.query('/call/startup', {
      callId,
      callee: phone.uri,
      rtmpUrl,
      rtmpStream: callId,
    });
    await server.reached(callId, 'RTMP_STREAM_ACTIVE');
  }
  await until(() => names.every((name) => receiver.told(name) > 0));

  const goneSince = performance.now();
  const has = (kind: Kind): boolean => kinds.includes(kind);
  if (has('media')) for (const { sender } of phone.calls) sender?.pause();
  if (has('events')) receiver.hang(true);
  if (has('DNS')) await server.probe('dns off');
  if (has('RTMP')) await sink.die();
  // DNS is asked when something connects anew.
  else if (has('DNS')) {
    await sink.die();
    await sink.comeBack();
  }
  const isPublishing = !has('RTMP') && !has('DNS');
  const expected = isPublishing ? 'RTMP_STREAM_ACTIVE' : 'RTMP_CONNECTION_LOST';
  await pause(goneMs / 4);
  const before = pictures;
  wrong.push(...(await attempts(server, phone, sink, has)));
  await pause(goneMs - (performance.now() - goneSince));
  const views = (await server.found<CallView[]>('/call/find_all')) ?? [];
  const ours = views.filter(({ callId }) => names.includes(callId));
  for (const { callId, rtmpStreamStatus, info } of ours) {
    if (rtmpStreamStatus !== expected) wrong.push(`${callId} says ${rtmpStreamStatus}`);
    if (info !== null) wrong.push(`${callId} says ${info}`);
  }
  // The frozen picture is sent again while nothing comes from the phone.
  if (isPublishing && pictures === before) wrong.push('no picture was published meanwhile');
  const kept = ours.filter(({ status }) => status === 'ESTABLISHED').length;

  const backSince = performance.now();
  if (has('media')) for (const { sender } of phone.calls) sender?.resume();
  receiver.hang(false);
  if (has('DNS')) await server.probe('dns on');
  if (has('RTMP')) await sink.comeBack();
  const isBack = await until(async () => {
    const calls = (await server.found<CallView[]>('/call/find_all')) ?? [];
    return names.every((name) =>
      calls.some((one) => one.callId === name && one.rtmpStreamStatus === 'RTMP_STREAM_ACTIVE'),
    );
  }, 60_000);
  if (!isBack) wrong.push('a stream did not come back');
  const after = pictures;
  // More than the frozen picture, which comes each second.
  if (!(await until(() => pictures > after + 25, 20_000))) wrong.push('pictures do not run again');
  const late = `late-${kinds.join('-')}`;
  await server.query('/call/startup', { callId: late, callee: phone.uri });
  if (!(await until(() => receiver.told(late) > 0, 20_000)))
    wrong.push('no event came after the receiver did');
  return { kept, wrong, backMs: performance.now() - backSince };
}

/** What is begun meanwhile does as it should: with a reason where it cannot. @returns what is wrong */
async function attempts(
  server: ServerProcess,
  phone: SipPeer,
  sink: RtmpSink,
  has: (kind: Kind) => boolean,
): Promise<string[]> {
  const wrong: string[] = [];
  const plain = await server.query('/call/startup', { callId: 'plain', callee: phone.uri });
  if (plain.status !== 200) wrong.push(`a new call was answered with ${plain.status}`);
  await server.reached('plain', 'ESTABLISHED').catch((error: Error) => wrong.push(error.message));
  await server.query('/call/terminate', { callId: 'plain' });
  if (has('DNS')) {
    const callee = `sip:x@good-2.example:${phone.port}`;
    await server.query('/call/startup', { callId: 'named', callee });
    const ended = async (): Promise<CallView | undefined> =>
      (await server.found<CallView[]>('/call/history'))?.find(({ callId }) => callId === 'named');
    await until(async () => (await ended()) !== undefined);
    const end = await ended();
    const isRight = end?.status === 'FAILED' && end.info?.includes('good-2.example');
    if (!isRight) wrong.push(`a call to a name ended as ${end?.status}: ${end?.info}`);
  }
  if (has('RTMP')) {
    const target = { rtmpUrl: sink.url, rtmpStream: 'new' };
    await server.query('/call/startup', { callId: 'new', callee: phone.uri, ...target });
    // Its call stands, whatever its stream does.
    await server.reached('new', 'ESTABLISHED').catch((error: Error) => wrong.push(error.message));
    await server.query('/call/terminate', { callId: 'new' });
  }
  return wrong;
}

/** The other policy: a phone that is silent for too long ends its call, and says why. */
async function silentPhones(
  run: FaultRun,
  rtpPorts: { min: number; max: number },
): Promise<Measurement> {
  const { workshop, quick } = run;
  const rtpTimeoutMs = quick ? 3000 : 20_000;
  const phone = await SipPeer.open();
  workshop.later(() => phone.close());
  const sink = await RtmpSink.open({ keepTags: false });
  workshop.later(() => sink.close());
  const server = await workshop.startServer({
    config: {
      gateway: { maxLoopLagMs: 0, bindAddress: '127.0.0.1', rtpPorts, rtpTimeoutMs },
    },
  });
  const names = Array.from({ length: CALLS }, (_, n) => `silent-${n}`);
  for (const callId of names) {
    const target = { rtmpUrl: sink.url, rtmpStream: callId };
    await server.query('/call/startup', { callId, callee: phone.uri, ...target });
    await server.reached(callId, 'RTMP_STREAM_ACTIVE');
  }
  for (const { sender } of phone.calls) sender?.pause();
  const silentSince = performance.now();
  await until(
    async () => (await server.query('/call/find_all')).status === 404,
    2 * rtpTimeoutMs + 10_000,
  );
  const afterMs = performance.now() - silentSince;
  const ended = (await server.found<CallView[]>('/call/history')) ?? [];
  const right = ended.filter(
    ({ status, info }) => status === 'FAILED' && info === 'Failed by RTP activity',
  );
  const saidGoodbye = phone.calls.filter((call) => call.requests('BYE').length === 1).length;
  return {
    what: `${CALLS} calls of phones that fall silent, with \`rtpTimeoutMs\` ${rtpTimeoutMs}`,
    bound: 'each ends by then, with BYE, as FAILED, "Failed by RTP activity"',
    found: `${right.length} of ${CALLS}, ${saidGoodbye} × BYE, after ${(afterMs / 1000).toFixed(1)} s`,
    holds:
      right.length === CALLS && saidGoodbye === CALLS && (quick || afterMs <= rtpTimeoutMs + 5000),
  };
}

/** A receiver of events that can be made to take connections and never answer. */
async function openReceiver(workshop: Workshop): Promise<{
  readonly port: number;
  told(callId: string): number;
  hang(isHanging: boolean): void;
}> {
  const counts = new Map<string, number>();
  let isHanging = false;
  const server = createServer((request, response) => {
    if (isHanging) return;
    let text = '';
    request.on('data', (part: Buffer) => (text += part.toString()));
    request.on('end', () => {
      const { callId } = JSON.parse(text) as { callId: string };
      counts.set(callId, (counts.get(callId) ?? 0) + 1);
      response.end();
    });
  });
  server.listen(0, '127.0.0.2');
  await once(server, 'listening');
  workshop.later(() => {
    server.closeAllConnections();
    server.close();
  });
  return {
    port: (server.address() as AddressInfo).port,
    told: (callId) => counts.get(callId) ?? 0,
    hang: (value) => {
      isHanging = value;
    },
  };
}
