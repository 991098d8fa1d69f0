// Keep-alives over UDP: a periodic CRLF keeps the NAT binding open through which a registrar reaches us. Peers ignore
// it (RFC 3261 §7.5). For connections, see stream-transport.ts.

import type { Clock, TimerHandle } from '../timers.ts';
import type { TransportAddress } from './transport.ts';

/** The dependencies of the keep-alives. */
export interface KeepAliveOptions {
  readonly clock: Clock;
  /** Longest time between two keep-alives, in milliseconds. 0: off. */
  readonly intervalMs: number;
  /** 0 ≤ n < 1. */
  readonly random: () => number;
  readonly send: (to: TransportAddress) => void;
}

interface Destination {
  holders: number;
  timer: TimerHandle | undefined;
}

/** Destinations that are kept alive while at least one hold on them exists. */
export class KeepAlives {
  readonly #options: KeepAliveOptions;
  readonly #destinations = new Map<string, Destination>();

  constructor(options: KeepAliveOptions) {
    this.#options = options;
  }

  /** Starts keep-alives to a destination, or shares running ones. @returns an idempotent release function */
  hold(to: TransportAddress): () => void {
    if (this.#options.intervalMs === 0 || to.protocol !== 'UDP') return () => {};
    const key = `${to.address} ${to.port}`;
    const known = this.#destinations.get(key);
    const destination = known ?? { holders: 0, timer: undefined };
    destination.holders++;
    if (known === undefined) {
      this.#destinations.set(key, destination);
      this.#start(destination, to);
    }
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      destination.holders--;
      if (destination.holders > 0) return;
      destination.timer?.cancel();
      this.#destinations.delete(key);
    };
  }

  /** Stops all keep-alives. */
  close(): void {
    for (const { timer } of this.#destinations.values()) timer?.cancel();
    this.#destinations.clear();
  }

  #start(destination: Destination, to: TransportAddress): void {
    const { clock, intervalMs, random, send } = this.#options;
    // RFC 5626 §4.4: 80 to 100 % of the interval, so that peers that restarted together drift apart.
    destination.timer = clock.startTimer(intervalMs * (0.8 + 0.2 * random()), () => {
      send(to);
      this.#start(destination, to);
    });
  }
}
