// The server side of digest authentication, for incoming calls (RFC 7616, RFC 8760, RFC 3261 §22).

import { createHash, createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { invalidArgument } from '../message/arguments.ts';
import { parseChallenges } from './digest.ts';
import type { SipRequest } from '../message/message.ts';
import { quote } from '../message/scan.ts';
import type { Clock } from '../timers.ts';

/** Settings of a {@link DigestServer}. */
export interface DigestServerOptions {
  /** Shown to the caller, and part of every hash. Not empty. */
  readonly realm: string;
  /**
   * Returns the password of a user, or `undefined` for an unknown user, which gets the same challenge in the same time.
   */
  readonly passwordOf: (username: string) => string | undefined;
  /** Hash functions in order of preference. Default SHA-256 and MD5. */
  readonly algorithms?: readonly ('SHA-256' | 'MD5')[];
  /** How long a nonce is accepted, 10,000–3,600,000 ms. Default 120,000. */
  readonly nonceLifeMs?: number;
  /**
   * Wrong answers from one source before it is locked out. A user is locked out after ten times as many, from any
   * source, so that a stranger cannot easily lock out the account owner. Default 5.
   */
  readonly maxFailures?: number;
  /** How long a lock-out lasts. Default 300,000 ms. */
  readonly lockMs?: number;
  /** A monotonic clock in ms. */
  readonly clock: Pick<Clock, 'now'>;
  /** Key of the nonce HMAC. Default: random octets. */
  readonly secret?: Uint8Array;
}

/** The verdict on a request's credentials. */
export type DigestJudgement =
  | { readonly outcome: 'accepted'; readonly username: string }
  /** Answer 401 with these headers. */
  | {
      readonly outcome: 'challenge';
      readonly reason: 'missing' | 'stale' | 'wrong';
      readonly headers: readonly (readonly [string, string])[];
    }
  /** Too many failures: do not answer, or answer 403. */
  | { readonly outcome: 'locked' };

const HASHES = { 'SHA-256': 'sha256', MD5: 'md5' } as const;
/** Maximum number of sources and users to remember; the oldest is evicted first. */
const MAX_REMEMBERED = 10_000;

interface Failures {
  count: number;
  lockedUntilMs: number;
}

/**
 * Challenges requests. Nonces need no storage: each consists of a time, a random part, and their HMAC. The nonce and
 * count of accepted answers are stored, so that none is accepted twice.
 */
export class DigestServer {
  readonly #options: DigestServerOptions;
  readonly #secret: Uint8Array;
  readonly #lifeMs: number;
  readonly #failures = new Map<string, Failures>();
  /** The highest count seen for each nonce. */
  readonly #counts = new Map<string, number>();

  /** @throws SipError `INVALID_ARGUMENT` naming the option */
  constructor(options: DigestServerOptions) {
    // oxlint-disable-next-line no-control-regex -- finding control characters is the point
    if (options.realm === '' || /[\u0000-\u001f]/.test(options.realm))
      throw invalidArgument('realm', 'must be a text without control characters');
    const lifeMs = options.nonceLifeMs ?? 120_000;
    if (!(lifeMs >= 10_000 && lifeMs <= 3_600_000))
      throw invalidArgument('nonceLifeMs', 'must be from 10,000 to 3,600,000');
    this.#options = options;
    this.#lifeMs = lifeMs;
    this.#secret = options.secret ?? randomBytes(32);
  }

  /** Checks the Authorization headers of a request. `source`: the address it came from. */
  judge(request: SipRequest, source: string): DigestJudgement {
    if (this.#isLocked(`source ${source}`)) return { outcome: 'locked' };
    const { realm } = this.#options;
    const parameters = request.headers
      .getAll('authorization')
      .flatMap((value) => parseChallenges(value))
      .find((one) => one.scheme === 'digest' && one.parameters.get('realm') === realm)?.parameters;
    if (parameters === undefined) return this.#challenge('missing');
    const username = parameters.get('username') ?? '';
    if (this.#isLocked(`user ${username}`)) return { outcome: 'locked' };
    const right = this.#isRight(request, parameters, username);
    const fresh = this.#isFresh(parameters);
    if (right && fresh) {
      this.#failures.delete(`source ${source}`);
      this.#failures.delete(`user ${username}`);
      return { outcome: 'accepted', username };
    }
    // RFC 7616 §3.3: send stale only if the password is right. Otherwise a stranger could keep guessing with old
    // nonces.
    if (right) return this.#challenge('stale');
    const { maxFailures = 5 } = this.#options;
    this.#failed(`source ${source}`, maxFailures);
    this.#failed(`user ${username}`, 10 * maxFailures);
    return this.#isLocked(`source ${source}`) ? { outcome: 'locked' } : this.#challenge('wrong');
  }

  #isRight(
    request: SipRequest,
    parameters: ReadonlyMap<string, string>,
    username: string,
  ): boolean {
    const { realm, passwordOf, algorithms = ['SHA-256', 'MD5'] } = this.#options;
    const named = (parameters.get('algorithm') ?? 'MD5').toUpperCase();
    const algorithm = algorithms.find((one) => one === named);
    const nonce = parameters.get('nonce') ?? '';
    const uri = parameters.get('uri') ?? '';
    const hash = HASHES[algorithm ?? 'MD5'];
    const hex = (text: string): string => createHash(hash).update(text, 'utf8').digest('hex');
    const known = passwordOf(username);
    // An unknown user takes the same time as a known one.
    const a1 = hex(`${username}:${realm}:${known ?? ''}`);
    const a2 = hex(`${request.method}:${uri}`);
    const qop = parameters.get('qop')?.toLowerCase();
    const nc = parameters.get('nc') ?? '';
    const cnonce = parameters.get('cnonce') ?? '';
    const expected =
      qop === undefined
        ? hex(`${a1}:${nonce}:${a2}`)
        : hex(`${a1}:${nonce}:${nc}:${cnonce}:${qop}:${a2}`);
    const given = Buffer.from((parameters.get('response') ?? '').toLowerCase(), 'utf8');
    const wanted = Buffer.from(expected, 'utf8');
    const equal = given.length === wanted.length && timingSafeEqual(given, wanted);
    return (
      equal &&
      known !== undefined &&
      algorithm !== undefined &&
      (qop === undefined || qop === 'auth') &&
      isForSameUser(uri, request.uri)
    );
  }

  /** Whether the nonce is ours, not too old, and not yet used with this count. */
  #isFresh(parameters: ReadonlyMap<string, string>): boolean {
    const nonce = parameters.get('nonce') ?? '';
    const [time = '', unique = '', seal = ''] = nonce.split('-');
    const nowMs = this.#options.clock.now();
    const ageMs = nowMs - Number.parseInt(time, 16);
    if (!(ageMs >= 0 && ageMs <= this.#lifeMs)) return false;
    const wanted = Buffer.from(this.#seal(time, unique), 'utf8');
    const given = Buffer.from(seal, 'utf8');
    if (given.length !== wanted.length || !timingSafeEqual(given, wanted)) return false;
    // Without qop there is no count, so a nonce works once (RFC 2617 §3.2.2).
    const nc = parameters.get('nc');
    const count = nc === undefined ? 0xffff_ffff : Number.parseInt(nc, 16);
    if (!(count > (this.#counts.get(nonce) ?? 0))) return false;
    this.#remember(this.#counts, nonce, count);
    return true;
  }

  #challenge(reason: 'missing' | 'stale' | 'wrong'): DigestJudgement {
    const { realm, algorithms = ['SHA-256', 'MD5'], clock } = this.#options;
    const time = Math.floor(clock.now()).toString(16);
    const unique = randomBytes(6).toString('hex');
    const nonce = `${time}-${unique}-${this.#seal(time, unique)}`;
    const stale = reason === 'stale' ? ', stale=true' : '';
    return {
      outcome: 'challenge',
      reason,
      headers: algorithms.map((algorithm) => [
        'www-authenticate',
        `Digest realm=${quote(realm)}, nonce="${nonce}", algorithm=${algorithm}, qop="auth"${stale}`,
      ]),
    };
  }

  #seal(time: string, unique: string): string {
    const sealed = `${time} ${unique} ${this.#options.realm}`;
    return createHmac('sha256', this.#secret).update(sealed).digest('hex').slice(0, 32);
  }

  #isLocked(key: string): boolean {
    return (this.#failures.get(key)?.lockedUntilMs ?? 0) > this.#options.clock.now();
  }

  #failed(key: string, maxFailures: number): void {
    const { lockMs = 300_000, clock } = this.#options;
    const failures = this.#failures.get(key) ?? { count: 0, lockedUntilMs: 0 };
    failures.count += 1;
    if (failures.count >= maxFailures) {
      failures.count = 0;
      failures.lockedUntilMs = clock.now() + lockMs;
    }
    this.#remember(this.#failures, key, failures);
  }

  #remember<T>(map: Map<string, T>, key: string, value: T): void {
    map.delete(key);
    map.set(key, value);
    if (map.size <= MAX_REMEMBERED) return;
    const [oldest] = map.keys();
    if (oldest !== undefined) map.delete(oldest);
  }
}

/**
 * RFC 7616 §3.4.6 requires the signed URI to match the requested one. But a proxy on the way may have changed the host
 * and parameters of the Request-URI, sipp signs its target without a user, and baresip signs without repeated
 * parameters.
 */
function isForSameUser(signed: string, asked: string): boolean {
  if (!/^sips?:/i.test(signed)) return false;
  const user = (uri: string): string => /^sips?:([^@]*)@/i.exec(uri)?.[1] ?? '';
  return user(signed) === '' || user(signed) === user(asked);
}
