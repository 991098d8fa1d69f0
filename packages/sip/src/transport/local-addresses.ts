// Which of our addresses a peer sees: for Via, Contact and SDP, and for traces.

import { createSocket } from 'node:dgram';
import { isIPv6 } from 'node:net';
import { networkInterfaces } from 'node:os';
import type { LocalAddress } from './transport.ts';
import { transportError } from '../errors.ts';

/** Peers whose way is remembered for traces. */
const MAX_KNOWN = 1000;

/** Our addresses towards peers. */
export class LocalAddresses {
  readonly #bindAddress: string;
  /** One for each family at most. */
  readonly #publicAddresses: readonly string[];
  /** By the peer's address, the latest last. */
  readonly #known = new Map<string, string>();
  readonly #learned = new Map<string, LocalAddress>();

  constructor(bindAddress: string, publicAddresses: readonly string[]) {
    this.#bindAddress = bindAddress;
    this.#publicAddresses = publicAddresses;
  }

  /**
   * What the peer shall be told: the public address, or the one that packets to it leave from.
   *
   * @throws SipError `TRANSPORT` (as a rejection) when there is no route
   */
  async advertisedTo(address: string, port: number): Promise<string> {
    const local = this.#isBound ? this.#bindAddress : await routeTo(address, port);
    this.#known.delete(address);
    this.#known.set(address, local);
    dropOldest(this.#known);
    const family = isIPv6(address);
    return this.#publicAddresses.find((one) => isIPv6(one) === family) ?? local;
  }

  /** A request was, or shall be, sent to this address. */
  isKnown(address: string): boolean {
    return this.#known.has(address);
  }

  /** How this peer sees us, where it has said so. */
  learnedFrom(address: string): LocalAddress | undefined {
    return this.#learned.get(address);
  }

  /** Takes note of how a peer sees us; `undefined`: as we are. */
  learn(peer: string, seen: LocalAddress | undefined): void {
    this.#learned.delete(peer);
    if (seen !== undefined) this.#learned.set(peer, seen);
    dropOldest(this.#learned);
  }

  /** The address that packets from and to this peer really have here; a guess for peers that we never wrote to first. */
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

/** Connecting a UDP socket sends nothing; it makes the system choose the source address. */
function routeTo(address: string, port: number): Promise<string> {
  const socket = createSocket(isIPv6(address) ? 'udp6' : 'udp4');
  return new Promise((resolve, reject) => {
    const failed = (cause: unknown): void => {
      socket.close();
      // Other than the route, files for sockets can be missing (EMFILE).
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
