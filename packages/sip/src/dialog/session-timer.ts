// The session timer of one dialog: who refreshes, how often, and when the session has expired (RFC 4028).

import type { SipHeaders, SipRequest } from '../message/message.ts';
import type { Verdict } from './request-policy.ts';
import type { Clock, TimerHandle } from '../timers.ts';

/** What is made of session timers. */
export interface SessionTimerOptions {
  /**
   * `off`: not supported. `accept`: a peer that wants one gets one. `request`: asked for in our INVITEs and given in
   * our answers. Default `accept`.
   */
  readonly mode?: 'off' | 'accept' | 'request';
  /** Interval asked for, in seconds, 90–86,400, not below `minSeconds`. Default 1,800. */
  readonly expiresSeconds?: number;
  /** Shortest interval that is accepted, in seconds, 90–86,400 (RFC 4028 §5). Default 90. */
  readonly minSeconds?: number;
}

/** RFC 4028 §4. */
export const DEFAULT_EXPIRES_SECONDS = 1800;
/** RFC 4028 §5: no `Min-SE` may be lower. */
export const LEAST_SECONDS = 90;
/** More than that is no interval but a mistake. */
const MOST_SECONDS = 86_400;
/** A peer that wants to be refreshed more often than that does not get it. */
const SHORTEST_SECONDS = 10;

type Refresher = 'uac' | 'uas';

/** Value of a Session-Expires. */
export interface SessionExpires {
  readonly seconds: number;
  readonly refresher: Refresher | undefined;
}

/** What the timer asks of its dialog. */
export interface SessionTimerHandler {
  /** Refresh the session now. It is asked for again, in time, as long as no refresh succeeds. */
  refresh(): void;
  /** Nobody refreshed in time: the session is over. */
  expired(): void;
}

/** `delta-seconds *(;param)`; `undefined` when it cannot be read. */
export function parseSessionExpires(value: string | undefined): SessionExpires | undefined {
  const match = /^\s*(\d{1,10})\s*(;.*)?$/.exec(value ?? '');
  if (match === null) return undefined;
  const refresher = /;\s*refresher\s*=\s*(uac|uas)\s*(?:;|$)/i.exec(match[2] ?? '')?.[1];
  return {
    seconds: Number(match[1]),
    refresher: refresher?.toLowerCase() as Refresher | undefined,
  };
}

/** 422 for a request of the peer's whose interval is too short (RFC 4028 §9). */
export function refuseInterval(
  request: SipRequest,
  { mode, minSeconds = LEAST_SECONDS }: SessionTimerOptions,
): Verdict | undefined {
  if (mode === 'off') return undefined;
  const asked = parseSessionExpires(request.headers.get('session-expires'));
  if (asked === undefined || asked.seconds >= minSeconds) return undefined;
  return {
    statusCode: 422,
    reasonPhrase: 'Session Interval Too Small',
    headers: [['min-se', String(minSeconds)]],
  };
}

/** One dialog's timer. Pure but for its clock. */
export class SessionTimer {
  readonly #mode: 'off' | 'accept' | 'request';
  readonly #clock: Clock;
  readonly #handler: SessionTimerHandler;
  readonly #leastSeconds: number;
  #wantedSeconds: number;
  /** Largest Min-SE of a 422 to one of our requests: later ones carry it (RFC 4028 §7.4). */
  #peerMinSeconds = 0;
  #seconds = 0;
  #weRefresh = false;
  #deadlineMs = 0;
  #timer: TimerHandle | undefined;
  #stopped = false;

  constructor(options: SessionTimerOptions, clock: Clock, handler: SessionTimerHandler) {
    this.#mode = options.mode ?? 'accept';
    this.#leastSeconds = options.minSeconds ?? LEAST_SECONDS;
    this.#wantedSeconds = options.expiresSeconds ?? DEFAULT_EXPIRES_SECONDS;
    this.#clock = clock;
    this.#handler = handler;
  }

  /** The option tag belongs into Supported. */
  get supported(): boolean {
    return this.#mode !== 'off';
  }

  /** Interval in force, in seconds; 0 when the session does not expire. */
  get seconds(): number {
    return this.#seconds;
  }

  /** The interval is kept up by our requests. */
  get weRefresh(): boolean {
    return this.#weRefresh;
  }

  /** Headers of our INVITE, re-INVITE or UPDATE. */
  requestHeaders(): [string, string][] {
    if (!this.supported) return [];
    const running = this.#seconds > 0;
    if (!running && this.#mode !== 'request' && this.#peerMinSeconds === 0) return [];
    const seconds = Math.max(running ? this.#seconds : this.#wantedSeconds, this.#peerMinSeconds);
    // RFC 4028 §7.4: in a refresh the role that was agreed on is kept.
    const role = this.#weRefresh ? 'uac' : 'uas';
    const headers: [string, string][] = [
      ['session-expires', running ? `${seconds};refresher=${role}` : String(seconds)],
    ];
    const least = Math.max(this.#leastSeconds, this.#peerMinSeconds);
    if (least > LEAST_SECONDS) headers.push(['min-se', String(least)]);
    return headers;
  }

  /** A 422 to our request: true when it is to be sent again, with the peer's minimum. */
  tooSmall(headers: SipHeaders): boolean {
    const least = Number(/^\s*(\d{1,10})/.exec(headers.get('min-se') ?? '')?.[1] ?? Number.NaN);
    if (!(least > this.#peerMinSeconds && least <= MOST_SECONDS)) return false;
    if (!this.supported) return false;
    this.#peerMinSeconds = least;
    this.#wantedSeconds = Math.max(this.#wantedSeconds, least);
    return true;
  }

  /** A 2xx to our INVITE, re-INVITE or UPDATE: begins, begins again, or ends the interval. */
  accepted(headers: SipHeaders): void {
    const given = this.supported ? parseSessionExpires(headers.get('session-expires')) : undefined;
    if (given === undefined || given.seconds < 1) {
      this.#begin(0, false);
      return;
    }
    // RFC 4028 §7.2: a UAS must name the refresher; one that does not leaves the work to us.
    const seconds = Math.min(Math.max(given.seconds, SHORTEST_SECONDS), MOST_SECONDS);
    this.#begin(seconds, given.refresher !== 'uas');
  }

  /** As {@link refuseInterval}. */
  refuse(request: SipRequest): Verdict | undefined {
    return refuseInterval(request, { mode: this.#mode, minSeconds: this.#leastSeconds });
  }

  /** Headers of our 2xx to the peer's INVITE, re-INVITE or UPDATE; its interval begins. */
  answer(request: SipRequest): [string, string][] {
    if (!this.supported) return [];
    const { headers } = request;
    const asked = parseSessionExpires(headers.get('session-expires'));
    const peerSupports = headers
      .getAll('supported')
      .some((tag) => tag.trim().toLowerCase() === 'timer');
    if (asked === undefined && this.#mode !== 'request') {
      this.#begin(0, false);
      return [];
    }
    const seconds = Math.min(
      asked === undefined ? this.#wantedSeconds : asked.seconds,
      MOST_SECONDS,
    );
    // RFC 4028 §9 table 2: who does not know the timer cannot refresh; the peer's choice is not overruled.
    const refresher = peerSupports ? (asked?.refresher ?? 'uac') : 'uas';
    this.#begin(seconds, refresher === 'uas');
    const answer: [string, string][] = [['session-expires', `${seconds};refresher=${refresher}`]];
    if (peerSupports && refresher === 'uac') answer.push(['require', 'timer']);
    return answer;
  }

  /** No refresh, no expiry any more. */
  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  #begin(seconds: number, weRefresh: boolean): void {
    this.#timer?.cancel();
    this.#seconds = seconds;
    this.#weRefresh = weRefresh;
    if (seconds === 0 || this.#stopped) return;
    const intervalMs = seconds * 1000;
    // RFC 4028 §10: the BYE goes out before the peer, or a proxy, forgets the session.
    this.#deadlineMs = this.#clock.now() + intervalMs - Math.min(32_000, intervalMs / 3);
    if (weRefresh) this.#refreshIn(intervalMs / 2);
    else this.#expireIn(this.#deadlineMs - this.#clock.now());
  }

  #refreshIn(delayMs: number): void {
    this.#timer = this.#clock.startTimer(delayMs, () => {
      const leftMs = this.#deadlineMs - this.#clock.now();
      // A refresh that fails for now is tried again in half of what is left.
      if (leftMs > 2000) this.#refreshIn(leftMs / 2);
      else this.#expireIn(Math.max(leftMs, 0));
      this.#handler.refresh();
    });
  }

  #expireIn(delayMs: number): void {
    this.#timer = this.#clock.startTimer(delayMs, () => {
      this.stop();
      this.#handler.expired();
    });
  }
}
