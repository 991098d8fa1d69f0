// Stored forms of passwords and tokens: scrypt for passwords, SHA-256 for tokens, which are random.

import { createHash, randomBytes, scrypt, timingSafeEqual } from 'node:crypto';
import type { ScryptOptions } from 'node:crypto';

/** 16 MiB and about 0.1 s of one core, which each guess costs as well. */
const COST = { N: 16_384, r: 8, p: 5 } as const;
const KEY_BYTES = 32;
/** Maximum cost that a file may request. A higher one in a bad line could stall the server. */
const MAX_COST = 1 << 20;
const FORM = /^scrypt\$(\d{1,7})\$(\d{1,2})\$(\d{1,2})\$([\w-]{16,88})\$([\w-]{43})$/;

/** `scrypt$N$r$p$salt$key`, with a new salt. */
export async function hashPassword(password: string): Promise<string> {
  const salt = randomBytes(16);
  const key = await derive(password, salt, COST);
  const { N, r, p } = COST;
  return `scrypt$${N}$${r}$${p}$${salt.toString('base64url')}$${key.toString('base64url')}`;
}

/** Whether a text has the form that {@link hashPassword} produces, at an acceptable cost. */
export function isPasswordHash(text: string): boolean {
  const [, n, r, p] = FORM.exec(text) ?? [];
  const [N, blocks, lanes] = [Number(n), Number(r), Number(p)];
  const isPower = N > 1 && (N & (N - 1)) === 0;
  return isPower && blocks > 0 && lanes > 0 && N * blocks * lanes <= MAX_COST;
}

/** Whether a password matches a hash. The time depends on the hash alone. */
export async function verifyPassword(password: string, hash: string): Promise<boolean> {
  const [, n, r, p, salt = '', key = ''] = FORM.exec(hash) ?? [];
  if (!isPasswordHash(hash)) return false;
  const cost = { N: Number(n), r: Number(r), p: Number(p) };
  const found = await derive(password, Buffer.from(salt, 'base64url'), cost);
  return timingSafeEqual(found, Buffer.from(key, 'base64url'));
}

/** `sha256$…` of a token. */
export function hashToken(token: string): string {
  return `sha256$${createHash('sha256').update(token).digest('hex')}`;
}

/** An unguessable secret for typing or copying: 144 bits. */
export function randomSecret(): string {
  return randomBytes(18).toString('base64url');
}

function derive(
  password: string,
  salt: Buffer,
  { N, r, p }: { readonly N: number; readonly r: number; readonly p: number },
): Promise<Buffer> {
  const options: ScryptOptions = { N, r, p, maxmem: 256 * N * r };
  return new Promise((resolve, reject) => {
    scrypt(password.normalize('NFC'), salt, KEY_BYTES, options, (error, key) => {
      if (error) reject(error);
      else resolve(key);
    });
  });
}
