// What an established call asks of its peer: hold, resume, transfer.

import type { InviteSession, PeerDescription } from '@sipcast/sip';
import { describe } from './call-ending.ts';
import { GatewayError } from '../errors.ts';
import type { SessionAgreement } from '../negotiation/session-agreement.ts';

/** What the changes ask of their call. */
export interface CallChangesHandler {
  /** The session while the call is established. */
  session(): InviteSession | undefined;
  /** Takes the peer's answer to our offer. Throws or rejects if it cannot be used. */
  onAnswer(answer: PeerDescription): Promise<void> | undefined;
}

/** The changes of one call. */
export class CallChanges {
  readonly #agreement: SessionAgreement;
  readonly #handler: CallChangesHandler;
  /** Hold and resume, one after the other. */
  #holding: Promise<void> = Promise.resolve();
  #mayRepeat = true;
  #transferTarget: string | null = null;

  constructor(agreement: SessionAgreement, handler: CallChangesHandler) {
    this.#agreement = agreement;
    this.#handler = handler;
  }

  /** Whom the peer is asked to call in our place, while the transfer is under way. */
  get transferTarget(): string | null {
    return this.#transferTarget;
  }

  /** See `Call.hold` and `Call.resume`. */
  hold(wanted: boolean): Promise<void> {
    const changed = this.#holding.then(() => this.#hold(wanted));
    this.#holding = changed.catch(() => {
      // Ignored: the caller of `hold` gets it; the next change goes on.
    });
    return changed;
  }

  async #hold(wanted: boolean): Promise<void> {
    const session = this.#requireSession();
    if (this.#agreement.holding === wanted) return;
    try {
      const answer = await session.reoffer(() => this.#agreement.holdOffer(wanted));
      if (this.#handler.session() !== undefined) await this.#handler.onAnswer(answer);
    } catch (cause) {
      this.#agreement.withdrawOffer();
      throw asRefusal(cause, 'callId');
    }
  }

  /**
   * Repeats the current offer: many encoders then start with a key frame. A peer that refuses or does not answer is not asked
   * again, since a hold would have to wait meanwhile.
   */
  repeat(): void {
    if (!this.#mayRepeat) return;
    this.#handler
      .session()
      ?.refresh()
      .catch(() => {
        this.#mayRepeat = false;
      });
  }

  /** See `Call.transfer`. */
  async transfer(target: string): Promise<void> {
    const session = this.#requireSession();
    if (this.#transferTarget !== null)
      throw new GatewayError('CALL_STATE', 'A transfer is under way', { field: 'callId' });
    this.#transferTarget = target;
    try {
      const { statusCode, reasonPhrase } = await session.refer(target);
      if (statusCode < 300) return;
      const problem = `The transfer failed: ${statusCode} ${reasonPhrase}`;
      throw new GatewayError('CALL_STATE', problem, { field: 'target', sipStatus: statusCode });
    } catch (cause) {
      throw asRefusal(cause, 'target');
    } finally {
      this.#transferTarget = null;
    }
  }

  #requireSession(): InviteSession {
    const session = this.#handler.session();
    if (session !== undefined) return session;
    throw new GatewayError('CALL_STATE', 'The call is not established', { field: 'callId' });
  }
}

/** Turns an error of the SIP package into one of the gateway. */
function asRefusal(cause: unknown, field: string): GatewayError {
  if (cause instanceof GatewayError) return cause;
  const { code, statusCode } = cause as { code?: string; statusCode?: number };
  if (code === 'INVALID_ARGUMENT' || code === 'ILLEGAL_CHARACTER')
    return new GatewayError('INVALID_ARGUMENT', describe(cause), { field, cause });
  return new GatewayError('CALL_STATE', `The peer does not agree: ${describe(cause)}`, {
    field,
    ...(statusCode !== undefined && { sipStatus: statusCode }),
    cause,
  });
}
