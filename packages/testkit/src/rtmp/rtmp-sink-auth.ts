// The server side of Adobe and Limelight authentication for the RTMP sink, written from public descriptions and
// independently of the client that it tests.

import { createHash, randomBytes } from 'node:crypto';

/** Credentials that a sink requires from publishers. */
export interface RtmpSinkAuth {
  readonly scheme: 'adobe' | 'llnw';
  readonly username: string;
  readonly password: string;
  /** Adobe only: also send an opaque value, which clients then sign instead of the challenge. Default false. */
  readonly opaque?: boolean;
}

/** Challenges and checks publishers. One per sink: its challenge outlives a connection. */
export class SinkAuthenticator {
  readonly #auth: RtmpSinkAuth;
  readonly #salt: string = randomBytes(4).toString('hex');
  readonly #challenge: string = randomBytes(6).toString('base64');
  readonly #opaque: string = randomBytes(6).toString('base64');

  constructor(auth: RtmpSinkAuth) {
    this.#auth = auth;
  }

  /** Checks the `app` of a `connect`: true, or the description for the refusal. */
  check(app: string): true | string {
    const { scheme, username } = this.#auth;
    const [path = '', query = ''] = app.split('?', 2);
    const field = (name: string): string | undefined => {
      const pair = query.split('&').find((one) => one.startsWith(`${name}=`));
      return pair?.slice(name.length + 1);
    };
    if (field('authmod') !== scheme)
      return `[ AccessManager.Reject ] : [ code=403 need auth; authmod=${scheme} ] : `;
    const head = `[ AccessManager.Reject ] : [ authmod=${scheme} ] : ?reason=`;
    if (decodeURIComponent(field('user') ?? '') !== username) return `${head}nosuchuser`;
    const response = field('response');
    if (response === undefined) return `${head}needauth&user=${username}&${this.#puzzle()}`;
    const expected = scheme === 'adobe' ? this.#adobe(field) : this.#limelight(path, field);
    return response === expected || `${head}authfailed`;
  }

  #puzzle(): string {
    if (this.#auth.scheme === 'llnw') return `nonce=${this.#challenge}`;
    const opaque = this.#auth.opaque === true ? `&opaque=${this.#opaque}` : '';
    return `salt=${this.#salt}&challenge=${this.#challenge}${opaque}`;
  }

  #adobe(field: (name: string) => string | undefined): string {
    const { username, password, opaque } = this.#auth;
    const first = hash('base64', username + this.#salt + password);
    const theirs = field('challenge') ?? '';
    return hash('base64', first + (opaque === true ? this.#opaque : this.#challenge) + theirs);
  }

  #limelight(path: string, field: (name: string) => string | undefined): string {
    const { username, password } = this.#auth;
    const instance = path.includes('/') ? path : `${path}/_definst_`;
    return hash(
      'hex',
      [
        hash('hex', `${username}:live:${password}`),
        this.#challenge,
        field('nc'),
        field('cnonce'),
        'auth',
        hash('hex', `publish:/${instance}`),
      ].join(':'),
    );
  }
}

function hash(encoding: 'hex' | 'base64', text: string): string {
  return createHash('md5').update(text).digest(encoding);
}
