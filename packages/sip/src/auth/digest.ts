// Digest access authentication, the client's side (RFC 7616, RFC 8760, RFC 3261 §22).

import { createHash } from 'node:crypto';
import { SipError } from '../errors.ts';
import type { SipResponse } from '../message/message.ts';
import { quote, skipQuoted, skipSpace, skipToken, unquote } from '../message/scan.ts';

/** Who we are to a server. */
export interface DigestCredentials {
  readonly username: string;
  readonly password: string;
  /** Only challenges of this realm are answered. Default: the first realm that challenges, then only that. */
  readonly realm?: string;
}

/** One challenge: scheme in lower case, parameters with lower-case names, quotes and escapes removed. */
export interface Challenge {
  readonly scheme: string;
  readonly parameters: ReadonlyMap<string, string>;
}

/** The hash functions answered to, by the challenge's `algorithm` in lower case. */
const ALGORITHMS: ReadonlyMap<string, { readonly hash: string; readonly session: boolean }> =
  new Map([
    ['md5', { hash: 'md5', session: false }],
    ['md5-sess', { hash: 'md5', session: true }],
    ['sha-256', { hash: 'sha256', session: false }],
    ['sha-256-sess', { hash: 'sha256', session: true }],
  ]);

/** Two: the first answer to a challenge, and one more for a stale nonce or the other kind of challenge. */
const MAX_ATTEMPTS = 2;

type Side = 'server' | 'proxy';

/** An accepted challenge and how often its nonce was used. */
interface NonceState {
  readonly realm: string;
  readonly nonce: string;
  readonly opaque: string | undefined;
  /** As the server wrote it; absent means MD5 and is not repeated. */
  readonly algorithm: string | undefined;
  readonly hash: string;
  readonly session: boolean;
  readonly qop: boolean;
  readonly cnonce: string;
  count: number;
}

/**
 * Parses a WWW-Authenticate or Proxy-Authenticate value; more than one challenge in a value is understood. What does not
 * follow the grammar ends the list.
 */
export function parseChallenges(text: string): Challenge[] {
  const challenges: Challenge[] = [];
  let parameters: Map<string, string> | undefined;
  let at = skipSpace(text, 0);
  while (at < text.length) {
    const nameFrom = at;
    const nameTo = skipToken(text, nameFrom);
    if (nameTo === nameFrom) break;
    const name = text.slice(nameFrom, nameTo).toLowerCase();
    at = skipSpace(text, nameTo);
    if (text.charCodeAt(at) === 0x3d && parameters !== undefined) {
      const valueFrom = skipSpace(text, at + 1);
      const quoted = text.charCodeAt(valueFrom) === 0x22;
      const valueTo = quoted ? skipQuoted(text, valueFrom) : skipToken(text, valueFrom);
      if (valueTo < 0 || valueTo === valueFrom) break;
      if (!parameters.has(name)) {
        parameters.set(
          name,
          quoted ? unquote(text, valueFrom, valueTo) : text.slice(valueFrom, valueTo),
        );
      }
      at = skipSpace(text, valueTo);
      if (at < text.length && text.charCodeAt(at) !== 0x2c) break;
      while (text.charCodeAt(at) === 0x2c) at = skipSpace(text, at + 1);
    } else if (at > nameTo && at < text.length) {
      // A token, white space, and then no `=`: the scheme of a challenge.
      parameters = new Map();
      challenges.push({ scheme: name, parameters });
    } else {
      break;
    }
  }
  return challenges;
}

/**
 * Nonce state towards one server for one account. Keep one per call or registration: a nonce that the server accepted is
 * used again with its count increased, until the server calls it stale.
 */
export class DigestClient {
  readonly #credentials: DigestCredentials;
  readonly #random: () => string;
  readonly #nonces = new Map<Side, NonceState>();
  /** Those that challenged first. */
  readonly #realms = new Map<Side, string>();
  /** Sides answered for the request at hand. */
  readonly #answered = new Set<Side>();
  #bound = false;

  /**
   * @param random a fresh client nonce for each call: unpredictable, printable, without quotes
   * @throws SipError `ILLEGAL_CHARACTER` when username or realm hold CR, LF or NUL.
   */
  constructor(credentials: DigestCredentials, random: () => string) {
    for (const field of ['username', 'realm'] as const) {
      // oxlint-disable-next-line no-control-regex -- finding control characters is the point
      if (/[\r\n\0]/.test(credentials[field] ?? '')) {
        throw new SipError('ILLEGAL_CHARACTER', `CR, LF or NUL in ${field}`, { field });
      }
    }
    this.#credentials = credentials;
    this.#random = random;
  }

  /**
   * Takes a 401 or 407 with all its challenges. Of each kind (WWW-Authenticate, Proxy-Authenticate) the first supported
   * one in the server's order is chosen (RFC 8760 §2.4).
   *
   * @param attempt which sending of the request this answers: 1 for the first, then 2
   * @returns `retry`: send the request again with `authorization()`. `give-up`: the password is wrong, no challenge is
   * supported or of our realm, or the attempts are used up.
   */
  challenged(response: SipResponse, attempt: number): 'retry' | 'give-up' {
    if (attempt > MAX_ATTEMPTS) return 'give-up';
    if (attempt <= 1) this.#answered.clear();
    const required: Side = response.statusCode === 407 ? 'proxy' : 'server';
    let answerable = false;
    for (const side of ['server', 'proxy'] as const) {
      const header = side === 'server' ? 'www-authenticate' : 'proxy-authenticate';
      const challenge = this.#choose(side, response.headers.getAll(header));
      if (challenge === undefined) continue;
      const before = this.#nonces.get(side);
      if (attempt > 1 && this.#answered.has(side)) {
        // Refused what was just answered: only a stale nonce says that the password was right.
        const stale = challenge.parameters.get('stale')?.toLowerCase() === 'true';
        if (!stale || challenge.parameters.get('nonce') === before?.nonce) continue;
      }
      const accepted = this.#accept(challenge);
      this.#nonces.set(side, accepted);
      this.#realms.set(side, accepted.realm);
      this.#answered.add(side);
      if (side === required) answerable = true;
    }
    return answerable ? 'retry' : 'give-up';
  }

  /**
   * From now on only realms are answered that are known: given, or learned until now; and no earlier than they ask again. For a
   * request that goes to a host which the owner of the password did not choose.
   */
  bind(): void {
    this.#bound = true;
    this.#nonces.clear();
  }

  /**
   * `[header name, value]` pairs for a request. Each call uses the nonces once more (`nc`). Empty when never challenged.
   *
   * @param uri the Request-URI exactly as it is sent
   * @param _body unused: `auth-int` is not supported
   */
  authorization(method: string, uri: string, _body: Uint8Array): [string, string][] {
    const headers: [string, string][] = [];
    for (const [side, state] of this.#nonces) {
      const name = side === 'server' ? 'Authorization' : 'Proxy-Authorization';
      headers.push([name, this.#respond(state, method, uri)]);
    }
    return headers;
  }

  #choose(side: Side, values: readonly string[]): Challenge | undefined {
    // Bound to a realm: a party in the middle of a dialog cannot ask for an answer in a realm of its own.
    const realm = this.#credentials.realm ?? this.#realms.get(side);
    if (realm === undefined && this.#bound) return undefined;
    for (const value of values) {
      for (const challenge of parseChallenges(value)) {
        const parameters = challenge.parameters;
        if (challenge.scheme !== 'digest') continue;
        if (!parameters.has('realm') || !parameters.has('nonce')) continue;
        if (realm !== undefined && parameters.get('realm') !== realm) continue;
        if (!ALGORITHMS.has((parameters.get('algorithm') ?? 'md5').toLowerCase())) continue;
        const qop = parameters.get('qop');
        if (qop !== undefined && qop.trim() !== '' && !offersAuth(qop)) continue;
        return challenge;
      }
    }
    return undefined;
  }

  #accept({ parameters }: Challenge): NonceState {
    const algorithm = parameters.get('algorithm');
    const { hash, session } = ALGORITHMS.get((algorithm ?? 'md5').toLowerCase()) ?? {
      hash: 'md5',
      session: false,
    };
    return {
      realm: parameters.get('realm') ?? '',
      nonce: parameters.get('nonce') ?? '',
      opaque: parameters.get('opaque'),
      algorithm,
      hash,
      session,
      qop: offersAuth(parameters.get('qop') ?? ''),
      // One per nonce: for the -sess variants the key is made of the first request's cnonce (RFC 7616 §3.4.2), and
      // servers that take the current one instead then agree with those that remember.
      cnonce: this.#random(),
      count: 0,
    };
  }

  #respond(state: NonceState, method: string, uri: string): string {
    const { username, password } = this.#credentials;
    const hex = (text: string) => createHash(state.hash).update(text, 'utf8').digest('hex');
    state.count++;
    const nc = state.count.toString(16).padStart(8, '0');
    let a1 = hex(`${username}:${state.realm}:${password}`);
    if (state.session) a1 = hex(`${a1}:${state.nonce}:${state.cnonce}`);
    const a2 = hex(`${method}:${uri}`);
    const response = state.qop
      ? hex(`${a1}:${state.nonce}:${nc}:${state.cnonce}:auth:${a2}`)
      : hex(`${a1}:${state.nonce}:${a2}`);
    const parts = [
      `username=${quote(username)}`,
      `realm=${quote(state.realm)}`,
      `nonce=${quote(state.nonce)}`,
      `uri=${quote(uri)}`,
      `response="${response}"`,
    ];
    if (state.algorithm !== undefined) parts.push(`algorithm=${state.algorithm}`);
    if (state.qop || state.session) parts.push(`cnonce=${quote(state.cnonce)}`);
    if (state.opaque !== undefined) parts.push(`opaque=${quote(state.opaque)}`);
    if (state.qop) parts.push('qop=auth', `nc=${nc}`);
    return `Digest ${parts.join(', ')}`;
  }
}

/** Whether a `qop` list holds `auth`. */
function offersAuth(qop: string): boolean {
  return qop.split(',').some((option) => option.trim().toLowerCase() === 'auth');
}
