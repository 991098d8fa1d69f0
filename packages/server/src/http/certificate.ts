// The HTTPS certificate: the configured one, or a generated one that is stored and renewed before it expires.

import { X509Certificate } from 'node:crypto';
import { mkdir, readFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { createSecureContext } from 'node:tls';
import { ServerError } from '../errors.ts';
import { replaceFile } from '../replace-file.ts';
import { makeSelfSigned } from './self-signed.ts';

/** The source of the certificate. */
export interface CertificateOptions {
  /** PEM: certificate with its chain. Default: generated. */
  readonly certFile?: string | undefined;
  /** PEM: its private key. */
  readonly keyFile?: string | undefined;
  /** Names and addresses in a generated certificate. Default: the machine's names and `localhost`. */
  readonly names?: readonly string[] | undefined;
}

/** A certificate for the server. */
export interface Certificate {
  readonly cert: string;
  readonly key: string;
  /** SHA-256 fingerprint, as shown by browsers. */
  readonly fingerprint256: string;
  readonly expiresMs: number;
  readonly isSelfSigned: boolean;
}

/** Browsers accept no longer validity from authorities, and some not even for self-signed certificates. */
const VALID_DAYS = 397;
/** Renewed this long before it expires. */
const ROTATE_MS = 30 * 86_400_000;

/**
 * Reads the certificate, or generates one in `stateDir`.
 * @throws ServerError (rejection) `INVALID_ARGUMENT` naming the file
 */
export async function openCertificate(
  options: CertificateOptions,
  stateDir: string,
  nowMs: number,
): Promise<Certificate> {
  const { certFile, keyFile } = options;
  if ((certFile === undefined) !== (keyFile === undefined)) {
    const missing = certFile === undefined ? 'https.certFile' : 'https.keyFile';
    throw new ServerError('INVALID_ARGUMENT', `${missing} is missing`, missing);
  }
  if (certFile !== undefined && keyFile !== undefined) {
    const [cert, key] = await Promise.all([
      read(certFile, 'https.certFile'),
      read(keyFile, 'https.keyFile'),
    ]);
    return check(cert, key, false);
  }
  const paths = [join(stateDir, 'https-cert.pem'), join(stateDir, 'https-key.pem')] as const;
  const kept = await readKept(...paths);
  const names = options.names ?? [hostname(), 'localhost', '127.0.0.1', '::1'];
  if (kept && kept.expiresMs - nowMs > ROTATE_MS && hasNames(kept, names)) return kept;
  const made = makeSelfSigned(names, nowMs, VALID_DAYS);
  try {
    await mkdir(stateDir, { recursive: true, mode: 0o700 });
    await replaceFile(paths[1], made.key);
    await replaceFile(paths[0], made.cert);
  } catch (error) {
    const problem = `stateDir: ${error instanceof Error ? error.message : String(error)}`;
    throw new ServerError('INVALID_ARGUMENT', problem, 'stateDir', error);
  }
  return check(made.cert, made.key, true);
}

async function read(file: string, field: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    const problem = `${field}: ${error instanceof Error ? error.message : String(error)}`;
    throw new ServerError('INVALID_ARGUMENT', problem, field, error);
  }
}

async function readKept(certPath: string, keyPath: string): Promise<Certificate | undefined> {
  try {
    const [cert, key] = await Promise.all([readFile(certPath, 'utf8'), readFile(keyPath, 'utf8')]);
    return check(cert, key, true);
  } catch {
    // Missing, or truncated by a crash: a new one is generated.
    return undefined;
  }
}

function check(cert: string, key: string, isSelfSigned: boolean): Certificate {
  try {
    createSecureContext({ cert, key });
    const { fingerprint256, validTo } = new X509Certificate(cert);
    return { cert, key, fingerprint256, expiresMs: Date.parse(validTo), isSelfSigned };
  } catch (error) {
    const problem = `https: certificate and key cannot be used: ${error instanceof Error ? error.message : String(error)}`;
    throw new ServerError('INVALID_ARGUMENT', problem, 'https.certFile', error);
  }
}

function hasNames({ cert }: Certificate, names: readonly string[]): boolean {
  const x509 = new X509Certificate(cert);
  return names.every((name) => (isIP(name) === 0 ? x509.checkHost(name) : x509.checkIP(name)));
}
