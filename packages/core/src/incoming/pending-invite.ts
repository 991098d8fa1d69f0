// An INVITE that waits until it is accepted or rejected.

import type {
  IncomingInvite,
  IncomingSession,
  InviteSessionHandler,
  SessionEnding,
} from '@sipcast/sip';
import type { Call } from '../call/call.ts';
import type { GatewayCall } from '../call/gateway-call.ts';
import { GatewayError } from '../errors.ts';
import type { GatewayErrorCode } from '../errors.ts';
import type { IncomingCall } from './incoming-call.ts';
import { refusalOf } from './incoming-rules.ts';
import type { IncomingAccept, IncomingFacts } from './incoming-rules.ts';

/** Makes the call that takes an INVITE, with the media that were asked for. */
export type LaunchIncoming = (
  accept: IncomingAccept,
  facts: IncomingFacts,
  begin: (call: GatewayCall) => void,
) => Promise<Call>;

/** A call that came in, as the gateway drives it. */
export class PendingInvite implements IncomingCall {
  readonly facts: IncomingFacts;
  readonly #invite: IncomingInvite;
  readonly #session: IncomingSession;
  readonly #launch: LaunchIncoming;
  #call: GatewayCall | undefined;
  #accepted = false;
  #ending: SessionEnding | undefined;
  readonly #closed: Promise<void>;
  #resolveClosed: () => void = () => {};

  constructor(invite: IncomingInvite, facts: IncomingFacts, launch: LaunchIncoming) {
    this.facts = facts;
    this.#invite = invite;
    this.#launch = launch;
    this.#closed = new Promise((resolve) => {
      this.#resolveClosed = resolve;
    });
    // Until the call exists only the end matters; from then on the call gets every event.
    const to = (): InviteSessionHandler | undefined => this.#call?.sessionHandler;
    this.#session = invite.take({
      onProvisional: () => {},
      onAnswered: (...answered) => to()?.onAnswered(...answered),
      onReoffer: (...offer) =>
        to()?.onReoffer(...offer) ?? { statusCode: 491, reasonPhrase: 'Request Pending' },
      onOfferWanted: () => to()?.onOfferWanted?.() ?? '',
      onReanswer: (...answer) => to()?.onReanswer?.(...answer),
      onRefer: (refer) => to()?.onRefer?.(refer) ?? false,
      onDialogRequest: (request) => to()?.onDialogRequest?.(request) ?? { statusCode: 200 },
      onMessage: (...message) => to()?.onMessage?.(...message),
      onEnded: (ending) => this.#onEnded(ending),
    });
  }

  get callId(): string {
    return this.facts.callId;
  }

  get settled(): boolean {
    return this.#accepted || this.#ending !== undefined;
  }

  closed(): Promise<void> {
    return this.#closed;
  }

  ring(): void {
    this.#session.ring();
  }

  async accept(options: IncomingAccept = {}): Promise<Call> {
    if (this.settled)
      throw new GatewayError('CALL_STATE', 'The call is no longer open', { field: 'callId' });
    this.#accepted = true;
    try {
      return await this.#launch(options, this.facts, (call) => {
        this.#call = call;
        void call.receive(this.#session, this.#invite);
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

  reject(code = 603, reason = 'Decline'): void {
    this.#session.reject(code, reason);
  }

  #onEnded(ending: SessionEnding): void {
    this.#ending = ending;
    this.#call?.sessionHandler.onEnded(ending);
    this.#resolveClosed();
  }
}
