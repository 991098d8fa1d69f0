// What is looked at before a request itself is: the name that the server is called by, and how often one address asks.

import { hostname } from 'node:os';
import { isIP } from 'node:net';
import { RestError } from '@sipcast/rest';
import type { RestArrival } from '@sipcast/rest';
import { AddressTable, networkOf } from './address-table.ts';

/** Options of a {@link RequestGate}. */
export interface RequestGateOptions {
  /**
   * Names that the server may be called by, beside IP addresses, `localhost` and the name of the machine. `undefined`: any.
   */
  readonly allowedHosts: readonly string[] | undefined;
  /** Of one address, with twice as many at once; 0: any number. */
  readonly requestsPerSecond: number;
  /** Calls and pushes that one address may start. */
  readonly startupsPerSecond: number;
  /** Monotonic milliseconds. */
  readonly now: () => number;
}

/** Tokens of one address (RFC 2697 in spirit: filled at a rate, emptied by requests). */
interface Bucket {
  tokens: number;
  filledAtMs: number;
}

class Buckets {
  readonly #perSecond: number;
  readonly #entries = new AddressTable<Bucket>();

  constructor(perSecond: number) {
    this.#perSecond = perSecond;
  }

  /** @returns Seconds to wait; 0: go on. */
  take(key: string, nowMs: number): number {
    if (this.#perSecond === 0) return 0;
    const most = this.#perSecond * 2;
    let bucket = this.#entries.get(key);
    if (!bucket) {
      bucket = { tokens: most, filledAtMs: nowMs };
      this.#entries.set(key, bucket);
    }
    const gained = ((nowMs - bucket.filledAtMs) / 1000) * this.#perSecond;
    bucket.tokens = Math.min(most, bucket.tokens + gained);
    bucket.filledAtMs = nowMs;
    if (bucket.tokens < 1) return Math.max(1, Math.ceil((1 - bucket.tokens) / this.#perSecond));
    bucket.tokens--;
    return 0;
  }
}

/** Refuses requests. */
export class RequestGate {
  readonly #hosts: ReadonlySet<string> | undefined;
  readonly #requests: Buckets;
  readonly #startups: Buckets;
  readonly #pages: Buckets;
  readonly #now: () => number;

  constructor(options: RequestGateOptions) {
    const { allowedHosts, requestsPerSecond, startupsPerSecond, now } = options;
    const own = ['localhost', hostname().toLowerCase()];
    this.#hosts =
      allowedHosts && new Set([...own, ...allowedHosts.map((name) => name.toLowerCase())]);
    this.#requests = new Buckets(requestsPerSecond);
    this.#startups = new Buckets(startupsPerSecond);
    this.#pages = new Buckets(requestsPerSecond);
    this.#now = now;
  }

  /** @throws RestError 421 for a name that is not ours, 429 for too many requests */
  readonly admit = ({ clientAddress, host, isStartup }: RestArrival): void => {
    if (!this.#isOurs(host)) {
      const problem = 'The server is not called so: see http.allowedHosts';
      throw new RestError(421, 'WRONG_HOST', problem, 'host');
    }
    const network = networkOf(clientAddress);
    throwUnlessNow(this.#requests.take(network, this.#now()), { connection: 'close' });
    if (isStartup) throwUnlessNow(this.#startups.take(network, this.#now()));
  };

  /**
   * For what is no query: the pages, `/health` and `/ready`. They are counted apart: a probe that shares its address with a busy
   * client still gets its answer.
   * @throws RestError 429
   */
  admitPage(clientAddress: string): void {
    const waitS = this.#pages.take(networkOf(clientAddress), this.#now());
    throwUnlessNow(waitS, { connection: 'close' });
  }

  /**
   * A page of somebody else, whose name was made to lead to this address, sends that name (DNS rebinding). Addresses are no
   * names, and what sends no Host is no browser.
   */
  #isOurs(host: string | undefined): boolean {
    if (this.#hosts === undefined || host === undefined || host === '') return true;
    const name = host.toLowerCase().replace(/:\d*$/, '').replace(/\.$/, '');
    if (isIP(name.replace(/^\[(.*)\]$/, '$1')) !== 0) return true;
    return this.#hosts.has(name) || name.endsWith('.localhost');
  }
}

/** @param more - Headers: whoever asks too often does so on a new connection each time, and what was sent ahead gets no answer. */
function throwUnlessNow(waitS: number, more: Readonly<Record<string, string>> = {}): void {
  if (waitS === 0) return;
  const headers = { 'retry-after': String(waitS), ...more };
  throw new RestError(429, 'TOO_MANY_REQUESTS', 'Too many requests', { headers });
}
