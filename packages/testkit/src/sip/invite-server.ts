// The phone's side of one INVITE: its responses, and the final one again and again until the ACK comes
// (RFC 3261 §13.3.1.4, §17.2.1).

import type { SipRequest, SipResponse } from '@sipcast/sip';
import type { PeerCallDeps } from './phone-call.ts';
import type { Origin } from './sip-wire.ts';
import type { TimerSet } from '../timer-set.ts';

/** What the owner of an {@link InviteServer} is asked and told. */
export interface InviteServerHandler {
  /** The call is over: a 2xx is not repeated then. */
  isOver(): boolean;
  /** No ACK of this final response came within 64·T1. Once. */
  onUnacknowledged(statusCode: number): void;
}

interface InviteServerDeps extends Pick<PeerCallDeps, 'respond' | 't1Ms'> {
  /** Timers of the call, which may clear them at any time. */
  readonly timers: TimerSet;
}

/** One INVITE of the caller and what was said to it. */
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

  /** A response was sent so recently that what the caller sends may have crossed it: within T1/2. */
  get hasJustSpoken(): boolean {
    return performance.now() - this.#lastAtMs < this.#deps.t1Ms / 2;
  }

  /** Sends a response; a final one is repeated until {@link acknowledge}. */
  respond(response: SipResponse): void {
    const { statusCode } = response;
    this.#last = response;
    if (statusCode < 200) this.#hasProvisional = true;
    this.#send(response);
    if (statusCode >= 200) this.#repeat(statusCode, this.#deps.t1Ms, 0);
  }

  /** The newest response once more; nothing before the first. */
  sendAgain(): void {
    if (this.#last !== undefined) this.#send(this.#last);
  }

  /** An ACK of the final response came. */
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
   * RFC 3261 §13.3.1.4: a 2xx is sent until its ACK comes, on every transport. §17.2.1, timers G and H: others over UDP
   * alone.
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
