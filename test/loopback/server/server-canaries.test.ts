// Secrets everywhere, calls that succeed and fail, and then every channel is searched for them.

import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { RtmpSink } from '@sipcast/testkit';
import { describe, expect, it } from 'vitest';
import { openGateway, openPhone, openSink } from '../../support/call-ends.ts';
import { afterTest } from '../../support/cleanup.ts';
import { makeFolder } from '../../support/folder.ts';
import { Script } from '../../support/script.ts';

const CLI = 'packages/server/src/cli.ts';
/** So often each kind of call is made. */
const ROUNDS = Number(process.env['CANARY_ROUNDS'] ?? 2);

/** Words that occur nowhere else, by what they are. */
class Canaries {
  readonly #words = new Map<string, string>();

  word(what: string): string {
    const known = this.#words.get(what);
    if (known !== undefined) return known;
    const made = `canary${randomBytes(9).toString('hex')}`;
    this.#words.set(what, made);
    return made;
  }

  /** The names of those that stand in a text, also in base64 and percent-encoded. */
  in(text: string, ...allowed: readonly string[]): string[] {
    const decoded = text.replaceAll(/[A-Za-z0-9+/_-]{16,}={0,2}/g, (part) =>
      Buffer.from(part, 'base64').toString('latin1'),
    );
    return [...this.#words]
      .filter(([what, word]) => !allowed.includes(what) && (text + decoded).includes(word))
      .map(([what]) => what);
  }
}

function run(args: readonly string[], environment: NodeJS.ProcessEnv = {}): Script {
  const script = new Script(CLI, args, environment);
  afterTest(() => script.kill());
  return script;
}

/** Command lines of all processes, and variables of those that this one may look at. */
async function processes(): Promise<{ commands: string; ffmpegVariables: string[] }> {
  let commands = '';
  const ffmpegVariables: string[] = [];
  for (const pid of await readdir('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
    commands += `${command}\n`;
    if (/ffmpeg\0/.test(command))
      ffmpegVariables.push(await readFile(`/proc/${pid}/environ`, 'utf8').catch(() => ''));
  }
  return { commands, ffmpegVariables };
}

describe('secrets', () => {
  it('stand in no log, answer, event, metric, page, capture or list of processes', async () => {
    const canaries = new Canaries();
    const secret = (what: string): string => canaries.word(what);
    const dir = await makeFolder();

    const hook = createServer((request, response) => {
      request.on('data', (text: Buffer) => void (events += text.toString()));
      request.on('end', () => response.writeHead(++answered % 3 === 0 ? 500 : 200).end());
    });
    let events = '';
    let answered = 0;
    hook.listen(0, '127.0.0.1');
    await once(hook, 'listening');
    afterTest(() => hook.close());
    const { port: hookPort } = hook.address() as AddressInfo;

    const hash = run(['passwd', 'made', '--token']);
    expect(await hash.exited).toBe(0);
    const token = / (\S+)$/m.exec(hash.output)?.[1] ?? '';
    const pcap = join(dir, 'sip.pcap');
    const file = join(dir, 'sipcast.yaml');
    await writeFile(
      file,
      `profile: production
stateDir: ${dir}
log: {level: debug}
http: {host: 127.0.0.1, port: 0, requestsPerSecond: 0, startupsPerSecond: 0}
https: {port: 0}
outgoing: {lan: true, sipPorts: [1-65535]}
${hash.output}
events:
  callAppUrl: http://hook:${secret('event password')}@127.0.0.1:${hookPort}/app?token=${secret('event token')}
  secret: ${secret('event secret')}
  retries: 1
  retryDelayMs: 1
  apps:
    own: {callAppUrl: 'http://127.0.0.1:9/x?key=${secret('app key')}', secret: whsec_${secret('app secret')}}
gateway:
  bindAddress: 127.0.0.1
  maxLoopLagMs: 0
  sipTrace: {pcap: ${pcap}}
  rtmp: {firstConnectTimeoutMs: 500}
  incoming:
    realm: here
    rules:
      - match: {calledUser: door}
        auth: {users: {alice: ${secret('caller password')}}}
        accept: {rtmpUrl: 'rtmp://127.0.0.1:9/live?k=${secret('rule query')}', rtmpStream: ${secret('rule key')}}
`,
    );
    const server = run(['serve', '--config', file], {
      SIPCAST_BASIC_AUTH: `ops:${secret('API password')}`,
    });
    const [, http = '', https, sipPort] = await server.line(
      /HTTP API at (http:\S+) and (https:\S+), SIP port (\d+)/,
    );
    expect(https).toBeDefined();
    const basic = (password: string): string =>
      `Basic ${Buffer.from(`ops:${password}`).toString('base64')}`;
    let answers = '';
    const ask = async (
      path: string,
      body?: unknown,
      authorization = basic(secret('API password')),
    ): Promise<Response> => {
      const response = await fetch(path.startsWith('http') ? path : http + path, {
        headers: { authorization, 'content-type': 'application/json' },
        ...(body !== undefined && {
          method: 'POST',
          body: typeof body === 'string' ? body : JSON.stringify(body),
        }),
      });
      return response;
    };
    /** What is answered must hold none of them, but for what is named. */
    const check = async (response: Response, ...allowed: string[]): Promise<string> => {
      const text = await response.text();
      const all = text + JSON.stringify([...response.headers]);
      expect([response.url.replace(/\?.*/, ''), canaries.in(all, ...allowed)]).toEqual([
        response.url.replace(/\?.*/, ''),
        [],
      ]);
      answers += text;
      return text;
    };

    const feedEnd = new AbortController();
    const feed = await fetch(`${http}/events`, {
      headers: { authorization: `Bearer ${token}` },
      signal: feedEnd.signal,
    });
    let fed = '';
    const reading = (async () => {
      for await (const octets of feed.body ?? [])
        fed += Buffer.from(octets as Uint8Array).toString();
    })().catch(() => {});

    const phone = await openPhone({
      t1Ms: 100,
      register: { auth: { username: 'login', password: secret('SIP password') } },
      script: { auth: { username: 'login', password: secret('SIP password') } },
    });
    const auth = { scheme: 'adobe', username: 'pub', password: secret('RTMP password') } as const;
    const sink = await openSink({ auth });
    // Servers repeat what they were told.
    const refuses = async (...repeated: string[]): Promise<RtmpSink> => {
      const refusing = await openSink();
      const description = `no ${repeated.map(secret).join(' or ')}`;
      refusing.refuse({ at: 'publish', code: 'NetStream.Publish.BadName', description });
      return refusing;
    };
    const refusing = await refuses('RTMP key', 'RTMP query');
    const refusingPushes = await refuses('push key', 'push query');
    const at = (one: RtmpSink, user = `pub:${secret('RTMP password')}@`): string =>
      `${one.url.replace('://', `://${user}`)}?token=${secret('RTMP query')}`;
    const own = ['RTMP password', 'RTMP query', 'RTMP key', 'push key', 'push query'];
    const account = { sipLogin: 'login', sipPassword: secret('SIP password') };

    for (let round = 0; round < ROUNDS; round++) {
      const call = (name: string, parts: object): Promise<Response> =>
        ask('/call/startup', {
          callId: `${name}-${round}`,
          callee: phone.uri,
          rtmpStream: secret('RTMP key'),
          ...account,
          ...parts,
        });
      // Succeeds, with two pushes more: one that succeeds and one that does not.
      const good = { rtmpUrl: at(sink), toStream: `cam${round}`, sipRegisterRequired: true };
      await check(await call('good', good));
      await server.line(new RegExp(`"callId":"good-${round}".*-> RTMP_STREAM_ACTIVE`));
      for (const target of [sink, refusingPushes]) {
        const user = target === sink ? `pub:${secret('RTMP password')}@` : '';
        const rtmpUrl = `${target.url.replace('://', `://${user}`)}/${secret('push key')}?q=${secret('push query')}`;
        const push = { streamName: `cam${round}`, rtmpUrl, rtmpTransponderFullUrl: true };
        // The push is shown to whoever started it.
        const started = await check(await ask('/push/startup', push), ...own);
        const { mediaSessionId } = JSON.parse(started) as { mediaSessionId: string };
        expect(canaries.in(mediaSessionId)).toEqual([]);
      }
      await server.line(new RegExp(`"callId":"good-${round}".*-> RTMP_CONNECTION_FAILED`));
      const { commands, ffmpegVariables } = await processes();
      expect(canaries.in(commands)).toEqual([]);
      expect(ffmpegVariables.length).toBeGreaterThan(0);
      expect(ffmpegVariables.flatMap((text) => canaries.in(text))).toEqual([]);

      await check(await call('refused', { rtmpUrl: at(refusing, '') }));
      await check(
        await call('nowhere', {
          rtmpUrl: `rtmp://127.0.0.1:9/live?token=${secret('RTMP query')}`,
          appKey: 'own',
        }),
      );
      await check(
        await call('wrong', {
          sipPassword: secret('wrong SIP password'),
          rtmpUrl: at(sink),
          rtmpStream: `${secret('RTMP key')}-2`,
        }),
      );
      await server.line(new RegExp(`"callId":"wrong-${round}".*-> FAILED`));
      await server.line(new RegExp(`"callId":"refused-${round}".*-> RTMP_CONNECTION_FAILED`));
      await server.line(new RegExp(`"callId":"nowhere-${round}".*-> RTMP_CONNECTION_FAILED`));

      // Malformed in every way that could be told in an answer.
      for (const body of [
        { callee: 'x', sipPassword: { a: secret('malformed') } },
        {
          callee: 'x',
          ...account,
          rtmpUrl: `http://u:${secret('malformed')}@h/x`,
          rtmpStream: 's',
        },
        { callee: 'x', ...account, rtmpUrl: `rtmp://u:${secret('malformed')}@/x`, rtmpStream: 's' },
        {
          callee: 'x',
          ...account,
          rtmpUrl: `rtmp://h/live?k=${secret('malformed')} y`,
          rtmpStream: 's',
        },
        { callee: 'x', sipLogin: 'a', sipPassword: `${secret('malformed')}\r\n` },
        { callee: `sip:u:${secret('malformed')}@[`, ...account },
        `{"callee":"x","sipPassword":"${secret('malformed')}",`,
        `"${secret('malformed')}"`,
      ]) {
        const response = await ask('/call/startup', body);
        expect([400, 415]).toContain(response.status);
        await check(response);
      }
      await check(await ask('/call/history', undefined, basic(secret('wrong API password'))));
      await check(await ask('/call/history', undefined, `Bearer ${secret('wrong token')}`));

      // An account that calls us.
      const caller = await openGateway();
      for (const word of ['caller password', 'wrong caller password']) {
        const incoming = await caller.startup({
          callee: `sip:door@127.0.0.1:${sipPort}`,
          sipLogin: 'alice',
          sipPassword: secret(word),
        });
        if (word === 'caller password') await incoming.established();
        await (word === 'caller password' ? incoming.terminate() : incoming.closed());
      }
      await caller.close();

      const { token: viewerToken } = (await (
        await ask('/stream/token', { streamName: `cam${round}`, ttlSeconds: 60 })
      ).json()) as { token: string };
      const watching = new AbortController();
      const watched = await fetch(`${http}/stream/cam${round}.flv?token=${viewerToken}`, {
        signal: watching.signal,
      });
      expect(watched.status).toBe(200);
      watching.abort();
      await server.line(new RegExp(`GET /rest-api/stream/cam${round}\\.flv 200`));
      expect(server.output).not.toContain(viewerToken);

      for (const path of ['/call/find_all', '/push/find_all', '/stream/find_all'])
        await check(await ask(path), ...own, 'rule query', 'rule key');
      await check(await ask(`/call/trace?callId=good-${round}`));
      await check(await ask(`/call/trace?callId=wrong-${round}`));
      await ask('/call/terminate', { callId: `good-${round}` }).then((response) => check(response));
      for (const name of ['refused', 'nowhere'])
        await ask('/call/terminate', { callId: `${name}-${round}` }).then((response) =>
          check(response),
        );
    }
    await check(await ask('/call/history'), ...own, 'rule query', 'rule key');
    for (const path of ['/metrics', '/health', '/ready', '/console/', '/console/app.js'])
      await check(await ask(new URL(path, http).href));
    for (const path of ['/openapi.json', '/docs', '/no/such']) await check(await ask(path));
    expect(answers).toContain('"good-0"');

    server.signal('SIGTERM');
    expect(await server.exited).toBe(0);
    feedEnd.abort();
    await reading;
    expect(fed).toContain('PushStatusEvent');
    expect(events).toContain('"status":"ESTABLISHED"');
    // The documented events hold the name of the stream.
    expect([
      canaries.in(fed, 'RTMP key', 'rule key'),
      canaries.in(events, 'RTMP key', 'rule key'),
    ]).toEqual([[], []]);
    expect(server.output).toContain('"area":"rest"');
    expect(server.output).toContain('event lost');
    expect(canaries.in(server.output)).toEqual([]);
    const captured = await readFile(pcap, 'latin1');
    expect(captured).toContain('INVITE sip:');
    expect(canaries.in(captured)).toEqual([]);
    for (const { octets } of phone.messages.map(({ message }) => ({
      octets: JSON.stringify(message),
    })))
      expect(canaries.in(octets)).toEqual([]);

    // Right and spoilt, a configuration is spoken of without its secrets.
    const spoilt = join(dir, 'spoilt.yaml');
    const text = await readFile(file, 'utf8');
    const said: string[] = [];
    for (const change of [
      (yaml: string) => yaml,
      (yaml: string) => yaml.replace('scope: admin', 'scope: all'),
      (yaml: string) => yaml.replace(/hash: \S+/, `hash: ${secret('no hash')}`),
      (yaml: string) => yaml.replace(/secret: (canary\w+)/, 'secret: [$1]'),
      (yaml: string) => yaml.replace('callAppUrl: http://hook', 'callAppUrl: ftp://hook'),
      (yaml: string) => yaml.replace(/alice: canary(.{6}).*$/m, 'alice: x$1}}'),
      (yaml: string) => yaml.replace("rtmpUrl: 'rtmp:", "rtmpUrl: 'http:"),
      (yaml: string) => `${yaml}  - bad\n: [`,
    ]) {
      await writeFile(spoilt, change(text));
      for (const args of [
        ['config', 'check', spoilt],
        ['doctor', '--config', spoilt, '--no-transcoding'],
      ]) {
        const script = run(args, { SIPCAST_BASIC_AUTH: `ops:${secret('API password')}` });
        await script.exited;
        said.push(script.output);
      }
    }
    expect(said[0]).toContain('valid');
    expect(said.filter((words) => /spoilt\.yaml:\d+:\d+: /.test(words)).length).toBeGreaterThan(8);
    expect(said.flatMap((words) => canaries.in(words))).toEqual([]);
  }, 240_000);
});
