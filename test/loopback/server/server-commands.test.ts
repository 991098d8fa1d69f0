// The commands beside `serve`, as programs.

import { X509Certificate } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { chmod, readdir, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { findFfmpeg } from '@sipcast/media';
import { RtmpSink, SipPeer } from '@sipcast/testkit';
import { serve } from 'sipcast';
import { describe, expect, it } from 'vitest';
import { openPhone } from '../../support/call-ends.ts';
import { afterTest } from '../../support/cleanup.ts';
import { makeFolder } from '../../support/folder.ts';
import { freeTcpPort } from '../../support/ports.ts';
import { Script } from '../../support/script.ts';
import { makeSelfSigned } from '../../../packages/server/src/http/self-signed.ts';

const DAY_MS = 86_400_000;

function run(args: readonly string[], environment: NodeJS.ProcessEnv = {}): Script {
  const script = new Script('packages/server/src/cli.ts', args, environment);
  afterTest(() => script.kill());
  return script;
}

async function folder(): Promise<string> {
  const dir = await makeFolder();
  return dir;
}

interface CertificateFiles {
  readonly certPath: string;
  readonly keyPath: string;
  /** SHA-256, with colons. */
  readonly fingerprint256: string;
}

async function certificate(
  dir: string,
  name: string,
  fromMs: number,
  validDays: number,
): Promise<CertificateFiles> {
  const { cert, key } = makeSelfSigned([name], fromMs, validDays);
  const [certPath, keyPath] = [join(dir, `${name}.pem`), join(dir, `${name}.key`)];
  await writeFile(certPath, cert);
  await writeFile(keyPath, key);
  return { certPath, keyPath, fingerprint256: new X509Certificate(cert).fingerprint256 };
}

describe('sipcast call', () => {
  it('shows a call, publishes and records it, and sends BYE at Ctrl-C', async () => {
    const [peer, sink, dir] = [
      await SipPeer.open({ t1Ms: 100 }),
      await RtmpSink.open({}),
      await folder(),
    ];
    afterTest(
      async () => sink.close(),
      () => peer.close(),
    );
    const rtmp = ['--rtmp', `${sink.url}/key`, '--record', dir];
    const script = run(['call', peer.uri, ...rtmp, '--no-transcoding', '--login', 'me'], {
      SIPCAST_SIP_PASSWORD: 'pass-word',
    });
    await script.line(/^ESTABLISHED .*RTMP_STREAM_ACTIVE/);
    const call = await peer.nextCall();
    script.signal('SIGINT');
    expect(await call.ended).toMatchObject({ by: 'caller', how: 'bye' });
    expect(await script.exited).toBe(0);
    await script.line(/^FINISH: Normal call clearing/);
    expect(sink.publications[0]?.streamName).toBe('key');
    expect(await readdir(dir)).not.toEqual([]);
    expect(script.output).not.toContain('pass-word');
  });

  it('ends with 1 when the call fails, and with 2 for what is no address', async () => {
    const wrong = run(['call', 'sip:x@127.0.0.1:9', '--no-transcoding', '--rtmp', 'http://x/y/z']);
    expect(await wrong.exited).toBe(2);
    expect(wrong.lines).toEqual([
      'sipcast: --rtmp must look like rtmp://server/app/name. See sipcast --help.',
    ]);
    const production = ['--no-transcoding', '--profile', 'production'];
    const refused = run(['call', 'sip:x@127.0.0.1:5060', ...production]);
    expect(await refused.exited).toBe(1);
    await refused.line(/^FAILED: .*may not be connected to/);
    const elsewhere = run(['call', 'sip:x@127.0.0.1:9', ...production]);
    expect(await elsewhere.exited).toBe(2);
    await elsewhere.line(/^sipcast: callee names port 9, which may not be connected to/);
    const busy = createSocket('udp4').bind(0);
    await once(busy, 'listening');
    afterTest(async () => busy.close());
    const taken = run(['call', 'sip:x@127.0.0.1:9', '--sip-port', String(busy.address().port)]);
    expect(await taken.exited).toBe(1);
    await taken.line(/^sipcast: SIP port \d+ is in use$/);
  });
});

describe('sipcast push', () => {
  const CALL = { callId: 'c1', toStream: 'camera' };

  async function openCamera(): Promise<{ url: string; end: () => Promise<void> }> {
    const peer = await openPhone({ t1Ms: 100 });
    const basicAuth = { username: 'ops', password: 'pass-word' };
    const server = await serve({
      http: { port: 0 },
      gateway: { transcoding: false },
      log: { write: () => {} },
      basicAuth,
    });
    afterTest(() => server.close());
    const call = await server.gateway.startup({ ...CALL, callee: peer.uri });
    await call.established();
    return { url: server.url, end: () => call.terminate() };
  }

  it('shows a push, and ends it at Ctrl-C or with its stream', async () => {
    const [{ url, end }, sink] = [await openCamera(), await RtmpSink.open({})];
    afterTest(async () => sink.close());
    const secrets = {
      SIPCAST_BASIC_AUTH: 'ops:pass-word',
      SIPCAST_RTMP_URL: `${sink.url}/the-key`,
    };
    const first = run(['push', 'camera', '--server', url, '--mute'], secrets);
    await first.line(/^RTMP_STREAM_ACTIVE .* MB .*muted/);
    const publication = await sink.nextPublication();
    expect(publication.streamName).toBe('the-key');
    first.signal('SIGINT');
    expect(await first.exited).toBe(0);
    expect(first.lines.slice(-2)).toEqual([
      'ending the push; press Ctrl-C again to exit at once',
      'ENDED',
    ]);
    await publication.ended;
    expect(publication.endedOrderly).toBe(true);

    const second = run(['push', 'camera', `${sink.url}/other`, '--server', url], secrets);
    await second.line(/^RTMP_STREAM_ACTIVE /);
    await end();
    expect(await second.exited).toBe(0);
    expect(second.lines.at(-1)).toBe('ENDED: the stream has ended');
    expect(first.output + second.output).not.toMatch(/the-key|pass-word/);
  });

  it('ends with 1 when it is refused, by the server or the RTMP server, and with 2 for what is no address', async () => {
    const [{ url }, sink] = [await openCamera(), await RtmpSink.open({})];
    afterTest(async () => sink.close());
    sink.refuse({ at: 'connect', code: 'NetConnection.Connect.Rejected' });
    const account = { SIPCAST_BASIC_AUTH: 'ops:pass-word' };
    const closed = await freeTcpPort();
    const failures: readonly (readonly [readonly string[], NodeJS.ProcessEnv, number, RegExp])[] = [
      [['camera', `${sink.url}/x`, '--server', url], account, 1, /^FAILED: CONNECT_REJECTED: /],
      [['none', `${sink.url}/x`, '--server', url], account, 1, /^sipcast: 404 STREAM_NOT_FOUND: /],
      [['camera', `${sink.url}/x`, '--server', url], {}, 1, /^sipcast: 401 UNAUTHORIZED: /],
      [
        ['camera', `${sink.url}/x`, '--server', `http://127.0.0.1:${closed}`],
        {},
        1,
        /^sipcast: the server does not respond: .*ECONNREFUSED/,
      ],
      [['camera', 'rtmp://h'], {}, 2, /^sipcast: push needs an address like rtmp:/],
      [['camera', 'rtmp://h/a/b', '--server', 'x'], {}, 2, /^sipcast: --server must be /],
    ];
    for (const [args, environment, code, words] of failures) {
      const script = run(['push', ...args], environment);
      expect([await script.exited, script.lines.at(-1)]).toEqual([
        code,
        expect.stringMatching(words),
      ]);
    }
  }, 240_000);
});

describe('sipcast doctor, passwd and config check', () => {
  it('finds a machine ready, and suggests fixes otherwise', async () => {
    const dir = await folder();
    const ready = run(['doctor', '--no-transcoding', '--port', '0', '--state-dir', dir]);
    expect(await ready.exited).toBe(0);
    expect(ready.lines.at(-1)).toBe('Ready.');
    for (const what of ['Node', 'ffmpeg', 'SIP port', 'HTTP port', 'RTP ports', 'Address', 'DNS'])
      await ready.line(new RegExp(`^(?:ok|note) +${what}: `));
    const sick = run(['doctor', '--ffmpeg', '/nowhere/ffmpeg', '--port', '0']);
    expect(await sick.exited).toBe(1);
    await sick.line(/^bad {3}ffmpeg: /);
    await sick.line(/→ Install ffmpeg/);
    expect(sick.lines.at(-1)).toBe('1 problem found.');
  });

  it('looks at the folders that are named, and makes none', async () => {
    const dir = await folder();
    await writeFile(join(dir, 'ding.wav'), '');
    const base = ['doctor', '--no-transcoding', '--port', '0'];
    const fine = run([...base, '--media-folder', dir, '--record-dir', join(dir, 'a', 'b')]);
    expect(await fine.exited).toBe(0);
    expect(fine.output).toContain(`ok    Media folder: ${dir}, 1 files`);
    expect(fine.output).toMatch(/^ok {4}Record folder: \S+\/a\/b, \d+ MB free$/m);
    expect(await readdir(dir)).toEqual(['ding.wav']);
    const missing = join(dir, 'none');
    // Nobody, root neither, makes a folder within a file.
    const within = join(dir, 'ding.wav', 'records');
    const sick = run([...base, '--media-folder', missing, '--record-dir', within]);
    expect(await sick.exited).toBe(1);
    await sick.line(/^bad {3}Media folder: ENOENT/);
    await sick.line(/→ .*gateway\.mediaFolder$/);
    await sick.line(/^bad {3}Record folder: /);
    await sick.line(/→ .*gateway\.recording\.dir$/);
    expect(sick.lines.at(-1)).toBe('2 problems found.');
  });

  it('reports an impossible state folder as one problem', async () => {
    const file = join(await folder(), 'file');
    await writeFile(file, '');
    const ports = ['--host', '127.0.0.1', '--port', '0', '--https-port', '0'];
    const state = ['--profile', 'production', '--state-dir', join(file, 'state')];
    const sick = run(['doctor', '--no-transcoding', ...ports, ...state]);
    expect(await sick.exited).toBe(1);
    await sick.line(/^bad {3}State folder: /);
    expect(sick.lines.at(-1)).toBe('1 problem found.');
  });

  it('reports which codecs ffmpeg has, and what calls lose without the others', async () => {
    const able = run(['doctor', '--port', '0', '--state-dir', await folder()]);
    expect(await able.exited).toBe(0);
    await able.line(/^ok {4}ffmpeg: \/.+, version \S/);
    await able.line(/^(?:ok|note) +Coders: encodes by aac, .*; decodes by vp8, /);
    const poor = join(await folder(), 'ffmpeg');
    await writeFile(
      poor,
      `#!/bin/sh\n'${(await findFfmpeg()).path}' "$@" | sed '/libx264/d; /libopenh264/d; /speex/d'\n`,
    );
    await chmod(poor, 0o755);
    const lacking = run(['doctor', '--port', '0', '--ffmpeg', poor]);
    expect(await lacking.exited).toBe(0);
    const [line] = await lacking.line(/^note {2}Coders: encodes by aac, .*$/);
    expect(line).toContain('no Speex encoder');
    expect(line).toContain('no Speex decoder');
    expect(line).not.toContain('no Opus encoder');
    await lacking.line(/→ Install an ffmpeg with libx264/);
  });

  it('names the busy port and the expired certificate', async () => {
    const dir = await folder();
    const expired = await certificate(dir, 'expired', Date.now() - 2 * DAY_MS, 1);
    const good = await certificate(dir, 'good', Date.now(), 30);
    const busy = createServer().listen(0, '127.0.0.1');
    afterTest(async () => void busy.close());
    await once(busy, 'listening');
    const { port } = busy.address() as AddressInfo;
    const file = join(dir, 'c.yaml');
    const listeners = `[{port: 0}, {port: ${port}, https: true}]`;
    await writeFile(
      file,
      `stateDir: ${dir}\nhttp: {port: 0, listeners: ${listeners}}\n` +
        `https: {enabled: true, port: 0, certFile: ${good.certPath}, keyFile: ${good.keyPath}}\n` +
        `gateway:\n  transcoding: {enabled: false}\n` +
        `  sipTls: {certFile: ${expired.certPath}, keyFile: ${expired.keyPath}}\n`,
    );
    const sick = run(['doctor', '--config', file]);
    expect(await sick.exited).toBe(1);
    await sick.line(new RegExp(`^bad {3}HTTPS port: 127\\.0\\.0\\.1:${port}: .*EADDRINUSE`));
    await sick.line(/→ Stop the program that uses it .*: http\.listeners\.1\.port$/);
    await sick.line(/^ok {4}SIP port: \d+, and \d+ for TLS can be opened/);
    await sick.line(/^bad {3}SIP certificate: expired on .*CN=expired, SHA-256 /);
    await sick.line(/→ Renew it: gateway\.sipTls\.certFile/);
    await sick.line(
      new RegExp(`^ok {4}Certificate: (?:29|30) days left, SHA-256 ${good.fingerprint256}`),
    );
    await sick.line(/^ok {4}State folder: /);
    expect(sick.lines.at(-1)).toBe('2 problems found.');
  });

  it('reports the address that peers see', async () => {
    const told = run([
      'doctor',
      '--no-transcoding',
      '--port',
      '0',
      '--public-address',
      '203.0.113.7',
    ]);
    await told.line(/^ok {4}Address: peers see 203\.0\.113\.7/);
    expect(await told.exited).toBe(0);
    const guessed = run(['doctor', '--no-transcoding', '--port', '0']);
    await guessed.line(
      /^(?:ok|note) +Address: (?:own: .*; (?:peers outside this network see \S+|no route leads out)|this machine has only loopback)/,
    );
    await guessed.line(/^ok {4}DNS: localhost resolve; name servers: /);
    await guessed.line(/^ok {4}Time: \d{4}-/);
    expect(await guessed.exited).toBe(0);
  });

  it('checks a file', async () => {
    const dir = await folder();
    const file = join(dir, 'c.yaml');
    await writeFile(file, 'gateway:\n  rtpPorts: {min: 5, max: 6}\n');
    const bad = run(['config', 'check', file]);
    expect(await bad.exited).toBe(2);
    expect(bad.lines[0]).toMatch(/c\.yaml:2:3: gateway\.rtpPorts: must be a range/);
    await writeFile(
      file,
      'gateway:\n  incoming:\n    rules:\n      - accept:\n          rtmpUrl: htp://x/live\n          rtmpStream: "{called}"\n',
    );
    const spoilt = run(['config', 'check', file]);
    expect(await spoilt.exited).toBe(2);
    expect(spoilt.lines[0]).toMatch(/c\.yaml:5:11: gateway\.incoming\.rules\.0\.accept\.rtmpUrl: /);
    await writeFile(file, 'profile: production\n');
    const good = run(['config', 'check', file]);
    expect(await good.exited).toBe(0);
    expect(good.lines).toEqual([`${file}: valid`]);
  });
});
