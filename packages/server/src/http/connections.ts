// The connections of one port: how many there are, of whom, and which one makes room when there are enough.

/** What a {@link Connections} must know of one. */
export interface Connection {
  /** Another one for each connection that is open. */
  readonly key: string;
  /** Whose it is; see `networkOf`. */
  readonly network: string;
  close(): void;
}

/** How many there may be. */
export interface ConnectionBounds {
  readonly most: number;
  /** Of one network. */
  readonly mostPerNetwork: number;
}

/** What was turned away. */
export interface ConnectionStats {
  /** Closed for a new one: they had no complete request, or did not take their answers. */
  readonly replaced: number;
  /** Closed at once: all others were being answered. */
  readonly refused: number;
  /** Closed for more requests in a row than are answered at once. */
  readonly flooded: number;
}

interface Held {
  readonly connection: Connection;
  /** Of those that are not over: whether an answer to them is being made. */
  readonly requests: Set<() => boolean>;
  /** No complete request since, in monotonic milliseconds. */
  waitingSinceMs: number;
  /** It is no HTTP any more. */
  isUpgraded: boolean;
}

/** Requests of one connection that may be without an answer: RFC 9112 §9.3.2 lets clients send ahead, few do. */
const MAX_UNANSWERED = 32;

/**
 * Lets connections in. With `most` open, a new one takes the place of one that waits: that has sent no request yet, has sent a
 * part of one, is idle behind its last answer, or does not take it. The network that has most of these gives the one that waits
 * longest: whoever has a single connection keeps it, however many addresses hold on to as many as they can. A connection for
 * which an answer is being made makes room for nobody.
 */
export class Connections {
  readonly #bounds: ConnectionBounds;
  readonly #held = new Map<string, Held>();
  /** How many of each network. */
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

  /** Connections that are open. */
  get size(): number {
    return this.#held.size;
  }

  /**
   * One more; its close must be told by {@link closed}.
   * @returns false: there is no room, and it was closed
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

  /** It is gone. */
  closed(connection: Connection): void {
    const { key, network } = connection;
    if (this.#held.get(key)?.connection !== connection) return;
    this.#held.delete(key);
    const left = (this.#counts.get(network) ?? 1) - 1;
    if (left === 0) this.#counts.delete(network);
    else this.#counts.set(network, left);
  }

  /**
   * The head of a request has come; to be asked before {@link serve}.
   * @returns false: too many before it have no answer yet, and the connection was closed
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
   * @param isBeingAnswered - Whether all of it has come, body included, and its answer is still being made. One that is made and
   *   not taken is the client's affair.
   * @returns to be called when its answer is over, with monotonic milliseconds
   */
  serve(key: string, isBeingAnswered: () => boolean): (nowMs: number) => void {
    const held = this.#held.get(key);
    held?.requests.add(isBeingAnswered);
    return (nowMs) => {
      if (held?.requests.delete(isBeingAnswered)) held.waitingSinceMs = nowMs;
    };
  }

  /** Whether all its requests have their answers. */
  isIdle(key: string): boolean {
    return (this.#held.get(key)?.requests.size ?? 0) === 0;
  }

  /** It has become a WebSocket: it waits for nothing any more. */
  upgrade(key: string): void {
    const held = this.#held.get(key);
    if (held) held.isUpgraded = true;
  }

  #waiting(network: string): readonly Held[] {
    return [...this.#held.values()].filter(
      (one) => one.connection.network === network && isWaiting(one),
    );
  }

  /** Those that wait, of the networks that have most of them. */
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
