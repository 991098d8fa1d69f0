// Our 2xx to a peer's re-INVITE, retransmitted until the ACK (RFC 3261 §13.3.1.4).

import type { SipResponse } from '../message/message.ts';
import type { Clock, SipTimers, TimerHandle } from '../timers.ts';
import type { ServerTransaction } from '../transaction/transaction-layer.ts';

interface AcceptedReinviteOptions {
  /** CSeq number of the re-INVITE. */
  readonly sequence: number;
  /** The 2xx contains our offer, so the ACK must contain the answer. */
  readonly awaitsAnswer: boolean;
  readonly timers: SipTimers;
  readonly clock: Clock;
}

/** Retransmits the 2xx after T1, 2·T1 … T2 on any transport. Gives up after 64·T1. */
export class AcceptedReinvite {
  /** CSeq number that the ACK must carry. */
  readonly sequence: number;
  /** Our 2xx contained an offer; the ACK must contain the answer. */
  readonly awaitsAnswer: boolean;
  readonly #clock: Clock;
  readonly #repeat: () => void;
  readonly #t2Ms: number;
  readonly #limit: TimerHandle;
  #next: TimerHandle;

  /** Sends the response at once. `expired` is called if no ACK arrives in time. */
  constructor(
    transaction: ServerTransaction,
    response: SipResponse,
    { sequence, awaitsAnswer, timers, clock }: AcceptedReinviteOptions,
    expired: () => void,
  ) {
    this.sequence = sequence;
    this.awaitsAnswer = awaitsAnswer;
    this.#clock = clock;
    this.#repeat = () => transaction.respond(response);
    this.#t2Ms = timers.t2Ms;
    this.#limit = clock.startTimer(64 * timers.t1Ms, () => {
      this.stop();
      expired();
    });
    this.#next = this.#schedule(timers.t1Ms);
    this.#repeat();
  }

  /** Stops retransmitting: the ACK has arrived, or is no longer needed. */
  stop(): void {
    this.#next.cancel();
    this.#limit.cancel();
  }

  #schedule(delayMs: number): TimerHandle {
    return this.#clock.startTimer(delayMs, () => {
      this.#repeat();
      this.#next = this.#schedule(Math.min(delayMs * 2, this.#t2Ms));
    });
  }
}
