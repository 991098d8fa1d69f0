// Host names in the session descriptions of a peer (RFC 4566 §5.7): looked up before the description is used.

import { isIP } from 'node:net';

/** Where a description may name a host: `c=`, and `a=rtcp` (RFC 3605). */
const NAMED = /^(c=IN IP|a=rtcp:\d{1,5} IN IP)[46] ([A-Za-z0-9._-]{1,255})(?=[\s/]|$)/gim;
/** Names of one description that are looked up; a session has one or two. */
const MAX_HOSTS = 8;

/** The hosts that one peer has named. */
export class MediaHosts {
  readonly #resolve: (host: string) => Promise<string>;
  /** `null`: it does not resolve. */
  readonly #known = new Map<string, string | null>();

  /** @param resolve - The address of a host; rejects when there is none. */
  constructor(resolve: (host: string) => Promise<string>) {
    this.#resolve = resolve;
  }

  /** The description names no host that is not looked up yet. */
  knows(sdp: string): boolean {
    return hostsIn(sdp).every((host) => this.#known.has(host));
  }

  /** Looks up what the description names. Never rejects: what is not found shows in {@link withAddresses}. */
  async lookUp(sdp: string): Promise<void> {
    const open = hostsIn(sdp).filter((host) => !this.#known.has(host));
    await Promise.all(
      open.slice(0, MAX_HOSTS).map(async (host) => {
        const address = await this.#resolve(host).catch(() => null);
        this.#known.set(host, address);
      }),
    );
  }

  /** The description with addresses in place of names. @throws Error with `code` `UNRESOLVED` naming the host */
  withAddresses(sdp: string): string {
    return sdp.replaceAll(NAMED, (line, start: string, host: string) => {
      if (isIP(host) !== 0) return line;
      const address = this.#known.get(host.toLowerCase());
      if (typeof address === 'string') return `${start}${isIP(address)} ${address}`;
      // The next description with this name has it looked up again.
      this.#known.delete(host.toLowerCase());
      throw Object.assign(new Error(`${host} does not resolve`), { code: 'UNRESOLVED' });
    });
  }
}

function hostsIn(sdp: string): string[] {
  const hosts = [...sdp.matchAll(NAMED)].map((match) => (match[2] ?? '').toLowerCase());
  return [...new Set(hosts)].filter((host) => isIP(host) === 0);
}
