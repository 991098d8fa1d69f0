import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { serve } from 'sipcast';
import { describe, expect, it } from 'vitest';
import { openPhone } from '../../support/call-ends.ts';
import { afterTest } from '../../support/cleanup.ts';
import { Script } from '../../support/script.ts';

const CLI = 'packages/server/src/cli.ts';

function start(args: readonly string[], environment: NodeJS.ProcessEnv = {}): Script {
  const script = new Script(CLI, args, environment);
  afterTest(() => script.kill());
  return script;
}

const SERVE = ['serve', '--port', '0'];

async function urlOf(script: Script): Promise<string> {
  return (await script.line(/HTTP API at (\S+),/))[1] as string;
}

function post(url: string, body: unknown, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
  });
}

async function busyTcpPort(): Promise<number> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  afterTest(() => new Promise((resolve) => server.close(resolve)));
  return (server.address() as AddressInfo).port;
}

describe('sipcast', () => {
  it('serves the API, logs each status, and ends its calls at SIGTERM', async () => {
    const events: Record<string, unknown>[] = [];
    const application = createServer((request, response) => {
      request.on('data', (text: Buffer) => events.push(JSON.parse(text.toString()) as never));
      request.on('end', () => response.end());
    });
    application.listen(0, '127.0.0.1');
    await once(application, 'listening');
    afterTest(() => new Promise((resolve) => application.close(resolve)));
    const { port } = application.address() as AddressInfo;
    // A second for what crosses: the program answers its first call while it still loads.
    const phone = await openPhone({ t1Ms: 2000 });
    const script = start([...SERVE, '--call-app-url', `http://127.0.0.1:${port}/CallApp`]);
    const url = await urlOf(script);
    expect(url).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/rest-api$/);
    const secrets = { sipPassword: 'secret-word', visibleName: 'A' };
    const startup = await post(`${url}/call/startup`, {
      callId: 'c1',
      callee: phone.uri,
      ...secrets,
    });
    expect([startup.status, await startup.text()]).toEqual([200, '{}']);
    await script.line(/^\d{4}-\d\d-\d\dT[\d:.]+Z c1 NEW -> PENDING$/);
    await script.line(/ c1 \w+ -> ESTABLISHED$/);
    expect((await fetch(`${url}/call/find_all`)).status).toBe(200);
    const call = await phone.nextCall();
    await call.confirmed;

    script.signal('SIGTERM');
    expect(await script.exited).toBe(0);
    expect(await call.ended).toMatchObject({ by: 'caller', how: 'bye' });
    await script.line(/SIGTERM: ending 1 calls/);
    await script.line(/ c1 ESTABLISHED -> FINISH \(Normal call clearing\)$/);
    expect(script.output).not.toContain('secret-word');
    expect(events.at(-1)).toMatchObject({ callId: 'c1', status: 'FINISH' });
    expect(phone.violations).toEqual([]);
  });

  it('ends its calls when its terminal is closed', async () => {
    const phone = await openPhone();
    const script = start(SERVE);
    await post(`${await urlOf(script)}/call/startup`, { callId: 'c1', callee: phone.uri });
    const call = await phone.nextCall();
    await call.confirmed;
    script.signal('SIGHUP');
    expect(await script.exited).toBe(0);
    expect(await call.ended).toMatchObject({ by: 'caller', how: 'bye' });
  });

  it('exits at once at the second signal', async () => {
    const phone = await openPhone();
    const script = start(SERVE);
    const url = await urlOf(script);
    await post(`${url}/call/startup`, { callId: 'c1', callee: phone.uri });
    await script.line(/ -> ESTABLISHED$/);
    // The BYE is never answered: an orderly end takes its time.
    phone.mute();
    script.signal('SIGINT');
    await script.line(/SIGINT: ending 1 calls/);
    const startMs = performance.now();
    script.signal('SIGINT');
    expect(await script.exited).toBe(1);
    expect(performance.now() - startMs).toBeLessThan(1000);
  });

  it('sends BYE and exits with 3 after an internal error', async () => {
    const phone = await openPhone();
    // Something that nobody foresaw, from outside of every call.
    const bug = "process.on('SIGUSR2',()=>setTimeout(()=>{throw new Error('a-bug')}))";
    const script = start(SERVE, {
      NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(bug)}`,
    });
    const url = await urlOf(script);
    await post(`${url}/call/startup`, { callId: 'c1', callee: phone.uri });
    const call = await phone.nextCall();
    await call.confirmed;
    script.signal('SIGUSR2');
    expect(await script.exited).toBe(3);
    expect(await call.ended).toMatchObject({ by: 'caller', how: 'bye' });
    await script.line(/ error: internal error, stopping the server: Error: a-bug/);
  });

  it('does not wait for ever for a peer that is gone', async () => {
    const phone = await openPhone();
    const lines: string[] = [];
    const server = await serve({ http: { port: 0 }, log: { write: (line) => lines.push(line) } });
    afterTest(() => server.close());
    await post(`${server.url}/call/startup`, { callId: 'c1', callee: phone.uri });
    await expect.poll(() => lines.at(-1)).toMatch(/-> ESTABLISHED/);
    phone.mute();
    const startMs = performance.now();
    await Promise.all([server.close(300), server.close(300)]);
    expect(performance.now() - startMs).toBeLessThan(1500);
    await expect(fetch(server.url)).rejects.toThrow();
  });

  it('demands the account of the environment', async () => {
    const script = start(SERVE, { SIPCAST_BASIC_AUTH: 'user:pass-word' });
    const url = await urlOf(script);
    const basic = (text: string) => ({
      authorization: `Basic ${Buffer.from(text).toString('base64')}`,
    });
    expect((await fetch(`${url}/call/history`)).status).toBe(401);
    expect((await fetch(`${url}/call/history`, { headers: basic('user:x') })).status).toBe(401);
    const right = await fetch(`${url}/call/history`, { headers: basic('user:pass-word') });
    expect(right.status).toBe(200);
    expect(script.output).not.toContain('pass-word');
  });

  it('says in one line that a port is taken, and exits with 1', async () => {
    const http = await busyTcpPort();
    const script = start(['serve', '--port', String(http)]);
    expect(await script.exited).toBe(1);
    expect(script.lines).toEqual([`sipcast: HTTP port 127.0.0.1:${http} is in use`]);

    const sip = createSocket('udp4').bind(0);
    await once(sip, 'listening');
    afterTest(() => new Promise<void>((resolve) => sip.close(() => resolve())));
    const { port } = sip.address();
    const other = start([...SERVE, '--sip-port', String(port)]);
    expect(await other.exited).toBe(1);
    expect(other.lines).toEqual([`sipcast: SIP port ${port} is in use`]);
  });

  it('reports an invalid command line in one line, and exits with 2', async () => {
    for (const [args, line] of [
      [['serve', '--bogus'], "sipcast: Unknown option '--bogus'. See sipcast --help."],
      [
        [...SERVE, '--rtp-ports', '5-6'],
        /^sipcast: --rtp-ports: gateway\.rtpPorts: must be a range/,
      ],
      [
        [...SERVE, '--call-app-url', 'ftp://x'],
        'sipcast: --call-app-url: events.callAppUrl: must be an http or https URL',
      ],
      [[...SERVE, '--port', '70000'], /^sipcast: --port: http\.port: Too big/],
      [
        [...SERVE, '--ffmpeg', '/nowhere'],
        /^sipcast: --ffmpeg: gateway\.transcoding\.ffmpegPath: No ffmpeg: \/nowhere is not there/,
      ],
      [[...SERVE, '--config', '/nowhere.yaml'], 'sipcast: /nowhere.yaml: There is no such file'],
    ] as const) {
      const script = start(args);
      expect(await script.exited).toBe(2);
      expect(script.lines).toEqual([typeof line === 'string' ? line : expect.stringMatching(line)]);
    }
  });

  it('prints its version and its help', async () => {
    const version = start(['--version']);
    const help = start(['--help']);
    expect(await version.exited).toBe(0);
    expect(version.output).toMatch(/^\d+\.\d+\.\d+$/);
    expect(await help.exited).toBe(0);
    expect(help.output).toContain('Usage: sipcast <command>');
  });
});
