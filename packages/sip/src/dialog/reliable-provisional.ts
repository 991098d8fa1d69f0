// Our reliable provisional response, retransmitted until its PRACK (RFC 3262 §3).

import type { SipRequest, SipResponse } from '../message/message.ts';
import type { Clock, SipTimers, TimerHandle } from '../timers.ts';
import type { ServerTransaction } from '../transaction/transaction-layer.ts';
import { parseCSeq } from '../message/uri.ts';

interface ReliableProvisionalOptions {
  /** RSeq of the response (RFC 3262 §3). */
  readonly rseq: number;
  readonly timers: SipTimers;
  readonly clock: Clock;
}

/** Retransmits the response after T1, 2·T1, 4·T1 … Gives up after 64·T1. */
export class ReliableProvisional {
  readonly #rack: string;
  readonly #clock: Clock;
  readonly #repeat: () => void;
  readonly #limit: TimerHandle;
  #next: TimerHandle;

  /**
   * Sends the response, which already carries this `rseq`, at once. `expired` is called if no PRACK arrives in time.
   */
  constructor(
    transaction: ServerTransaction,
    response: SipResponse,
    { rseq, timers, clock }: ReliableProvisionalOptions,
    expired: () => void,
  ) {
    const { sequence, method } = parseCSeq(transaction.request.headers.get('cseq') ?? '');
    this.#rack = `${rseq} ${sequence} ${method}`;
    this.#clock = clock;
    this.#repeat = () => transaction.respond(response);
    this.#limit = clock.startTimer(64 * timers.t1Ms, () => {
      this.stop();
      expired();
    });
    this.#next = this.#schedule(timers.t1Ms);
    this.#repeat();
  }

  /** Whether the PRACK acknowledges this response. */
  matches(prack: SipRequest): boolean {
    return (prack.headers.get('rack') ?? '').trim().replaceAll(/\s+/g, ' ') === this.#rack;
  }

  /** Stops retransmitting: the PRACK has arrived, or is no longer needed. */
  stop(): void {
    this.#next.cancel();
    this.#limit.cancel();
  }

  #schedule(delayMs: number): TimerHandle {
    return this.#clock.startTimer(delayMs, () => {
      this.#repeat();
      this.#next = this.#schedule(delayMs * 2);
    });
  }
}
