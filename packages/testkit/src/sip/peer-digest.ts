// The server side of digest authentication (RFC 7616, RFC 8760): challenges, and checks every parameter of the answer.

import { createHash, randomBytes } from 'node:crypto';

/** Credentials that the phone requires. */
export interface PeerAuth {
  /** Default `testkit`. */
  readonly realm?: string;
  readonly username: string;
  readonly password: string;
  /** Default `MD5`. */
  readonly algorithm?: 'MD5' | 'SHA-256';
  /** 401 with WWW-Authenticate (default), or 407 with Proxy-Authenticate. */
  readonly status?: 401 | 407;
  /** Call the first nonce stale, once. Default false. */
  readonly stale?: boolean;
  /** `auth` (default), or none as in RFC 2069. */
  readonly qop?: 'auth' | 'none';
}

/** The verdict on a request. */
export type AuthVerdict =
  | { readonly passed: true }
  | {
      readonly passed: false;
      /** Name and value of the challenge. */
      readonly challenge: readonly [string, string];
      /** The reason; undefined without credentials, or if the nonce was declared stale as scripted. */
      readonly fault: string | undefined;
    };

/** The nonces of one phone and account. */
export class DigestChallenger {
  readonly #auth: PeerAuth;
  /** Nonce → largest count used. */
  readonly #nonces = new Map<string, number>();
  #stalePending: boolean;

  constructor(auth: PeerAuth) {
    this.#auth = auth;
    this.#stalePending = auth.stale ?? false;
  }

  /** Name of the credentials header. */
  get credentialsHeader(): 'authorization' | 'proxy-authorization' {
    return this.#auth.status === 407 ? 'proxy-authorization' : 'authorization';
  }

  /** Checks one request. @param credentials - Value of the credentials header, if any. */
  check(method: string, uri: string, credentials: string | undefined): AuthVerdict {
    if (credentials === undefined) return this.#refuse(false, undefined);
    const given = parseCredentials(credentials);
    if (given === undefined) return this.#refuse(false, 'credentials are no Digest');
    const fault = this.#faultOf(method, uri, given);
    if (fault !== undefined) return this.#refuse(false, fault);
    if (this.#stalePending) {
      this.#stalePending = false;
      this.#nonces.delete(given.get('nonce') ?? '');
      return this.#refuse(true, undefined);
    }
    return { passed: true };
  }

  #faultOf(method: string, uri: string, given: ReadonlyMap<string, string>): string | undefined {
    const { username, password, algorithm = 'MD5', qop = 'auth' } = this.#auth;
    const realm = this.#auth.realm ?? 'testkit';
    const hash = (text: string): string =>
      createHash(algorithm === 'MD5' ? 'md5' : 'sha256')
        .update(text)
        .digest('hex');
    const nonce = given.get('nonce') ?? '';
    if (given.get('username') !== username) return 'wrong username';
    if (given.get('realm') !== realm) return 'wrong realm';
    const used = this.#nonces.get(nonce);
    if (used === undefined) return 'unknown nonce';
    if (given.get('uri') !== uri) return 'digest uri is not the Request-URI';
    if (given.get('opaque') !== OPAQUE) return 'opaque was not returned';
    const named = given.get('algorithm');
    if (named !== undefined ? named !== algorithm : algorithm !== 'MD5') return 'wrong algorithm';
    const ha1 = hash(`${username}:${realm}:${password}`);
    const ha2 = hash(`${method}:${uri}`);
    if (qop === 'none') {
      if (given.has('qop')) return 'qop was not offered';
      return given.get('response') === hash(`${ha1}:${nonce}:${ha2}`)
        ? undefined
        : 'wrong response';
    }
    const count = given.get('nc') ?? '';
    const cnonce = given.get('cnonce');
    if (given.get('qop') !== 'auth') return 'qop is not auth';
    if (!/^[0-9a-f]{8}$/.test(count)) return 'nc is not eight hexadecimal digits';
    if (Number.parseInt(count, 16) !== used + 1) return `nc is ${count} after ${used}`;
    if (cnonce === undefined || cnonce === '') return 'no cnonce';
    if (given.get('response') !== hash(`${ha1}:${nonce}:${count}:${cnonce}:auth:${ha2}`)) {
      return 'wrong response';
    }
    this.#nonces.set(nonce, used + 1);
    return undefined;
  }

  #refuse(stale: boolean, fault: string | undefined): AuthVerdict {
    const { algorithm = 'MD5', status = 401, qop = 'auth', realm = 'testkit' } = this.#auth;
    const nonce = randomBytes(12).toString('hex');
    this.#nonces.set(nonce, 0);
    const value =
      `Digest realm="${realm}", nonce="${nonce}", opaque="${OPAQUE}", algorithm=${algorithm}` +
      `${qop === 'auth' ? ', qop="auth"' : ''}${stale ? ', stale=true' : ''}`;
    const name = status === 407 ? 'proxy-authenticate' : 'www-authenticate';
    return { passed: false, challenge: [name, value], fault };
  }
}

const OPAQUE = 'testkit-opaque';

/** Parameters of `Digest a="b", c=d`; undefined if the text does not follow that grammar. */
export function parseCredentials(text: string): Map<string, string> | undefined {
  const scheme = /^Digest\s+/i.exec(text);
  if (scheme === null) return undefined;
  const parameters = new Map<string, string>();
  const pattern = /([A-Za-z0-9_-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s",]+))\s*(,\s*|$)/y;
  pattern.lastIndex = scheme[0].length;
  while (pattern.lastIndex < text.length) {
    const match = pattern.exec(text);
    if (match === null) return undefined;
    const name = match[1]!.toLowerCase();
    if (parameters.has(name)) return undefined;
    parameters.set(name, match[2]?.replace(/\\(.)/g, '$1') ?? match[3]!);
  }
  return parameters;
}
