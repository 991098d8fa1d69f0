// A bad network between two UDP peers: loss, delay, reordering, duplicates, corruption; reproducible by its seed.

import type { Socket } from 'node:dgram';
import { isIPv6 } from 'node:net';
import { seededRandom } from '../seeded-random.ts';
import type { Random } from '../seeded-random.ts';
import { bindUdp } from '../udp-socket.ts';

/** Impairments of one direction. All default to 0: none. */
export interface UdpFaults {
  /** Share of datagrams that are lost, 0–1. */
  readonly loss?: number;
  /** Delay of every datagram. */
  readonly delayMs?: number;
  /** Additional random delay of 0 … this, without reordering. */
  readonly jitterMs?: number;
  /** Share that waits `reorderMs` longer, so that later ones overtake it, 0–1. */
  readonly reorder?: number;
  /** Default 30 ms. */
  readonly reorderMs?: number;
  /** Share that is sent twice, 0–1. */
  readonly duplicate?: number;
  /** Share with one changed octet, 0–1. */
  readonly corrupt?: number;
}

/** Counters of one direction. */
export interface UdpRelayStats {
  received: number;
  forwarded: number;
  /** Because of `loss`. */
  lost: number;
  /** While paused or dead, or before a client was known. */
  dropped: number;
  reordered: number;
  duplicated: number;
  corrupted: number;
}

/** Options of a {@link UdpRelay}. */
export interface UdpRelayOptions {
  /** The server's IP address. Default `127.0.0.1`. */
  readonly targetHost?: string;
  readonly targetPort: number;
  /** Address for clients. Default `127.0.0.1`. */
  readonly host?: string;
  /** Default: a free port. */
  readonly port?: number;
  /** From the client to the target. */
  readonly toTarget?: UdpFaults;
  /** From the target to the client. */
  readonly toClient?: UdpFaults;
  /** The same seed gives the same impairments. Default 1. */
  readonly seed?: number;
}

/** One direction. */
class Direction {
  faults: UdpFaults;
  readonly stats: UdpRelayStats = {
    received: 0,
    forwarded: 0,
    lost: 0,
    dropped: 0,
    reordered: 0,
    duplicated: 0,
    corrupted: 0,
  };
  readonly #random: Random;
  readonly #send: (datagram: Uint8Array) => void;
  readonly #timers = new Set<NodeJS.Timeout>();
  #lastDueMs = 0;

  constructor(faults: UdpFaults, random: Random, send: (datagram: Uint8Array) => void) {
    checkFaults(faults);
    this.faults = faults;
    this.#random = random;
    this.#send = send;
  }

  take(datagram: Uint8Array): void {
    const { stats } = this;
    const { loss = 0, reorder = 0, duplicate = 0, corrupt = 0, reorderMs = 30 } = this.faults;
    const { delayMs = 0, jitterMs = 0 } = this.faults;
    // The random numbers are always drawn in this order, so that one share does not influence the others.
    const [lost, late, twice, damaged] = [loss, reorder, duplicate, corrupt].map(
      (share) => this.#random() < share,
    );
    const waitMs = delayMs + this.#random() * jitterMs;
    const place = this.#random();
    if (lost === true) {
      stats.lost++;
      return;
    }
    let octets = datagram;
    if (damaged === true && octets.length > 0) {
      stats.corrupted++;
      octets = Uint8Array.from(octets);
      const at = Math.floor(place * octets.length);
      octets[at] = octets[at]! ^ (1 + (Math.floor(place * 0xffff_ffff) % 255));
    }
    if (late === true) {
      stats.reordered++;
      this.#forward(octets, waitMs + reorderMs);
    } else this.#inOrder(octets, waitMs);
    if (twice === true) {
      stats.duplicated++;
      this.#inOrder(octets, waitMs);
    }
  }

  clear(): void {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
  }

  #inOrder(octets: Uint8Array, waitMs: number): void {
    const nowMs = performance.now();
    this.#lastDueMs = Math.max(this.#lastDueMs, nowMs + waitMs);
    this.#forward(octets, waitMs === 0 ? 0 : this.#lastDueMs - nowMs);
  }

  #forward(octets: Uint8Array, waitMs: number): void {
    if (waitMs <= 0) {
      this.stats.forwarded++;
      this.#send(octets);
      return;
    }
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      this.stats.forwarded++;
      this.#send(octets);
    }, waitMs);
    this.#timers.add(timer);
  }
}

/** Relays between one server and one client, whose address it learns. */
export class UdpRelay {
  readonly #options: UdpRelayOptions;
  readonly #toTarget: Direction;
  readonly #toClient: Direction;
  #front: Socket | undefined;
  #back: Socket | undefined;
  #port = 0;
  #client: { address: string; port: number } | undefined;
  #paused = false;

  private constructor(options: UdpRelayOptions) {
    this.#options = options;
    const { toTarget = {}, toClient = {}, seed = 1, targetHost = '127.0.0.1' } = options;
    this.#toTarget = new Direction(toTarget, seededRandom(seed), (datagram) => {
      this.#back?.send(datagram, options.targetPort, targetHost);
    });
    this.#toClient = new Direction(toClient, seededRandom(seed + 1), (datagram) => {
      const client = this.#client;
      if (client !== undefined) this.#front?.send(datagram, client.port, client.address);
    });
  }

  /** Binds both sides. Rejects with the system's error. @throws RangeError for a share outside 0–1 or a negative time. */
  static async open(options: UdpRelayOptions): Promise<UdpRelay> {
    const relay = new UdpRelay(options);
    await relay.#bind(options.port ?? 0);
    return relay;
  }

  /** Port for clients; unchanged by `die` and `comeBack`. */
  get port(): number {
    return this.#port;
  }

  /** Port that the target sees. Changes with `comeBack`. */
  get backPort(): number {
    return this.#back?.address().port ?? 0;
  }

  /** Source of the newest datagram from the client's side. */
  get client(): { readonly address: string; readonly port: number } | undefined {
    return this.#client;
  }

  get stats(): { readonly toTarget: UdpRelayStats; readonly toClient: UdpRelayStats } {
    return { toTarget: this.#toTarget.stats, toClient: this.#toClient.stats };
  }

  /** Changes the impairments for all following datagrams. @throws RangeError as `open` */
  change(faults: { readonly toTarget?: UdpFaults; readonly toClient?: UdpFaults }): void {
    for (const one of [faults.toTarget, faults.toClient]) if (one) checkFaults(one);
    if (faults.toTarget) this.#toTarget.faults = faults.toTarget;
    if (faults.toClient) this.#toClient.faults = faults.toClient;
  }

  /** Drops everything in both directions. */
  pause(): void {
    this.#paused = true;
  }

  /** Undoes {@link pause}. */
  resume(): void {
    this.#paused = false;
  }

  /** Closes its sockets: senders get ICMP port unreachable. */
  async die(): Promise<void> {
    this.#toTarget.clear();
    this.#toClient.clear();
    const sockets = [this.#front, this.#back].flatMap((socket) => socket ?? []);
    this.#front = undefined;
    this.#back = undefined;
    await Promise.all(
      sockets.map((socket) => new Promise<void>((resolve) => socket.close(() => resolve()))),
    );
  }

  /** Listens on the same port again after {@link die}. */
  async comeBack(): Promise<void> {
    if (this.#front === undefined) await this.#bind(this.#port);
  }

  /** Closes everything. Idempotent. */
  close(): Promise<void> {
    return this.die();
  }

  async #bind(port: number): Promise<void> {
    const { host = '127.0.0.1', targetHost = '127.0.0.1' } = this.#options;
    const front = await bindUdp(host, port);
    this.#front = front;
    this.#port = front.address().port;
    const back = await bindUdp(isIPv6(targetHost) ? '::1' : host, 0);
    this.#back = back;
    // Send errors are part of the bad network.
    for (const socket of [front, back]) socket.on('error', () => {});
    front.on('message', (datagram, { address, port: from }) => {
      this.#client = { address, port: from };
      this.#take(this.#toTarget, datagram);
    });
    back.on('message', (datagram) => this.#take(this.#toClient, datagram));
  }

  #take(direction: Direction, datagram: Uint8Array): void {
    direction.stats.received++;
    const homeless = direction === this.#toClient && this.#client === undefined;
    if (this.#paused || homeless) direction.stats.dropped++;
    else direction.take(datagram);
  }
}

function checkFaults(faults: UdpFaults): void {
  for (const [field, value] of Object.entries(faults) as [string, number][]) {
    const most = field.endsWith('Ms') ? 3_600_000 : 1;
    if (!(value >= 0 && value <= most)) throw new RangeError(`${field} must be 0–${most}`);
  }
}
