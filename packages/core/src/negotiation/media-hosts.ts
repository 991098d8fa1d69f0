// Host names in the session descriptions of a peer (RFC 4566 §5.7): looked up before the description is used.

import { isIP } from 'node:net';

/** Lines that may name a host: `c=`, and `a=rtcp` (RFC 3605). */
const NAMED = /^(c=IN IP|a=rtcp:\d{1,5} IN IP)([46]) ([A-Za-z0-9._-]{1,255})(?=[\s/]|$)/gim;
/** Names looked up per description; a session has one or two. */
const MAX_HOSTS = 8;
/** Names remembered for one peer; beyond that all are looked up again. */
const MAX_KNOWN = 64;

/** Resolves a host to an address, of this family if it has one; rejects if it has none. */
export type ResolveHost = (host: string, family: 4 | 6) => Promise<string>;

/** The hosts that one peer has named. */
export class MediaHosts {
  readonly #resolve: ResolveHost;
  /** By family and name. `null`: the name does not resolve. */
  readonly #known = new Map<string, string | null>();

  constructor(resolve: ResolveHost) {
    this.#resolve = resolve;
  }

  /** Whether every host that the description names is looked up. */
  knows(sdp: string): boolean {
    return hostsIn(sdp).every(({ key }) => this.#known.has(key));
  }

  /** Looks up the hosts that the description names. Never rejects: {@link withAddresses} reports what was not found. */
  async lookUp(sdp: string): Promise<void> {
    if (this.#known.size >= MAX_KNOWN) this.#known.clear();
    const open = hostsIn(sdp).filter(({ key }) => !this.#known.has(key));
    await Promise.all(
      open.slice(0, MAX_HOSTS).map(async ({ key, host, family }) => {
        const address = await this.#resolve(host, family).catch(() => {
          // Ignored: `withAddresses` reports what was not found.
          return null;
        });
        this.#known.set(key, address);
      }),
    );
  }

  /** Whether a host that was looked up has this address. */
  ledTo(address: string): boolean {
    return [...this.#known.values()].includes(address);
  }

  /** The description with addresses instead of names. @throws Error with `code` `UNRESOLVED` naming the host */
  withAddresses(sdp: string): string {
    return sdp.replaceAll(NAMED, (line, start: string, family: string, host: string) => {
      if (isIP(host) !== 0) return line;
      const key = keyOf(family, host);
      const address = this.#known.get(key);
      if (typeof address === 'string') return `${start}${isIP(address)} ${address}`;
      // Forget the failure, so that the next description with this name triggers a new lookup.
      this.#known.delete(key);
      throw Object.assign(new Error(`${host} does not resolve`), { code: 'UNRESOLVED' });
    });
  }
}

interface NamedHost {
  readonly key: string;
  readonly host: string;
  readonly family: 4 | 6;
}

function hostsIn(sdp: string): NamedHost[] {
  const hosts = new Map<string, NamedHost>();
  for (const [, , family = '4', name = ''] of sdp.matchAll(NAMED)) {
    if (isIP(name) !== 0) continue;
    const key = keyOf(family, name);
    hosts.set(key, { key, host: name.toLowerCase(), family: family === '6' ? 6 : 4 });
  }
  return [...hosts.values()];
}

function keyOf(family: string, host: string): string {
  return `${family} ${host.toLowerCase()}`;
}
