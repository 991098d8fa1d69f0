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

/** Names that some devices write for the two signs. */
const NAMED_DIGITS: ReadonlyMap<string, string> = new Map([
  ['STAR', '*'],
  ['ASTERISK', '*'],
  ['POUND', '#'],
  ['HASH', '#'],
]);

/** `Signal=5`, also as `signal : "5"` and with the duration behind it on the same line. */
const SIGNAL_LINE = /(?:^|[\s;])signal\s*[=:]\s*"?([^\s";]+)/i;

/** Content types of one key, as devices write them. Nortel and AudioCodes have the key in a line `d=`. */
const DIGIT_TYPES: ReadonlyMap<string, { readonly type: DtmfType; readonly line: RegExp }> =
  new Map([
    ['application/dtmf', { type: 'INFO', line: SIGNAL_LINE }],
    ['application/dtmf-relay', { type: 'INFO_RELAY', line: SIGNAL_LINE }],
    ['application/dtmf-info', { type: 'INFO_RELAY', line: SIGNAL_LINE }],
    ['audio/telephone-event', { type: 'INFO', line: SIGNAL_LINE }],
    [
      'application/vnd.nortelnetworks.digits',
      { type: 'INFO', line: /^\s*d\s*=\s*"?([^\s";=]+)"?\s*$/im },
    ],
  ]);

/**
 * The digit of an INFO.
 *
 * @param contentType - In lower case, without parameters.
 * @param body - Each octet a character.
 * @returns undefined for another content type; no `digit` when the body has none, or one that is not a key (flash).
 */
export function parseInfoDigit(
  contentType: string,
  body: string,
): { readonly type: DtmfType; readonly digit?: string } | undefined {
  const form = DIGIT_TYPES.get(contentType);
  if (form === undefined) return undefined;
  const { type, line } = form;
  return { type, ...digitOf(line.exec(body)?.[1] ?? body.trim().replace(/^"(.*)"$/, '$1')) };
}

function digitOf(text: string): { digit?: string } {
  const digit = text.toUpperCase();
  if (/^[0-9A-D*#]$/.test(digit)) return { digit };
  // Two figures can only be an event code.
  const named = /^1[0-5]$/.test(digit) ? EVENT_DIGITS[Number(digit)] : NAMED_DIGITS.get(digit);
  return named === undefined ? {} : { digit: named };
}

/** A payload of RFC 4733 §2.3 in a body. */
export interface TelephoneEvent {
  readonly digit?: string;
  readonly isEnd: boolean;
  /** In RTP ticks. */
  readonly durationTicks: number;
}

/**
 * Four octets, or eight hexadecimal digits: what Cisco gateways send in NOTIFY. One or more for each key.
 *
 * @param body - Each octet a character.
 */
export function parseTelephoneEvent(body: string): TelephoneEvent | undefined {
  const hex = /^\s*(?:0x)?([0-9a-f]{8})\s*$/i.exec(body)?.[1];
  const octets = hex === undefined ? Buffer.from(body, 'latin1') : Buffer.from(hex, 'hex');
  // oxlint-disable-next-line no-control-regex -- a text is no payload
  if (octets.length !== 4 || (hex === undefined && /^[\x09-\x7e]*$/.test(body))) return undefined;
  const digit = EVENT_DIGITS[octets[0]!];
  return {
    ...(digit !== undefined && { digit }),
    isEnd: (octets[1]! & 0x80) !== 0,
    durationTicks: octets.readUInt16BE(2),
  };
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
