// Digest access authentication, the server's side: who calls us must know a password (RFC 7616, RFC 8760, RFC 3261 §22).

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
  /** The password of a user; `undefined` for one that does not exist, whose challenge looks and takes the same. */
  readonly passwordOf: (username: string) => string | undefined;
  /** Hash functions, the preferred first. Default SHA-256 and MD5. */
  readonly algorithms?: readonly ('SHA-256' | 'MD5')[];
  /** How long a nonce may be answered, 10,000–3,600,000 ms. Default 120,000. */
  readonly nonceLifeMs?: number;
  /**
   * Wrong answers of one source after which it is locked out; ten times as many for one user, whoever gave them, so that a
   * stranger does not so easily lock out an owner. Default 5.
   */
  readonly maxFailures?: number;
  /** How long a lock-out lasts. Default 300,000 ms. */
  readonly lockMs?: number;
  /** Milliseconds that never go back. */
  readonly clock: Pick<Clock, 'now'>;
  /** Default: fresh random octets. */
  readonly secret?: Uint8Array;
}

/** What an authorization came to. */
export type DigestJudgement =
  | { readonly outcome: 'accepted'; readonly username: string }
  /** Answer 401 with these headers. */
  | {
      readonly outcome: 'challenge';
      readonly reason: 'missing' | 'stale' | 'wrong';
      readonly headers: readonly (readonly [string, string])[];
    }
  /** Too many failures: say nothing, or 403. */
  | { readonly outcome: 'locked' };

const HASHES = { 'SHA-256': 'sha256', MD5: 'md5' } as const;
/** Sources and users that are remembered; the oldest is forgotten first. */
const MAX_REMEMBERED = 10_000;

interface Failures {
  count: number;
  lockedUntilMs: number;
}

/**
 * Challenges requests. Nonces need no memory: they are a time, something random, and their HMAC. What was answered is
 * remembered by its nonce and count, so that no answer counts twice.
 */
export class DigestServer {
  readonly #options: DigestServerOptions;
  readonly #secret: Uint8Array;
  readonly #lifeMs: number;
  readonly #failures = new Map<string, Failures>();
  /** Highest count seen of each nonce. */
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

  /** Judges the Authorization headers of a request. `source`: the address that it came from. */
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
    // RFC 7616 §3.3: stale only with the right password, or a stranger could try with old nonces for ever.
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
    // A user that does not exist costs the same time as one that does.
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

  /** Ours, not too old, and not used with this count before. */
  #isFresh(parameters: ReadonlyMap<string, string>): boolean {
    const nonce = parameters.get('nonce') ?? '';
    const [time = '', unique = '', seal = ''] = nonce.split('-');
    const nowMs = this.#options.clock.now();
    const ageMs = nowMs - Number.parseInt(time, 16);
    if (!(ageMs >= 0 && ageMs <= this.#lifeMs)) return false;
    const wanted = Buffer.from(this.#seal(time, unique), 'utf8');
    const given = Buffer.from(seal, 'utf8');
    if (given.length !== wanted.length || !timingSafeEqual(given, wanted)) return false;
    // Without qop there is no count, and each nonce serves once (RFC 2617 §3.2.2).
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
 * RFC 7616 §3.4.6 wants what was signed to be what is asked for. On its way a proxy may have put another host, and parameters,
 * into the Request-URI; and sipp signs its target without a user, baresip without repeated parameters.
 */
function isForSameUser(signed: string, asked: string): boolean {
  if (!/^sips?:/i.test(signed)) return false;
  const user = (uri: string): string => /^sips?:([^@]*)@/i.exec(uri)?.[1] ?? '';
  return user(signed) === '' || user(signed) === user(asked);
}
