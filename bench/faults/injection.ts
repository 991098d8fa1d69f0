// CR and LF, NUL, paths, arguments of ffmpeg, shells, `__proto__`: in every field of the API, and seen on the wires, in
// files, in arguments and in prototypes.

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { chmod, copyFile, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { RtmpSink, SipPeer } from '@sipcast/testkit';
import type { Figure, FaultRun, Measurement } from './figure.ts';
import { inParallel, pause } from './pace.ts';
import { BODIES, MARK, PAYLOADS, REQUEST_PATHS } from './injection-corpus.ts';
import type { ServerProcess } from './server-process.ts';
import { escapedFrom, SipTrap, strangeHeader } from './sip-trap.ts';

const SOUND = fileURLToPath(new URL('../../packages/testkit/clips/scene.opus', import.meta.url));

/** Where a payload is written into: the query and its body. */
type Field = (
  payload: string,
  at: Places,
) => readonly [path: string, body: Record<string, unknown>];

interface Places {
  readonly trap: number;
  readonly phone: string;
  readonly rtmpUrl: string;
  readonly callId: string;
  readonly mediaSessionId: string;
  /** Another number each time: no two calls may publish under one name. */
  serial(): number;
}

function startup(change: (payload: string, at: Places) => Record<string, unknown>): Field {
  return (payload, at) => [
    '/call/startup',
    { callee: `sip:x@127.0.0.1:${at.trap}`, ...change(payload, at) },
  ];
}

/** A call that is answered, and published where it is allowed to. */
function published(change: (payload: string, at: Places) => Record<string, unknown>): Field {
  return startup((payload, at) => ({
    callee: at.phone,
    audio: 'passthrough',
    rtmpUrl: at.rtmpUrl,
    rtmpStream: `fine-${at.serial()}`,
    ...change(payload, at),
  }));
}

const FIELDS: Readonly<Record<string, Field>> = {
  callId: startup((callId) => ({ callId })),
  callee: (callee) => ['/call/startup', { callee, sipDomain: 'trap.invalid' }],
  'callee, user': (payload, { trap }) => [
    '/call/startup',
    { callee: `${payload}@127.0.0.1:${trap}` },
  ],
  'callee, URI': (payload, { trap }) => [
    '/call/startup',
    { callee: `sip:x@127.0.0.1:${trap};${payload}` },
  ],
  sipLogin: startup((sipLogin) => ({ sipLogin })),
  sipAuthenticationName: startup((sipAuthenticationName) => ({
    sipAuthenticationName,
    sipPassword: 'x',
  })),
  sipPassword: startup((sipPassword) => ({ sipPassword })),
  sipDomain: startup((sipDomain) => ({ sipDomain })),
  sipOutboundProxy: startup((sipOutboundProxy) => ({ sipOutboundProxy })),
  sipPort: startup((sipPort) => ({ sipPort })),
  visibleName: startup((visibleName) => ({ visibleName })),
  appKey: startup((appKey) => ({ appKey })),
  'sipHeaders, value': startup((payload) => ({ sipHeaders: { 'X-Fine': payload } })),
  'sipHeaders, name': startup((payload) => ({ sipHeaders: { [`X-Fine${payload}`]: '1' } })),
  custom: startup((payload) => ({ custom: { [payload]: payload } })),
  toStream: published((toStream) => ({ toStream })),
  rtmpUrl: published((payload, { rtmpUrl }) => ({ rtmpUrl: `${rtmpUrl}/${payload}` })),
  'rtmpUrl, whole': published((rtmpUrl) => ({ rtmpUrl })),
  rtmpStream: published((rtmpStream) => ({ rtmpStream, audio: 'aac' })),
  record: published((payload) => ({
    audio: 'aac',
    record: true,
    callId: `r-${payload}`,
  })),
  dtmf: (dtmf, { callId }) => ['/call/send_dtmf', { callId, dtmf }],
  'dtmf type': (type, { callId }) => ['/call/send_dtmf', { callId, dtmf: '1', type }],
  'transfer target': (target, { callId }) => ['/call/transfer', { callId, target }],
  'injected stream': (streamName, { callId }) => ['/call/inject_stream', { callId, streamName }],
  'injected sound': (fileName, { callId }) => ['/call/inject_sound', { callId, fileName }],
  'push, stream': (streamName, { rtmpUrl }) => ['/push/startup', { streamName, rtmpUrl }],
  'push, rtmpUrl': (payload, { rtmpUrl }) => [
    '/push/startup',
    { streamName: 'live', rtmpUrl: `${rtmpUrl}/${payload}`, rtmpTransponderFullUrl: true },
  ],
  'push, sound': (soundFile, { mediaSessionId }) => [
    '/push/sound_on',
    { mediaSessionId, soundFile },
  ],
  'push, id': (mediaSessionId) => ['/push/terminate', { mediaSessionId }],
  'find, callId': (callId) => ['/call/find', { callId }],
  'find, stream': (streamName) => ['/stream/find', { streamName }],
  'token, stream': (streamName) => ['/stream/token', { streamName }],
};

/** All files below a folder, by their paths. */
function filesIn(folder: string): readonly string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name))
    .toSorted();
}

export const injection: Figure = {
  name: 'injection',
  title: 'Injection: CR LF, NUL, paths, arguments, `__proto__`',
  measure,
};

async function measure({ workshop, quick, rtpPorts }: FaultRun): Promise<readonly Measurement[]> {
  const folder = await workshop.emptyFolder('injection');
  const media = join(folder, 'media');
  const recordings = join(folder, 'recordings');
  await Promise.all([mkdir(media), mkdir(recordings)]);
  await copyFile(SOUND, join(media, 'sound.ogg'));
  await copyFile(SOUND, join(folder, 'secret.wav'));
  // The real ffmpeg, which writes down what it was called with.
  const argumentLog = join(folder, 'arguments');
  const ffmpegPath = join(folder, 'ffmpeg');
  await writeFile(
    ffmpegPath,
    `#!/bin/sh\nprintf '%s\\n' "$*" >> '${argumentLog}'\nexec ffmpeg "$@"\n`,
  );
  await chmod(ffmpegPath, 0o755);
  const server = await workshop.startServer({
    preload: new URL('probe.ts', import.meta.url),
    config: {
      profile: 'dev',
      gateway: {
        maxLoopLagMs: 0,
        bindAddress: '127.0.0.1',
        rtpPorts,
        maxCalls: 900,
        inviteTimeoutMs: 5000,
        mediaFolder: media,
        recording: { dir: recordings },
        transcoding: { ffmpegPath, maxAudioEncoders: 64 },
        sipTrace: { maxMessages: 0 },
      },
    },
  });
  const [trap, phone, sink] = [
    await SipTrap.open(),
    await SipPeer.open(),
    await RtmpSink.open({ keepTags: false }),
  ];
  workshop.later(() => trap.close());
  workshop.later(() => phone.close());
  workshop.later(() => sink.close());
  const before = await server.probe<number[]>('prototypes');
  const filesBefore = filesIn(folder);
  const at = await placesOf(server, trap, phone, sink);

  const statuses = new Map<number, number>();
  const reflected: string[] = [];
  const count = async (path: string, body: string): Promise<void> => {
    const { status, headers } = await server.askUntilTaken(path, { body });
    statuses.set(status, (statuses.get(status) ?? 0) + 1);
    if (Object.keys(headers).some((name) => name.includes(MARK.toLowerCase())))
      reflected.push(path);
  };
  // The quick form leaves out payloads, and no field.
  const payloads = quick ? PAYLOADS.filter((_, index) => index % 4 === 0) : PAYLOADS;
  for (const field of Object.values(FIELDS)) {
    await inParallel(8, payloads, async (payload) => {
      const [path, body] = field(payload, at);
      await count(`/rest-api${path}`, JSON.stringify(body));
    });
    await endCalls(server, at.callId);
  }
  const paths = ['/call/startup', '/call/find', '/push/startup'];
  for (const path of paths) for (const body of BODIES) await count(`/rest-api${path}`, body);
  const opened = await openedByPath(server);
  const requests =
    Object.keys(FIELDS).length * payloads.length +
    paths.length * BODIES.length +
    REQUEST_PATHS.length;

  // It still works, and what it says of itself is as it was.
  const after = await server.probe<number[]>('prototypes');
  const isAlive = (await server.query('/call/find', { callId: at.callId })).status === 200;
  const escaped = [
    ...trap.datagrams.map(escapedFrom),
    ...phone.messages.map(({ message }) => strangeHeader(message)),
    ...phone.violations.map(({ rule }) => rule),
  ].filter((problem) => problem !== undefined);
  const wrongNames = sink.publications.filter(({ app, streamName }) =>
    // oxlint-disable-next-line no-control-regex -- finding control characters is the point
    /[\u0000-\u001f\u007f]|(?:^|\/|%2f)(?:\.|%2e){2}(?:\/|%2f|$)/i.test(`${app}/${streamName}`),
  );
  const foreign = filesIn(folder).filter(
    (file) => !filesBefore.includes(file) && !isRecording(file, recordings) && file !== argumentLog,
  );
  const marked = ['/tmp', process.cwd()].filter((place) => existsSync(join(place, MARK)));
  const calls = readFileSync(argumentLog, 'utf8');
  const inArguments = PAYLOADS.filter(
    (payload) => payload.length > 15 && calls.includes(payload),
  ).length;
  const failures = statuses.get(500) ?? 0;
  const said = [...statuses].toSorted(([a], [b]) => a - b).map(([status, n]) => `${n} × ${status}`);
  const total =
    escaped.length +
    wrongNames.length +
    foreign.length +
    marked.length +
    inArguments +
    reflected.length +
    opened.length;
  return [
    {
      what:
        `${requests} requests: ${payloads.length} payloads in ${Object.keys(FIELDS).length} fields, ` +
        `${BODIES.length} bodies, ${REQUEST_PATHS.length} paths (${said.join(', ')})`,
      bound: '0 reach a wire, an argument or a path; no 500',
      found:
        `${total} of ${trap.datagrams.length + phone.messages.length} SIP messages, ${sink.publications.length} publications, ` +
        `${calls.trim().split('\n').length} command lines and ${filesIn(recordings).length} recordings; ${failures} × 500` +
        describe([
          ...escaped,
          ...wrongNames.map(({ app, streamName }) => `${app}/${streamName}`),
          ...foreign,
          ...opened,
          ...reflected,
        ]),
      holds:
        total === 0 &&
        failures === 0 &&
        trap.datagrams.length > 100 &&
        sink.publications.length > 0,
    },
    {
      what: `${BODIES.length * paths.length} bodies with \`__proto__\`, \`constructor\`, duplicate keys and depths up to 10,000`,
      bound: 'prototypes as they were, and calls go on',
      found: `properties of the prototypes ${before.join('/')}, then ${after.join('/')}; the call ${isAlive ? 'goes on' : 'is gone'}`,
      holds: before.join() === after.join() && isAlive,
    },
  ];
}

function describe(problems: readonly string[]): string {
  return problems.length === 0 ? '' : `: ${problems.slice(0, 3).join('; ')}`;
}

async function placesOf(
  server: ServerProcess,
  trap: SipTrap,
  phone: SipPeer,
  sink: RtmpSink,
): Promise<Places> {
  const callId = 'standing';
  const target = { rtmpUrl: sink.url, rtmpStream: 'standing' };
  await server.query('/call/startup', { callId, callee: phone.uri, toStream: 'live', ...target });
  await server.reached('standing', 'RTMP_STREAM_ACTIVE');
  const pushes = await server.found<{ mediaSessionId: string }[]>('/push/find_all');
  const mediaSessionId = pushes?.[0]?.mediaSessionId ?? '';
  let serial = 0;
  return {
    trap: trap.port,
    phone: phone.uri,
    rtmpUrl: sink.url,
    callId,
    mediaSessionId,
    serial: () => ++serial,
  };
}

/** Gives published calls the time to publish, and ends all but the standing one. */
async function endCalls(server: ServerProcess, standing: string): Promise<void> {
  const live = async (): Promise<{ callId: string; rtmpStreamStatus: string | null }[]> =>
    (
      (await server.found<{ callId: string; rtmpStreamStatus: string | null }[]>(
        '/call/find_all',
      )) ?? []
    ).filter(({ callId }) => callId !== standing);
  for (let turn = 0; turn < 40; turn++) {
    if (!(await live()).some(({ rtmpStreamStatus }) => rtmpStreamStatus === 'RTMP_STREAM_WAIT'))
      break;
    await pause(50);
  }
  for (const { callId } of await live()) await server.query('/call/terminate', { callId });
  for (let turn = 0; turn < 200 && (await live()).length > 0; turn++) await pause(50);
}

/** Paths that gave away what lies elsewhere, or let a header be added. */
async function openedByPath(server: ServerProcess): Promise<readonly string[]> {
  const opened: string[] = [];
  for (const path of REQUEST_PATHS) {
    const { status, headers, text } = await server.ask(path);
    const isAdded = Object.keys(headers).some((name) => name.includes(MARK.toLowerCase()));
    const location = headers.location ?? '';
    const leadsAway = /^(?:\/\/|https?:)/.test(location);
    if (isAdded || leadsAway || /root:|createRequire|"name": "sipcast"/.test(text) || status >= 500)
      opened.push(path);
  }
  return opened;
}

function isRecording(file: string, recordings: string): boolean {
  return (
    file.startsWith(`${recordings}/`) &&
    /^[\w.~@+:!%*'()-]+$/.test(file.slice(recordings.length + 1))
  );
}
