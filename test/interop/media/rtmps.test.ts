// RTMPS with certificates that openssl made: what is let in, and that everything else fails closed.

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { RtmpSink } from '@sipcast/testkit';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { RtmpTlsOptions } from '@sipcast/media';
import { openGateway, openPhone, openSink } from '../../support/call-ends.ts';
import { makeTestAuthority } from '../../support/certificates.ts';
import type { CertificateFiles, TestAuthority } from '../../support/certificates.ts';
import { afterTest } from '../../support/cleanup.ts';
import { decodeErrors, summarizeFlv } from '../../support/flv-check.ts';
import { makeFolder } from '../../support/folder.ts';
import { startNginxRtmp } from '../../support/nginx-rtmp.ts';
import { freeTcpPort, waitForTcp } from '../../support/ports.ts';
import { describeWith, start } from '../../support/programs.ts';
import { testTag, watchPublisher } from '../../support/rtmp-watch.ts';

let dir: string;
let authority: TestAuthority;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rtmps-'));
});
afterAll(async () => {
  await rm(dir, { recursive: true, force: true });
});

describeWith(['openssl'], 'RTMPS', () => {
  beforeAll(async () => {
    authority = await makeTestAuthority(dir);
  });

  const openTlsSink = (
    { cert, key }: CertificateFiles,
    more: Record<string, unknown> = {},
  ): Promise<RtmpSink> => openSink({ tls: { cert, key, ...more } });

  async function outcome(url: string, tls?: RtmpTlsOptions): Promise<string> {
    const watched = watchPublisher(url, tls ? { tls } : {});
    afterTest(() => watched.publisher.close());
    const error = await Promise.race([watched.publishing.then(() => undefined), watched.ended]);
    if (!error) {
      expect(watched.publisher.push(testTag('key-frame', 0, 100_000))).toBe('sent');
      await watched.publisher.close();
    }
    return error ? `${error.code} ${error.reason}` : 'let in';
  }

  it('accepts only servers signed by its authority, by name and by address', async () => {
    const { ca, good, wrongName, expired, selfSigned } = authority;
    const trust = { ca };
    const sink = await openTlsSink(good);
    const byName = sink.url.replace('127.0.0.1', 'localhost');
    expect(await outcome(sink.url, trust)).toBe('let in');
    expect(await outcome(byName, trust)).toBe('let in');
    const [publication] = sink.publications;
    await publication?.ended;
    expect(publication?.tags[0]?.body).toHaveLength(100_000);
    const refusals: [CertificateFiles, RtmpTlsOptions | undefined, string][] = [
      [good, undefined, 'UNABLE_TO_VERIFY_LEAF_SIGNATURE'],
      [wrongName, trust, 'ERR_TLS_CERT_ALTNAME_INVALID'],
      [expired, trust, 'CERT_HAS_EXPIRED'],
      [selfSigned, trust, 'DEPTH_ZERO_SELF_SIGNED_CERT'],
    ];
    for (const [certificate, tls, reason] of refusals) {
      const other = await openTlsSink(certificate);
      expect(await outcome(other.url, tls)).toBe(`TLS_FAILED ${reason}`);
      expect(other.publications).toEqual([]);
    }
  });

  it('takes a pinned certificate whatever its name, date and chain, and no other', async () => {
    const { ca, good, wrongName, expired, selfSigned } = authority;
    for (const certificate of [wrongName, expired, selfSigned]) {
      const sink = await openTlsSink(certificate);
      const { fingerprint256 } = certificate;
      expect(await outcome(sink.url, { fingerprint256 })).toBe('let in');
      const plain = fingerprint256.replaceAll(':', '').toLowerCase();
      expect(await outcome(sink.url, { fingerprint256: plain })).toBe('let in');
      expect(await outcome(sink.url, { ca, fingerprint256: good.fingerprint256 })).toBe(
        'TLS_FAILED FINGERPRINT_MISMATCH',
      );
    }
  });

  it('skips the check only if explicitly configured', async () => {
    const sink = await openTlsSink(authority.expired);
    expect(await outcome(sink.url, { insecure: true })).toBe('let in');
    expect(await outcome(sink.url, { insecure: false })).toBe('TLS_FAILED CERT_HAS_EXPIRED');
  });

  it('names the server in SNI, and no address', async () => {
    const names: string[] = [];
    const SNICallback = (name: string, done: (error: null) => void): void => {
      names.push(name);
      done(null);
    };
    const sink = await openTlsSink(authority.good, { SNICallback });
    await outcome(sink.url, { ca: authority.ca });
    await outcome(sink.url.replace('127.0.0.1', 'localhost'), { ca: authority.ca });
    expect(names).toEqual(['localhost']);
  });

  it('speaks no TLS before 1.2', async () => {
    const old = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' };
    const sink = await openTlsSink(authority.good, old);
    expect(await outcome(sink.url, { ca: authority.ca })).toMatch(
      /^TLS_FAILED ERR_SSL_(TLSV1_ALERT_PROTOCOL_VERSION|UNSUPPORTED_PROTOCOL)$/,
    );
    expect(await outcome(sink.url, { insecure: true })).toMatch(/^TLS_FAILED/);
  });

  it('waits no longer than its time-out for a server that is silent, and names one without TLS', async () => {
    const sockets = new Set<Socket>();
    const server = createServer((socket) => {
      sockets.add(socket.on('error', () => {}));
    });
    await new Promise<void>((resolve) => {
      server.listen(0, '127.0.0.1', resolve);
    });
    afterTest(() => {
      for (const socket of sockets) socket.destroy();
      server.close();
    });
    const url = `rtmps://127.0.0.1:${(server.address() as AddressInfo).port}/live`;
    const silent = watchPublisher(url, { handshakeTimeoutMs: 200 });
    expect(await silent.ended).toMatchObject({ code: 'TIMEOUT' });

    const closing = createServer((socket) => socket.on('error', () => {}).destroy());
    await new Promise<void>((resolve) => {
      closing.listen(0, '127.0.0.1', resolve);
    });
    afterTest(() => closing.close());
    const closingUrl = `rtmps://127.0.0.1:${(closing.address() as AddressInfo).port}/live`;
    // As a terminator does that is being restarted: it may pass.
    expect(await watchPublisher(closingUrl).ended).toMatchObject({ code: 'CONNECT_FAILED' });

    const plain = await openSink();
    const confused = watchPublisher(plain.url.replace('rtmp:', 'rtmps:'), {
      handshakeTimeoutMs: 300,
    });
    expect((await confused.ended)?.code).toMatch(/TIMEOUT|TLS_FAILED/);
  });
});

describeWith(
  ['openssl', 'stunnel', 'nginx', 'ffmpeg'],
  'RTMPS through stunnel to nginx-rtmp',
  () => {
    it('records a call, over TLS from end to end, without a decode error', async () => {
      const folder = await makeFolder();
      const { ca, good } = await makeTestAuthority(folder);
      const nginx = await startNginxRtmp(folder);
      afterTest(() => nginx.stop());
      const port = await freeTcpPort();
      const config = join(folder, 'stunnel.conf');
      await writeFile(
        config,
        `foreground = yes
pid =
[rtmps]
accept = 127.0.0.1:${port}
connect = 127.0.0.1:${nginx.port}
cert = ${good.certPath}
key = ${good.keyPath}
sslVersionMin = TLSv1.2
`,
      );
      const stunnel = start('stunnel', [config]);
      afterTest(() => stunnel.stop());
      await waitForTcp(port);
      const peer = await openPhone({ t1Ms: 100 });
      const gateway = await openGateway({ rtmp: { tls: { ca } } });
      const rtmpUrl = `rtmps://localhost:${port}/live`;
      const call = await gateway.startup({ callee: peer.uri, rtmpUrl, rtmpStream: 'cam' });
      await call.established();
      await expect.poll(() => call.rtmpStreamStatus, { timeout: 5000 }).toBe('RTMP_STREAM_ACTIVE');
      await new Promise((resolve) => {
        setTimeout(resolve, 3000);
      });
      await call.terminate();
      await expect.poll(() => nginx.recordings().length).toBe(1);
      await new Promise((resolve) => {
        setTimeout(resolve, 300);
      });
      const [file = ''] = nginx.recordings();
      expect(await decodeErrors(file)).toBe('');
      const recorded = summarizeFlv(file);
      expect(recorded.video.slice(0, 2)).toEqual(['header', 'key']);
      expect(recorded.videoTimesMs.length).toBeGreaterThan(50);
    });
  },
);
