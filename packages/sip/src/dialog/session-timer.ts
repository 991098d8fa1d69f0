// The session timer of one dialog: who refreshes, how often, and when the session has expired (RFC 4028).

import type { SipHeaders, SipRequest } from '../message/message.ts';
import type { Verdict } from './request-policy.ts';
import type { Clock, TimerHandle } from '../timers.ts';

/** Settings of session timers. */
export interface SessionTimerOptions {
  /**
   * `off`: not supported. `accept`: used if the peer requests it. `request`: requested in our INVITEs and set in our
   * answers. Default `accept`.
   */
  readonly mode?: 'off' | 'accept' | 'request';
  /** Requested interval in seconds, 90–86,400, at least `minSeconds`. Default 1,800. */
  readonly expiresSeconds?: number;
  /** Shortest accepted interval in seconds, 90–86,400 (RFC 4028 §5). Default 90. */
  readonly minSeconds?: number;
}

/** RFC 4028 §4. */
export const DEFAULT_EXPIRES_SECONDS = 1800;
/** RFC 4028 §5: the lowest legal `Min-SE`. */
export const LEAST_SECONDS = 90;
/** Longer intervals from a peer are reduced to this. */
const MOST_SECONDS = 86_400;
/** Shorter intervals in a peer's 2xx are raised to this. */
const SHORTEST_SECONDS = 10;

type Refresher = 'uac' | 'uas';

/** The value of a Session-Expires header. */
export interface SessionExpires {
  readonly seconds: number;
  readonly refresher: Refresher | undefined;
}

/** What the timer requests from its dialog. */
export interface SessionTimerHandler {
  /** Refresh the session now. Called again in time until a refresh succeeds. */
  refresh(): void;
  /** The session was not refreshed in time and has expired. */
  expired(): void;
}

/** Parses `delta-seconds *(;param)`. `undefined` if it is malformed. */
export function parseSessionExpires(value: string | undefined): SessionExpires | undefined {
  const match = /^\s*(\d{1,10})\s*(;.*)?$/.exec(value ?? '');
  if (match === null) return undefined;
  const refresher = /;\s*refresher\s*=\s*(uac|uas)\s*(?:;|$)/i.exec(match[2] ?? '')?.[1];
  return {
    seconds: Number(match[1]),
    refresher: refresher?.toLowerCase() as Refresher | undefined,
  };
}

/** A 422 for a request from the peer whose interval is too short (RFC 4028 §9). */
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

/** The timer of one dialog. Pure except for its clock. */
export class SessionTimer {
  readonly #mode: 'off' | 'accept' | 'request';
  readonly #clock: Clock;
  readonly #handler: SessionTimerHandler;
  readonly #leastSeconds: number;
  #wantedSeconds: number;
  /** The largest Min-SE in a 422 to our requests; later requests carry it (RFC 4028 §7.4). */
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

  /** Whether to list the option tag in Supported. */
  get supported(): boolean {
    return this.#mode !== 'off';
  }

  /** The interval in force, in seconds. 0: the session does not expire. */
  get seconds(): number {
    return this.#seconds;
  }

  /** Whether our requests refresh the session. */
  get weRefresh(): boolean {
    return this.#weRefresh;
  }

  /** Headers of our INVITE, re-INVITE or UPDATE. */
  requestHeaders(): [string, string][] {
    if (!this.supported) return [];
    const running = this.#seconds > 0;
    if (!running && this.#mode !== 'request' && this.#peerMinSeconds === 0) return [];
    const seconds = Math.max(running ? this.#seconds : this.#wantedSeconds, this.#peerMinSeconds);
    // RFC 4028 §7.4: a refresh keeps the agreed role.
    const role = this.#weRefresh ? 'uac' : 'uas';
    const headers: [string, string][] = [
      ['session-expires', running ? `${seconds};refresher=${role}` : String(seconds)],
    ];
    const least = Math.max(this.#leastSeconds, this.#peerMinSeconds);
    if (least > LEAST_SECONDS) headers.push(['min-se', String(least)]);
    return headers;
  }

  /** Handles a 422 to our request. True if it should be resent with the peer's minimum. */
  tooSmall(headers: SipHeaders): boolean {
    const least = Number(/^\s*(\d{1,10})/.exec(headers.get('min-se') ?? '')?.[1] ?? Number.NaN);
    if (!(least > this.#peerMinSeconds && least <= MOST_SECONDS)) return false;
    if (!this.supported) return false;
    this.#peerMinSeconds = least;
    this.#wantedSeconds = Math.max(this.#wantedSeconds, least);
    return true;
  }

  /** Handles a 2xx to our INVITE, re-INVITE or UPDATE: starts, restarts or ends the interval. */
  accepted(headers: SipHeaders): void {
    const given = this.supported ? parseSessionExpires(headers.get('session-expires')) : undefined;
    if (given === undefined || given.seconds < 1) {
      this.#begin(0, false);
      return;
    }
    // RFC 4028 §7.2: a UAS must name the refresher. If it does not, we refresh.
    const seconds = Math.min(Math.max(given.seconds, SHORTEST_SECONDS), MOST_SECONDS);
    this.#begin(seconds, given.refresher !== 'uas');
  }

  /** As {@link refuseInterval}. */
  refuse(request: SipRequest): Verdict | undefined {
    return refuseInterval(request, { mode: this.#mode, minSeconds: this.#leastSeconds });
  }

  /** Headers of our 2xx to the peer's INVITE, re-INVITE or UPDATE. Its interval starts. */
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
    // RFC 4028 §9 table 2: a peer without the extension cannot refresh; otherwise its choice is respected.
    const refresher = peerSupports ? (asked?.refresher ?? 'uac') : 'uas';
    this.#begin(seconds, refresher === 'uas');
    const answer: [string, string][] = [['session-expires', `${seconds};refresher=${refresher}`]];
    if (peerSupports && refresher === 'uac') answer.push(['require', 'timer']);
    return answer;
  }

  /** Stops refreshing and expiring. */
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
    // RFC 4028 §10: the BYE must be sent before the peer or a proxy drops the session.
    this.#deadlineMs = this.#clock.now() + intervalMs - Math.min(32_000, intervalMs / 3);
    if (weRefresh) this.#refreshIn(intervalMs / 2);
    else this.#expireIn(this.#deadlineMs - this.#clock.now());
  }

  #refreshIn(delayMs: number): void {
    this.#timer = this.#clock.startTimer(delayMs, () => {
      const leftMs = this.#deadlineMs - this.#clock.now();
      // Retry a failed refresh after half of the remaining time.
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
