// `sipcast doctor`: checks whether this machine is ready for a configuration, and suggests fixes.

import { X509Certificate } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { getServers, lookup } from 'node:dns/promises';
import { once } from 'node:events';
import { access, constants, mkdir, readdir, statfs } from 'node:fs/promises';
import { createServer, isIP } from 'node:net';
import type { Server } from 'node:net';
import { networkInterfaces } from 'node:os';
import { dirname, resolve } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { createCallGateway, silentLogger } from '@sipcast/core';
import type { CallGateway, FfmpegBinary } from '@sipcast/core';
import { stateDirOf } from '../access/access.ts';
import type { ConfigArguments } from './arguments.ts';
import { openCertificate } from '../http/certificate.ts';
import { describe } from '../errors.ts';
import { loadConfig } from './load-config.ts';
import { gatewayOptionsOf } from '../serve/open-gateway.ts';
import { OutgoingPolicy } from '../access/outgoing-policy.ts';
import type { ServeOptions } from '../config/serve-options.ts';
import { httpsOf } from '../serve/serve.ts';
import { printable } from '../printable.ts';

/** The result of one check. */
interface Finding {
  readonly what: string;
  readonly verdict: 'ok' | 'note' | 'bad';
  readonly words: string;
  /** What to do, if anything. */
  readonly fix?: string;
}

const NODE_WANTED = [20, 19] as const;
/** The program is newer than this, so an earlier system time is wrong. */
const EARLIEST_MS = Date.UTC(2026, 0, 1);
const RTP_PROBES = 20;
/** A certificate with fewer days left should be renewed now. */
const NEAR_DAYS = 14;

/** @returns the exit code: 0 if nothing is bad, else 1 @throws ConfigError (rejection) */
export async function runDoctor(args: ConfigArguments): Promise<number> {
  const { options } = await loadConfig(args);
  const findings = await examine(options);
  for (const { what, verdict, words, fix } of findings) {
    process.stdout.write(`${verdict.padEnd(4)}  ${what}: ${printable(words)}\n`);
    if (fix !== undefined) process.stdout.write(`      → ${fix}\n`);
  }
  const bad = findings.filter(({ verdict }) => verdict === 'bad').length;
  process.stdout.write(
    bad === 0 ? 'Ready.\n' : `${bad} ${bad === 1 ? 'problem' : 'problems'} found.\n`,
  );
  return bad === 0 ? 0 : 1;
}

/** Runs all checks. Sends only DNS queries for names in the configuration. */
async function examine(options: ServeOptions): Promise<readonly Finding[]> {
  return [
    nodeVersion(),
    ...(await gatewayParts(options)),
    ...(await httpPorts(options)),
    await rtpPorts(options),
    await addresses(options),
    await names(options),
    await clock(),
    ...(await folders(options)),
    ...(await stateAndCertificate(options)),
  ];
}

function nodeVersion(): Finding {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  const [wantedMajor, wantedMinor] = NODE_WANTED;
  const isNew = major > wantedMajor || (major === wantedMajor && minor >= wantedMinor);
  return {
    what: 'Node',
    verdict: isNew ? 'ok' : 'bad',
    words: process.versions.node,
    ...(!isNew && { fix: `Install Node ${wantedMajor}.${wantedMinor} or newer` }),
  };
}

/** ffmpeg and the SIP ports, as seen by the gateway itself. */
async function gatewayParts(options: ServeOptions): Promise<readonly Finding[]> {
  const wanted = await gatewayOptionsOf(options, undefined, silentLogger);
  const open = async <Found>(
    changes: object,
    see: (gateway: CallGateway) => Found,
  ): Promise<Found> => {
    const settings = { ...wanted, logger: silentLogger, sipTrace: {}, ...changes };
    const gateway = await createCallGateway(settings);
    const found = see(gateway);
    await gateway.close();
    return found;
  };
  const plain = { sipPort: 0, incoming: undefined, sipTls: undefined };
  const encoders = await open(plain, ({ ffmpeg }) => ffmpegFindings(ffmpeg)).catch(
    (error: unknown): readonly Finding[] => [
      {
        what: 'ffmpeg',
        verdict: 'bad',
        words: describe(error),
        fix: 'Install ffmpeg (apt-get install ffmpeg), name it in gateway.transcoding.ffmpegPath, or use --no-transcoding',
      },
    ],
  );
  const sip = await open(
    { transcoding: false, audio: undefined, video: undefined },
    (gateway): Finding => {
      const tls = gateway.sipTlsPort === 0 ? '' : `, and ${gateway.sipTlsPort} for TLS`;
      return { what: 'SIP port', verdict: 'ok', words: `${gateway.sipPort}${tls} can be opened` };
    },
  ).catch(
    (error: unknown): Finding => ({
      what: 'SIP port',
      verdict: 'bad',
      words: `${wanted.sipPort ?? 0}: ${describe(error)}`,
      fix: 'Stop the program that uses it (ss -lunpt), or choose another: gateway.sipPort, gateway.sipTls.port',
    }),
  );
  const certificate = wanted.sipTls?.cert;
  if (certificate === undefined) return [...encoders, sip];
  return [...encoders, sip, sipCertificate(certificate.toString())];
}

/** What calls lose without each codec. */
const LOSSES = {
  encoders: {
    h264: 'no H.264 encoder: video: reencode, and VP8 for most RTMP servers',
    opus: 'no Opus encoder: sound to peers that speak Opus',
    speex: 'no Speex encoder: sound to peers that speak Speex',
    g722: 'no G.722 encoder: sound to peers that speak G.722',
  },
  decoders: {
    vp8: 'no VP8 decoder: VP8 for most RTMP servers',
    h264: 'no H.264 decoder: video: reencode of H.264',
    opus: 'no Opus decoder: sound of peers that speak Opus',
    speex: 'no Speex decoder: sound of peers that speak Speex',
    g722: 'no G.722 decoder: sound of peers that speak G.722',
  },
} as const;

/** The ffmpeg in use and its capabilities. One without AAC is not used at all. */
function ffmpegFindings(ffmpeg: FfmpegBinary | undefined): readonly Finding[] {
  if (!ffmpeg)
    return [{ what: 'ffmpeg', verdict: 'note', words: 'not checked: transcoding is off' }];
  const { path, version, capabilities } = ffmpeg;
  const { encoders, decoders } = capabilities;
  const found = (coders: Readonly<Record<string, string | undefined>>): string =>
    Object.values(coders)
      .filter((name) => name !== undefined)
      .join(', ');
  const lost = [...lossesOf(LOSSES.encoders, encoders), ...lossesOf(LOSSES.decoders, decoders)];
  const able = `encodes by ${found(encoders)}; decodes by ${found(decoders)}`;
  return [
    { what: 'ffmpeg', verdict: 'ok', words: `${path}, version ${version}` },
    lost.length === 0
      ? { what: 'Coders', verdict: 'ok', words: able }
      : {
          what: 'Coders',
          verdict: 'note',
          words: `${able}. Not possible: ${lost.join('; ')}`,
          fix: 'Install an ffmpeg with libx264, libopus and libspeex, such as the one in Debian',
        },
  ];
}

function lossesOf(
  losses: Readonly<Record<string, string>>,
  coders: Readonly<Record<string, string | undefined>>,
): readonly string[] {
  const kinds = Object.entries(losses).filter(([kind]) => coders[kind] === undefined);
  return kinds.map(([, loss]) => loss);
}

async function httpPorts(options: ServeOptions): Promise<readonly Finding[]> {
  const isProduction = options.profile === 'production';
  const { http = {} } = options;
  const host = http.host ?? (isProduction ? '0.0.0.0' : '127.0.0.1');
  const ports = [{ what: 'HTTP port', host, port: http.port ?? 8081, field: 'http.port' }];
  const https = httpsOf(options);
  if (https)
    ports.push({ what: 'HTTPS port', host, port: https.port ?? 8444, field: 'https.port' });
  for (const [index, one] of (http.listeners ?? []).entries()) {
    const what = one.https === true ? 'HTTPS port' : 'HTTP port';
    const field = `http.listeners.${index}.port`;
    ports.push({ what, host: one.host ?? host, port: one.port, field });
  }
  // Opened one after another and all held to the end, so that a port used twice is found as well.
  const servers: Server[] = [];
  const findings: Finding[] = [];
  for (const { what, host: address, port, field } of ports) {
    const server = createServer();
    server.listen(port, address);
    try {
      await once(server, 'listening');
      servers.push(server);
      findings.push({ what, verdict: 'ok', words: `${address}:${port} is free` });
    } catch (error) {
      const words = `${address}:${port}: ${describe(error)}`;
      const fix = `Stop the program that uses it (ss -ltnp), or choose another: ${field}`;
      findings.push({ what, verdict: 'bad', words, fix });
    }
  }
  await Promise.all(servers.map((server) => once(server.close(), 'close')));
  return findings;
}

/** Checks a sample spread over the range. */
async function rtpPorts(options: ServeOptions): Promise<Finding> {
  const { min = 30_000, max = 39_999 } = options.gateway?.rtpPorts ?? {};
  const calls = Math.floor((max - min + 1) / 4);
  const step = Math.max(1, Math.floor((max - min + 1) / RTP_PROBES));
  let taken = 0;
  let tried = 0;
  for (let port = min; port <= max && tried < RTP_PROBES; port += step, tried++) {
    const socket = createSocket('udp4');
    socket.bind(
      port,
      options.gateway?.bindAddress?.includes(':') ? undefined : options.gateway?.bindAddress,
    );
    await once(socket, 'listening').catch(() => taken++);
    socket.close();
  }
  const words = `${min}–${max}, enough for ${calls} calls`;
  if (taken === 0) return { what: 'RTP ports', verdict: 'ok', words };
  return {
    what: 'RTP ports',
    verdict: taken === tried ? 'bad' : 'note',
    words: `${words}; ${taken} of ${tried} tested ports are in use`,
    fix: 'Choose a range that no other program uses: gateway.rtpPorts',
  };
}

/** The address that peers will see, as far as this machine can tell. */
async function addresses(options: ServeOptions): Promise<Finding> {
  const given = options.gateway?.publicAddress;
  const what = 'Address';
  if (given !== undefined)
    return { what, verdict: 'ok', words: `peers see ${[given].flat().join(', ')}` };
  const own = Object.values(networkInterfaces())
    .flatMap((list) => list ?? [])
    .filter(({ internal }) => !internal)
    .map(({ address }) => address);
  const fix = 'For peers outside this network, set the public address: gateway.publicAddress';
  if (own.length === 0)
    return { what, verdict: 'note', words: 'this machine has only loopback', fix };
  const out = await addressOnTheWayOut();
  const words = `own: ${own.join(', ')}; ${out === undefined ? 'no route leads out' : `peers outside this network see ${out}`}`;
  const isPublic = out !== undefined && new OutgoingPolicy({}).mayConnect(out, out);
  if (isPublic) return { what, verdict: 'ok', words };
  const guess = out === undefined ? '' : ', which is not public: they see the router’s address';
  return { what, verdict: 'note', words: words + guess, fix };
}

/** The source address for the Internet. Connecting a UDP socket sends nothing; the target is an RFC 5737 address. */
async function addressOnTheWayOut(): Promise<string | undefined> {
  const socket = createSocket('udp4');
  try {
    socket.connect(9, '192.0.2.1');
    await once(socket, 'connect');
    return socket.address().address;
  } catch {
    return undefined;
  } finally {
    socket.close();
  }
}

async function names(options: ServeOptions): Promise<Finding> {
  const { callAppUrl: common, apps = {} } = options.events ?? {};
  const urls = Object.values(apps).map(({ callAppUrl }) => callAppUrl);
  if (common !== undefined) urls.push(common);
  const hosts = [...new Set(['localhost', ...urls.map((url) => new URL(url).hostname)])].filter(
    (host) => isIP(host.replace(/^\[(.*)\]$/, '$1')) === 0,
  );
  const failed: string[] = [];
  for (const host of hosts) await lookup(host).catch(() => failed.push(host));
  if (failed.length === 0)
    return {
      what: 'DNS',
      verdict: 'ok',
      words: `${hosts.join(', ')} resolve; name servers: ${getServers().join(', ') || 'none'}`,
    };
  return {
    what: 'DNS',
    verdict: 'bad',
    words: `${failed.join(', ')} do not resolve`,
    fix: 'Check /etc/resolv.conf and the spelling of the names',
  };
}

/** Digest, tokens and certificates depend on the time of day. */
async function clock(): Promise<Finding> {
  const [wall, steady] = [Date.now(), performance.now()];
  await pause(200);
  const drift = Math.abs(Date.now() - wall - (performance.now() - steady));
  const isRight = Date.now() > EARLIEST_MS && drift < 100;
  return {
    what: 'Time',
    verdict: isRight ? 'ok' : 'bad',
    words: `${new Date().toISOString()}${drift < 100 ? '' : ', and it jumps'}`,
    ...(!isRight && { fix: 'Synchronize the clock by NTP (timedatectl set-ntp true)' }),
  };
}

/** The folders for media files and recordings, whose problems otherwise show only on the first call. */
async function folders(options: ServeOptions): Promise<readonly Finding[]> {
  const { mediaFolder, recording } = options.gateway ?? {};
  const recordDir = recording?.dir;
  const findings: Finding[] = [];
  const look = async (finding: Omit<Finding, 'verdict'>, seen: Promise<string>): Promise<void> => {
    const { what, words, fix } = finding;
    const found = await seen.then(
      (more): Finding => ({ what, verdict: 'ok', words: words + more }),
      (error: unknown): Finding => ({
        what,
        verdict: 'bad',
        words: describe(error),
        ...(fix !== undefined && { fix }),
      }),
    );
    findings.push(found);
  };
  if (mediaFolder !== undefined) {
    const fix = 'Create it, readable by the server, or choose another: gateway.mediaFolder';
    const files = readdir(mediaFolder).then(({ length }) => `, ${length} files`);
    await look({ what: 'Media folder', words: mediaFolder, fix }, files);
  }
  if (recordDir !== undefined) {
    const fix = 'Choose a writable one: gateway.recording.dir';
    const there = await nearestFolder(recordDir);
    const room = access(there, constants.W_OK | constants.X_OK)
      .then(() => statfs(there))
      .then(({ bavail, bsize }) => `, ${Math.floor((bavail * bsize) / 1e6)} MB free`);
    await look({ what: 'Record folder', words: recordDir, fix }, room);
  }
  return findings;
}

/** The folder itself, or its nearest existing parent: nothing is created here. */
async function nearestFolder(path: string): Promise<string> {
  for (let at = resolve(path); ; at = dirname(at)) {
    const isThere = await access(at).then(
      () => true,
      (error: NodeJS.ErrnoException) => error.code !== 'ENOENT',
    );
    if (isThere || dirname(at) === at) return at;
  }
}

async function stateAndCertificate(options: ServeOptions): Promise<readonly Finding[]> {
  const https = httpsOf(options);
  if (https === undefined && options.profile !== 'production')
    return [{ what: 'Certificate', verdict: 'note', words: 'no HTTPS in this configuration' }];
  const stateDir = stateDirOf(options.stateDir);
  const state = await mkdir(stateDir, { recursive: true, mode: 0o700 })
    .then(() => access(stateDir, constants.R_OK | constants.W_OK))
    .then(() => statfs(stateDir))
    .then(
      ({ bavail, bsize }): Finding => ({
        what: 'State folder',
        verdict: 'ok',
        words: `${stateDir}, ${Math.floor((bavail * bsize) / 1e6)} MB free`,
      }),
      (error: unknown): Finding => ({
        what: 'State folder',
        verdict: 'bad',
        words: describe(error),
        fix: 'Choose a writable one: stateDir',
      }),
    );
  // Without the folder no certificate can be created, so that is a single problem.
  if (https === undefined || (https.certFile === undefined && state.verdict === 'bad'))
    return [state];
  const certificate = await openCertificate(https, stateDir, Date.now()).then(
    ({ cert, isSelfSigned, fingerprint256 }) =>
      validity(
        'Certificate',
        cert,
        `${isSelfSigned ? 'self-signed, ' : ''}SHA-256 ${fingerprint256}`,
        'https.certFile, https.keyFile',
      ),
    (error: unknown): Finding => ({
      what: 'Certificate',
      verdict: 'bad',
      words: describe(error),
      fix: 'Check https.certFile and https.keyFile: PEM files that belong together',
    }),
  );
  return [state, certificate];
}

function sipCertificate(cert: string): Finding {
  const { subject, fingerprint256 } = new X509Certificate(cert);
  const words = `${subject.replaceAll('\n', ', ')}, SHA-256 ${fingerprint256}`;
  return validity(
    'SIP certificate',
    cert,
    words,
    'gateway.sipTls.certFile, gateway.sipTls.keyFile',
  );
}

/** The validity of a certificate. @param fields - The options that replace it. */
function validity(what: string, cert: string, words: string, fields: string): Finding {
  const { validFrom, validTo } = new X509Certificate(cert);
  const nowMs = Date.now();
  if (Date.parse(validFrom) > nowMs)
    return {
      what,
      verdict: 'bad',
      words: `valid from ${validFrom} on, ${words}`,
      fix: 'Set the clock, or wait',
    };
  const days = Math.floor((Date.parse(validTo) - nowMs) / 86_400_000);
  const left = days < 0 ? `expired on ${validTo}` : `${days} days left`;
  const verdict = days < 0 ? 'bad' : days < NEAR_DAYS ? 'note' : 'ok';
  return {
    what,
    verdict,
    words: `${left}, ${words}`,
    ...(verdict !== 'ok' && { fix: `Renew it: ${fields}` }),
  };
}
