// Secrets that are told to the server, and every place where they might come out again.

import { createServer } from 'node:http';
import { once } from 'node:events';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { get } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { RtmpSink, SipPeer } from '@sipcast/testkit';
import type { Figure, FaultRun, Measurement } from './figure.ts';
import { inParallel, pause, until } from './pace.ts';
import { argumentsOf } from './server-process.ts';

/** All begin alike, so that parts of them are found, too. */
const PREFIX = 'cAnArY';

export const secrets: Figure = { name: 'secrets', title: 'Secrets in what is told', measure };

async function measure({ workshop, quick, rtpPorts }: FaultRun): Promise<readonly Measurement[]> {
  const count = quick ? 60 : 1000;
  const secret = (name: string): string => `${PREFIX}-${name}-0123456789`;
  const rtmpAuth = { username: 'publisher', password: secret('rtmpPassword') };
  const phone = await SipPeer.open({
    script: (_, index) =>
      [
        { auth: { username: 'alice', password: secret('sipPassword') } },
        { auth: { username: 'alice', password: 'another' } },
        { answer: 486 },
        { hangUpAfterMs: 200 },
      ][index % 4] ?? {},
    register: { auth: { username: 'alice', password: secret('sipPassword') } },
    t1Ms: 100,
  });
  workshop.later(() => phone.close());
  const sink = await RtmpSink.open({ keepTags: false, auth: { scheme: 'adobe', ...rtmpAuth } });
  workshop.later(() => sink.close());
  const delivered: string[] = [];
  const receiver = createServer((request, response) => {
    let text = JSON.stringify(request.headers);
    request.on('data', (part: Buffer) => (text += part.toString()));
    request.on('end', () => {
      delivered.push(text);
      response.end();
    });
  });
  receiver.listen(0, '127.0.0.1');
  await once(receiver, 'listening');
  workshop.later(() => {
    receiver.closeAllConnections();
    receiver.close();
  });
  const pcap = join(await workshop.emptyFolder('secrets'), 'sip.pcap');
  const token = secret('token');
  const account = `admin:${secret('apiPassword')}`;
  const server = await workshop.startServer({
    config: {
      profile: 'production',
      log: { format: 'json', level: 'debug' },
      https: { enabled: false },
      http: { requestsPerSecond: 0, startupsPerSecond: 0 },
      outgoing: { lan: true, sipPorts: ['1-65535'] },
      tokens: [
        { name: 'program', hash: `sha256$${createHash('sha256').update(token).digest('hex')}` },
      ],
      events: {
        callAppUrl: `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/CallApp`,
        secret: secret('eventSecret'),
      },
      gateway: {
        maxLoopLagMs: 0,
        bindAddress: '127.0.0.1',
        rtpPorts,
        sipTrace: { pcap },
        offer: { srtp: 'optional' },
        transcoding: { maxAudioEncoders: 100 },
        rtmp: { firstConnectTimeoutMs: 1000 },
        sipTimers: { t1Ms: 50 },
      },
    },
    environment: { SIPCAST_BASIC_AUTH: account },
  });
  const places = new Map<string, string[]>();
  const tell = (place: string, text: string): void => {
    if (!text.includes(PREFIX)) return;
    const found = text.match(new RegExp(`${PREFIX}-\\w+`, 'g')) ?? [];
    places.set(place, [...(places.get(place) ?? []), ...found]);
  };
  let octets = 0;
  const look = (place: string, text: string): void => {
    octets += text.length;
    tell(place, text);
  };
  // The reader of the events by a token.
  let feed = '';
  const reading = get({
    host: '127.0.0.1',
    port: server.port,
    path: '/rest-api/events',
    headers: { authorization: `Bearer ${token}` },
  });
  reading.on('response', (response) =>
    response.on('data', (part: Buffer) => (feed += part.toString())),
  );
  reading.on('error', () => {});
  workshop.later(() => reading.destroy());
  let commandLines = 0;
  const watch = setInterval(() => {
    for (const pid of [server.pid, ...server.descendants()]) {
      const line = argumentsOf(pid);
      if (line !== '') commandLines++;
      look('arguments of processes', line);
    }
  }, 50);
  const { port } = sink;
  await inParallel(10, Array.from({ length: count }), async (_, n) => {
    const callId = `call-${n}`;
    const isRight = n % 3 !== 0;
    const password = isRight ? rtmpAuth.password : secret('wrongRtmpPassword');
    const { status, text } = await server.query('/call/startup', {
      callId,
      callee: phone.uri,
      sipLogin: 'alice',
      sipPassword: secret('sipPassword'),
      sipRegisterRequired: n % 5 === 0,
      rtmpUrl: `rtmp://publisher:${password}@127.0.0.1:${port}/live`,
      rtmpStream: `${secret('streamKey')}-${n}`,
      ...(n % 7 === 0 && { callee: '\r\n' }),
      ...(n % 11 === 0 && { callee: 'sip:nobody@127.0.0.1:9' }),
    });
    if (status !== 200) look('errors of the API', text);
    await pause(150);
    look('trace of a call', (await server.ask(`/rest-api/call/trace?callId=${callId}`)).text);
    for (const path of ['/call/terminate', '/call/send_dtmf'])
      look('errors of the API', (await server.query(path, { callId, dtmf: 'x' })).text);
  });
  clearInterval(watch);
  await until(async () => (await server.query('/call/find_all')).status === 404, 60_000, 100);
  await pause(500);
  const history = await server.found<Record<string, unknown>[]>('/call/history', { limit: 1000 });
  // A call's own view names its target as it was given: the contract of the API. All else of it is looked at.
  for (const call of history ?? []) look('views of calls', withoutTarget(call));
  for (const event of delivered) look('events to the application', withoutTarget(parse(event)));
  for (const event of feed.split('\n'))
    look('events by SSE', withoutTarget(parse(event.replace(/^data: /, ''))));
  for (const path of [
    '/metrics',
    '/health',
    '/ready',
    '/console/',
    '/rest-api/openapi.json',
    '/rest-api/docs',
  ])
    look(path, (await server.ask(path)).text);
  look(
    'errors of the API',
    (
      await server.ask('/rest-api/call/find_all', {
        headers: { authorization: `Bearer ${token}x` },
      })
    ).text,
  );
  look('log', server.output);
  look('capture', readFileSync(pcap, 'latin1'));
  server.signal('SIGTERM');
  await server.exited;
  look('log', server.output);
  const sum = [...places].map(
    ([place, found]) => `${place}: ${[...new Set(found)].join(', ')} (${found.length})`,
  );
  return [
    {
      what:
        `${count} calls that succeed and fail with 8 secrets: log, errors, views, history, traces, capture, ${delivered.length} events ` +
        `to the application, SSE, metrics, pages, ${commandLines} command lines (${(octets / 2 ** 20).toFixed(1)} MiB looked at)`,
      bound: 'no secret anywhere',
      found: sum.length === 0 ? '0' : sum.join('; '),
      holds:
        sum.length === 0 &&
        delivered.length > count &&
        sink.publications.length > 0 &&
        commandLines > 0 &&
        feed.length > 1000,
    },
  ];
}

function parse(text: string): Record<string, unknown> {
  const start = text.indexOf('{"nodeId');
  try {
    return {
      headers: text.slice(0, Math.max(0, start)),
      ...(JSON.parse(start < 0 ? text : text.slice(start)) as object),
    };
  } catch {
    return { text };
  }
}

/** Without what the API's contract shows: the target as the client gave it, in the call's own view and events. */
function withoutTarget(call: Readonly<Record<string, unknown>>): string {
  const isPush = 'mediaSessionId' in call;
  const isTarget = (key: string): boolean =>
    key === 'rtmpUrl' || key === 'rtmpStream' || (isPush && key === 'streamName');
  const rest = Object.entries(call).filter(([key]) => !isTarget(key) && key !== 'pushes');
  const { pushes } = call;
  const views = Array.isArray(pushes) ? (pushes as Record<string, unknown>[]) : [];
  return JSON.stringify([rest, views.map(withoutTarget)]);
}
