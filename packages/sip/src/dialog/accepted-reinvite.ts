// A 2xx of ours to a peer's re-INVITE, repeated until its ACK (RFC 3261 §13.3.1.4).

import type { SipResponse } from '../message/message.ts';
import type { Clock, SipTimers, TimerHandle } from '../timers.ts';
import type { ServerTransaction } from '../transaction/transaction-layer.ts';

interface AcceptedReinviteOptions {
  /** CSeq number of the re-INVITE. */
  readonly sequence: number;
  /** The 2xx holds our offer: the ACK must hold the answer. */
  readonly awaitsAnswer: boolean;
  readonly timers: SipTimers;
  readonly clock: Clock;
}

/** Repeats the 2xx after T1, 2·T1 … T2, over any transport; gives up after 64·T1. */
export class AcceptedReinvite {
  /** CSeq number that the ACK must carry. */
  readonly sequence: number;
  /** Our 2xx carried an offer: the answer is due in the ACK. */
  readonly awaitsAnswer: boolean;
  readonly #clock: Clock;
  readonly #repeat: () => void;
  readonly #t2Ms: number;
  readonly #limit: TimerHandle;
  #next: TimerHandle;

  /** Sends the response at once. `expired`: no ACK came in time. */
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

  /** The ACK came, or nobody waits for it any more. */
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
