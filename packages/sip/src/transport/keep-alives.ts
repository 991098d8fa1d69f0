// Keep-alives over UDP: a CRLF now and then holds the NAT's binding through which a registrar reaches us. It is no message,
// and peers ignore it (RFC 3261 §7.5). Connections have their own, in transport-stream.ts.

import type { Clock, TimerHandle } from '../timers.ts';
import type { TransportAddress } from './transport.ts';

/** What a keep-alive needs of its user agent. */
export interface KeepAliveOptions {
  readonly clock: Clock;
  /** The longest time between two, in milliseconds; 0: none are sent. */
  readonly intervalMs: number;
  /** 0 ≤ n < 1. */
  readonly random: () => number;
  readonly send: (to: TransportAddress) => void;
}

interface Destination {
  holders: number;
  timer: TimerHandle | undefined;
}

/** The destinations that are kept alive, each for as long as somebody holds it. */
export class KeepAlives {
  readonly #options: KeepAliveOptions;
  readonly #destinations = new Map<string, Destination>();

  constructor(options: KeepAliveOptions) {
    this.#options = options;
  }

  /** Begins, or shares what is there. The function returned ends it; idempotent. */
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

  /** Ends all. */
  close(): void {
    for (const { timer } of this.#destinations.values()) timer?.cancel();
    this.#destinations.clear();
  }

  #start(destination: Destination, to: TransportAddress): void {
    const { clock, intervalMs, random, send } = this.#options;
    // RFC 5626 §4.4: between 80 and 100 %, so that peers that restarted together do not stay together.
    destination.timer = clock.startTimer(intervalMs * (0.8 + 0.2 * random()), () => {
      send(to);
      this.#start(destination, to);
    });
  }
}
