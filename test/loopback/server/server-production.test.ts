// The production profile as a program: HTTPS, users, tokens, guards.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { request as httpRequest } from 'node:http';
import type { IncomingMessage, RequestOptions } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { afterTest } from '../../support/cleanup.ts';
import { makeFolder } from '../../support/folder.ts';
import { Script } from '../../support/script.ts';

const CLI = 'packages/server/src/cli.ts';

async function folder(): Promise<string> {
  const dir = await makeFolder();
  return dir;
}

/** Without HTTPS or with; certificates of our own are believed. */
async function ask(
  url: string,
  options: RequestOptions & { body?: unknown } = {},
): Promise<{
  status: number;
  headers: IncomingMessage['headers'];
  text: string;
  fingerprint: string;
}> {
  const send = url.startsWith('https:') ? httpsRequest : httpRequest;
  const { body, ...more } = options;
  return new Promise((resolve, reject) => {
    const request = send(
      url,
      {
        rejectUnauthorized: false,
        agent: false,
        ...(body !== undefined && { method: 'POST' }),
        ...more,
        headers: {
          ...(body !== undefined && { 'content-type': 'application/json' }),
          ...(more.headers as Record<string, string>),
        },
      } as RequestOptions,
      (response) => {
        const socket = response.socket as TLSSocket;
        const fingerprint =
          'getPeerCertificate' in socket ? socket.getPeerCertificate().fingerprint256 : '';
        let text = '';
        response.setEncoding('utf8');
        response.on('data', (part: string) => (text += part));
        response.on('error', reject);
        response.on('end', () => {
          const { statusCode: status = 0, headers } = response;
          resolve({ status, headers, text, fingerprint });
        });
      },
    );
    request.on('error', reject);
    request.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

interface Server {
  readonly script: Script;
  readonly http: string;
  readonly https: string;
  readonly password: string;
}

async function start(
  args: readonly string[] = [],
  config = '',
  dir?: string,
): Promise<Server & { dir: string }> {
  const stateDir = dir ?? (await folder());
  const file = join(stateDir, 'sipcast.yaml');
  await writeFile(
    file,
    `profile: production\nstateDir: ${stateDir}\nlog: {format: line}\nhttp: {host: 127.0.0.1, port: 0}\n` +
      `https: {port: 0}\ngateway: {transcoding: {enabled: false}}\n${config}`,
  );
  const script = new Script(CLI, ['serve', '--config', file, ...args]);
  afterTest(() => script.kill());
  const [, http = '', https = ''] = await script.line(/HTTP API at (\S+) and (\S+),/);
  // Shown beside the log, on standard error: the first start in a folder of its own.
  const password =
    dir === undefined && config === '' ? (await script.line(/password (\S+) /))[1]! : '';
  return { script, http, https, password, dir: stateDir };
}

const basic = (text: string): Record<string, string> => ({
  authorization: `Basic ${Buffer.from(text).toString('base64')}`,
});

describe('the production profile', () => {
  it('makes a certificate and a password at its first start, and keeps both', async () => {
    const first = await start();
    expect(first.password).toHaveLength(24);
    const headers = basic(`admin:${first.password}`);
    const [, shown = ''] = await first.script.line(/certificate until [\d-]+, SHA-256 (\S+)$/);
    for (const url of [first.http, first.https]) {
      expect((await ask(`${url}/call/history`)).status).toBe(401);
      expect((await ask(`${url}/call/history`, { headers: basic('admin:admin') })).status).toBe(
        401,
      );
      expect((await ask(`${url}/no/such`)).status).toBe(401);
      expect((await ask(`${url}/call/history`, { headers })).status).toBe(200);
    }
    expect((await ask(`${first.https}/call/history`)).fingerprint).toBe(shown);
    expect(await readFile(join(first.dir, 'users.json'), 'utf8')).not.toContain(first.password);
    first.script.signal('SIGTERM');
    expect(await first.script.exited).toBe(0);

    const again = await start([], '', first.dir);
    expect(again.script.output).not.toMatch(/first start|password/);
    await again.script.line(new RegExp(`SHA-256 ${shown}$`));
    expect((await ask(`${again.https}/call/history`, { headers })).status).toBe(200);
  });

  it('takes the users that passwd --save keeps', async () => {
    const dir = await folder();
    const args = [
      '--conditions=source',
      '--import',
      'tsx',
      CLI,
      'passwd',
      'alice',
      '--save',
      '--state-dir',
      dir,
    ];
    const child = spawn(process.execPath, [...args, '--scope', 'read'], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    child.stdin.end('alice-word\n');
    expect(await once(child, 'exit')).toEqual([0, null]);
    expect(await readFile(join(dir, 'users.json'), 'utf8')).not.toContain('alice-word');
    const { http, script } = await start([], '', dir);
    expect(script.output).not.toContain('first start');
    const headers = basic('alice:alice-word');
    expect((await ask(`${http}/call/history`, { headers })).status).toBe(200);
    const terminate = { headers, body: { callId: 'c' } };
    expect((await ask(`${http}/call/terminate`, terminate)).status).toBe(403);
  });

  it('answers guesses with 429, also what is right, and says so in the log', async () => {
    const { http, script, password } = await start();
    const guess = async (word: string): Promise<number> =>
      (await ask(`${http}/call/find_all`, { headers: basic(`admin:${word}`) })).status;
    for (let n = 0; n < 5; n++) expect(await guess(`wrong-${n}`)).toBe(401);
    const refused = await ask(`${http}/call/find_all`, { headers: basic(`admin:${password}`) });
    expect(refused.status).toBe(429);
    expect(Number(refused.headers['retry-after'])).toBeGreaterThan(0);
    expect(JSON.parse(refused.text)).toMatchObject({ code: 'TOO_MANY_FAILURES', status: 429 });
    await script.line(/warning: 127\.0\.0\.1 gave five wrong passwords/);
    expect(script.output).not.toContain('wrong-');
  });

  it('gives users and tokens what their scope says', async () => {
    const passwd = async (...args: string[]): Promise<string> => {
      const script = new Script(CLI, ['passwd', ...args]);
      afterTest(() => script.kill());
      expect(await script.exited).toBe(0);
      return script.output;
    };
    const tokens = await passwd('watcher', '--token', '--scope', 'read');
    const caller = await passwd('dialler', '--token', '--scope', 'calls');
    const secretOf = (text: string): string => / (\S+)$/m.exec(text)?.[1] ?? '';
    const { http } = await start([], `${tokens}\n${caller.split('\n').slice(2).join('\n')}\n`);
    const as = (token: string): Record<string, string> => ({ authorization: `Bearer ${token}` });
    const statusOf = async (path: string, token: string, body?: object): Promise<number> =>
      (await ask(`${http}${path}`, { headers: as(token), ...(body && { body }) })).status;
    const [read, calls] = [secretOf(tokens), secretOf(caller)];
    expect(await statusOf('/call/find_all', read)).toBe(404);
    expect(await statusOf('/call/terminate', read, { callId: 'c' })).toBe(403);
    // However it is written.
    expect(await statusOf('/call/%74erminate/', read, { callId: 'c' })).toBe(403);
    expect(await statusOf('/call/terminate', calls, { callId: 'c' })).toBe(404);
    expect(await statusOf('/call/trace?callId=c', calls)).toBe(403);
    expect(await statusOf('/call/find_all', 'x'.repeat(24))).toBe(401);
  });

  it('refuses admin:admin beyond loopback, and warns of it there', async () => {
    const dir = await folder();
    const serve = (host: string): Script => {
      const args = ['--profile', 'production', '--state-dir', dir, '--host', host, '--port', '0'];
      const script = new Script(CLI, ['serve', ...args, '--https-port', '0', '--no-transcoding'], {
        SIPCAST_BASIC_AUTH: 'admin:admin',
      });
      afterTest(() => script.kill());
      return script;
    };
    const open = serve('0.0.0.0');
    expect(await open.exited).toBe(2);
    expect(open.output).toMatch(/admin with the password admin is allowed on loopback only$/);
    const local = serve('127.0.0.1');
    await local.line(/"level":"warn".*the password of admin is admin/);
    const [, http = ''] = await local.line(/HTTP API at (\S+) and/);
    expect((await ask(`${http}/call/history`, { headers: basic('admin:admin') })).status).toBe(200);
  });

  it('limits what one address may ask and start', async () => {
    const { http, password } = await start([
      '--set',
      'http.requestsPerSecond=1000',
      '--set',
      'http.startupsPerSecond=1',
    ]);
    const headers = basic(`admin:${password}`);
    const answers: number[] = [];
    for (let n = 0; n < 6; n++)
      answers.push((await ask(`${http}/call/startup`, { headers, body: {} })).status);
    // What is malformed was asked for, too.
    expect(answers.slice(0, 2)).toEqual([400, 400]);
    expect(answers).toContain(429);
    expect((await ask(`${http}/call/find_all`, { headers })).status).toBe(404);
  });

  it('limits pages and queries separately, and closes the connection of a client that exceeds a limit', async () => {
    const { http, password } = await start(['--set', 'http.requestsPerSecond=3']);
    const { host, hostname, port } = new URL(http);
    const sendAhead = async (request: string, name = host): Promise<string> => {
      const socket = connect(Number(port), hostname);
      afterTest(async () => void socket.destroy());
      let text = '';
      socket.on('data', (octets: Buffer) => (text += octets.toString()));
      socket.write(`${request} HTTP/1.1\r\nHost: ${name}\r\n\r\n`.repeat(12));
      await once(socket, 'close');
      return text;
    };
    const statuses = (text: string): string[] =>
      [...text.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status = '']) => status);
    const pages = await sendAhead('GET /health');
    expect(new Set(statuses(pages))).toEqual(new Set(['200', '429']));
    expect(statuses(pages).filter((status) => status === '429')).toHaveLength(1);
    expect(pages).toMatch(/^retry-after: 1\r$/im);
    expect(pages).toMatch(/^connection: close\r$/im);
    // A query is another matter, and does not take from what probes may ask.
    const queries = await sendAhead('GET /rest-api/call/find_all');
    expect(new Set(statuses(queries))).toEqual(new Set(['401', '429']));
    expect(statuses(queries).filter((status) => status === '429')).toHaveLength(1);
    // What cannot be read is a page that there is not.
    for (const [path, name] of [
      ['/rest-api/call/find_all', 'a b'],
      ['/rest-api/call/find_all', 'localhost:99999'],
      ['/rest-api/call/find_all', 'me@localhost'],
      ['/rest-api/call\\find', host],
    ] as const) {
      const unread = statuses(await sendAhead(`GET ${path}`, name));
      expect([name, unread.filter((status) => status === '429')]).toEqual([name, ['429']]);
      expect(unread).not.toContain('200');
    }
    await expect.poll(async () => (await ask(`${new URL(http).origin}/health`)).status).toBe(200);
    const headers = basic(`admin:${password}`);
    await expect
      .poll(async () => (await ask(`${http}/call/history`, { headers })).status)
      .toBe(200);
  });

  it('connects to no private address, and reports why', async () => {
    const { http, password } = await start();
    const headers = basic(`admin:${password}`);
    const body = { callId: 'c1', callee: 'sip:x@127.0.0.1:5060' };
    expect((await ask(`${http}/call/startup`, { headers, body })).status).toBe(200);
    await expect
      .poll(async () => (await ask(`${http}/call/history`, { headers })).text)
      .toContain('may not be connected to');
  });

  it('sends SIP to no port out of the list, and names the field', async () => {
    const { http, password } = await start(['--lan']);
    const headers = basic(`admin:${password}`);
    for (const [field, request] of [
      ['callee', { callee: 'sip:x@127.0.0.1:6379' }],
      ['sipPort', { callee: 'sip:x@127.0.0.1', sipPort: '22' }],
      ['sipOutboundProxy', { callee: 'sip:x@127.0.0.1', sipOutboundProxy: '127.0.0.1:5091' }],
    ] as const) {
      const { status, text } = await ask(`${http}/call/startup`, { headers, body: request });
      expect([field, status]).toEqual([field, 400]);
      expect(text).toMatch(new RegExp(`${field} names port \\d+, which may not be connected to`));
    }
    const body = { callId: 'c1', callee: 'sip:x@127.0.0.1:5090' };
    expect((await ask(`${http}/call/startup`, { headers, body })).status).toBe(200);
  });

  it('has CORS for listed origins alone, and answers to listed names alone', async () => {
    const { http, password } = await start([], '', undefined);
    const listed = await start([
      '--set',
      'http.cors=https://app.example',
      '--set',
      'http.allowedHosts=sip.example',
    ]);
    const origin = 'https://app.example';
    const preflight = async (url: string, from: string): Promise<string | undefined> => {
      const headers = { origin: from, 'access-control-request-method': 'POST' };
      const answer = await ask(`${url}/call/startup`, { method: 'OPTIONS', headers });
      return answer.headers['access-control-allow-origin'];
    };
    expect(await preflight(http, origin)).toBeUndefined();
    expect(await preflight(listed.http, origin)).toBe(origin);
    expect(await preflight(listed.http, 'https://evil.example')).toBeUndefined();
    const called = async (server: Server, host: string): Promise<number> => {
      const headers = { ...basic(`admin:${server.password}`), host };
      return (await ask(`${server.http}/call/history`, { headers })).status;
    };
    expect(await called(listed, 'sip.example:8081')).toBe(200);
    expect(await called(listed, 'evil.example')).toBe(421);
    expect(await called({ ...listed, http, password }, 'any.example')).toBe(200);
  });

  it('leaves connections for others when one address takes all that it can', async () => {
    const { http, password } = await start(['--set', 'http.maxConnections=8']);
    const { port } = new URL(http);
    let closed = 0;
    const sockets = Array.from({ length: 20 }, () => {
      const socket = connect({ port: Number(port), host: '127.0.0.1', localAddress: '127.0.0.2' });
      socket.on('error', () => {});
      socket.on('close', () => closed++);
      return socket.resume();
    });
    afterTest(async () => sockets.forEach((socket) => socket.destroy()));
    // Half of the eight stay, with nothing said.
    await expect.poll(() => closed).toBe(16);
    const headers = basic(`admin:${password}`);
    expect((await ask(`${http}/call/history`, { headers })).status).toBe(200);
    sockets.forEach((socket) => socket.destroy());
    await expect.poll(() => closed).toBe(20);
    const again = { headers, localAddress: '127.0.0.2' };
    await expect
      .poll(async () => (await ask(`${http}/call/history`, again).catch(() => undefined))?.status)
      .toBe(200);
  });

  it('answers a ninth address while eight hold all connections, over HTTP and HTTPS', async () => {
    const { http, https, password } = await start([
      '--set',
      'http.maxConnections=16',
      '--set',
      'http.requestsPerSecond=1000',
    ]);
    const headers = basic(`admin:${password}`);
    for (const url of [http, https]) {
      const port = Number(new URL(url).port);
      const events = await new Promise<IncomingMessage>((resolve, reject) => {
        const send = url === https ? httpsRequest : httpRequest;
        send(`${url}/events`, { headers, rejectUnauthorized: false, agent: false }, resolve)
          .on('error', reject)
          .end();
      });
      afterTest(async () => events.destroy());
      let isOpen = true;
      events.on('close', () => (isOpen = false));
      events.on('error', () => {});
      events.resume();
      // Whoever loses a connection opens another one at once.
      const open = new Set<Socket>();
      let [opened, isOver] = [0, false];
      const hold = (localAddress: string): void => {
        const socket = connect({ port, host: '127.0.0.1', localAddress });
        open.add(socket);
        socket.on('error', () => {});
        socket.on('connect', () => {
          opened++;
          // The head of a TLS record, or of a request.
          if (url === https) socket.write(Uint8Array.of(0x16, 3, 1, 2, 0));
          else socket.write('GET / HTTP/1.1\r\nHost: localhost\r\nX-');
        });
        socket.on('close', () => {
          open.delete(socket);
          if (!isOver) setTimeout(hold, 20, localAddress);
        });
        socket.resume();
      };
      for (let n = 0; n < 24; n++) hold(`127.0.0.${2 + (n % 8)}`);
      await expect.poll(() => opened).toBeGreaterThan(24);
      for (let n = 0; n < 10; n++) {
        const startMs = performance.now();
        const answer = await ask(`${url}/call/history`, { headers });
        expect(answer.status).toBe(200);
        expect(performance.now() - startMs).toBeLessThan(2000);
      }
      expect(isOpen).toBe(true);
      isOver = true;
      open.forEach((socket) => socket.destroy());
      const { text } = await ask(new URL('/metrics', url).href, { headers });
      expect(text).toMatch(/^sipcast_http_connections_closed_total\{reason="replaced"\} [1-9]/m);
      expect(text).toMatch(/^sipcast_http_connections_closed_total\{reason="refused"\} 0$/m);
    }
  }, 20_000);

  it('lets no client hold a connection forever by sending octet by octet', async () => {
    const { http, script } = await start();
    const { port } = new URL(http);
    const socket = connect(Number(port), '127.0.0.1');
    afterTest(async () => socket.destroy());
    socket.on('error', () => {});
    socket.resume();
    socket.write('GET / HTTP/1.1\r\nHost: localhost\r\nX-');
    const closed = new Promise<number>((resolve) => {
      const startMs = performance.now();
      socket.on('close', () => resolve(performance.now() - startMs));
    });
    expect(await closed).toBeLessThan(20_000);
    expect(script.output).not.toContain('error');
  }, 30_000);
});

describe('the dev profile', () => {
  it('answers to no foreign name on loopback, so that no page can borrow it', async () => {
    const script = new Script(CLI, ['serve', '--port', '0', '--no-transcoding']);
    afterTest(() => script.kill());
    const [, http = ''] = await script.line(/HTTP API at (\S+),/);
    const as = async (host: string, path: string): Promise<number> =>
      (await ask(`${http}${path}`, { headers: { host } })).status;
    expect(await as('localhost:8081', '/call/history')).toBe(200);
    expect(await as('evil.example', '/call/history')).toBe(421);
    expect(await as('evil.example', '/../console/')).toBe(421);
  });
});
