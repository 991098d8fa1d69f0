import { X509Certificate } from 'node:crypto';
import { mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { openCertificate } from './certificate.ts';
import { makeSelfSigned } from './self-signed.ts';

const DAY_MS = 86_400_000;
const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup();
});

async function folder(): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'certificate-'));
  cleanups.push(() => rm(dir, { recursive: true }));
  return dir;
}

describe('self-signed certificate', () => {
  it('is signed by its own key, for a server with these names', () => {
    const names = ['sip.example.com', '192.0.2.1', '2001:db8::1:2', '::ffff:192.0.2.7'];
    const { cert, key } = makeSelfSigned(names, Date.UTC(2026, 0, 2), 397);
    const x509 = new X509Certificate(cert);
    expect(x509.verify(x509.publicKey)).toBe(true);
    expect(x509.ca).toBe(false);
    expect(x509.subject).toBe('CN=sip.example.com');
    expect(x509.checkHost('sip.example.com')).toBe('sip.example.com');
    expect(x509.checkHost('other.example.com')).toBeUndefined();
    for (const address of names.slice(1)) expect(x509.checkIP(address)).toBe(address);
    expect(Date.parse(x509.validFrom)).toBe(Date.UTC(2026, 0, 1));
    expect(Date.parse(x509.validTo)).toBe(Date.UTC(2026, 0, 2) + 397 * DAY_MS);
    expect(key).toMatch(/^-----BEGIN PRIVATE KEY-----/);
  });

  it('has a unique serial number, and dates beyond 2049', () => {
    const serials = [1, 2, 3].map(
      () => new X509Certificate(makeSelfSigned(['a'], 0, 1).cert).serialNumber,
    );
    expect(new Set(serials).size).toBe(3);
    const late = new X509Certificate(makeSelfSigned(['a'], Date.UTC(2049, 11, 31), 10).cert);
    expect(Date.parse(late.validTo)).toBe(Date.UTC(2050, 0, 10));
  });
});

describe('certificate of the server', () => {
  it('is generated, stored for its owner only, and renewed before it expires', async () => {
    const dir = join(await folder(), 'state');
    const nowMs = Date.UTC(2026, 5, 1);
    const first = await openCertificate({}, dir, nowMs);
    expect(first.isSelfSigned).toBe(true);
    expect((await readdir(dir)).toSorted()).toEqual(['https-cert.pem', 'https-key.pem']);
    for (const name of await readdir(dir))
      expect((await stat(join(dir, name))).mode & 0o77).toBe(0);
    const { fingerprint256 } = first;
    expect(fingerprint256).toMatch(/^(?:[0-9A-F]{2}:){31}[0-9A-F]{2}$/);
    const again = await openCertificate({}, dir, nowMs + 366 * DAY_MS);
    expect(again.fingerprint256).toBe(fingerprint256);
    const rotated = await openCertificate({}, dir, nowMs + 368 * DAY_MS);
    expect(rotated.fingerprint256).not.toBe(fingerprint256);
    // Other names need another certificate.
    const named = await openCertificate({ names: ['b'] }, dir, nowMs + 368 * DAY_MS);
    expect(new X509Certificate(named.cert).checkHost('b')).toBe('b');
  });

  it('is generated again if the stored one is damaged', async () => {
    const dir = await folder();
    const { fingerprint256 } = await openCertificate({}, dir, Date.now());
    await writeFile(join(dir, 'https-key.pem'), '-----BEGIN');
    expect((await openCertificate({}, dir, Date.now())).fingerprint256).not.toBe(fingerprint256);
  });

  it('is the configured one', async () => {
    const dir = await folder();
    const [certFile, keyFile, other] = ['c', 'k', 'o'].map((name) => join(dir, name));
    const { cert, key } = makeSelfSigned(['a'], Date.now(), 5);
    await writeFile(certFile as string, cert);
    await writeFile(keyFile as string, key);
    await writeFile(other as string, makeSelfSigned(['a'], Date.now(), 5).key);
    expect(await openCertificate({ certFile, keyFile }, dir, Date.now())).toMatchObject({
      cert,
      key,
      isSelfSigned: false,
    });
    for (const [options, field] of [
      [{ certFile }, 'https.keyFile'],
      [{ keyFile }, 'https.certFile'],
      [{ certFile, keyFile: other }, 'https.certFile'],
      [{ certFile, keyFile: '/nowhere' }, 'https.keyFile'],
    ] as const)
      await expect(openCertificate(options, dir, Date.now())).rejects.toMatchObject({
        code: 'INVALID_ARGUMENT',
        field,
      });
    expect((await readdir(dir)).toSorted()).toEqual(['c', 'k', 'o']);
  });
});
