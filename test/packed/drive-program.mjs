// The installed program, started with npx in an empty folder and driven with curl alone as the documentation shows: every
// query of the API in both profiles, over HTTP and HTTPS, and every status that is documented for it.

import { spawn } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as calls from './calls.mjs';
import { Client } from './client.mjs';
import { Driven } from './driven.mjs';
import * as limits from './limits.mjs';
import { PeerProcess } from './peer-process.mjs';
import { drivePolling, drivePreflight } from './polling-client.mjs';
import { Program } from './program.mjs';
import { drivePushes } from './pushes.mjs';
import * as refusals from './refusals.mjs';
import * as streams from './streams-and-events.mjs';

const TONE = 'tone.wav';
const PASSWORD = 'drive-password';
/** A fault of ours cannot be had by asking. */
const NEVER = [500];
/** Had from servers with limits, once for all. */
const ELSEWHERE = [501, 503];
/** Where nobody needs a password. */
const UNPROTECTED = [401, 403, 429];

/** @param app - A folder where the packages are installed. */
export async function driveProgram(app) {
  const startMs = performance.now();
  const dir = await mkdtemp(join(tmpdir(), 'sipcast-drive-'));
  const mediaFolder = join(dir, 'media');
  const programs = [];
  let peers;
  try {
    await mkdir(mediaFolder);
    await writeFile(join(mediaFolder, TONE), toneFile());
    peers = await PeerProcess.open(app);
    const start = async (...args) => {
      const program = await Program.start(app, join(dir, 'state'), '--port', '0', ...args);
      programs.push(program);
      return program;
    };
    const setup = { app, dir, mediaFolder, peers, start };
    const parts = await settled([driveDev(setup), driveProduction(setup)]);
    const violations = await peers.ask('violations');
    if (violations.length > 0) throw new Error(`The phone says: ${JSON.stringify(violations)}`);
    const all = new Driven();
    for (const { driven } of parts.flat()) all.add(driven);
    const { document } = parts[0][0];
    const { methods, answers } = all.compare(document, 'All servers together', NEVER);
    const seconds = ((performance.now() - startMs) / 1000).toFixed(0);
    console.log(
      `Driven with curl in ${seconds} s, in dev and in production by HTTP and HTTPS: ${all.queries} queries, ` +
        `${methods} documented methods, ${answers} documented answers of them, statuses ${all.statuses.join(' ')}`,
    );
  } finally {
    for (const program of programs) program.kill();
    await peers?.close();
    await rm(dir, { recursive: true, force: true });
  }
}

/** Waits for all, whatever fails: nothing may be started behind the end. @throws what has failed */
async function settled(works) {
  const ends = await Promise.allSettled(works);
  const failures = ends.filter(({ status }) => status === 'rejected').map(({ reason }) => reason);
  if (failures.length > 1) throw new Error(failures.map(({ message }) => message).join('\n'));
  if (failures.length === 1) throw failures[0];
  return ends.map(({ value }) => value);
}

async function driveDev({ peers, mediaFolder, start }) {
  const common = ['--media-folder', mediaFolder, '--set', 'gateway.bindAddress=127.0.0.1'];
  const program = await start(
    ...common,
    '--call-app-url',
    peers.application,
    '--set',
    'drainMs=20000',
  );
  const main = sessionOf('dev', program.urls[0], { peers, program });
  const document = await driveSurface(main);
  await drivePolling(main);
  await limits.driveDraining(main);
  main.driven.compare(document, 'dev', [...NEVER, ...ELSEWHERE, ...UNPROTECTED]);

  const bounds = ['maxCalls=1', 'transcoding.maxAudioEncoders=0', 'maxViewersPerStream=0'];
  const sets = bounds.flatMap((one) => ['--set', `gateway.${one}`]);
  const small = await start(...common, ...sets);
  const full = sessionOf('full', small.urls[0], { peers });
  await limits.driveFull(full);
  await small.stop();
  return [{ ...main, document }, full];
}

async function driveProduction(setup) {
  const first = await driveFirstStart(setup);
  const { app, dir, mediaFolder, peers, start } = setup;
  const user = await sipcast(app, ['passwd', 'admin'], `${PASSWORD}\n`);
  const tokens = {};
  const entries = [];
  for (const scope of ['read', 'calls', 'admin']) {
    const text = await sipcast(app, ['passwd', scope, '--token', '--scope', scope]);
    tokens[scope] = /shown only once: (\S+)/.exec(text)[1];
    entries.push({ name: scope, scope, hash: /hash: (\S+)/.exec(text)[1] });
  }
  const config = {
    profile: 'production',
    http: {
      host: '127.0.0.1',
      allowedHosts: ['sip.example'],
      cors: ['https://app.example'],
      requestsPerSecond: 10_000,
      startupsPerSecond: 1000,
    },
    https: { port: 0 },
    outgoing: { lan: true, sipPorts: ['1-65535'] },
    events: { callAppUrl: peers.application },
    users: [{ name: 'admin', password: /password: (\S+)/.exec(user)[1] }],
    tokens: entries,
    gateway: { bindAddress: '127.0.0.1', mediaFolder },
  };
  const file = join(dir, 'sipcast.json');
  await writeFile(file, JSON.stringify(config, undefined, 2));
  await sipcast(app, ['config', 'check', file]);
  const program = await start('--config', file);
  const account = ['-u', `admin:${PASSWORD}`];
  const tls = ['--cacert', join(dir, 'state', 'https-cert.pem')];
  const surfaces = program.urls.map((url) =>
    sessionOf(url.startsWith('https:') ? 'https' : 'http', url, {
      peers,
      account,
      tls,
      tokens,
      isProtected: true,
      origin: 'https://app.example',
    }),
  );
  if (surfaces.length !== 2) throw new Error(`No HTTPS:\n${program.log}`);
  let document;
  for (const surface of surfaces) document = await driveSurface(surface);
  for (const surface of surfaces) {
    await refusals.driveStorm(surface, document, program.urls[0]);
    const guessed = await refusals.driveBruteForce(surface, document);
    // By HTTPS the address is locked already.
    if (surface === surfaces[0] && guessed.some((status) => status !== 401))
      throw new Error(`Wrong passwords were answered by ${guessed.join()}`);
    const where = `production by ${surface.name.toUpperCase()}`;
    surface.driven.compare(document, where, [...NEVER, ...ELSEWHERE]);
  }
  await program.stop();
  return [...first, ...surfaces];
}

/** As the guide has it, without users: a password is made, and at the second start it is known. */
async function driveFirstStart({ dir, mediaFolder, peers, start }) {
  const args = [
    '--profile',
    'production',
    '--host',
    '127.0.0.1',
    '--https-port',
    '0',
    '--no-transcoding',
    '--lan',
    '--media-folder',
    mediaFolder,
    '--set',
    'gateway.bindAddress=127.0.0.1',
    '--set',
    'outgoing.sipPorts=1-65535',
  ];
  const first = await start(...args);
  const { password } = first;
  if (password === undefined) throw new Error(`No first password is shown:\n${first.log}`);
  const account = ['-u', `admin:${password}`];
  const tls = ['--cacert', join(dir, 'state', 'https-cert.pem')];
  const sessions = first.urls.map((url, at) =>
    sessionOf(`first-${at}`, url, { peers, account, tls }),
  );
  for (const { client } of sessions) {
    await client.as().get('/call/history', {}, 401);
    await client.as('-u', 'admin:admin').get('/call/history', {}, 401);
    await client.get('/call/history');
  }
  const [session] = sessions;
  await drivePreflight({ ...session, isListed: false });
  await drivePolling(session);
  await limits.driveWithoutEncoders(session);
  await limits.driveFloods(session);
  await first.stop();

  const again = await start(...args);
  if (again.password !== undefined) throw new Error('The first password was not kept');
  const second = sessionOf('again', again.urls[1], { peers, account, tls, program: again });
  await limits.driveDraining(second);
  return [...sessions, second];
}

/** Everything that one port of one profile answers. @returns the OpenAPI document */
async function driveSurface(session) {
  const { peers } = session;
  await calls.driveNoCalls(session);
  const document = await streams.drivePages(session);
  await drivePreflight(session);
  const lastEvent = await streams.openEvents(session);
  const call = await calls.driveStartup(session);
  await calls.driveFind(session, call);
  await calls.driveDigits(session, call);
  await calls.driveInjections(session, call);
  await calls.driveHold(session, call);
  await drivePushes(session, call);
  await streams.driveStreams(session, call);
  await calls.driveUnable(session);
  await calls.driveRinging(session);
  await calls.driveEarly(session);
  await calls.driveTransfer(session);
  await calls.driveTerminate(session, call.callId);
  await peers.until('deleteStream', (one) => one.endedOrderly, 'publication', call.rtmpStream);
  await calls.driveBusy(session);
  await streams.driveEvents(session, lastEvent, call.callId);
  await streams.driveApplication(session, call.callId);
  await refusals.driveRefusals(session, document);
  if (session.isProtected) await refusals.driveScopes(session, document);
  return document;
}

/** One server, asked by one client; `name` stands in front of what is its own. */
function sessionOf(name, url, { peers, account, tls, ...more }) {
  const driven = new Driven();
  const client = new Client({ url, account, tls, driven });
  return { name, client, driven, peers, tone: TONE, ...more };
}

/** Runs another command of the program, with lines for its input. */
async function sipcast(app, args, input = '') {
  const child = spawn(join(app, 'node_modules/.bin/sipcast'), args, {
    cwd: app,
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text) => (output += text));
  child.stdin.end(input);
  const code = await new Promise((resolve) => child.on('close', resolve));
  if (code !== 0) throw new Error(`sipcast ${args.join(' ')} ended with ${code}: ${output}`);
  return output;
}

/** Two seconds of 440 Hz: WAV, 16 bit, 8 kHz, mono. */
function toneFile() {
  const [rate, seconds] = [8000, 2];
  const samples = Buffer.alloc(rate * seconds * 2);
  for (let at = 0; at < rate * seconds; at++)
    samples.writeInt16LE(Math.round(8000 * Math.sin((2 * Math.PI * 440 * at) / rate)), at * 2);
  const head = Buffer.alloc(44);
  head.write('RIFF', 0);
  head.writeUInt32LE(36 + samples.length, 4);
  head.write('WAVEfmt ', 8);
  head.writeUInt32LE(16, 16);
  head.writeUInt16LE(1, 20);
  head.writeUInt16LE(1, 22);
  head.writeUInt32LE(rate, 24);
  head.writeUInt32LE(rate * 2, 28);
  head.writeUInt16LE(2, 32);
  head.writeUInt16LE(16, 34);
  head.write('data', 36);
  head.writeUInt32LE(samples.length, 40);
  return Buffer.concat([head, samples]);
}
