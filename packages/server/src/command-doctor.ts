// `sipcast doctor`: whether this machine is ready for a configuration, and what to mend where it is not.

import { createSocket } from 'node:dgram';
import { lookup } from 'node:dns/promises';
import { once } from 'node:events';
import { access, constants, mkdir, statfs } from 'node:fs/promises';
import { createServer, isIP } from 'node:net';
import { networkInterfaces } from 'node:os';
import { setTimeout as pause } from 'node:timers/promises';
import { createCallGateway, silentLogger } from '@sipcast/core';
import { stateDirOf } from './access.ts';
import type { ConfigArguments } from './arguments.ts';
import { openCertificate } from './certificate.ts';
import { describe } from './errors.ts';
import { loadConfig } from './load-config.ts';
import { gatewayOptionsOf } from './open-gateway.ts';
import { OutgoingPolicy } from './outgoing-policy.ts';
import type { ServeOptions } from './serve-options.ts';
import { printable } from './printable.ts';

/** What one look has found. */
interface Finding {
  readonly what: string;
  readonly verdict: 'ok' | 'note' | 'bad';
  readonly words: string;
  /** What to do, where something is to be done. */
  readonly mend?: string;
}

const NODE_WANTED = [20, 19] as const;
/** This program is not older: a clock that says so is wrong. */
const EARLIEST_MS = Date.UTC(2026, 0, 1);
const RTP_PROBES = 20;

/** @returns The exit code: 0 when nothing is bad, else 1. @throws ConfigError (rejection) */
export async function runDoctor(args: ConfigArguments): Promise<number> {
  const { options } = await loadConfig(args);
  const findings = await examine(options);
  for (const { what, verdict, words, mend } of findings) {
    process.stdout.write(`${verdict.padEnd(4)}  ${what}: ${printable(words)}\n`);
    if (mend !== undefined) process.stdout.write(`      → ${mend}\n`);
  }
  const bad = findings.filter(({ verdict }) => verdict === 'bad').length;
  process.stdout.write(bad === 0 ? 'Ready.\n' : `${bad} to mend.\n`);
  return bad === 0 ? 0 : 1;
}

/** Looks at everything. Sends nothing but DNS questions for names in the configuration. */
async function examine(options: ServeOptions): Promise<readonly Finding[]> {
  return [
    nodeVersion(),
    ...(await gatewayParts(options)),
    ...(await httpPorts(options)),
    await rtpPorts(options),
    addresses(options),
    await names(options),
    await clock(),
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
    ...(!isNew && { mend: `Install Node ${wantedMajor}.${wantedMinor} or newer` }),
  };
}

/** ffmpeg and the SIP port, as the gateway itself finds them. */
async function gatewayParts(options: ServeOptions): Promise<readonly Finding[]> {
  const lines: string[] = [];
  const note = (message: string): void => void lines.push(message);
  const wanted = await gatewayOptionsOf(options, undefined, silentLogger);
  const logger = { debug() {}, info: note, warn: note, error: note };
  const open = async (changes: object): Promise<number> => {
    const gateway = await createCallGateway({ ...wanted, logger, sipTrace: {}, ...changes });
    const { sipPort } = gateway;
    await gateway.close();
    return sipPort;
  };
  const encoder = await open({ sipPort: 0, incoming: undefined }).then(
    (): Finding => {
      const found = lines.find((line) => line.includes('ffmpeg'));
      if (wanted.transcoding === false)
        return { what: 'ffmpeg', verdict: 'note', words: 'not looked for: transcoding is off' };
      return { what: 'ffmpeg', verdict: 'ok', words: found ?? 'found' };
    },
    (error: unknown): Finding => ({
      what: 'ffmpeg',
      verdict: 'bad',
      words: describe(error),
      mend: 'Install ffmpeg (apt-get install ffmpeg), name it in gateway.transcoding.ffmpegPath, or use --no-transcoding',
    }),
  );
  const sip = await open({ transcoding: false }).then(
    (port): Finding => ({ what: 'SIP port', verdict: 'ok', words: `${port} can be opened` }),
    (error: unknown): Finding => ({
      what: 'SIP port',
      verdict: 'bad',
      words: `${wanted.sipPort ?? 0}: ${describe(error)}`,
      mend: 'End what uses it (ss -lunp), or choose another: gateway.sipPort',
    }),
  );
  return [encoder, sip];
}

async function httpPorts(options: ServeOptions): Promise<readonly Finding[]> {
  const isProduction = options.profile === 'production';
  const host = options.host ?? (isProduction ? '0.0.0.0' : '127.0.0.1');
  const ports: (readonly [string, string, number])[] = [['HTTP port', host, options.port ?? 8081]];
  const { https = isProduction } = options;
  if (https !== false)
    ports.push(['HTTPS port', host, (https === true ? undefined : https.port) ?? 8444]);
  for (const one of options.listeners ?? []) ports.push(['HTTP port', one.host ?? host, one.port]);
  return Promise.all(
    ports.map(async ([what, address, port]): Promise<Finding> => {
      const server = createServer();
      server.listen(port, address);
      try {
        await once(server, 'listening');
        return { what, verdict: 'ok', words: `${address}:${port} is free` };
      } catch (error) {
        return {
          what,
          verdict: 'bad',
          words: `${address}:${port}: ${describe(error)}`,
          mend: 'End what uses it (ss -ltnp), or choose another: http.port, https.port',
        };
      } finally {
        server.close();
      }
    }),
  );
}

/** Some of the range, spread over it. */
async function rtpPorts(options: ServeOptions): Promise<Finding> {
  const range = options.rtpPorts ?? options.gateway?.rtpPorts ?? { min: 30_000, max: 39_999 };
  const { min, max } = range;
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
    words: `${words}; ${taken} of ${tried} that were tried are in use`,
    mend: 'Choose a range that nothing else uses: gateway.rtpPorts',
  };
}

/** Which address peers will see, as far as this machine can know. */
function addresses(options: ServeOptions): Finding {
  const given = options.publicAddress ?? options.gateway?.publicAddress;
  const own = Object.values(networkInterfaces())
    .flatMap((list) => list ?? [])
    .filter(({ internal }) => !internal)
    .map(({ address }) => address);
  const what = 'Address';
  if (given !== undefined)
    return { what, verdict: 'ok', words: `peers are told ${[given].flat().join(', ')}` };
  const open = new OutgoingPolicy({});
  const isPublic = own.some((address) => open.mayConnect(address, address));
  if (isPublic) return { what, verdict: 'ok', words: `own: ${own.join(', ')}` };
  return {
    what,
    verdict: 'note',
    words: own.length === 0 ? 'this machine has none but loopback' : `own: ${own.join(', ')}`,
    mend: 'For peers beyond this network say how it is seen from there: gateway.publicAddress',
  };
}

async function names(options: ServeOptions): Promise<Finding> {
  const urls = Object.values(options.events?.apps ?? {}).map(({ callAppUrl }) => callAppUrl);
  if (options.callAppUrl !== undefined) urls.push(options.callAppUrl);
  const hosts = [...new Set(['localhost', ...urls.map((url) => new URL(url).hostname)])].filter(
    (host) => isIP(host.replace(/^\[(.*)\]$/, '$1')) === 0,
  );
  const failed: string[] = [];
  for (const host of hosts) await lookup(host).catch(() => failed.push(host));
  if (failed.length === 0)
    return { what: 'DNS', verdict: 'ok', words: `${hosts.join(', ')} resolve` };
  return {
    what: 'DNS',
    verdict: 'bad',
    words: `${failed.join(', ')} do not resolve`,
    mend: 'Look at /etc/resolv.conf and at how the names are written',
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
    ...(!isRight && { mend: 'Let the clock be set by NTP (timedatectl set-ntp true)' }),
  };
}

async function stateAndCertificate(options: ServeOptions): Promise<readonly Finding[]> {
  const { profile, https = profile === 'production' } = options;
  if (https === false && profile !== 'production')
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
        mend: 'Name one that can be written: stateDir',
      }),
    );
  if (https === false) return [state];
  const certificate = await openCertificate(https === true ? {} : https, stateDir, Date.now()).then(
    ({ isSelfSigned, expiresMs, fingerprint256 }): Finding => {
      const days = Math.floor((expiresMs - Date.now()) / 86_400_000);
      const words = `${isSelfSigned ? 'self-signed, ' : ''}${days} days left, SHA-256 ${fingerprint256}`;
      const isNear = days < 14;
      return {
        what: 'Certificate',
        verdict: days < 0 ? 'bad' : isNear ? 'note' : 'ok',
        words,
        ...(isNear && { mend: 'Renew it: https.certFile, https.keyFile' }),
      };
    },
    (error: unknown): Finding => ({
      what: 'Certificate',
      verdict: 'bad',
      words: describe(error),
      mend: 'Look at https.certFile and https.keyFile: PEM, and belonging together',
    }),
  );
  return [state, certificate];
}
