// Call transfer in one dialog: REFER in both directions, and the NOTIFYs with its outcome (RFC 3515, RFC 3892).

import type { Outcome, RequestContent } from './dialog-client.ts';
import { SipError } from '../errors.ts';
import { EMPTY_BODY, type SipRequest } from '../message/message.ts';
import type { Verdict } from './request-policy.ts';
import type { Clock, TimerHandle } from '../timers.ts';
import { parseNameAddress } from '../message/name-address.ts';
import { parseUri } from '../message/uri.ts';

/** Without a final NOTIFY within this time, a transfer counts as failed. */
const OUTCOME_LIMIT_MS = 180_000;
const OK: Verdict = { statusCode: 200, reasonPhrase: 'OK' };
const DECLINE: Verdict = { statusCode: 603, reasonPhrase: 'Decline' };

/** The outcome of a call that the peer placed on our behalf: its final status. */
export interface TransferOutcome {
  /** 200–699. */
  readonly statusCode: number;
  readonly reasonPhrase: string;
}

/** The peer's request to call a third party (RFC 3515). */
export interface ReferRequest {
  /** SIP URI of Refer-To, including its headers, e.g. an escaped Replaces. */
  readonly target: string;
  /** URI of Referred-By, if present. */
  readonly referredBy: string | undefined;
  /** The request as received. */
  readonly request: SipRequest;
  /** Reports progress to the peer by NOTIFY: any number of 100–199, then one final status. */
  report(statusCode: number, reasonPhrase: string): void;
}

/** The dialog of the transfers. */
export interface TransfersHandler {
  send(method: string, content: RequestContent, done: (outcome: Outcome) => void): void;
  contact(): string;
  /** Decides about the peer's REFER. True: accept. */
  onRefer(refer: ReferRequest): boolean;
  /** The peer has lost the dialog. */
  onLost(error: SipError): void;
}

interface Sent {
  readonly settle: (outcome: TransferOutcome | SipError) => void;
  readonly timer: TimerHandle;
}

/** The transfers of one dialog: at most one of ours and one of the peer's at a time. */
export class Transfers {
  readonly #handler: TransfersHandler;
  readonly #clock: Clock;
  #sent: Sent | undefined;
  /** The peer's REFER was accepted, and its outcome is not yet reported. */
  #taken = false;
  /** Reports still to be sent, one NOTIFY at a time, so that they stay in order. */
  #reports: { readonly statusCode: number; readonly reasonPhrase: string }[] = [];
  #notifying = false;
  #stopped = false;

  constructor(handler: TransfersHandler, clock: Clock) {
    this.#handler = handler;
    this.#clock = clock;
  }

  /**
   * Asks the peer to call `target`. Resolves with the final status of that call.
   *
   * @param referredBy - SIP URI for Referred-By.
   * @throws SipError (rejection) `REJECTED` with `statusCode` if the peer refuses; `TIMEOUT` without a final NOTIFY
   * within three minutes; `CLOSED` if the session ends first; `TRANSPORT`, `AUTH_FAILED`.
   */
  refer(target: string, referredBy: string): Promise<TransferOutcome> {
    if (this.#stopped) return Promise.reject(new SipError('CLOSED', 'The session has ended'));
    if (this.#sent !== undefined)
      return Promise.reject(new SipError('CLOSED', 'Another transfer is in progress'));
    return new Promise((resolve, reject) => {
      const settle = (outcome: TransferOutcome | SipError): void => {
        if (this.#sent?.settle !== settle) return;
        this.#sent.timer.cancel();
        this.#sent = undefined;
        if (outcome instanceof SipError) reject(outcome);
        else resolve(outcome);
      };
      const timer = this.#clock.startTimer(OUTCOME_LIMIT_MS, () =>
        settle(new SipError('TIMEOUT', 'The peer did not report the outcome of the transfer')),
      );
      this.#sent = { settle, timer };
      const headers: [string, string][] = [
        ['contact', this.#handler.contact()],
        ['refer-to', `<${target}>`],
        ['referred-by', `<${referredBy}>`],
      ];
      this.#handler.send('REFER', { headers, body: EMPTY_BODY }, (outcome) => {
        if ('error' in outcome) {
          settle(outcome.error);
          return;
        }
        const { statusCode, reasonPhrase } = outcome.response;
        if (statusCode < 300) return;
        const refused = statusCode === 401 || statusCode === 407 ? 'AUTH_FAILED' : 'REJECTED';
        const error = new SipError(refused, `${statusCode} ${reasonPhrase}`, { statusCode });
        settle(error);
        if (statusCode === 481) this.#handler.onLost(error);
      });
    });
  }

  /** The peer's REFER. */
  onRefer(request: SipRequest): Verdict {
    const values = request.headers.getAll('refer-to');
    const target = values.length === 1 ? uriIn(values[0]) : undefined;
    // RFC 3515 §2.4.1: exactly one Refer-To.
    if (target === undefined) return { statusCode: 400, reasonPhrase: 'Bad Refer-To' };
    if (this.#taken) return { statusCode: 491, reasonPhrase: 'Request Pending' };
    let open = true;
    const report = (statusCode: number, reasonPhrase: string): void => {
      if (!open || this.#stopped) return;
      open = statusCode < 200;
      this.#reports.push({ statusCode, reasonPhrase });
      this.#notifyNext();
    };
    const refer: ReferRequest = {
      target,
      referredBy: uriIn(request.headers.get('referred-by')),
      request,
      report,
    };
    // RFC 3515 §2.4.4: the first NOTIFY follows the 202 at once. Reports made meanwhile wait for it.
    this.#reports = [{ statusCode: 100, reasonPhrase: 'Trying' }];
    this.#notifying = true;
    if (!this.#handler.onRefer(refer)) {
      open = false;
      this.#notifying = false;
      return DECLINE;
    }
    this.#taken = true;
    this.#clock.startTimer(0, () => this.#onNotified());
    return { statusCode: 202, reasonPhrase: 'Accepted' };
  }

  /** A NOTIFY in the dialog. `undefined` if we did not ask for it (481). */
  onNotify(request: SipRequest): Verdict | undefined {
    const event = request.headers.get('event')?.split(';')[0]?.trim().toLowerCase();
    if (event !== 'refer' || this.#sent === undefined) return undefined;
    const match = /^SIP\/2\.0 ([1-6]\d\d) ([^\r\n]*)/i.exec(
      Buffer.from(request.body).toString('utf8'),
    );
    const statusCode = Number(match?.[1] ?? 0);
    const terminated = /^\s*terminated/i.test(request.headers.get('subscription-state') ?? '');
    if (statusCode >= 200) this.#sent.settle({ statusCode, reasonPhrase: match?.[2] ?? '' });
    else if (terminated)
      this.#sent.settle(new SipError('REJECTED', 'The peer abandoned the transfer'));
    return OK;
  }

  /** Our BYE follows: send the outcome of the transfer now, because no NOTIFY can follow the BYE. */
  conclude(): void {
    const last = this.#reports.at(-1);
    this.#reports = [];
    if (!this.#stopped && last !== undefined && last.statusCode >= 200) this.#notify(last);
  }

  /** The session ends. */
  stop(): void {
    this.#stopped = true;
    this.#sent?.settle(new SipError('CLOSED', 'The session has ended'));
  }

  #onNotified(): void {
    this.#notifying = false;
    this.#notifyNext();
  }

  #notifyNext(): void {
    if (this.#notifying || this.#stopped) return;
    const report = this.#reports.shift();
    if (report === undefined) return;
    this.#notifying = true;
    this.#notify(report);
  }

  #notify({ statusCode, reasonPhrase }: TransferOutcome): void {
    const state = statusCode < 200 ? 'active;expires=180' : 'terminated;reason=noresource';
    this.#handler.send(
      'NOTIFY',
      {
        headers: [
          ['contact', this.#handler.contact()],
          ['event', 'refer'],
          ['subscription-state', state],
          ['content-type', 'message/sipfrag;version=2.0'],
        ],
        body: Buffer.from(`SIP/2.0 ${statusCode} ${reasonPhrase}\r\n`, 'utf8'),
      },
      // The peer's response makes no difference.
      () => {
        if (statusCode >= 200) this.#taken = false;
        this.#onNotified();
      },
    );
  }
}

/** The SIP URI of a name-addr, or `undefined`. */
function uriIn(value: string | undefined): string | undefined {
  try {
    const { uri } = parseNameAddress(value ?? '');
    parseUri(uri);
    return uri;
  } catch {
    return undefined;
  }
}
