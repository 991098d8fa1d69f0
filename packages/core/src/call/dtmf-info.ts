// Digits in SIP INFO: `application/dtmf-relay` and `application/dtmf`, in both directions. No RFC defines them; vendors agree on the form.

import type { InviteSession } from '@sipcast/sip';
import { GatewayError } from '../errors.ts';

/** How DTMF travels: RFC 4733 events in RTP, or SIP INFO in one of two forms. */
export type DtmfType = 'RFC2833' | 'INFO' | 'INFO_RELAY';

/** A key that the peer pressed. */
export interface ReceivedDtmf {
  /** One of `0-9 * # A-D`. */
  readonly digit: string;
  /** How it came. */
  readonly type: DtmfType;
}

/** All of them. */
const DTMF_TYPES: readonly DtmfType[] = ['RFC2833', 'INFO', 'INFO_RELAY'];

/** @throws GatewayError `INVALID_ARGUMENT` naming `dtmf` or `type`. */
export function checkDigits(digits: string, type: DtmfType): void {
  if (!/^[0-9A-Da-d*#,]{1,128}$/.test(digits)) {
    const problem = 'dtmf must be 1 to 128 of 0-9 * # A-D and the pause ,';
    throw new GatewayError('INVALID_ARGUMENT', problem, { field: 'dtmf' });
  }
  if (!DTMF_TYPES.includes(type)) {
    const problem = `type must be one of ${DTMF_TYPES.join(', ')}`;
    throw new GatewayError('INVALID_ARGUMENT', problem, { field: 'type' });
  }
}

const DIGIT_MS = 160;
const GAP_MS = 100;
const PAUSE_MS = 1000;
/** Event codes of RFC 4733 §3.2: some devices write them instead of the digit. */
const EVENT_DIGITS = '0123456789*#ABCD';

/**
 * The digit of an INFO.
 *
 * @param contentType - In lower case, without parameters.
 * @returns undefined for another content type; no `digit` when the body has none, or one that is not a key (flash).
 */
export function parseInfoDigit(
  contentType: string,
  body: string,
): { readonly type: DtmfType; readonly digit?: string } | undefined {
  if (contentType === 'application/dtmf') return { type: 'INFO', ...digitOf(body.trim()) };
  if (contentType !== 'application/dtmf-relay') return undefined;
  const signal = /^\s*signal\s*=\s*(\S+)/im.exec(body)?.[1] ?? '';
  return { type: 'INFO_RELAY', ...digitOf(signal) };
}

function digitOf(text: string): { digit?: string } {
  const digit = text.toUpperCase();
  if (/^[0-9A-D*#]$/.test(digit)) return { digit };
  // Two figures can only be an event code.
  const named = /^1[0-5]$/.test(digit) ? EVENT_DIGITS[Number(digit)] : undefined;
  return named === undefined ? {} : { digit: named };
}

/** Sends digits one INFO after the other. */
export class InfoDigitSender {
  readonly #session: Pick<InviteSession, 'sendInfo'>;
  readonly #ended: Promise<void>;
  readonly #isOver: () => boolean;

  /** `ended` cuts pauses short; `isOver` is asked before each digit. */
  constructor(
    session: Pick<InviteSession, 'sendInfo'>,
    ended: Promise<void>,
    isOver: () => boolean,
  ) {
    this.#session = session;
    this.#ended = ended;
    this.#isOver = isOver;
  }

  /** `0-9 * # A-D`, and `,` for a pause of one second. Resolves after the last answer, or when the call ends. */
  async send(digits: string, type: 'INFO' | 'INFO_RELAY'): Promise<void> {
    for (const digit of digits.toUpperCase()) {
      if (this.#isOver()) return;
      if (digit === ',') {
        await this.#pause(PAUSE_MS);
        continue;
      }
      await (type === 'INFO'
        ? this.#session.sendInfo('application/dtmf', digit)
        : this.#session.sendInfo(
            'application/dtmf-relay',
            `Signal=${digit}\r\nDuration=${DIGIT_MS}\r\n`,
          ));
      await this.#pause(GAP_MS);
    }
  }

  async #pause(ms: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const elapsed = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, ms);
    });
    await Promise.race([elapsed, this.#ended]);
    clearTimeout(timer);
  }
}
