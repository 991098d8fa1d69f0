// Checks made before the request itself: the host name it addresses, and the request rate of its address.

import { hostname } from 'node:os';
import { isIP } from 'node:net';
import { RestError } from '@sipcast/rest';
import type { RestArrival } from '@sipcast/rest';
import { AddressTable, networkOf } from './address-table.ts';

/** Options of a {@link RequestGate}. */
export interface RequestGateOptions {
  /**
   * Host names that requests may use, besides IP addresses, `localhost` and the machine's own name. `undefined`: any.
   */
  readonly allowedHosts: readonly string[] | undefined;
  /** Per address, with bursts of twice as many. 0: no limit. */
  readonly requestsPerSecond: number;
  /** Calls and pushes that one address may start. 0: no limit. */
  readonly startupsPerSecond: number;
  /** Monotonic milliseconds. */
  readonly now: () => number;
}

/** Token bucket of one address, filled at a rate and emptied by requests. */
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

  /** @returns seconds to wait; 0: admitted */
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

  /** @throws RestError 421 for a host name that is not ours, 429 for too many requests */
  readonly admit = ({ clientAddress, host, isStartup }: RestArrival): void => {
    if (!this.#isOurs(host)) {
      const problem = 'Host name not allowed: see http.allowedHosts';
      throw new RestError(421, 'WRONG_HOST', problem, 'host');
    }
    const network = networkOf(clientAddress);
    throwUnlessNow(this.#requests.take(network, this.#now()), { connection: 'close' });
    if (isStartup) throwUnlessNow(this.#startups.take(network, this.#now()));
  };

  /**
   * For requests other than API queries: the pages, `/health` and `/ready`. Counted separately, so that a probe that
   * shares its address with a busy client still gets its answer.
   * @throws RestError 429
   */
  admitPage(clientAddress: string): void {
    const waitS = this.#pages.take(networkOf(clientAddress), this.#now());
    throwUnlessNow(waitS, { connection: 'close' });
  }

  /**
   * In DNS rebinding, a foreign page whose name resolves to this address sends that name. IP addresses are not names,
   * and a client without Host is not a browser.
   */
  #isOurs(host: string | undefined): boolean {
    if (this.#hosts === undefined || host === undefined || host === '') return true;
    const name = host.toLowerCase().replace(/:\d*$/, '').replace(/\.$/, '');
    if (isIP(name.replace(/^\[(.*)\]$/, '$1')) !== 0) return true;
    return this.#hosts.has(name) || name.endsWith('.localhost');
  }
}

/**
 * @param more - Further headers. A client that exceeds the limit must reconnect each time, and requests it has
 * pipelined are not answered.
 */
function throwUnlessNow(waitS: number, more: Readonly<Record<string, string>> = {}): void {
  if (waitS === 0) return;
  const headers = { 'retry-after': String(waitS), ...more };
  throw new RestError(429, 'TOO_MANY_REQUESTS', 'Too many requests', { headers });
}
