// Our re-INVITEs and UPDATEs in a confirmed dialog, one at a time (RFC 3261 §14.1, RFC 3311, RFC 4028 §7.4).

import type { Outcome, RequestContent } from './dialog-client.ts';
import { SipError } from '../errors.ts';
import { EMPTY_BODY, type SipHeaders, type SipResponse } from '../message/message.ts';
import { sessionDescriptionIn } from '../message/body.ts';
import type { PeerDescription } from './session-handler.ts';
import type { SessionTimer } from './session-timer.ts';
import type { Clock, TimerHandle } from '../timers.ts';

/** Attempts at one change that meets the peer's own, or its minimum. */
const MAX_ATTEMPTS = 5;
/** A peer that asks for more patience than this has refused. */
const MAX_RETRY_AFTER_S = 10;
/** Time for the final answer to a re-INVITE: a person may have to agree to it. */
const REINVITE_LIMIT_MS = 60_000;

/** An offer, or what makes it: called for each attempt, since the session may have changed before it. */
export type SessionOffer = string | (() => string);

/** What says that UPDATE is not known there. */
const UNKNOWN_METHOD: ReadonlySet<number | undefined> = new Set([405, 501]);

/** The dialog that is changed. */
interface SessionChangesHandler {
  /** Sends a request in the dialog; a 2xx to an INVITE is acknowledged. `done` is called once. */
  send(
    method: 'INVITE' | 'UPDATE',
    content: RequestContent,
    limitMs: number,
    done: (outcome: Outcome) => void,
  ): void;
  /** Our Contact value. */
  contact(): string;
  /** The session description of ours that stands. */
  localSdp(): string;
  /** Our offer was accepted: it is what stands from now on. */
  agreed(sdp: string): void;
  /** Resolves when no offer of the peer's is being worked on. */
  idle(): Promise<void>;
  /** The peer's answer to the offer of a refresh. */
  onRefreshed(answer: PeerDescription): void;
  /** The peer takes UPDATE. */
  takesUpdate(): boolean;
  /** The peer does not know the dialog any more, or does not answer (RFC 3261 §12.2.1.2). */
  onLost(error: SipError): void;
}

/** What these requests need of their surroundings. */
export interface SessionChangesDeps {
  readonly handler: SessionChangesHandler;
  readonly timer: SessionTimer;
  readonly clock: Clock;
  /** We chose the Call-ID: decides how long we wait after 491 (RFC 3261 §14.1). */
  readonly ownsCallId: boolean;
  /** 0 ≤ n < 1. */
  readonly random: () => number;
}

/** What becomes of a session whose peer does not answer a change. */
type WhenSilent = 'ends' | 'stays';

/** The changes of one session that we ask for. */
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

  /** An offer of ours, or a re-INVITE, is without its answer: the peer's must wait (491). */
  get offering(): boolean {
    return this.#offering;
  }

  /**
   * Offers anew, after the changes before it. Resolves with the peer's answer.
   *
   * @throws SipError (rejection) `REJECTED` with `statusCode`: the session goes on as it was; `BAD_SDP` when the peer
   * accepts without an answer; `AUTH_FAILED`, `TIMEOUT`, `TRANSPORT`; `CLOSED` when the session ends before.
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

  /** Refreshes the session without a change: by UPDATE where the peer takes it. Never rejects. */
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
          // A proxy, or a peer whose Allow was not its own: a re-INVITE does the same.
          if (!(error instanceof SipError && UNKNOWN_METHOD.has(error.statusCode))) throw error;
        }
        this.#refusesUpdate = true;
      }
      await this.#repeat('ends');
    });
    const settled = (): void => {
      this.#refreshing = false;
    };
    // A refusal ends nothing by itself: the timer asks again, and expires in the end (RFC 4028 §7.4).
    done.then(settled, settled);
  }

  /**
   * Offers again what stands, by re-INVITE. Nothing is to be changed by it: a peer that does not answer stays.
   * @throws SipError (rejection) as {@link offer}
   */
  repeat(): Promise<void> {
    return this.#enqueue(() => this.#repeat('stays'));
  }

  async #repeat(whenSilent: WhenSilent): Promise<void> {
    const { handler } = this.#deps;
    // RFC 3264 §8: the answer to an unchanged offer may be another one than before.
    const { response } = await this.#change('INVITE', () => handler.localSdp(), whenSilent);
    const answer = answerIn(response);
    if (answer !== undefined) handler.onRefreshed(answer);
  }

  /** Whatever waits is over: the session ends. */
  stop(): void {
    this.#stopped = true;
    this.#end();
  }

  #enqueue<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#queue.then(work);
    this.#queue = result.catch(() => {});
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
      // After a wait the peer's own change may have been agreed on: what was to be offered then is out of date.
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

  /** How long to wait before the same request is sent again; `undefined`: the answer is final. */
  #patience(statusCode: number, headers: SipHeaders): number | undefined {
    const { ownsCallId, random } = this.#deps;
    // RFC 3261 §14.1: in units of 10 ms, so that the two never meet again.
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
