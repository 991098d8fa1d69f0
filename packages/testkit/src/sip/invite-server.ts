// The phone's side of one INVITE: its responses, and retransmission of the final one until the ACK (RFC 3261 §13.3.1.4,
// §17.2.1).

import type { SipRequest, SipResponse } from '@sipcast/sip';
import type { PeerCallDeps } from './phone-call.ts';
import type { Origin } from './sip-wire.ts';
import type { TimerSet } from '../timer-set.ts';

/** The owner of an {@link InviteServer}. */
export interface InviteServerHandler {
  /** Whether the call has ended; a 2xx is then not repeated. */
  isOver(): boolean;
  /** No ACK for this final response arrived within 64·T1. Called once. */
  onUnacknowledged(statusCode: number): void;
}

interface InviteServerDeps extends Pick<PeerCallDeps, 'respond' | 't1Ms'> {
  /** Timers of the call, which may clear them at any time. */
  readonly timers: TimerSet;
}

/** One INVITE of the caller and the responses to it. */
export class InviteServer {
  readonly request: SipRequest;
  readonly origin: Origin;
  readonly #deps: InviteServerDeps;
  readonly #handler: InviteServerHandler;
  #last: SipResponse | undefined;
  #lastAtMs = 0;
  #hasProvisional = false;
  #acks = 0;
  #sent2xx = 0;
  #retransmission: NodeJS.Timeout | undefined;

  constructor(
    request: SipRequest,
    origin: Origin,
    deps: InviteServerDeps,
    handler: InviteServerHandler,
  ) {
    this.request = request;
    this.origin = origin;
    this.#deps = deps;
    this.#handler = handler;
  }

  /** The newest response. */
  get last(): SipResponse | undefined {
    return this.#last;
  }

  /** A response below 200 was sent. */
  get hasProvisional(): boolean {
    return this.#hasProvisional;
  }

  /** ACKs of the final response. */
  get acks(): number {
    return this.#acks;
  }

  /** How often a 2xx was sent. */
  get sent2xx(): number {
    return this.#sent2xx;
  }

  /** Whether a response was sent within T1/2, so that a request from the caller may have crossed it. */
  get hasJustSpoken(): boolean {
    return performance.now() - this.#lastAtMs < this.#deps.t1Ms / 2;
  }

  /** Sends a response. A final one is repeated until {@link acknowledge}. */
  respond(response: SipResponse): void {
    const { statusCode } = response;
    this.#last = response;
    if (statusCode < 200) this.#hasProvisional = true;
    this.#send(response);
    if (statusCode >= 200) this.#repeat(statusCode, this.#deps.t1Ms, 0);
  }

  /** Repeats the latest response, if any. */
  sendAgain(): void {
    if (this.#last !== undefined) this.#send(this.#last);
  }

  /** The ACK of the final response has arrived. */
  acknowledge(): void {
    this.#acks++;
    clearTimeout(this.#retransmission);
  }

  #send(response: SipResponse): void {
    if (response.statusCode >= 200 && response.statusCode < 300) this.#sent2xx++;
    this.#lastAtMs = performance.now();
    this.#deps.respond(this.request, response, this.origin);
  }

  /**
   * RFC 3261 §13.3.1.4: a 2xx is repeated until its ACK on every transport. §17.2.1, timers G and H: other final
   * responses only over UDP.
   */
  #repeat(statusCode: number, waitMs: number, waitedMs: number): void {
    const { t1Ms } = this.#deps;
    const isSuccess = statusCode < 300;
    this.#retransmission = this.#deps.timers.after(waitMs, () => {
      if (this.#acks > 0 || (isSuccess && this.#handler.isOver())) return;
      if (waitedMs + waitMs >= 64 * t1Ms) {
        this.#handler.onUnacknowledged(statusCode);
        return;
      }
      if (isSuccess || this.origin.protocol === 'udp') this.sendAgain();
      this.#repeat(statusCode, Math.min(waitMs * 2, 8 * t1Ms), waitedMs + waitMs);
    });
  }
}
