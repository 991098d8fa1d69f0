// A call that came in and waits for somebody to take it: what `incomingCall` hands out.

import type {
  IncomingInvite,
  IncomingSession,
  InviteSessionHandler,
  SessionEnding,
} from '@sipcast/sip';
import type { Call } from '../call/call.ts';
import { GatewayError } from '../errors.ts';
import type { GatewayErrorCode } from '../errors.ts';
import { refusalOf } from './incoming-rules.ts';
import type { IncomingAccept, IncomingFacts } from './incoming-rules.ts';

/** Makes the call that takes an INVITE, with the media that were asked for. */
export type LaunchIncoming = (
  accept: IncomingAccept,
  incoming: IncomingCall,
  begin: (call: Call) => void,
) => Promise<Call>;

/** An INVITE that was told 100. It must be accepted or rejected; after three minutes it is refused (480). */
export class IncomingCall {
  readonly facts: IncomingFacts;
  readonly #invite: IncomingInvite;
  readonly #session: IncomingSession;
  readonly #launch: LaunchIncoming;
  #call: Call | undefined;
  #accepted = false;
  #ending: SessionEnding | undefined;
  readonly #closed: Promise<void>;
  #resolveClosed: () => void = () => {};

  /** For the gateway. */
  constructor(invite: IncomingInvite, facts: IncomingFacts, launch: LaunchIncoming) {
    this.facts = facts;
    this.#invite = invite;
    this.#launch = launch;
    this.#closed = new Promise((resolve) => {
      this.#resolveClosed = resolve;
    });
    // Until there is a call, only the end is of interest; from then on the call hears everything.
    const to = (): InviteSessionHandler | undefined => this.#call?.sessionHandler;
    this.#session = invite.take({
      onProvisional: () => {},
      onAnswered: (response, answer) => to()?.onAnswered(response, answer),
      onReoffer: (sdp) =>
        to()?.onReoffer(sdp) ?? { statusCode: 491, reasonPhrase: 'Request Pending' },
      onOfferWanted: () => to()?.onOfferWanted?.() ?? '',
      onReanswer: (sdp) => to()?.onReanswer?.(sdp),
      onRefer: (refer) => to()?.onRefer?.(refer) ?? false,
      onDialogRequest: (request) => to()?.onDialogRequest?.(request) ?? { statusCode: 200 },
      onMessage: (direction, message, remote) => to()?.onMessage?.(direction, message, remote),
      onEnded: (ending) => this.#onEnded(ending),
    });
  }

  /** SIP Call-ID: the `callId` of the call that takes it. */
  get callId(): string {
    return this.facts.callId;
  }

  /** Nobody waits any more: it was accepted, rejected, or the caller gave up. */
  get settled(): boolean {
    return this.#accepted || this.#ending !== undefined;
  }

  /** Resolves when the caller has given up, or the call was rejected, before it was accepted. */
  closed(): Promise<void> {
    return this.#closed;
  }

  /** Tells the caller that it rings (180). */
  ring(): void {
    this.#session.ring();
  }

  /**
   * Takes the call. Resolves when it exists and can be found; wait for `call.established()`.
   *
   * @throws GatewayError (rejection) as `CallGateway.startup`; the caller is then refused: 486 where a name is in use, 503 where
   * the gateway is full. `CALL_STATE` when the caller has given up, or it was accepted or rejected before.
   */
  async accept(options: IncomingAccept = {}): Promise<Call> {
    if (this.settled)
      throw new GatewayError('CALL_STATE', 'The call is not open any more', { field: 'callId' });
    this.#accepted = true;
    try {
      return await this.#launch(options, this, (call) => {
        this.#call = call;
        const { offer, source, request } = this.#invite;
        call.sessionHandler.onMessage?.('in', request, source);
        void call.receive(this.#session, offer, source);
        if (this.#ending !== undefined) call.sessionHandler.onEnded(this.#ending);
      });
    } catch (error) {
      const { statusCode, reasonPhrase, headers } = refusalOf(
        (error as { code?: GatewayErrorCode }).code,
      );
      this.#session.reject(statusCode, reasonPhrase, headers);
      throw error;
    }
  }

  /** Refuses the call. @param code - 300–699. @throws SipError `INVALID_ARGUMENT` naming the argument */
  reject(code = 603, reason = 'Decline'): void {
    this.#session.reject(code, reason);
  }

  #onEnded(ending: SessionEnding): void {
    this.#ending = ending;
    this.#call?.sessionHandler.onEnded(ending);
    this.#resolveClosed();
  }
}
