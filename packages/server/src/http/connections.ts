// The connections of one port: their limits, and which one is closed to make room.

/** A connection as seen by {@link Connections}. */
export interface Connection {
  /** Unique among the open connections. */
  readonly key: string;
  /** The client's network; see `networkOf`. */
  readonly network: string;
  close(): void;
}

/** Limits on the number of connections. */
export interface ConnectionBounds {
  readonly most: number;
  /** Limit for one network. */
  readonly mostPerNetwork: number;
}

/** Connections that were closed because of the limits. */
export interface ConnectionStats {
  /** Closed in favor of a new one: they had no complete request, or did not read their answers. */
  readonly replaced: number;
  /** New connections closed at once, because all others were being answered. */
  readonly refused: number;
  /** Closed because of too many pipelined requests. */
  readonly flooded: number;
}

interface Held {
  readonly connection: Connection;
  /** The unfinished requests; each function says whether its answer is still being produced. */
  readonly requests: Set<() => boolean>;
  /** Without a complete request since this time, in monotonic milliseconds. */
  waitingSinceMs: number;
  /** It is no longer HTTP. */
  isUpgraded: boolean;
}

/** Unanswered requests on one connection. RFC 9112 §9.3.2 allows pipelining, but few clients use it. */
const MAX_UNANSWERED = 32;

/**
 * Admits connections. At the limit, a new connection replaces an idle one: one that has not sent a complete request, is
 * idle after its last answer, or does not read it. The network with the most idle connections loses the one that has
 * been idle longest. So a client with a single connection keeps it, no matter how many connections other addresses
 * hold. A connection whose answer is being produced is never closed to make room.
 */
export class Connections {
  readonly #bounds: ConnectionBounds;
  readonly #held = new Map<string, Held>();
  /** Number of connections per network. */
  readonly #counts = new Map<string, number>();
  #replaced = 0;
  #refused = 0;
  #flooded = 0;

  constructor(bounds: ConnectionBounds) {
    this.#bounds = bounds;
  }

  get stats(): ConnectionStats {
    return { replaced: this.#replaced, refused: this.#refused, flooded: this.#flooded };
  }

  /** Number of open connections. */
  get size(): number {
    return this.#held.size;
  }

  /**
   * Adds a connection; report its end by {@link closed}.
   * @returns false if there was no room and it was closed
   */
  open(connection: Connection, nowMs: number): boolean {
    const { most, mostPerNetwork } = this.#bounds;
    const { key, network } = connection;
    const isOwnFull = (this.#counts.get(network) ?? 0) >= mostPerNetwork;
    if (isOwnFull || this.#held.size >= most) {
      const givesWay = longest(isOwnFull ? this.#waiting(network) : this.#mostOfOne());
      if (!givesWay) {
        this.#refused++;
        connection.close();
        return false;
      }
      this.#replaced++;
      this.closed(givesWay.connection);
      givesWay.connection.close();
    }
    this.#counts.set(network, (this.#counts.get(network) ?? 0) + 1);
    const requests = new Set<() => boolean>();
    this.#held.set(key, { connection, requests, waitingSinceMs: nowMs, isUpgraded: false });
    return true;
  }

  /** The connection has closed. */
  closed(connection: Connection): void {
    const { key, network } = connection;
    if (this.#held.get(key)?.connection !== connection) return;
    this.#held.delete(key);
    const left = (this.#counts.get(network) ?? 1) - 1;
    if (left === 0) this.#counts.delete(network);
    else this.#counts.set(network, left);
  }

  /**
   * The head of a request has arrived. Ask this before {@link serve}.
   * @returns false if too many earlier requests are unanswered and the connection was closed
   */
  admits(key: string): boolean {
    const held = this.#held.get(key);
    if (!held || held.requests.size < MAX_UNANSWERED) return true;
    this.#flooded++;
    this.closed(held.connection);
    held.connection.close();
    return false;
  }

  /**
   * A request will be answered.
   * @param isBeingAnswered - Whether the whole request, including its body, has arrived and its answer is still being
   * produced. An answer that is complete but unread does not count.
   * @returns a function to call when the answer has been sent, with monotonic milliseconds
   */
  serve(key: string, isBeingAnswered: () => boolean): (nowMs: number) => void {
    const held = this.#held.get(key);
    held?.requests.add(isBeingAnswered);
    return (nowMs) => {
      if (held?.requests.delete(isBeingAnswered)) held.waitingSinceMs = nowMs;
    };
  }

  /** Whether all its requests have been answered. */
  isIdle(key: string): boolean {
    return (this.#held.get(key)?.requests.size ?? 0) === 0;
  }

  /** It has become a WebSocket, and never counts as idle again. */
  upgrade(key: string): void {
    const held = this.#held.get(key);
    if (held) held.isUpgraded = true;
  }

  #waiting(network: string): readonly Held[] {
    return [...this.#held.values()].filter(
      (one) => one.connection.network === network && isWaiting(one),
    );
  }

  /** The idle connections of the network that has the most of them. */
  #mostOfOne(): readonly Held[] {
    const byNetwork = new Map<string, Held[]>();
    let most = 0;
    for (const one of this.#held.values()) {
      if (!isWaiting(one)) continue;
      const { network } = one.connection;
      const others = byNetwork.get(network) ?? [];
      byNetwork.set(network, others);
      most = Math.max(most, others.push(one));
    }
    return [...byNetwork.values()].filter(({ length }) => length === most).flat();
  }
}

function isWaiting({ requests, isUpgraded }: Held): boolean {
  return !isUpgraded && ![...requests].some((isBeingAnswered) => isBeingAnswered());
}

function longest(waiting: readonly Held[]): Held | undefined {
  let found = waiting[0];
  for (const one of waiting) if (found && one.waitingSinceMs < found.waitingSinceMs) found = one;
  return found;
}
