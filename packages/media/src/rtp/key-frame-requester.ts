// When and how to ask the sender for a key frame: a ladder of methods, throttled, that remembers what worked.

import { MediaError } from '../errors.ts';

/**
 * RFC 4585 PLI, RFC 5104 FIR, RFC 5168 `media_control` in a SIP INFO, or a re-INVITE that changes nothing, after which many
 * encoders restart; the last two are sent by the call.
 */
export type KeyFrameMethod = 'pli' | 'fir' | 'info' | 'reinvite';

/** Options of a {@link KeyFrameRequester}. */
export interface KeyFrameRequesterOptions {
  /** The ladder, first choice first. Default PLI, then FIR. Empty: never asks. */
  readonly methods?: readonly KeyFrameMethod[];
  /** Shortest time between two requests, until the peer is known to answer faster. Default 500 ms. */
  readonly minIntervalMs?: number;
}

/** Counters of a {@link KeyFrameRequester}, since its construction. */
export interface KeyFrameStats {
  /** Requests, by method. */
  readonly requests: Readonly<Record<KeyFrameMethod, number>>;
  /** Key frames that arrived, by the method of the last request; `unasked`: without a request, or too long after one. */
  readonly answeredBy: Readonly<Record<KeyFrameMethod | 'unasked', number>>;
  /** How long the last wanted key frame took, in milliseconds; null before the first. */
  readonly lastWaitMs: number | null;
}

/** Requests by the remembered method before the ladder is climbed: they, or the key frame, may be lost on the way. */
const REMEMBERED_ATTEMPTS = 4;
/** While no rung has ever been answered, the interval doubles up to this. */
const MAX_INTERVAL_MS = 4000;
/** How long the other methods get before a re-INVITE: most senders have sent a key frame on their own by then. */
const REINVITE_AFTER_MS = 3000;
/** A re-INVITE costs the peer more than a packet: at most one in this time. */
const REINVITE_INTERVAL_MS = 30_000;
/**
 * A peer that answers an RTCP request is asked again after so many of its answer times: by then the request, or the key frame, was
 * lost on the way. Never sooner than MIN_SPACING_MS, as encoders pay for each key frame with the quality of the others.
 */
const SPACING_ANSWERS = 2;
const MIN_SPACING_MS = 150;
/** A key frame this long after the last request is not counted as its answer. */
const MAX_ANSWER_MS = 2000;

/**
 * Pure: sends nothing, keeps no clock. Until a method has worked, each is tried once, so that three rungs are
 * tried within a second. Afterwards the one that worked comes first, four times, and then the others.
 */
export class KeyFrameRequester {
  readonly #minIntervalMs: number;
  readonly #requests = { pli: 0, fir: 0, info: 0, reinvite: 0 };
  readonly #answeredBy = { pli: 0, fir: 0, info: 0, reinvite: 0, unasked: 0 };
  #methods: readonly KeyFrameMethod[] = [];
  #everyMs = Number.POSITIVE_INFINITY;
  #wanted = false;
  #wantedSinceMs = 0;
  #lastWaitMs: number | null = null;
  #lastKeyFrameMs = Number.POSITIVE_INFINITY;
  #intervalMs: number;
  #lastMs = Number.NEGATIVE_INFINITY;
  /** How long the peer takes to answer an RTCP request, smoothed; undefined while unknown. */
  #answerMs: number | undefined;
  #lastReinviteMs = Number.NEGATIVE_INFINITY;
  /** The method that worked last time; the next request starts with it. */
  #remembered: KeyFrameMethod | undefined;
  #firstRung = 0;
  #rung = 0;
  #sentOnRung = 0;
  /** The method of the last request for the key frame that is wanted. */
  #asked: KeyFrameMethod | undefined;

  constructor(options: KeyFrameRequesterOptions = {}) {
    this.#minIntervalMs = options.minIntervalMs ?? 500;
    this.#intervalMs = this.#minIntervalMs;
    this.use(options.methods ?? ['pli', 'fir']);
  }

  /** True while a key frame is wanted and has not arrived. */
  get wanted(): boolean {
    return this.#wanted;
  }

  /** Counters, as of now. */
  get stats(): KeyFrameStats {
    return {
      requests: { ...this.#requests },
      answeredBy: { ...this.#answeredBy },
      lastWaitMs: this.#lastWaitMs,
    };
  }

  /** Another ladder, e.g. of a new answer. The method that worked is remembered if the new ladder has it. */
  use(methods: readonly KeyFrameMethod[]): void {
    this.#methods = methods;
    if (this.#remembered !== undefined && !methods.includes(this.#remembered)) {
      this.#remembered = undefined;
    }
    this.#beginLadder();
  }

  /**
   * Wants a key frame whenever the last one is this old, for outputs that need a bounded GOP. Undefined: never.
   * @throws MediaError INVALID_ARGUMENT naming `requestEveryMs` below 1000 ms.
   */
  set requestEveryMs(everyMs: number | undefined) {
    if (everyMs !== undefined && !(everyMs >= 1000)) {
      throw new MediaError('INVALID_ARGUMENT', 'requestEveryMs must be at least 1000', {
        field: 'requestEveryMs',
      });
    }
    this.#everyMs = everyMs ?? Number.POSITIVE_INFINITY;
  }

  /** A key frame is needed. Calling it again while one is wanted changes nothing. */
  request(nowMs: number): void {
    if (this.#wanted) return;
    this.#wanted = true;
    this.#wantedSinceMs = nowMs;
    this.#asked = undefined;
    this.#beginLadder();
  }

  /**
   * The method to use now, or undefined when nothing is due. Call it on every tick.
   * @param isFlowing - Packets arrive. Where none do, e.g. from a camera that is off, no re-INVITE is sent. Default true.
   */
  poll(nowMs: number, isFlowing = true): KeyFrameMethod | undefined {
    if (!this.#wanted && nowMs - this.#lastKeyFrameMs >= this.#everyMs) this.request(nowMs);
    if (!this.#wanted) return undefined;
    if (!this.#mayUse(this.#methods[this.#rung], nowMs, isFlowing)) this.#climb();
    const method = this.#methods[this.#rung];
    if (nowMs - this.#lastMs < this.#spacingMs(method)) return undefined;
    if (method === undefined || !this.#mayUse(method, nowMs, isFlowing)) return undefined;
    this.#lastMs = nowMs;
    if (method === 'reinvite') this.#lastReinviteMs = nowMs;
    this.#asked = method;
    this.#requests[method]++;
    const attempts = method === this.#remembered ? REMEMBERED_ATTEMPTS : 1;
    if (++this.#sentOnRung >= attempts) this.#climb();
    return method;
  }

  /** A key frame arrived, requested or not. */
  onKeyFrame(nowMs: number): void {
    const answered = nowMs - this.#lastMs <= MAX_ANSWER_MS ? this.#asked : undefined;
    this.#answeredBy[answered ?? 'unasked']++;
    if (answered === 'pli' || answered === 'fir') this.#noteAnswer(nowMs - this.#lastMs);
    this.#lastKeyFrameMs = nowMs;
    this.#asked = undefined;
    if (!this.#wanted) return;
    this.#wanted = false;
    this.#lastWaitMs = nowMs - this.#wantedSinceMs;
    this.#remembered = answered ?? this.#remembered;
  }

  #noteAnswer(answerMs: number): void {
    const before = this.#answerMs ?? answerMs;
    this.#answerMs = before + (answerMs - before) / 4;
  }

  #spacingMs(method: KeyFrameMethod | undefined): number {
    const isFast = method !== undefined && method === this.#remembered && method !== 'info';
    if (!isFast || this.#answerMs === undefined) return this.#intervalMs;
    const spacingMs = Math.max(MIN_SPACING_MS, SPACING_ANSWERS * this.#answerMs);
    return Math.min(this.#intervalMs, spacingMs);
  }

  #mayUse(method: KeyFrameMethod | undefined, nowMs: number, isFlowing: boolean): boolean {
    if (method !== 'reinvite') return true;
    if (!isFlowing) return false;
    const isLate = nowMs - this.#wantedSinceMs >= REINVITE_AFTER_MS;
    return isLate && nowMs - this.#lastReinviteMs >= REINVITE_INTERVAL_MS;
  }

  #beginLadder(): void {
    const remembered = this.#remembered;
    this.#firstRung = remembered === undefined ? 0 : this.#methods.indexOf(remembered);
    this.#rung = this.#firstRung;
    this.#sentOnRung = 0;
    this.#intervalMs = this.#minIntervalMs;
  }

  #climb(): void {
    this.#sentOnRung = 0;
    this.#rung = (this.#rung + 1) % this.#methods.length;
    if (this.#rung === this.#firstRung && this.#remembered === undefined) {
      this.#intervalMs = Math.min(MAX_INTERVAL_MS, this.#intervalMs * 2);
    }
  }
}
