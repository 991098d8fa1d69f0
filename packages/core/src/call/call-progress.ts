// How far a call has come: its status, why and by whom it ended, and when.

import { childLogger } from '../logger.ts';
import type { Logger } from '../logger.ts';
import { CALL_TRANSITIONS, isFinal, mayFollow } from '../status.ts';
import type { CallStatus, FinalCallStatus } from '../status.ts';
import type { EndedBy } from './call-ending.ts';

/** Fields of the view that have changed. */
export type CallChange = 'status' | 'sipStatus' | 'rtmpStreamStatus';

/** What a call hears of its progress. */
export interface CallProgressHandler {
  /** The status has moved. */
  onStatus(status: CallStatus, previous: CallStatus): void;
  /** After `onStatus`, for all that changed together. */
  onChange(changed: readonly CallChange[]): void;
}

/** What progress needs. */
export interface CallProgressDeps {
  readonly logger: Logger;
  /** Wall clock in milliseconds. */
  readonly wallClock: () => number;
}

/** The status of one call, by the table of statuses. */
export class CallProgress {
  readonly createdAtMs: number;
  readonly #deps: CallProgressDeps;
  readonly #handler: CallProgressHandler;
  #status: CallStatus = 'NEW';
  #sipStatus: number | null = null;
  #info: string | null = null;
  #endedBy: EndedBy | null = null;
  #establishedAtMs: number | null = null;
  #endedAtMs: number | null = null;

  constructor(deps: CallProgressDeps, handler: CallProgressHandler) {
    this.#deps = deps;
    this.#handler = handler;
    this.createdAtMs = deps.wallClock();
  }

  get status(): CallStatus {
    return this.#status;
  }

  get sipStatus(): number | null {
    return this.#sipStatus;
  }

  get info(): string | null {
    return this.#info;
  }

  get endedBy(): EndedBy | null {
    return this.#endedBy;
  }

  get establishedAtMs(): number | null {
    return this.#establishedAtMs;
  }

  get endedAtMs(): number | null {
    return this.#endedAtMs;
  }

  /** The peer has answered. */
  get isEstablished(): boolean {
    return this.#establishedAtMs !== null;
  }

  get ended(): boolean {
    return isFinal(this.#status);
  }

  /** Shown while the call has nothing else to say: how its registration stands. */
  note(info: string): void {
    this.#info = info;
  }

  /** The peer has answered, with this SIP status. */
  establish(sipStatus: number): void {
    this.#establishedAtMs = this.#deps.wallClock();
    this.move('ESTABLISHED', sipStatus);
  }

  /** The last move: once. @param sipStatus - Default: the last one. */
  end(
    status: FinalCallStatus,
    { info, endedBy, sipStatus }: { info: string; endedBy: EndedBy; sipStatus?: number },
  ): void {
    this.#info = info;
    this.#endedBy = endedBy;
    this.#endedAtMs = this.#deps.wallClock();
    this.move(status, sipStatus ?? this.#sipStatus ?? undefined);
  }

  /** The one place where the status moves; reports last. What the table does not allow leaves the status as it is. */
  move(status: CallStatus, sipStatus?: number): void {
    const previous = this.#status;
    const changed: CallChange[] = [];
    if ((sipStatus !== undefined && sipStatus !== this.#sipStatus) || isFinal(status)) {
      this.#sipStatus = sipStatus ?? this.#sipStatus;
      changed.push('sipStatus');
    }
    if (status !== previous && mayFollow(CALL_TRANSITIONS, previous, status)) {
      this.#status = status;
      changed.push('status');
    }
    if (changed.length === 0) return;
    if (this.#status !== previous) {
      this.#log(previous);
      this.#handler.onStatus(this.#status, previous);
    }
    this.#handler.onChange(changed);
  }

  #log(previous: CallStatus): void {
    const reason = this.ended && this.#info !== null ? ` (${this.#info})` : '';
    const logger = childLogger(this.#deps.logger, {
      status: this.#status,
      previous,
      ...(this.#sipStatus !== null && { sipStatus: this.#sipStatus }),
    });
    logger.info(`${previous} -> ${this.#status}${reason}`);
  }
}
