// The certificate of HTTPS while the server runs: made anew before its end, or replaced on disk. The clock is moved; all else is real.

import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { readFile, rename, writeFile } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import { serve } from 'sipcast';
import type { ServeHandle, ServeOptions } from 'sipcast';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { afterTest } from '../../support/cleanup.ts';
import { makeFolder } from '../../support/folder.ts';
import { freeTcpPort } from '../../support/ports.ts';
import { makeSelfSigned } from '../../../packages/server/src/http/self-signed.ts';
import type { SelfSigned } from '../../../packages/server/src/http/self-signed.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
let dir: string;
beforeEach(async () => {
  dir = await makeFolder();
});
afterEach(async () => {
  vi.useRealTimers();
});

/** Asks over a new connection, and believes `ca` alone. @returns status, and fingerprint of the certificate */
async function ask(port: number, ca: string): Promise<readonly [number | undefined, string]> {
  return new Promise((resolve, reject) => {
    const target = { host: '127.0.0.1', port, path: '/rest-api/call/history', ca, agent: false };
    const request = httpsRequest(target, (response) => {
      const certificate = (response.socket as TLSSocket).getPeerX509Certificate();
      response.on('error', reject).resume();
      response.on('end', () => resolve([response.statusCode, certificate?.fingerprint256 ?? '']));
    });
    request.on('error', reject).end();
  });
}

/** A connection that lasts: the stream of events. @returns what came over it */
async function follow(port: number, ca: string): Promise<() => string> {
  const target = { host: '127.0.0.1', port, path: '/rest-api/events', ca, agent: false };
  const request = httpsRequest(target).end();
  afterTest(() => request.destroy());
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  expect(response.statusCode).toBe(200);
  let text = '';
  // Its end shows in the text, and is no failure of another test.
  response.on('data', (part: Buffer) => (text += part.toString())).on('error', () => {});
  return () => text;
}

/** A server with HTTPS on two ports and a clock in our hands. */
async function start(https: ServeOptions['https'] & object): Promise<{
  server: ServeHandle;
  ports: readonly number[];
  lines: string[];
  anHourLater: () => void;
}> {
  const lines: string[] = [];
  const intervals = vi.spyOn(globalThis, 'setInterval');
  const extra = await freeTcpPort();
  const server = await serve({
    http: { port: 0, console: false, listeners: [{ port: extra, https: true }] },
    https: { enabled: true, port: 0, ...https },
    stateDir: join(dir, 'state'),
    gateway: { transcoding: false },
    log: { write: (line) => void lines.push(line) },
  });
  afterTest(() => server.close(100));
  const hourly = intervals.mock.calls.filter(([, ms]) => ms === HOUR_MS).map(([run]) => run);
  intervals.mockRestore();
  expect(hourly).toHaveLength(1);
  const anHourLater = (): void => hourly.forEach((run) => run());
  return { server, ports: [server.httpsPort ?? 0, extra], lines, anHourLater };
}

/** Connections from before still bring what happens now. */
async function expectLive(server: ServeHandle, streams: readonly (() => string)[]): Promise<void> {
  for (const stream of streams) expect(stream()).not.toContain('"c1"');
  await server.gateway.startup({ callId: 'c1', callee: 'sip:nobody@127.0.0.1:9' });
  for (const stream of streams) await expect.poll(stream).toContain('"c1"');
}

it('is renewed a month before it expires, and no connection is lost', async () => {
  const nowMs = Date.now();
  // It was started so long ago that its certificate, valid for 397 days, has 29 left today.
  vi.useFakeTimers({ toFake: ['Date'], now: nowMs - 368 * DAY_MS });
  const { server, ports, lines, anHourLater } = await start({ names: ['localhost', '127.0.0.1'] });
  const file = join(dir, 'state', 'https-cert.pem');
  const first = await readFile(file, 'utf8');
  const { fingerprint256 } = new X509Certificate(first);
  for (const port of ports) expect(await ask(port, first)).toEqual([200, fingerprint256]);
  const streams = await Promise.all(ports.map((port) => follow(port, first)));

  vi.setSystemTime(nowMs);
  anHourLater();
  await expect.poll(() => lines.filter((line) => line.includes('SHA-256'))).toHaveLength(2);
  const second = await readFile(file, 'utf8');
  const made = new X509Certificate(second);
  expect(made.fingerprint256).not.toBe(fingerprint256);
  expect(Date.parse(made.validTo)).toBeGreaterThan(nowMs + 396 * DAY_MS);
  expect(lines.at(-1)).toContain(made.fingerprint256);
  for (const port of ports) {
    expect(await ask(port, second)).toEqual([200, made.fingerprint256]);
    await expect(ask(port, first)).rejects.toThrow();
  }
  await expectLive(server, streams);
});

it('is taken up when it is replaced on disk, once both files are whole', async () => {
  const make = (): SelfSigned => makeSelfSigned(['localhost', '127.0.0.1'], Date.now(), 30);
  const [first, second] = [make(), make()];
  const fingerprint = ({ cert }: SelfSigned): string => new X509Certificate(cert).fingerprint256;
  const [certFile, keyFile] = [join(dir, 'cert.pem'), join(dir, 'key.pem')];
  const replace = async (path: string, text: string): Promise<void> => {
    await writeFile(`${path}.new`, text);
    await rename(`${path}.new`, path);
  };
  await replace(certFile, first.cert);
  await replace(keyFile, first.key);
  const { server, ports, lines, anHourLater } = await start({ certFile, keyFile });
  const [port = 0] = ports;
  expect(await ask(port, first.cert)).toEqual([200, fingerprint(first)]);
  const streams = await Promise.all(ports.map((one) => follow(one, first.cert)));

  // Caught in the middle: the old one is kept.
  await replace(certFile, second.cert);
  anHourLater();
  await expect.poll(() => lines.at(-1)).toContain('certificate and key cannot be used');
  expect(await ask(port, first.cert)).toEqual([200, fingerprint(first)]);

  await replace(keyFile, second.key);
  anHourLater();
  await expect.poll(() => lines.at(-1)).toContain(fingerprint(second));
  for (const one of ports) expect(await ask(one, second.cert)).toEqual([200, fingerprint(second)]);
  await expectLive(server, streams);
});

it('serves a port beside the first, also where that has none', async () => {
  const secured = await freeTcpPort();
  const server = await serve({
    http: { port: 0, console: false, listeners: [{ port: secured, https: true }] },
    stateDir: join(dir, 'state'),
    gateway: { transcoding: false },
    log: { write: () => {} },
  });
  afterTest(() => server.close(100));
  expect(server.httpsPort).toBeUndefined();
  const kept = await readFile(join(dir, 'state', 'https-cert.pem'), 'utf8');
  expect(await ask(secured, kept)).toEqual([200, new X509Certificate(kept).fingerprint256]);
  // HTTP is not spoken there, and the port closes with the others.
  await expect(fetch(`http://127.0.0.1:${secured}/rest-api/call/history`)).rejects.toThrow();
  await server.close(100);
  await expect(ask(secured, kept)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
});
