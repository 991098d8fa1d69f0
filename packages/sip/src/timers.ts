// Timer values of RFC 3261 §17 (table 4) and RFC 6026 for one user agent, and the clock that runs them.

/** Values of the SIP timers, in milliseconds. All are positive. */
export interface SipTimers {
  /** Round-trip estimate and first retransmission interval. Default 500. */
  readonly t1Ms: number;
  /** Longest retransmission interval for non-INVITE requests and INVITE responses. Default 4,000. */
  readonly t2Ms: number;
  /** Longest lifetime of a message in the network. Default 5,000. */
  readonly t4Ms: number;
  /** INVITE client: gives up without any response. Default 64·T1. */
  readonly timerBMs: number;
  /** INVITE client: absorbs retransmitted final responses, unreliable transports only. Default 64·T1. */
  readonly timerDMs: number;
  /** Non-INVITE client: gives up without a final response. Default 64·T1. */
  readonly timerFMs: number;
  /** INVITE server: gives up waiting for the ACK of a non-2xx. Default 64·T1. */
  readonly timerHMs: number;
  /** INVITE server: absorbs retransmitted ACKs, unreliable transports only. Default T4. */
  readonly timerIMs: number;
  /** Non-INVITE server: answers retransmitted requests, unreliable transports only. Default 64·T1. */
  readonly timerJMs: number;
  /** Non-INVITE client: absorbs retransmitted responses, unreliable transports only. Default T4. */
  readonly timerKMs: number;
  /** INVITE server: absorbs retransmitted INVITEs after a 2xx (RFC 6026 §7.1). Default 64·T1. */
  readonly timerLMs: number;
  /** INVITE client: passes on retransmitted and forked 2xx responses (RFC 6026 §7.2). Default 64·T1. */
  readonly timerMMs: number;
}

/**
 * Completes a partial set of timer values. Missing ones are derived from T1, T2 and T4 by table 4 of RFC 3261, so a
 * smaller T1 shortens all of them.
 */
export function completeTimers(chosen: Partial<SipTimers> = {}): SipTimers {
  const t1Ms = chosen.t1Ms ?? 500;
  const t4Ms = chosen.t4Ms ?? 5000;
  const long = 64 * t1Ms;
  return {
    t1Ms,
    t2Ms: chosen.t2Ms ?? 4000,
    t4Ms,
    timerBMs: chosen.timerBMs ?? long,
    timerDMs: chosen.timerDMs ?? long,
    timerFMs: chosen.timerFMs ?? long,
    timerHMs: chosen.timerHMs ?? long,
    timerIMs: chosen.timerIMs ?? t4Ms,
    timerJMs: chosen.timerJMs ?? long,
    timerKMs: chosen.timerKMs ?? t4Ms,
    timerLMs: chosen.timerLMs ?? long,
    timerMMs: chosen.timerMMs ?? long,
  };
}

/** A running timer. */
export interface TimerHandle {
  /** Stops the timer. Harmless if it has fired or was cancelled. */
  cancel(): void;
}

/** Time as a dependency: everything above the sockets gets the time and its timers from here. */
export interface Clock {
  /** Monotonic milliseconds from any origin. */
  now(): number;
  /** Calls `callback` once after `delayMs`, never before it returns. */
  startTimer(delayMs: number, callback: () => void): TimerHandle;
}

/** The process's monotonic clock and timers. Its timers keep the process alive until they fire or are cancelled. */
export const systemClock: Clock = {
  now: () => performance.now(),
  startTimer: (delayMs, callback) => {
    const timer = setTimeout(callback, delayMs);
    return { cancel: () => clearTimeout(timer) };
  },
};
