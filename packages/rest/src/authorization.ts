// Who may do what: scopes, and HTTP Basic with one account.

import { createHash, timingSafeEqual } from 'node:crypto';
import { RestError } from './errors.ts';

/** `read`: find and view. `calls`: also place and change calls and pushes. `admin`: everything, including SIP messages. */
export type RestScope = 'read' | 'calls' | 'admin';

/** Credentials of a request. */
export interface RestCredentials {
  /** The Authorization header. */
  readonly authorization: string | undefined;
  /** IP address. */
  readonly clientAddress: string;
}

/**
 * Lets a request through, or throws (rejects with) a `RestError`: 401 through {@link unauthorized}, 403, 429.
 */
export type Authorize = (credentials: RestCredentials, scope: RestScope) => void | Promise<void>;

/** A request without the right credentials. */
export function unauthorized(): RestError {
  const challenge = { 'www-authenticate': 'Basic realm="sipcast", charset="UTF-8"' };
  const problem = 'User name and password are required';
  return new RestError(401, 'UNAUTHORIZED', problem, {
    field: 'authorization',
    headers: challenge,
  });
}

/** User name and password of an `Authorization` header, if it is one of HTTP Basic (RFC 7617). */
export function readBasic(
  header: string | undefined,
): { readonly username: string; readonly password: string } | undefined {
  const encoded = /^Basic\s+([A-Za-z0-9+/=]+)\s*$/i.exec(header ?? '')?.[1];
  if (encoded === undefined) return undefined;
  const text = Buffer.from(encoded, 'base64').toString('utf8');
  const colon = text.indexOf(':');
  return colon < 0
    ? undefined
    : { username: text.slice(0, colon), password: text.slice(colon + 1) };
}

/**
 * HTTP Basic with one account for all scopes; without an account every request is allowed.
 * @throws TypeError when the name or password is empty, which usually means that a variable is not set
 */
export function basicAuthorization(
  account: { readonly username: string; readonly password: string } | undefined,
): Authorize {
  if (!account) return () => {};
  for (const field of ['username', 'password'] as const)
    requireText(`basicAuth.${field}`, account[field]);
  // Digests have equal lengths, whatever the client sent: comparing them takes the same time.
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
  const expected = digest(`${account.username}:${account.password}`);
  return ({ authorization }) => {
    const { username, password } = readBasic(authorization) ?? { username: '', password: '' };
    if (!timingSafeEqual(digest(`${username}:${password}`), expected)) throw unauthorized();
  };
}

/**
 * Requires a secret that is not empty: anyone can guess an empty one.
 * @throws TypeError naming the option
 */
export function requireText(option: string, value: unknown): void {
  if (typeof value !== 'string' || value === '')
    throw new TypeError(`${option} must be a text that is not empty`);
}
