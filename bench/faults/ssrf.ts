// Nothing connects to an address that it must not: whatever the spelling, the name, the redirection, through RTMP, events
// and SIP. Counted by who listens there.

import { createServer } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { RtmpSink, SipPeer } from '@sipcast/testkit';
import type { CallScript } from '@sipcast/testkit';
import { LOOPBACK_FORMS, OTHER_FORMS } from './address-forms.ts';
import type { Figure, FaultRun, Measurement } from './figure.ts';
import { pause, until } from './pace.ts';
import type { ServerProcess } from './server-process.ts';
import { ALLOWED, openTrap } from './traps.ts';
import type { Trap } from './traps.ts';

const ALL = [...LOOPBACK_FORMS, ...OTHER_FORMS];
/** How often a name is used whose address changes. */
const REBINDS = 20;

export const ssrf: Figure = {
  name: 'ssrf',
  title: 'Connections to addresses of others (SSRF)',
  measure,
};

async function measure(run: FaultRun): Promise<readonly Measurement[]> {
  const { workshop, rtpPorts } = run;
  const trap = await openTrap();
  workshop.later(() => trap.close());
  const phone = await SipPeer.open({ host: ALLOWED });
  workshop.later(() => phone.close());
  const receiver = await openReceiver(run, trap);
  const forms = run.quick ? ALL.filter((_, index) => index % 4 === 0) : ALL;
  const hooks = [...forms, ...Array.from({ length: REBINDS }, (_, n) => `rebind-9${n}.example`)]
    .map((host) => `http://${host}:${trap.port}/CallApp`)
    // The configuration refuses what is no address at all.
    .filter((url) => URL.canParse(url));
  const apps = Object.fromEntries(
    [...hooks, receiver].map((callAppUrl, n) => [`app-${n}`, { callAppUrl }]),
  );
  const server = await workshop.startServer({
    preload: new URL('probe.ts', import.meta.url),
    config: {
      profile: 'production',
      https: { enabled: false },
      http: { requestsPerSecond: 0, startupsPerSecond: 0 },
      outgoing: { allow: [ALLOWED], sipPorts: ['1-65535'] },
      events: { apps, retries: 1, retryDelayMs: 1, timeoutMs: 5000 },
      gateway: {
        maxLoopLagMs: 0,
        transcoding: { enabled: false },
        rtpPorts,
        inviteTimeoutMs: 3000,
        sipTimers: { t1Ms: 20 },
        rtmp: { reconnectMinMs: 50, reconnectMaxMs: 50, firstConnectTimeoutMs: 400 },
      },
    },
  });
  const rtmp = await throughRtmp(run, server, trap, phone, forms);
  const events = await throughEvents(server, trap, phone, hooks.length + 1);
  const sip = await throughSip(run, server, trap, phone, forms);
  return [rtmp, events, sip, await toPorts(run, trap, forms), await control(run, trap, phone)];
}

/** SIP to a port that is none of SIP, where each address would do. */
async function toPorts(
  { workshop, rtpPorts }: FaultRun,
  trap: Trap,
  forms: readonly string[],
): Promise<Measurement> {
  const there = `127.0.0.1:${trap.port}`;
  const open = async (script: CallScript): Promise<SipPeer> => {
    const peer = await SipPeer.open({ host: ALLOWED, script, t1Ms: 50 });
    workshop.later(() => peer.close());
    return peer;
  };
  const redirecting = await open({ answer: 302, redirectTo: [`<sip:x@${there}>`] });
  const straying = await open({ recordRoute: [`<sip:${there};lr>`] });
  const server = await workshop.startServer({
    preload: new URL('probe.ts', import.meta.url),
    config: {
      profile: 'production',
      https: { enabled: false },
      http: { requestsPerSecond: 0, startupsPerSecond: 0 },
      outgoing: { lan: true, sipPorts: [redirecting.port, straying.port] },
      gateway: {
        maxLoopLagMs: 0,
        transcoding: { enabled: false },
        rtpPorts,
        sipTimers: { t1Ms: 20 },
      },
    },
  });
  const arrived = since(trap);
  const { call, outcomes, said } = placing(server);
  await callEverywhere(call, forms, trap.port, (host) => ({
    sipOutboundProxy: host,
    sipPort: trap.port,
  }));
  await call({ callee: redirecting.uri, callId: 'redirected' });
  await call({ callee: straying.uri, callId: 'straying' });
  await server.reached('straying', 'ESTABLISHED');
  const strayed = await straying.nextCall();
  await server.query('/call/terminate', { callId: 'straying' });
  const { how } = await strayed.ended;
  await until(async () => (await server.found<unknown[]>('/call/find_all')) === undefined);
  return {
    what:
      `SIP over UDP and TCP to a port out of \`outgoing.sipPorts\`: ${forms.length} forms of hosts as callee, proxy and ` +
      'registrar, a redirection, a Record-Route; every address is allowed',
    bound:
      '0 datagrams or connections to that port; the call with the Record-Route is ended by BYE all the same',
    found: `${arrived()} arrivals; queries answered ${said()}; ended by ${how}`,
    holds: arrived() === 0 && outcomes.get(200) === 2 && how === 'bye',
  };
}

type PlaceCall = (body: Readonly<Record<string, unknown>>) => Promise<void>;

/** Places calls, and counts the statuses of the answers. */
function placing(server: ServerProcess): {
  readonly call: PlaceCall;
  readonly outcomes: ReadonlyMap<number, number>;
  readonly said: () => string;
} {
  const outcomes = new Map<number, number>();
  return {
    outcomes,
    call: async (request) => {
      const body = JSON.stringify(request);
      const { status } = await server.askUntilTaken('/rest-api/call/startup', { body });
      outcomes.set(status, (outcomes.get(status) ?? 0) + 1);
    },
    said: () => [...outcomes].map(([status, count]) => `${count} × ${status}`).join(', '),
  };
}

/** Each host as callee, as proxy and as registrar, over UDP and TCP. */
async function callEverywhere(
  call: PlaceCall,
  hosts: readonly string[],
  port: number,
  proxyOf: (host: string) => Readonly<Record<string, unknown>>,
): Promise<void> {
  for (const host of hosts) {
    for (const sipTransport of ['udp', 'tcp']) {
      await call({ sipTransport, callee: `sip:x@${host}:${port}` });
      await call({ sipTransport, callee: 'sip:x@good.example', ...proxyOf(host) });
      const registrar = { sipDomain: `${host}:${port}`, sipRegisterRequired: true };
      await call({ sipTransport, callee: 'x', ...registrar });
    }
  }
}

/** The same where it is allowed: the trap would have seen it. */
async function control(
  { workshop, rtpPorts }: FaultRun,
  trap: Trap,
  phone: SipPeer,
): Promise<Measurement> {
  const callAppUrl = `http://127.0.0.1:${trap.port}/CallApp`;
  const server = await workshop.startServer({
    config: {
      outgoing: { lan: true },
      events: { callAppUrl, retries: 0 },
      gateway: { transcoding: { enabled: false }, rtpPorts },
    },
  });
  const seen: number[] = [];
  const arrives = async (body: Record<string, unknown>): Promise<void> => {
    const arrived = since(trap);
    await server.query('/call/startup', body);
    await until(() => arrived() > 0);
    seen.push(arrived());
  };
  await arrives({ callee: phone.uri });
  await arrives({
    callee: phone.uri,
    rtmpUrl: `rtmp://127.0.0.1:${trap.port}/app`,
    rtmpStream: 'x',
  });
  await arrives({ callee: `sip:x@127.0.0.1:${trap.port}` });
  return {
    what: 'control: an event, a push and a call with `outgoing.lan`, which allows it',
    bound: 'each arrives',
    found: `${seen.join(', ')} arrivals`,
    holds: seen.every((count) => count > 0),
  };
}

/** An HTTP server that may be reached, and sends everybody on to the trap. */
async function openReceiver({ workshop }: FaultRun, trap: Trap): Promise<string> {
  const server = createServer((request, response) => {
    request.resume();
    response.writeHead(307, { location: `http://127.0.0.1:${trap.port}/` }).end();
  });
  server.listen(0, ALLOWED);
  await once(server, 'listening');
  workshop.later(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://${ALLOWED}:${(server.address() as AddressInfo).port}/CallApp`;
}

/** What the trap saw since it was asked before. */
function since(trap: Trap): () => number {
  const before = trap.arrivals();
  return () => trap.arrivals() - before;
}

async function throughRtmp(
  { workshop }: FaultRun,
  server: ServerProcess,
  trap: Trap,
  phone: SipPeer,
  forms: readonly string[],
): Promise<Measurement> {
  const arrived = since(trap);
  await server.query('/call/startup', { callId: 'source', callee: phone.uri, toStream: 'live' });
  await server.reached('source', 'ESTABLISHED');
  const outcomes = new Map<string, number>();
  const push = async (rtmpUrl: string): Promise<string> => {
    const { status, text } = await server.query('/push/startup', { streamName: 'live', rtmpUrl });
    if (status !== 200) return `refused with ${status}`;
    const { mediaSessionId } = JSON.parse(text) as { mediaSessionId: string };
    let last = 'gone';
    await until(async () => {
      const pushes = await server.found<Push[]>('/push/find', { streamName: 'live', rtmpUrl });
      const one = pushes?.find((each) => each.mediaSessionId === mediaSessionId);
      last = one?.status ?? 'gone';
      return (
        one === undefined ||
        one.status === 'RTMP_CONNECTION_FAILED' ||
        one.status === 'RTMP_STREAM_ACTIVE'
      );
    });
    await server.query('/push/terminate', { mediaSessionId });
    return last;
  };
  const take = (outcome: string): void =>
    void outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
  for (const scheme of ['rtmp', 'rtmps'])
    for (const host of forms) take(await push(`${scheme}://${host}:${trap.port}/app-${scheme}`));
  // The name leads to a server that may be reached, and a moment later to the trap, on the same port.
  const good = await RtmpSink.open({ host: ALLOWED, port: trap.port, keepTags: false });
  workshop.later(() => good.close());
  for (let n = 0; n < REBINDS; n++) {
    take(await push(`rtmp://rebind-${n}.example:${trap.port}/app`));
    take(await push(`rtmp://rebind-${n}.example:${trap.port}/again`));
  }
  const reached = good.publications.length;
  // Servers that send us on: in the refusal of the connection, and while it publishes.
  const forbidden = `rtmp://127.0.0.1:${trap.port}/app`;
  good.refuse({ at: 'connect', code: 'NetConnection.Connect.Rejected', redirect: forbidden });
  take(await push(`rtmp://${ALLOWED}:${trap.port}/redirected`));
  good.refuse(undefined);
  const asked = push(`rtmp://${ALLOWED}:${trap.port}/asked`);
  await until(async () => good.publications.length > reached);
  good.requestReconnect(forbidden);
  take(await asked);
  const said = [...outcomes].map(([outcome, count]) => `${count} × ${outcome}`).join(', ');
  return {
    what: `RTMP and RTMPS: ${forms.length} address forms each, ${REBINDS} names that change between two uses, 2 redirections`,
    bound: '0 connections to a forbidden address',
    found: `${arrived()} arrivals; ${said}; what may be reached was reached ${reached} times`,
    holds: arrived() === 0 && reached >= REBINDS,
  };
}

interface Push {
  readonly mediaSessionId: string;
  readonly status: string;
}

async function throughEvents(
  server: ServerProcess,
  trap: Trap,
  phone: SipPeer,
  apps: number,
): Promise<Measurement> {
  const arrived = since(trap);
  const lost = (): number => server.lines.filter((line) => line.includes('event lost')).length;
  for (let app = 0; app < apps; app++)
    await server.query('/call/startup', {
      callee: phone.uri,
      appKey: `app-${app}`,
      callId: `app-${app}`,
    });
  for (let app = 0; app < apps; app++)
    await server.query('/call/terminate', { callId: `app-${app}` });
  // Each call has four changes at least.
  await until(async () => lost() >= apps * 4, 20_000);
  await pause(200);
  return {
    what: `events: ${apps} applications with addresses in all forms, ${REBINDS} names that change, a redirection`,
    bound: '0 connections to a forbidden address',
    found: `${arrived()} arrivals; ${lost()} events given up, each said in the log`,
    holds: arrived() === 0 && lost() >= apps * 4,
  };
}

async function throughSip(
  { workshop }: FaultRun,
  server: ServerProcess,
  trap: Trap,
  phone: SipPeer,
  forms: readonly string[],
): Promise<Measurement> {
  const arrived = since(trap);
  const { call, said } = placing(server);
  await callEverywhere(call, forms, trap.port, (host) => ({
    sipOutboundProxy: `${host}:${trap.port}`,
  }));
  for (let n = 0; n < REBINDS; n++)
    for (let use = 0; use < 2; use++)
      await call({ callee: `sip:x@rebind-7${n}.example:${trap.port}` });
  const redirecting = await SipPeer.open({
    host: ALLOWED,
    script: { answer: 302, redirectTo: [`<sip:x@127.0.0.1:${trap.port}>`] },
  });
  workshop.later(() => redirecting.close());
  await call({ callee: redirecting.uri });
  // A peer that answers, and wants what follows to go elsewhere.
  const straying = await SipPeer.open({
    host: ALLOWED,
    script: { recordRoute: [`<sip:127.0.0.1:${trap.port};lr>`], hangUpAfterMs: 500 },
    t1Ms: 50,
  });
  workshop.later(() => straying.close());
  await call({ callee: straying.uri, callId: 'straying' });
  await until(
    async () => ((await server.found<unknown[]>('/call/find_all'))?.length ?? 0) <= 1,
    30_000,
  );
  const reached = phone.calls.length + redirecting.calls.length + straying.calls.length;
  return {
    what:
      `SIP over UDP and TCP: ${forms.length} address forms as callee, proxy and registrar, ${REBINDS} names that change, ` +
      'a redirection, a Record-Route',
    bound: '0 datagrams or connections to a forbidden address',
    found: `${arrived()} arrivals; queries answered ${said()}; ${reached} calls where they may`,
    holds: arrived() === 0 && redirecting.calls.length === 1 && straying.calls.length === 1,
  };
}
