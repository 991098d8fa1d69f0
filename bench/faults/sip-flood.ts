// SIP requests of strangers as fast as they can be sent, while calls run.

import { SipPeer } from '@sipcast/testkit';
import { Child } from '../child.ts';
import { mebibytes, timed } from './figure.ts';
import type { Figure, FaultRun, Measurement } from './figure.ts';
import type { FlooderMethods } from './flooder.ts';
import { pause } from './pace.ts';
import type { ServerProcess } from './server-process.ts';

const CALLS = 10;
const FLOODER = '127.0.0.9';

export const sipFlood: Figure = { name: 'sip-flood', title: 'Flood of SIP requests', measure };

async function measure(run: FaultRun): Promise<readonly Measurement[]> {
  const { workshop, quick, rtpPorts } = run;
  const count = quick ? 20_000 : 1_000_000;
  const phone = await SipPeer.open();
  workshop.later(() => phone.close());
  const flooder = new Child<FlooderMethods>('faults/flooder.ts');
  workshop.later(() => flooder.stop());
  const server = await workshop.startServer({
    config: {
      gateway: { maxLoopLagMs: 0, transcoding: { enabled: false }, rtpPorts },
    },
  });
  const names = Array.from({ length: CALLS }, (_, n) => `call-${n}`);
  for (const callId of names) await server.query('/call/startup', { callId, callee: phone.uri });
  for (const callId of names) await server.reached(callId, 'ESTABLISHED');
  await pause(quick ? 1000 : 10_000);

  const base = server.rssBytes();
  const before = await received(server);
  let most = base;
  const watch = setInterval(() => {
    most = Math.max(most, server.rssBytes());
  }, 100);
  const beganMs = performance.now();
  const flood = { port: server.sipPort, from: FLOODER, count, overTcp: count / 20 };
  const sent = await flooder.ask('sip', flood);
  const seconds = (performance.now() - beganMs) / 1000;
  const during = await received(server);
  await pause(quick ? 1000 : 10_000);
  const after = server.rssBytes();
  // What the heap has grown to it keeps: only a second flood tells that from what is never given back.
  await flooder.ask('sip', flood);
  await pause(quick ? 1000 : 10_000);
  const again = server.rssBytes();
  clearInterval(watch);
  const alive =
    (await server.found<unknown[]>('/call/find', { status: 'ESTABLISHED' }))?.length ?? 0;
  const packets = during.packets - before.packets;
  const lost = during.lost - before.lost;
  const share = lost / Math.max(1, packets + lost);
  const faults = await faultsOf(server);
  const seen = faults
    .filter(([name]) => /rate-limit|stranger|banned|connection/.test(name))
    .map(([name, n]) => `${n} × ${name}`)
    .join(', ');
  return [
    {
      what:
        `${sent} INVITE, REGISTER and OPTIONS of a stranger with fresh Call-IDs, ${(sent / seconds).toFixed(0)} a second, ` +
        `1 in 20 over TCP, while ${CALLS} calls run`,
      bound: `${CALLS} calls go on; their media loses < 1 % more; each is counted`,
      found: `${alive} calls; ${lost} of ${packets + lost} packets (${(share * 100).toFixed(2)} %); ${seen}`,
      holds: alive === CALLS && share < 0.01 && packets > 0 && seen !== '',
    },
    timed(run, {
      what: 'memory meanwhile and 10 s later, and 10 s behind a second flood as large',
      bound: '< 300 MB at most; the second adds ≤ 10 %',
      found: `${mebibytes(base)} before, at most ${mebibytes(most)}, then ${mebibytes(after)}; ${mebibytes(again)} behind the second`,
      holds: most < 300e6 && again <= after * 1.1,
    }),
  ];
}

interface Received {
  readonly packets: number;
  readonly lost: number;
}

async function received(server: ServerProcess): Promise<Received> {
  const calls =
    await server.found<{ media: Record<'audio' | 'video', Received | null> | null }[]>(
      '/call/find_all',
    );
  const media = (calls ?? []).flatMap((call) => [call.media?.audio, call.media?.video]);
  return {
    packets: media.reduce((sum, one) => sum + (one?.packets ?? 0), 0),
    lost: media.reduce((sum, one) => sum + (one?.lost ?? 0), 0),
  };
}

/** What the metrics count of faults, by name. */
async function faultsOf(server: ServerProcess): Promise<readonly (readonly [string, number])[]> {
  const { text } = await server.ask('/metrics');
  return [...text.matchAll(/^sipcast_faults\{[^}]*="([^"]+)"[^}]*\} (\d+)/gm)].map(
    ([, name = '', value]) => [name, Number(value)] as const,
  );
}
