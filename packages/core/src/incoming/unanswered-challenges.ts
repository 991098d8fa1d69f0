// Callers that are challenged and never answer: their stack fails on a challenge with several algorithms, and says nothing.

import type { IncomingRule } from './incoming-rules.ts';

/** A caller that answers does so at once. */
const PATIENCE_MS = 5000;
/** Sources that are waited for, and that are remembered as reported; the oldest are forgotten first. */
const MAX_SOURCES = 1000;
/** Strangers must not fill the log. */
const MAX_REPORTS_PER_MINUTE = 10;
const MINUTE_MS = 60_000;

/** What this needs. */
export interface UnansweredChallengesDeps {
  /** Monotonic milliseconds. */
  readonly now: () => number;
  /** Calls back after this time; must not keep the process alive. */
  readonly after: (delayMs: number, callback: () => void) => void;
  readonly warn: (problem: string) => void;
}

/** Reports, once for each source, that its call ended with our challenge. */
export class UnansweredChallenges {
  readonly #deps: UnansweredChallengesDeps;
  readonly #waiting = new Map<string, IncomingRule>();
  readonly #reported = new Set<string>();
  readonly #reportsMs: number[] = [];

  constructor(deps: UnansweredChallengesDeps) {
    this.#deps = deps;
  }

  /** A call without credentials was challenged. */
  challenged(source: string, rule: IncomingRule): void {
    if (this.#reported.has(source) || this.#waiting.has(source)) return;
    if (this.#waiting.size >= MAX_SOURCES) return;
    this.#waiting.set(source, rule);
    this.#deps.after(PATIENCE_MS, () => this.#check(source));
  }

  /** The source sent credentials, or needed none. */
  answered(source: string): void {
    this.#waiting.delete(source);
  }

  #check(source: string): void {
    const rule = this.#waiting.get(source);
    if (rule === undefined) return;
    this.#waiting.delete(source);
    const nowMs = this.#deps.now();
    const times = this.#reportsMs;
    while (times[0] !== undefined && nowMs - times[0] >= MINUTE_MS) times.shift();
    if (times.length >= MAX_REPORTS_PER_MINUTE) return;
    times.push(nowMs);
    for (const oldest of this.#reported) {
      if (this.#reported.size < MAX_SOURCES) break;
      this.#reported.delete(oldest);
    }
    this.#reported.add(source);
    this.#deps.warn(`a call from ${source} was challenged, never answered: ${advice(rule)}`);
  }
}

/** Seen in: sofia-sip 1.12 (FreeSWITCH, Janus) and sipp, which give up at SHA-256 although MD5 is offered as well. */
function advice(rule: IncomingRule): string {
  const algorithms = rule.auth?.algorithms ?? ['SHA-256', 'MD5'];
  return algorithms.every((algorithm) => algorithm === 'MD5')
    ? 'it may have no password for this realm'
    : 'it may not know SHA-256; `auth.algorithms: [MD5]` in the rule that it matches offers MD5 alone';
}
