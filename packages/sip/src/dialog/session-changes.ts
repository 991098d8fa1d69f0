// Our re-INVITEs and UPDATEs in a confirmed dialog, one at a time (RFC 3261 §14.1, RFC 3311, RFC 4028 §7.4).

import type { Outcome, RequestContent } from './dialog-client.ts';
import { SipError } from '../errors.ts';
import { EMPTY_BODY, type SipHeaders, type SipResponse } from '../message/message.ts';
import { sessionDescriptionIn } from '../message/body.ts';
import type { PeerDescription } from './session-handler.ts';
import type { SessionTimer } from './session-timer.ts';
import type { Clock, TimerHandle } from '../timers.ts';

/** Attempts for one change that collides with the peer's change or its minimum interval. */
const MAX_ATTEMPTS = 5;
/** A longer Retry-After counts as a refusal. */
const MAX_RETRY_AFTER_S = 10;
/** Time limit for the final response to a re-INVITE: a person may have to confirm it. */
const REINVITE_LIMIT_MS = 60_000;

/** An offer, or a function that creates it, called for each attempt because the session may have changed. */
export type SessionOffer = string | (() => string);

/** Status codes that mean the peer does not support UPDATE. */
const UNKNOWN_METHOD: ReadonlySet<number | undefined> = new Set([405, 501]);

/** The dialog to change. */
interface SessionChangesHandler {
  /** Sends a request in the dialog and acknowledges a 2xx to an INVITE. `done` is called once. */
  send(
    method: 'INVITE' | 'UPDATE',
    content: RequestContent,
    limitMs: number,
    done: (outcome: Outcome) => void,
  ): void;
  /** Our Contact value. */
  contact(): string;
  /** Our current session description. */
  localSdp(): string;
  /** Our offer was accepted and is now current. */
  agreed(sdp: string): void;
  /** Resolves when none of the peer's offers is being processed. */
  idle(): Promise<void>;
  /** The peer's answer to the offer in a refresh. */
  onRefreshed(answer: PeerDescription): void;
  /** Whether the peer supports UPDATE. */
  takesUpdate(): boolean;
  /** The peer no longer knows the dialog, or does not respond (RFC 3261 §12.2.1.2). */
  onLost(error: SipError): void;
}

/** The dependencies of the session changes. */
export interface SessionChangesDeps {
  readonly handler: SessionChangesHandler;
  readonly timer: SessionTimer;
  readonly clock: Clock;
  /** Whether we chose the Call-ID, which determines the wait after 491 (RFC 3261 §14.1). */
  readonly ownsCallId: boolean;
  /** 0 ≤ n < 1. */
  readonly random: () => number;
}

/** Whether a session ends if the peer does not respond to a change. */
type WhenSilent = 'ends' | 'stays';

/** The changes that we request in one session. */
export class SessionChanges {
  readonly #deps: SessionChangesDeps;
  #queue: Promise<unknown> = Promise.resolve();
  #offering = false;
  #refreshing = false;
  #refusesUpdate = false;
  #stopped = false;
  /** Resolves when the session ends. */
  readonly #ended: Promise<void>;
  #end: () => void = () => {};

  constructor(deps: SessionChangesDeps) {
    this.#deps = deps;
    this.#ended = new Promise((resolve) => {
      this.#end = resolve;
    });
  }

  /** Whether our offer or re-INVITE is unanswered, so that the peer's must wait (491). */
  get offering(): boolean {
    return this.#offering;
  }

  /**
   * Sends a new offer after all earlier changes. Resolves with the peer's answer.
   *
   * @throws SipError (rejection) `REJECTED` with `statusCode`: the session continues unchanged; `BAD_SDP` if the peer
   * accepts without an answer; `AUTH_FAILED`, `TIMEOUT`, `TRANSPORT`; `CLOSED` if the session ends first.
   */
  offer(sdp: SessionOffer, method: 'INVITE' | 'UPDATE' = 'INVITE'): Promise<PeerDescription> {
    return this.#enqueue(async () => {
      const { response, offered = '' } = await this.#change(method, sdp);
      const answer = answerIn(response);
      if (answer === undefined)
        throw new SipError('BAD_SDP', 'Accepted without an answer', { field: 'sdp' });
      this.#deps.handler.agreed(offered);
      return answer;
    });
  }

  /** Refreshes the session unchanged, by UPDATE if the peer supports it. Never rejects. */
  refresh(): void {
    if (this.#refreshing || this.#stopped) return;
    this.#refreshing = true;
    const { handler } = this.#deps;
    const done = this.#enqueue(async () => {
      if (handler.takesUpdate() && !this.#refusesUpdate) {
        try {
          await this.#change('UPDATE', undefined);
          return;
        } catch (error) {
          // A proxy responded, or the Allow was not the peer's own. A re-INVITE does the same.
          if (!(error instanceof SipError && UNKNOWN_METHOD.has(error.statusCode))) throw error;
        }
        this.#refusesUpdate = true;
      }
      await this.#repeat('ends');
    });
    const settled = (): void => {
      this.#refreshing = false;
    };
    // A refusal does not end the session: the timer tries again, and finally expires (RFC 4028 §7.4).
    done.then(settled, settled);
  }

  /**
   * Repeats the current offer in a re-INVITE. It changes nothing, so a peer that does not respond keeps its session.
   * @throws SipError (rejection) as {@link offer}
   */
  repeat(): Promise<void> {
    return this.#enqueue(() => this.#repeat('stays'));
  }

  async #repeat(whenSilent: WhenSilent): Promise<void> {
    const { handler } = this.#deps;
    // RFC 3264 §8: the answer to an unchanged offer may differ from the previous one.
    const { response } = await this.#change('INVITE', () => handler.localSdp(), whenSilent);
    const answer = answerIn(response);
    if (answer !== undefined) handler.onRefreshed(answer);
  }

  /** The session ends: all waits end. */
  stop(): void {
    this.#stopped = true;
    this.#end();
  }

  #enqueue<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#queue.then(work);
    this.#queue = result.catch(() => {
      // Ignored: the caller gets it; the next change goes on.
    });
    return result;
  }

  async #change(
    method: 'INVITE' | 'UPDATE',
    offer: SessionOffer | undefined,
    whenSilent: WhenSilent = 'ends',
  ): Promise<{ readonly response: SipResponse; readonly offered: string | undefined }> {
    const { handler, timer } = this.#deps;
    for (let attempt = 1; ; attempt++) {
      await Promise.race([handler.idle(), this.#ended]);
      if (this.#stopped) throw new SipError('CLOSED', 'The session has ended');
      // The peer's own change may have been agreed on during the wait, so the earlier offer may be out of date.
      const offered = typeof offer === 'function' ? offer() : offer;
      const outcome = await this.#send(method, offered);
      if ('error' in outcome) {
        const { error } = outcome;
        if (error.code !== 'TIMEOUT' || whenSilent === 'ends') handler.onLost(error);
        throw error;
      }
      const { response } = outcome;
      const { statusCode, reasonPhrase } = response;
      if (statusCode < 300) {
        timer.accepted(response.headers);
        return { response, offered };
      }
      const error = new SipError(
        statusCode === 401 || statusCode === 407 ? 'AUTH_FAILED' : 'REJECTED',
        `${statusCode} ${reasonPhrase}`,
        { statusCode },
      );
      // RFC 3261 §12.2.1.2: the dialog is gone.
      if (statusCode === 408 || statusCode === 481) {
        if (statusCode === 481 || whenSilent === 'ends') handler.onLost(error);
        throw error;
      }
      if (statusCode === 422 && timer.tooSmall(response.headers)) continue;
      const waitMs = this.#patience(statusCode, response.headers);
      if (waitMs === undefined || attempt >= MAX_ATTEMPTS) throw error;
      await this.#wait(waitMs);
    }
  }

  async #send(method: 'INVITE' | 'UPDATE', sdp: string | undefined): Promise<Outcome> {
    const { handler, timer } = this.#deps;
    const headers: [string, string][] = [['contact', handler.contact()]];
    if (timer.supported) headers.push(['supported', 'timer']);
    headers.push(...timer.requestHeaders());
    if (sdp !== undefined) headers.push(['content-type', 'application/sdp']);
    const body = sdp === undefined ? EMPTY_BODY : Buffer.from(sdp, 'utf8');
    this.#offering = sdp !== undefined || method === 'INVITE';
    try {
      return await new Promise<Outcome>((resolve) => {
        handler.send(method, { headers, body }, REINVITE_LIMIT_MS, resolve);
      });
    } finally {
      this.#offering = false;
    }
  }

  /** How long to wait before resending the request. `undefined`: the response is final. */
  #patience(statusCode: number, headers: SipHeaders): number | undefined {
    const { ownsCallId, random } = this.#deps;
    // RFC 3261 §14.1: in units of 10 ms, so that two changes do not collide again.
    if (statusCode === 491) return (ownsCallId ? 2100 : 0) + Math.floor(random() * 191) * 10;
    if (statusCode !== 500 && statusCode !== 503) return undefined;
    const seconds = Number(/^\s*(\d{1,6})/.exec(headers.get('retry-after') ?? '')?.[1]);
    return seconds >= 0 && seconds <= MAX_RETRY_AFTER_S ? seconds * 1000 : undefined;
  }

  async #wait(delayMs: number): Promise<void> {
    let timer: TimerHandle | undefined;
    const over = new Promise<void>((resolve) => {
      timer = this.#deps.clock.startTimer(delayMs, resolve);
    });
    await Promise.race([over, this.#ended]);
    timer?.cancel();
  }
}

function answerIn(response: SipResponse): PeerDescription | undefined {
  const sdp = sessionDescriptionIn(response);
  return sdp === undefined ? undefined : { sdp, source: response.source };
}
