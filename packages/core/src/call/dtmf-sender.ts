// Sends the digits of a call in order: as RFC 4733 events or SIP INFO.

import type { InviteSession } from '@sipcast/sip';
import { checkDigits, InfoDigitSender } from './dtmf-info.ts';
import type { DtmfType } from './dtmf-info.ts';
import { GatewayError } from '../errors.ts';

/** What the sender asks of its call. */
export interface DtmfSenderHandler {
  /** Resolves when the call is answered, or ends unanswered. */
  readonly answered: Promise<void>;
  readonly closed: Promise<void>;
  /** The call is ending or has ended. */
  isOver(): boolean;
  session(): InviteSession | undefined;
  /** Sends RFC 4733 events; rejects if the peer does not take them. */
  sendEvents(digits: string): Promise<void>;
}

/** The digits of one call. */
export class DtmfSender {
  readonly #handler: DtmfSenderHandler;
  #queue: Promise<void> = Promise.resolve();

  constructor(handler: DtmfSenderHandler) {
    this.#handler = handler;
  }

  /** See `Call.sendDtmf`. */
  send(digits: string, type: DtmfType): Promise<void> {
    checkDigits(digits, type);
    const sent = this.#queue.then(async () => {
      await this.#handler.answered;
      if (this.#handler.isOver()) return;
      await (type === 'RFC2833' ? this.#events(digits) : this.#infos(digits, type));
    });
    this.#queue = sent.catch(() => {
      // Ignored: the caller gets it; the next digits go on.
    });
    return sent;
  }

  async #infos(digits: string, type: 'INFO' | 'INFO_RELAY'): Promise<void> {
    const { closed } = this.#handler;
    const session = this.#handler.session();
    if (!session) return;
    await new InfoDigitSender(session, closed, () => this.#handler.isOver()).send(digits, type);
  }

  async #events(digits: string): Promise<void> {
    try {
      await this.#handler.sendEvents(digits.toUpperCase());
    } catch (cause) {
      const problem = 'The peer does not take RFC 4733 events; use INFO';
      throw new GatewayError('CALL_STATE', problem, { cause });
    }
  }
}
