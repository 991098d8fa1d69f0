// Which of our addresses a peer sees, for Via, Contact, SDP and traces.

import { createSocket } from 'node:dgram';
import { isIPv6 } from 'node:net';
import { networkInterfaces } from 'node:os';
import type { LocalAddress } from './transport.ts';
import { transportError } from '../errors.ts';

/** Maximum number of peers whose route is remembered for traces. */
const MAX_KNOWN = 1000;

/** Our addresses as seen by peers. */
export class LocalAddresses {
  readonly #bindAddress: string;
  /** At most one per address family. */
  readonly #publicAddresses: readonly string[];
  /** Keyed by the peer's address, most recent last. */
  readonly #known = new Map<string, string>();
  readonly #learned = new Map<string, LocalAddress>();

  constructor(bindAddress: string, publicAddresses: readonly string[]) {
    this.#bindAddress = bindAddress;
    this.#publicAddresses = publicAddresses;
  }

  /**
   * The address to advertise to the peer: the public address, or the source address of packets to it.
   *
   * @throws SipError `TRANSPORT` (rejection) if there is no route
   */
  async advertisedTo(address: string, port: number): Promise<string> {
    const local = this.#isBound ? this.#bindAddress : await routeTo(address, port);
    this.#known.delete(address);
    this.#known.set(address, local);
    dropOldest(this.#known);
    const family = isIPv6(address);
    return this.#publicAddresses.find((one) => isIPv6(one) === family) ?? local;
  }

  /** Whether a request was or will be sent to this address. */
  isKnown(address: string): boolean {
    return this.#known.has(address);
  }

  /** The address at which this peer sees us, if it has reported one. */
  learnedFrom(address: string): LocalAddress | undefined {
    return this.#learned.get(address);
  }

  /** Records how a peer sees us. `undefined`: as we see ourselves. */
  learn(peer: string, seen: LocalAddress | undefined): void {
    this.#learned.delete(peer);
    if (seen !== undefined) this.#learned.set(peer, seen);
    dropOldest(this.#learned);
  }

  /** Our actual local address for packets to and from this peer. A guess for peers that we have never sent to. */
  usedTowards(address: string): string {
    if (this.#isBound) return this.#bindAddress;
    const known = this.#known.get(address);
    if (known !== undefined) return known;
    if (address.startsWith('127.') || address === '::1') return address;
    const family = isIPv6(address) ? 'IPv6' : 'IPv4';
    for (const addresses of Object.values(networkInterfaces())) {
      for (const one of addresses ?? []) {
        if (one.family === family && !one.internal) return one.address;
      }
    }
    return this.#bindAddress;
  }

  get #isBound(): boolean {
    return this.#bindAddress !== '0.0.0.0' && this.#bindAddress !== '::';
  }
}

function dropOldest(map: Map<string, unknown>): void {
  if (map.size <= MAX_KNOWN) return;
  for (const oldest of map.keys()) {
    map.delete(oldest);
    return;
  }
}

/** Connecting a UDP socket sends nothing, but makes the system choose the source address. */
function routeTo(address: string, port: number): Promise<string> {
  const socket = createSocket(isIPv6(address) ? 'udp6' : 'udp4');
  return new Promise((resolve, reject) => {
    const failed = (cause: unknown): void => {
      socket.close();
      // Besides a missing route, the process may be out of file descriptors (EMFILE).
      const { code } = cause as NodeJS.ErrnoException;
      const why = code === undefined ? '' : ` (${code})`;
      reject(transportError(`No route to ${address}${why}`, cause));
    };
    socket.once('error', failed);
    socket.once('connect', () => {
      const local = socket.address().address;
      socket.close();
      resolve(local);
    });
    try {
      socket.connect(port, address);
    } catch (cause) {
      failed(cause);
    }
  });
}
