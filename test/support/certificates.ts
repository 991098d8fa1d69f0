// An authority of our own and certificates for every fault, made by openssl when a test needs them.

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { X509Certificate } from 'node:crypto';
import { run } from './programs.ts';

/** A certificate and its key. */
export interface CertificateFiles {
  readonly certPath: string;
  readonly keyPath: string;
  readonly cert: string;
  readonly key: string;
  /** As `node:tls` writes it, with colons. */
  readonly fingerprint256: string;
}

/** An authority and what it has signed. */
export interface TestAuthority {
  /** PEM. */
  readonly ca: string;
  /** For `127.0.0.1` and `localhost`, for 30 days. */
  readonly good: CertificateFiles;
  /** For `other.example`. */
  readonly wrongName: CertificateFiles;
  /** For the domain `pbx.example` and all hosts of it, but for no address. */
  readonly domain: CertificateFiles;
  /** Ended yesterday. */
  readonly expired: CertificateFiles;
  /** Signed by itself. */
  readonly selfSigned: CertificateFiles;
}

const HERE = 'subjectAltName=DNS:localhost,IP:127.0.0.1';

/** Makes them in `dir`. */
export async function makeTestAuthority(dir: string): Promise<TestAuthority> {
  const at = (name: string): string => join(dir, name);
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  const read = (name: string): CertificateFiles => {
    const [certPath, keyPath] = [at(`${name}.pem`), at(`${name}.key`)];
    const cert = readFileSync(certPath, 'utf8');
    const { fingerprint256 } = new X509Certificate(cert);
    return { certPath, keyPath, cert, key: readFileSync(keyPath, 'utf8'), fingerprint256 };
  };
  const self = async (name: string, extra: string[]): Promise<void> => {
    const out = ['-keyout', at(`${name}.key`), '-out', at(`${name}.pem`)];
    await run('openssl', ['req', '-x509', ...curve, ...out, '-subj', `/CN=${name}`, ...extra]);
  };
  const signed = async (name: string, names: string, days: string): Promise<CertificateFiles> => {
    const out = ['-keyout', at(`${name}.key`), '-out', at(`${name}.csr`)];
    await run('openssl', ['req', ...curve, ...out, '-subj', `/CN=${name}`]);
    writeFileSync(at(`${name}.ext`), `${names}\n`);
    const from = ['-in', at(`${name}.csr`), '-extfile', at(`${name}.ext`)];
    const by = ['-CA', at('ca.pem'), '-CAkey', at('ca.key'), '-CAcreateserial', '-days', days];
    await run('openssl', ['x509', '-req', ...from, '-out', at(`${name}.pem`), ...by]);
    return read(name);
  };
  await self('ca', ['-days', '30']);
  await self('self-signed', ['-days', '30', '-addext', HERE]);
  return {
    ca: readFileSync(at('ca.pem'), 'utf8'),
    good: await signed('good', HERE, '30'),
    wrongName: await signed('wrong-name', 'subjectAltName=DNS:other.example', '30'),
    domain: await signed('domain', 'subjectAltName=DNS:pbx.example,DNS:*.pbx.example', '30'),
    expired: await signed('expired', HERE, '-1'),
    selfSigned: read('self-signed'),
  };
}
