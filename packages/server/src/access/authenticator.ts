// Authorizes API requests: users by HTTP Basic, programs by bearer tokens. Limits password guessing.

import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { readBasic, RestError, unauthorized } from '@sipcast/rest';
import type { RestCredentials, RestScope } from '@sipcast/rest';
import { AddressTable, networkOf } from './address-table.ts';
import { hashToken, verifyPassword } from './password-hash.ts';

/** A user with a password. */
export interface User {
  readonly name: string;
  /** The output of `sipcast passwd`. */
  readonly password: string;
  /** Default `admin`. */
  readonly scope?: RestScope | undefined;
}

/** A program with a token. */
export interface BearerToken {
  /** For the log. */
  readonly name: string;
  /** The output of `sipcast passwd --token`. */
  readonly hash: string;
  /** Default `admin`. */
  readonly scope?: RestScope | undefined;
}

/** Dependencies of an {@link Authenticator}. */
export interface AuthenticatorOptions {
  readonly users: readonly User[];
  readonly tokens: readonly BearerToken[];
  /** Monotonic milliseconds. */
  readonly now: () => number;
  /** An address has guessed too often. */
  readonly onLocked: (address: string) => void;
}

interface Failures {
  count: number;
  sinceMs: number;
}

const MAX_FAILURES = 5;
const WINDOW_MS = 60_000;
/** Passwords checked concurrently. Each occupies one of the four threads that file access and name lookup need, too. */
const MAX_AT_ONCE = 2;
const MAX_WAITING = 32;
const RANK: Readonly<Record<RestScope, number>> = { read: 0, calls: 1, admin: 2 };
/** Checked for an unknown user, so that it takes the same time. */
const NOBODY = `scrypt$16384$8$5$${'A'.repeat(22)}$${'A'.repeat(43)}`;

/** Checks credentials. */
export class Authenticator {
  readonly #options: AuthenticatorOptions;
  readonly #failures = new AddressTable<Failures>();
  /** Exists only in this process, so values signed with it cannot be guessed at elsewhere. */
  readonly #key = randomBytes(32);
  /** Signatures of verified passwords: a check takes a tenth of a second, and clients poll every second. */
  readonly #known = new Map<string, Buffer>();
  readonly #pending = new Map<string, Promise<RestScope | undefined>>();
  readonly #waiting: (() => void)[] = [];
  #atOnce = 0;

  constructor(options: AuthenticatorOptions) {
    this.#options = options;
  }

  /**
   * Admits a request.
   * @throws RestError (rejection) 401; 403 if the scope does not suffice; 429 after five failures from one address
   * (IPv6: one network) within a minute; 503 while too many passwords are being checked
   */
  async check({ authorization, clientAddress }: RestCredentials, scope: RestScope): Promise<void> {
    // Browsers first ask without credentials; that is not a guess.
    if (authorization === undefined || authorization === '') throw unauthorized();
    const network = networkOf(clientAddress);
    const failures = this.#failuresOf(network);
    if (failures.count >= MAX_FAILURES) throw this.#locked(failures);
    const granted = await this.#judge(authorization, network, failures);
    if (granted === undefined) {
      if (failures.count === MAX_FAILURES) this.#options.onLocked(clientAddress);
      throw unauthorized();
    }
    if (RANK[granted] < RANK[scope])
      throw new RestError(403, 'FORBIDDEN', `This needs the scope ${scope}`, 'authorization');
  }

  /** The same header sent several times at once, as by a page that loads, counts as one guess. */
  #judge(
    authorization: string,
    network: string,
    failures: Failures,
  ): Promise<RestScope | undefined> {
    const key = `${network} ${authorization}`;
    const pending = this.#pending.get(key);
    if (pending) return pending;
    // Counted before the check, so that concurrent guesses count as well.
    failures.count++;
    const judged = this.#scopeOf(authorization);
    const settled = judged
      .then(
        (granted) => granted !== undefined,
        () => true,
      )
      .then((isForgiven) => {
        if (isForgiven) failures.count--;
        this.#pending.delete(key);
      });
    const told = settled.then(() => judged);
    this.#pending.set(key, told);
    return told;
  }

  #failuresOf(network: string): Failures {
    const now = this.#options.now();
    const known = this.#failures.get(network);
    if (known && now - known.sinceMs < WINDOW_MS) return known;
    const fresh = { count: 0, sinceMs: now };
    this.#failures.set(network, fresh);
    return fresh;
  }

  #locked({ sinceMs }: Failures): RestError {
    const waitS = Math.max(1, Math.ceil((sinceMs + WINDOW_MS - this.#options.now()) / 1000));
    const later = { 'retry-after': String(waitS) };
    const problem = 'Too many wrong passwords';
    return new RestError(429, 'TOO_MANY_FAILURES', problem, {
      field: 'authorization',
      headers: later,
    });
  }

  async #scopeOf(authorization: string): Promise<RestScope | undefined> {
    const bearer = /^Bearer\s+([\w.~+/=-]+)\s*$/i.exec(authorization)?.[1];
    if (bearer !== undefined) return this.#scopeOfToken(bearer);
    const basic = readBasic(authorization);
    return basic && this.#scopeOfUser(basic.username, basic.password);
  }

  async #turn(): Promise<void> {
    if (this.#atOnce >= MAX_AT_ONCE) {
      if (this.#waiting.length >= MAX_WAITING) {
        const later = { 'retry-after': '1' };
        throw new RestError(503, 'BUSY', 'Too many passwords at once', { headers: later });
      }
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
    this.#atOnce++;
  }

  #scopeOfToken(token: string): RestScope | undefined {
    const found = Buffer.from(hashToken(token));
    let granted: RestScope | undefined;
    // Compares all tokens, so that the time reveals nothing.
    for (const { hash, scope = 'admin' } of this.#options.tokens) {
      const expected = Buffer.from(hash);
      if (expected.length === found.length && timingSafeEqual(expected, found)) granted = scope;
    }
    return granted;
  }

  async #scopeOfUser(name: string, password: string): Promise<RestScope | undefined> {
    const user = this.#options.users.find((one) => one.name === name);
    const signed = createHmac('sha256', this.#key).update(password).digest();
    const known = this.#known.get(name);
    if (user && known && timingSafeEqual(known, signed)) return user.scope ?? 'admin';
    await this.#turn();
    try {
      const isRight = await verifyPassword(password, user?.password ?? NOBODY);
      if (!user || !isRight) return undefined;
    } finally {
      this.#atOnce--;
      this.#waiting.shift()?.();
    }
    this.#known.set(name, signed);
    return user.scope ?? 'admin';
  }
}
