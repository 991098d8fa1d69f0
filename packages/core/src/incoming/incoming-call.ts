// A call that came in, as applications see it: what the event `incomingCall` hands out.

import type { Call } from '../call/call.ts';
import type { IncomingAccept, IncomingFacts } from './incoming-rules.ts';

/** An INVITE that was answered with 100. Accept or reject it; after three minutes it is refused (480). */
export interface IncomingCall {
  readonly facts: IncomingFacts;
  /** SIP Call-ID: the `callId` of the call that takes it. */
  readonly callId: string;
  /** It was accepted or rejected, or the caller gave up. */
  readonly settled: boolean;
  /** Resolves when the caller has given up, or the call was rejected, before it was accepted. */
  closed(): Promise<void>;
  /** Tells the caller that it rings (180). */
  ring(): void;
  /**
   * Takes the call. Resolves when it exists and can be found; wait for `call.established()`.
   *
   * @throws GatewayError (rejection) as `CallGateway.startup`; the caller is then refused: 486 where a name is in use, 503 where
   * the gateway is full. `CALL_STATE` when the caller has given up, or it was accepted or rejected before.
   */
  accept(options?: IncomingAccept): Promise<Call>;
  /**
   * Refuses the call.
   *
   * @param code - 300–699. Default 603.
   * @param reason - Default `Decline`.
   * @throws SipError `INVALID_ARGUMENT` naming the argument
   */
  reject(code?: number, reason?: string): void;
}
