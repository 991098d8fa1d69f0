// The calls of a gateway, by their Call-IDs: those that live, those that are ending, and what is remembered of the others.

import type { Call } from '../call/call.ts';
import type { CallChange, CallView, ReceivedDtmf } from '../call/call-contract.ts';
import { GatewayError } from '../errors.ts';
import type { CallFilter } from './gateway-contract.ts';

/** What the owner of a {@link CallTable} is told. */
export interface CallTableHandler {
  /** What the view tells has changed; a call that has ended is not found any more. */
  onChange(call: Call, view: CallView, changed: readonly CallChange[]): void;
  /** The peer pressed a key. */
  onDtmf(call: Call, dtmf: ReceivedDtmf): void;
  /** It ended, and all that it held is released. Once for each. */
  onClosed(call: Call): void;
}

/** Finds calls until they have ended, and remembers the newest of those. */
export class CallTable {
  readonly #live = new Map<string, Call>();
  /** Calls that have ended and still hold something. */
  readonly #closing = new Set<Call>();
  readonly #history: CallView[] = [];
  readonly #historySize: number;
  readonly #handler: CallTableHandler;

  /** @param historySize ended calls that are remembered */
  constructor(historySize: number, handler: CallTableHandler) {
    this.#historySize = historySize;
    this.#handler = handler;
  }

  /** In order of their start. */
  get live(): ReadonlyMap<string, Call> {
    return this.#live;
  }

  /** Of a Call-ID that no live call has. */
  add(call: Call): void {
    this.#live.set(call.callId, call);
    call.on('change', (view, changed) => {
      if (call.ended && this.#live.get(call.callId) === call) this.#retire(call, view);
      this.#handler.onChange(call, view, changed);
    });
    call.on('dtmf', (dtmf) => this.#handler.onDtmf(call, dtmf));
    call.once('closed', () => {
      this.#closing.delete(call);
      this.#handler.onClosed(call);
    });
  }

  /** The live call. @throws GatewayError `CALL_NOT_FOUND`. */
  get(callId: string): Call {
    const call = this.#live.get(callId);
    if (!call) throw new GatewayError('CALL_NOT_FOUND', 'No such call', { field: 'callId' });
    return call;
  }

  /** Live calls that match all given fields; none: an empty array. */
  find(filter: CallFilter): CallView[] {
    const found: CallView[] = [];
    // The Call-ID is the key: a poller of one call costs nothing, however many there are.
    const one = filter.callId === undefined ? undefined : this.#live.get(filter.callId);
    const candidates = filter.callId === undefined ? this.#live.values() : one ? [one] : [];
    for (const call of candidates) {
      const view = call.view();
      if (
        Object.entries(filter).every(
          ([key, value]) => value === undefined || view[key as keyof CallFilter] === value,
        )
      ) {
        found.push(view);
      }
    }
    return found;
  }

  /** Ended calls, newest first, at most so many. */
  history(limit: number): readonly CallView[] {
    return this.#history.slice(0, limit);
  }

  /** Resolves when the calls that were ending have released what they held. */
  async released(): Promise<void> {
    await Promise.all([...this.#closing].map((call) => call.closed()));
  }

  #retire(call: Call, view: CallView): void {
    this.#live.delete(call.callId);
    this.#closing.add(call);
    this.#history.unshift(view);
    if (this.#history.length > this.#historySize) this.#history.pop();
  }
}
