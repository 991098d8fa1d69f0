// The calls of a gateway by Call-ID: live calls, calls that are ending, and a history of ended ones.

import type { CallChange } from '../call/call-progress.ts';
import type { CallView } from '../call/call-view.ts';
import type { ReceivedDtmf } from '../call/dtmf-info.ts';
import type { GatewayCall } from '../call/gateway-call.ts';
import { GatewayError } from '../errors.ts';
import { findSound } from '../stream/media-folder.ts';
import type { SipTraceEntry } from '../trace/sip-trace.ts';
import type { CallProblem } from '../call/call-problem.ts';
import type { SipTraces } from '../trace/sip-traces.ts';
import type { CallFilter, Calls } from './calls.ts';

/** What a {@link CallTable} reports. */
export interface CallTableHandler {
  /** The view has changed. A call that has ended can no longer be found. */
  onChange(call: GatewayCall, view: CallView, changed: readonly CallChange[]): void;
  /** The peer pressed a key. */
  onDtmf(call: GatewayCall, dtmf: ReceivedDtmf): void;
  /** What keeps a medium off the air has changed. */
  onProblem(call: GatewayCall, problem: CallProblem): void;
  /** The call ended and has released everything. Once for each call. */
  onClosed(call: GatewayCall): void;
}

/** Settings of a {@link CallTable}. */
export interface CallTableOptions {
  /** Ended calls that are remembered. Default 1,000. */
  readonly historySize?: number;
  /** Folder of the files that may be played. Default: none. */
  readonly mediaFolder?: string;
}

/** Finds calls until they have ended, and remembers the newest of those. */
export class CallTable implements Calls {
  readonly #byCallId = new Map<string, GatewayCall>();
  /** Calls that have ended and still hold something. */
  readonly #closing = new Set<GatewayCall>();
  readonly #history: CallView[] = [];
  readonly #options: CallTableOptions;
  readonly #traces: SipTraces;
  readonly #handler: CallTableHandler;

  constructor(options: CallTableOptions, traces: SipTraces, handler: CallTableHandler) {
    this.#options = options;
    this.#traces = traces;
    this.#handler = handler;
  }

  /** Live calls, in order of their start. */
  get byCallId(): ReadonlyMap<string, GatewayCall> {
    return this.#byCallId;
  }

  get live(): readonly GatewayCall[] {
    return [...this.#byCallId.values()];
  }

  /** Adds a call with a Call-ID that no live call has. */
  add(call: GatewayCall): void {
    this.#byCallId.set(call.callId, call);
    call.on('change', (view, changed) => {
      if (call.ended && this.#byCallId.get(call.callId) === call) this.#retire(call, view);
      this.#handler.onChange(call, view, changed);
    });
    call.on('dtmf', (dtmf) => this.#handler.onDtmf(call, dtmf));
    call.on('problem', (problem) => this.#handler.onProblem(call, problem));
    call.once('closed', () => {
      this.#closing.delete(call);
      this.#handler.onClosed(call);
    });
  }

  get(callId: string): GatewayCall {
    const call = this.#byCallId.get(callId);
    if (!call) throw new GatewayError('CALL_NOT_FOUND', 'No such call', { field: 'callId' });
    return call;
  }

  find(filter: CallFilter = {}): CallView[] {
    const found: CallView[] = [];
    // The Call-ID is the key: polling one call stays cheap however many there are.
    const one = filter.callId === undefined ? undefined : this.#byCallId.get(filter.callId);
    const candidates = filter.callId === undefined ? this.#byCallId.values() : one ? [one] : [];
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

  history(limit = Number.POSITIVE_INFINITY): readonly CallView[] {
    return this.#history.slice(0, limit);
  }

  trace(callId: string): SipTraceEntry[] {
    return this.#traces.find(callId) ?? this.get(callId).trace();
  }

  async injectSound(callId: string, fileName: string): Promise<void> {
    const call = this.get(callId);
    call.injectSound(await findSound(this.#options.mediaFolder, fileName));
  }

  /** Resolves when the calls that were ending have released what they held. */
  async released(): Promise<void> {
    await Promise.all([...this.#closing].map((call) => call.closed()));
  }

  #retire(call: GatewayCall, view: CallView): void {
    this.#byCallId.delete(call.callId);
    this.#closing.add(call);
    this.#history.unshift(view);
    if (this.#history.length > (this.#options.historySize ?? 1000)) this.#history.pop();
  }
}
