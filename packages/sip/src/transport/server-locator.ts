// Resolves a next hop to an ordered list of addresses (RFC 3263 §4, RFC 2782) by NAPTR, SRV, A and AAAA. Limits what
// DNS may return and how long it may take.

import { isIP } from 'node:net';
import { forbiddenDestination } from './destination-ports.ts';
import { SipError } from '../errors.ts';
import { defaultPort, type NextHop } from './next-hop.ts';
import type { NaptrRecord, SipDns, SrvRecord } from './sip-dns.ts';
import type { Clock } from '../timers.ts';
import { isForbiddenDestination } from './transport.ts';
import { transportError } from '../errors.ts';

/** An address to try. */
export interface Target {
  /** Upper case as in a Via. */
  readonly protocol: string;
  readonly address: string;
  readonly port: number;
}

/** Dependencies of the {@link ServerLocator}. */
export interface ServerLocatorOptions {
  readonly dns: SipDns;
  readonly clock: Clock;
  /** Reachable address families, the preferred one first. */
  readonly families: readonly (4 | 6)[];
  /** Whether a request may go to this address. `host`: the requested name. Default: always. */
  readonly mayConnect?: ((address: string, host: string) => boolean) | undefined;
  /** 0 ≤ n < 1, for SRV weights. */
  readonly random: () => number;
}

/** Time limit for one next hop. */
const RESOLVE_TIMEOUT_MS = 5000;
/** Time limit for NAPTR and SRV together, which leaves time for addresses. */
const SERVICE_TIMEOUT_MS = 2500;
/** Limits on the number of records used, because a domain controls its own records. */
const MAX_SRV_RECORDS = 32;
const MAX_ADDRESSES_PER_HOST = 8;
const MAX_TARGETS = 16;
const MAX_CACHED = 1000;
/** Limits on how long an answer is cached; the system resolver returns no TTL. */
const DEFAULT_TTL_SECONDS = 60;
const MAX_TTL_SECONDS = 3600;
const NEGATIVE_TTL_SECONDS = 30;

/** RFC 3263 §4.1, RFC 4168 §4: transports of NAPTR services. */
const SERVICES: ReadonlyMap<string, string> = new Map([
  ['SIP+D2U', 'UDP'],
  ['SIP+D2T', 'TCP'],
  ['SIPS+D2T', 'TLS'],
]);

const SRV_PREFIXES: Readonly<Record<string, string>> = {
  UDP: '_sip._udp.',
  TCP: '_sip._tcp.',
  TLS: '_sips._tcp.',
};

interface Cached {
  readonly answer: Promise<readonly unknown[]>;
  /** Infinite while the query is open. */
  expiresMs: number;
}

/** Locates servers, with a bounded cache of DNS answers. */
export class ServerLocator {
  readonly #options: ServerLocatorOptions;
  readonly #cache = new Map<string, Cached>();
  /** Each ends one wait for an answer. */
  readonly #waits = new Set<() => void>();
  #closed = false;

  constructor(options: ServerLocatorOptions) {
    this.#options = options;
  }

  /**
   * The addresses to try, in order: one to sixteen, without broadcast and multicast addresses.
   *
   * @throws SipError (rejection) `TRANSPORT` if there is none, or none within five seconds; `CONNECT_FORBIDDEN` if
   * connecting is not allowed to any of them; `CLOSED` after {@link close}
   */
  async locate(next: NextHop): Promise<readonly Target[]> {
    const deadlineMs = this.#options.clock.now() + RESOLVE_TIMEOUT_MS;
    const found = this.#closed ? [] : await this.#find(next, deadlineMs);
    if (this.#closed) throw new SipError('CLOSED', 'The user agent is closed');
    const targets = found.filter(({ address }) => !isForbiddenDestination(address));
    const { mayConnect } = this.#options;
    const permitted = targets.filter(({ address }) => mayConnect?.(address, next.host) ?? true);
    if (permitted.length > 0) return permitted.slice(0, MAX_TARGETS);
    if (targets.length > 0)
      throw forbiddenDestination(`${next.host} is an address that may not be connected to`);
    if (found.length > 0) throw transportError(`Not a host: ${found[0]?.address}`);
    const late = this.#options.clock.now() >= deadlineMs;
    throw transportError(`${next.host} does not resolve${late ? ' in time' : ''}`);
  }

  /** Ends all lookups: no timer remains, and open queries are cancelled where possible. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const end of this.#waits) end();
    this.#cache.clear();
    this.#options.dns.cancel?.();
  }

  async #find(next: NextHop, deadlineMs: number): Promise<readonly Target[]> {
    const { host, port, preference } = next;
    const protocol = preference === 'auto' ? 'UDP' : preference.toUpperCase();
    if (isIP(host) !== 0) {
      return [{ protocol, address: host, port: port ?? defaultPort(protocol) }];
    }
    // RFC 3263 §4.2: an explicit port leaves nothing to choose.
    if (port === undefined && hasServices(host)) {
      const untilMs = deadlineMs - RESOLVE_TIMEOUT_MS + SERVICE_TIMEOUT_MS;
      const services = await this.#services(host, preference, untilMs);
      if (services.length > 0) {
        const located = await Promise.all(
          services.map(async ([named, { target, port: at }]) =>
            (await this.#addresses(target, deadlineMs)).map((address) => ({
              protocol: named,
              address,
              port: at,
            })),
          ),
        );
        return located.flat();
      }
    }
    const addresses = await this.#addresses(host, deadlineMs);
    return addresses.map((address) => ({ protocol, address, port: port ?? defaultPort(protocol) }));
  }

  /** SRV records to try, in order, with their protocols. Empty if there are none. */
  async #services(
    host: string,
    preference: NextHop['preference'],
    untilMs: number,
  ): Promise<readonly (readonly [string, SrvRecord])[]> {
    const questions: (readonly [string, string])[] = [];
    if (preference === 'auto') {
      const records = await this.#ask(`NAPTR ${host}`, untilMs, (dns) => dns.naptr(host));
      for (const { service, replacement, flags } of byOrder(records)) {
        const protocol = SERVICES.get(service.toUpperCase());
        if (protocol !== undefined && flags.toLowerCase() === 's' && replacement !== '') {
          questions.push([protocol, replacement]);
        }
      }
    }
    if (questions.length === 0) {
      const protocols = preference === 'auto' ? ['UDP', 'TCP'] : [preference.toUpperCase()];
      for (const protocol of protocols) questions.push([protocol, SRV_PREFIXES[protocol] + host]);
    }
    const answers = await Promise.all(
      questions.slice(0, SERVICES.size).map(async ([protocol, name]) => {
        const records = await this.#ask(`SRV ${name}`, untilMs, (dns) => dns.srv(name));
        return inTurn(records.slice(0, MAX_SRV_RECORDS), this.#options.random).map(
          (record) => [protocol, record] as const,
        );
      }),
    );
    return answers.flat().slice(0, MAX_SRV_RECORDS);
  }

  async #addresses(host: string, untilMs: number): Promise<readonly string[]> {
    if (isIP(host) !== 0) return [host];
    const found = await Promise.all(
      this.#options.families.map((family) =>
        this.#ask(`${family} ${host}`, untilMs, (dns) => dns.addresses(host, family)),
      ),
    );
    return found
      .flatMap((records) => records.slice(0, MAX_ADDRESSES_PER_HOST))
      .map(({ address }) => address)
      .filter((address) => isIP(address) !== 0);
  }

  /** The answer to a query, from the cache or from DNS. Empty if the query fails or takes too long. */
  async #ask<R extends { readonly ttlSeconds?: number }>(
    key: string,
    untilMs: number,
    question: (dns: SipDns) => Promise<readonly R[]>,
  ): Promise<readonly R[]> {
    if (this.#closed) return [];
    const { clock, dns } = this.#options;
    const name = key.toLowerCase();
    const cached = this.#cache.get(name);
    // The cache entry under this key was stored by this same query.
    if (cached !== undefined && clock.now() < cached.expiresMs) {
      return this.#inTime(cached.answer as Promise<readonly R[]>, untilMs);
    }
    const answer = ask(question, dns);
    const entry: Cached = { answer, expiresMs: Infinity };
    this.#cache.delete(name);
    this.#cache.set(name, entry);
    for (const oldest of this.#cache.keys()) {
      if (this.#cache.size <= MAX_CACHED) break;
      this.#cache.delete(oldest);
    }
    void answer.then((records) => {
      const ttls = records.map(({ ttlSeconds = DEFAULT_TTL_SECONDS }) => ttlSeconds);
      const ttl = records.length === 0 ? NEGATIVE_TTL_SECONDS : Math.min(...ttls, MAX_TTL_SECONDS);
      entry.expiresMs = clock.now() + Math.max(1, ttl) * 1000;
    });
    return this.#inTime(answer, untilMs);
  }

  #inTime<R>(answer: Promise<readonly R[]>, untilMs: number): Promise<readonly R[]> {
    const { clock } = this.#options;
    return new Promise((resolve) => {
      const end = (records: readonly R[] = []): void => {
        timer.cancel();
        this.#waits.delete(giveUp);
        resolve(records);
      };
      const giveUp = (): void => end();
      const timer = clock.startTimer(Math.max(0, untilMs - clock.now()), giveUp);
      this.#waits.add(giveUp);
      void answer.then(end);
    });
  }
}

async function ask<R>(
  question: (dns: SipDns) => Promise<readonly R[]>,
  dns: SipDns,
): Promise<readonly R[]> {
  try {
    return await question(dns);
  } catch {
    return [];
  }
}

/** Single labels are host names: `localhost` or a container has no published services. */
function hasServices(host: string): boolean {
  const bare = host.replace(/\.$/, '');
  return bare.includes('.') && !/\.localhost$/i.test(bare);
}

function byOrder(records: readonly NaptrRecord[]): NaptrRecord[] {
  return records
    .slice(0, MAX_SRV_RECORDS)
    .toSorted((a, b) => a.order - b.order || a.preference - b.preference);
}

/**
 * Orders records by RFC 2782: lowest priority first, and within a priority at random, in proportion to the weights.
 *
 * @param random - 0 ≤ n < 1
 */
export function inTurn(records: readonly SrvRecord[], random: () => number): SrvRecord[] {
  // A target of `.` means that the service does not exist.
  const left = records.filter(({ target }) => target !== '.' && target !== '');
  const chosen: SrvRecord[] = [];
  while (left.length > 0) {
    const priority = Math.min(...left.map((record) => record.priority));
    // Records with weight 0 come first, which gives them a small chance.
    const candidates = left
      .filter((record) => record.priority === priority)
      .toSorted((a, b) => a.weight - b.weight);
    const total = candidates.reduce((sum, { weight }) => sum + weight, 0);
    let dart = Math.floor(random() * (total + 1));
    const hit = candidates.find(({ weight }) => (dart -= weight) <= 0) ?? candidates[0];
    if (hit === undefined) break;
    chosen.push(hit);
    left.splice(left.indexOf(hit), 1);
  }
  return chosen;
}

const FAIL_OVER: ReadonlySet<string> = new Set(['TIMEOUT', 'TRANSPORT', 'CONNECT_FORBIDDEN']);

/** Whether the next address may be tried after this error (RFC 3263 §4.3). */
export function mayFailOver(error: SipError): boolean {
  return FAIL_OVER.has(error.code);
}
