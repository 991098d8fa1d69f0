// The client side of digest authentication (RFC 7616, RFC 8760, RFC 3261 §22).

import { createHash } from 'node:crypto';
import { SipError } from '../errors.ts';
import type { SipResponse } from '../message/message.ts';
import { quote, skipQuoted, skipSpace, skipToken, unquote } from '../message/scan.ts';

/** Our credentials for a server. */
export interface DigestCredentials {
  readonly username: string;
  readonly password: string;
  /** Only challenges for this realm are answered. Default: the first realm that challenges. */
  readonly realm?: string;
  /**
   * Further realms (of proxies on the way) that are also answered with this account. `any`: all that challenge, at most
   * four. Any server that challenges learns a hash of the password, which is open to offline attack. Default: none.
   */
  readonly realms?: 'any' | readonly string[];
}

/** Maximum number of realms answered for one request. */
const MAX_REALMS = 4;

/** One challenge: lower-case scheme and parameter names, quotes and escapes removed. */
export interface Challenge {
  readonly scheme: string;
  readonly parameters: ReadonlyMap<string, string>;
}

/** Supported hash functions, keyed by the challenge's `algorithm` in lower case. */
const ALGORITHMS: ReadonlyMap<string, { readonly hash: string; readonly session: boolean }> =
  new Map([
    ['md5', { hash: 'md5', session: false }],
    ['md5-sess', { hash: 'md5', session: true }],
    ['sha-256', { hash: 'sha256', session: false }],
    ['sha-256-sess', { hash: 'sha256', session: true }],
  ]);

/** Attempts per realm: the first, and one more after a stale nonce. */
const MAX_ATTEMPTS = 2;

type Side = 'server' | 'proxy';

/** An accepted challenge and how often its nonce has been used. */
interface NonceState {
  readonly realm: string;
  readonly nonce: string;
  readonly opaque: string | undefined;
  /** As the server wrote it. Absent means MD5, and is not repeated. */
  readonly algorithm: string | undefined;
  readonly hash: string;
  readonly session: boolean;
  readonly qop: 'auth' | 'auth-int' | undefined;
  readonly cnonce: string;
  count: number;
}

/**
 * Parses a WWW-Authenticate or Proxy-Authenticate value, which may contain several challenges. Malformed text ends the
 * list.
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
      // A token and white space without a following `=`: the scheme of a new challenge.
      parameters = new Map();
      challenges.push({ scheme: name, parameters });
    } else {
      break;
    }
  }
  return challenges;
}

/**
 * Nonce state for one account on one server. Keep one per call or registration: an accepted nonce is reused with an
 * incremented count until the server calls it stale.
 */
export class DigestClient {
  readonly #credentials: DigestCredentials;
  readonly #random: () => string;
  /** Keyed by side and realm. */
  readonly #nonces = new Map<string, NonceState>();
  /** The realms that challenged first. */
  readonly #realms = new Map<Side, string>();
  /** Side and realm of the challenges answered for the current request. */
  readonly #answered = new Set<string>();
  #bound = false;

  /**
   * @param random returns a fresh client nonce on each call: unpredictable, printable, without quotes
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
   * Processes a 401 or 407 with all its challenges. For each header (WWW-Authenticate, Proxy-Authenticate) and realm it
   * selects the first supported challenge in the server's order (RFC 8760 §2.4). It does not check that the header fits
   * the status: some gateways send 401 with Proxy-Authenticate.
   *
   * @param attempt which transmission of the request this answers, from 1
   * @returns `retry`: send the request again with `authorization()`. `give-up`: the password is wrong, no challenge is
   * supported or in our realm, or the attempts are used up.
   */
  challenged(response: SipResponse, attempt: number): 'retry' | 'give-up' {
    if (attempt > MAX_ATTEMPTS + (this.#credentials.realms === undefined ? 0 : MAX_REALMS))
      return 'give-up';
    if (attempt <= 1) this.#answered.clear();
    let isAnswered = false;
    for (const side of ['server', 'proxy'] as const) {
      const header = side === 'server' ? 'www-authenticate' : 'proxy-authenticate';
      for (const challenge of this.#choose(side, response.headers.getAll(header)))
        if (this.#answer(side, challenge, attempt)) isAnswered = true;
    }
    return isAnswered ? 'retry' : 'give-up';
  }

  /** False if this answer was just refused. */
  #answer(side: Side, challenge: Challenge, attempt: number): boolean {
    const key = `${side} ${challenge.parameters.get('realm') ?? ''}`;
    if (attempt > 1 && this.#answered.has(key)) {
      // Only a stale nonce implies that the password was right.
      const stale = challenge.parameters.get('stale')?.toLowerCase() === 'true';
      const before = this.#nonces.get(key)?.nonce;
      if (!stale || challenge.parameters.get('nonce') === before) return false;
    }
    const accepted = this.#accept(challenge);
    this.#nonces.set(key, accepted);
    if (!this.#realms.has(side)) this.#realms.set(side, accepted.realm);
    this.#answered.add(key);
    return true;
  }

  /**
   * From now on, answer only known realms (configured or learned so far), and only when they challenge again. Use it
   * before a request goes to a host that the account owner did not choose.
   */
  bind(): void {
    this.#bound = true;
    this.#nonces.clear();
  }

  /**
   * `[header name, value]` pairs for a request. Each call uses the nonces once more (`nc`). Empty before the first
   * challenge.
   *
   * @param uri the Request-URI exactly as it is sent
   * @param body signed if the server accepts only `auth-int`
   */
  authorization(method: string, uri: string, body: Uint8Array): [string, string][] {
    const headers: [string, string][] = [];
    for (const [key, state] of this.#nonces) {
      const name = key.startsWith('server ') ? 'Authorization' : 'Proxy-Authorization';
      headers.push([name, this.#respond(state, { method, uri, body })]);
    }
    return headers;
  }

  /** The challenges to answer: one for each of our realms. */
  #choose(side: Side, values: readonly string[]): readonly Challenge[] {
    const chosen = new Map<string, Challenge>();
    for (const value of values) {
      for (const challenge of parseChallenges(value)) {
        const { scheme, parameters } = challenge;
        const realm = parameters.get('realm');
        if (scheme !== 'digest' || realm === undefined || !parameters.has('nonce')) continue;
        if (chosen.has(realm) || !this.#isOurs(side, realm, chosen)) continue;
        if (!ALGORITHMS.has((parameters.get('algorithm') ?? 'md5').toLowerCase())) continue;
        const qop = parameters.get('qop');
        if (qop !== undefined && qop.trim() !== '' && qopOf(qop) === undefined) continue;
        chosen.set(realm, challenge);
      }
    }
    return [...chosen.values()];
  }

  /** Limited to known realms: a party in the middle of a dialog cannot request an answer in its own realm. */
  #isOurs(side: Side, realm: string, chosen: ReadonlyMap<string, Challenge>): boolean {
    const { realm: given, realms } = this.#credentials;
    const own =
      given ?? this.#realms.get(side) ?? (this.#bound ? undefined : [...chosen.keys()][0]);
    if (realm === own || (own === undefined && !this.#bound)) return true;
    if (realms === undefined) return false;
    if (realms !== 'any') return realms.includes(realm);
    if (this.#nonces.has(`${side} ${realm}`)) return true;
    return !this.#bound && this.#nonces.size + chosen.size < MAX_REALMS;
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
      qop: qopOf(parameters.get('qop') ?? ''),
      // One cnonce per nonce. For -sess algorithms the key includes the first request's cnonce (RFC 7616 §3.4.2);
      // servers that use the current one instead then get the same key.
      cnonce: this.#random(),
      count: 0,
    };
  }

  #respond(
    state: NonceState,
    { method, uri, body }: { method: string; uri: string; body: Uint8Array },
  ): string {
    const { username, password } = this.#credentials;
    const hex = (data: string | Uint8Array) => createHash(state.hash).update(data).digest('hex');
    state.count++;
    const nc = state.count.toString(16).padStart(8, '0');
    let a1 = hex(`${username}:${state.realm}:${password}`);
    if (state.session) a1 = hex(`${a1}:${state.nonce}:${state.cnonce}`);
    // RFC 7616 §3.4.3: auth-int signs the body as well.
    const a2 = hex(state.qop === 'auth-int' ? `${method}:${uri}:${hex(body)}` : `${method}:${uri}`);
    const response = state.qop
      ? hex(`${a1}:${state.nonce}:${nc}:${state.cnonce}:${state.qop}:${a2}`)
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
    if (state.qop) parts.push(`qop=${state.qop}`, `nc=${nc}`);
    return `Digest ${parts.join(', ')}`;
  }
}

/** The choice from a `qop` list: `auth`, else `auth-int`. */
function qopOf(list: string): 'auth' | 'auth-int' | undefined {
  const options = list.split(',').map((option) => option.trim().toLowerCase());
  return (['auth', 'auth-int'] as const).find((option) => options.includes(option));
}
