// A provisional response of ours that is repeated until its PRACK (RFC 3262 §3).

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

/** Repeats the response after T1, 2·T1, 4·T1 …; gives up after 64·T1. */
export class ReliableProvisional {
  readonly #rack: string;
  readonly #clock: Clock;
  readonly #repeat: () => void;
  readonly #limit: TimerHandle;
  #next: TimerHandle;

  /** Sends the response at once; it carries this `rseq` already. `expired`: no PRACK came in time. */
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

  /** True when the PRACK is for this response. */
  matches(prack: SipRequest): boolean {
    return (prack.headers.get('rack') ?? '').trim().replaceAll(/\s+/g, ' ') === this.#rack;
  }

  /** The PRACK came, or nobody waits for it any more. */
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
